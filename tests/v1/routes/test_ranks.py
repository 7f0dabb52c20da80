"""Ranks: order, ties, formats, and why somebody has none."""

import csv
import io

import pytest

from tests.support.serving import NOON, every_minute, fill, sample


@pytest.fixture
async def tied(writer):
    """Two that move equally, one that moves less, and one that does not."""
    await fill(
        writer,
        {
            "A:ONE": every_minute(["10", "12"]),
            "A:TWO": every_minute(["110", "112"]),
            "A:LESS": every_minute(["1", "1.5"]),
            "A:FLAT": every_minute(["5", "5"]),
        },
    )


@pytest.mark.usefixtures("tied")
async def test_equal_deviations_share_a_place_and_the_next_one_is_left_out(api):
    answer = (await api.get("/v1/ranks")).json

    assert {name: answer[name] for name in ("measure", "by", "at", "of")} == {
        "measure": "price",
        "by": "stddev",
        "at": NOON,
        "of": 4,
    }
    assert [(each["rank"], each["value"], each["samples"]) for each in answer["ranks"]] == [
        (1, 1.0, 2),
        (1, 1.0, 2),
        (3, 0.25, 2),
        (4, 0.0, 2),
    ]
    assert {each["metric"] for each in answer["ranks"][:2]} == {"A:ONE", "A:TWO"}


@pytest.mark.usefixtures("tied")
async def test_the_rank_of_one_is_the_rank_in_the_list(api):
    for by in ("stddev", "cv"):
        for row in (await api.get("/v1/ranks", {"by": by})).json["ranks"]:
            one = (await api.get(f"/v1/metrics/{row['metric']}/rank", {"by": by})).json

            assert one == row | {"measure": "price", "by": by, "of": 4, "at": NOON}


@pytest.mark.usefixtures("tied")
async def test_a_page_that_begins_within_a_tie_keeps_the_shared_place(api):
    answer = (await api.get("/v1/ranks", {"offset": 1, "limit": 2})).json

    assert [each["rank"] for each in answer["ranks"]] == [1, 3]


@pytest.mark.usefixtures("tied")
async def test_beyond_the_last_rank_there_is_nothing(api):
    assert (await api.get("/v1/ranks", {"offset": 100})).json["ranks"] == []


async def test_before_the_first_tick_nobody_is_ranked(api):
    assert (await api.get("/v1/ranks")).json == {
        "measure": "price",
        "by": "stddev",
        "at": None,
        "of": 0,
        "ranks": [],
        "unranked": [],
    }


@pytest.mark.usefixtures("tied")
async def test_csv_has_the_same_rows_and_numbers(api):
    answer = await api.get("/v1/ranks", {"format": "csv", "by": "cv"})

    rows = [*csv.DictReader(io.StringIO(answer.text))]
    assert rows == [
        {name: str(value) for name, value in row.items()}
        for row in (await api.get("/v1/ranks", {"by": "cv"})).json["ranks"]
    ]
    assert answer.headers["Content-Type"].startswith("text/csv")


async def test_a_name_that_a_spreadsheet_would_run_is_made_harmless(api, writer):
    await fill(writer, {'=HYPERLINK("X"),1': [sample(NOON, "1")]})

    answer = await api.get("/v1/ranks", {"format": "csv"})

    assert answer.text.splitlines()[1] == '1,"\'=HYPERLINK(""X""),1",0.0,1,0.0006944444444444445'


@pytest.mark.usefixtures("tied")
async def test_a_metric_without_a_number_of_the_measure_is_told_why_it_has_no_rank(api):
    answer = await api.get("/v1/metrics/A:ONE/rank", {"measure": "volume"})

    assert answer.status == 404
    assert "the last day holds no number of its volume" in answer.json["detail"]


async def test_a_mean_of_zero_has_no_coefficient_of_variation_and_so_no_rank_by_it(api, writer):
    await fill(writer, {"A:ZERO": every_minute(["1", "1"], interval_return="0")})

    answer = await api.get("/v1/metrics/A:ZERO/rank", {"measure": "interval_return", "by": "cv"})

    assert (answer.status, "their mean is zero" in answer.json["detail"]) == (404, True)


@pytest.mark.parametrize(
    "query, field, accepted",
    [
        pytest.param({"measure": "PRICE"}, "measure", "price", id="unknown measure"),
        pytest.param({"by": "variance"}, "by", "stddev or cv", id="unknown order"),
        pytest.param({"format": "ndjson"}, "format", "json or", id="a format of another route"),
        pytest.param({"offset": -1}, "offset", "a whole number from 0 to 1000000", id="before the first"),
        pytest.param({"limit": 10**30}, "limit", "a whole number from 1 to 1000", id="everything"),
        pytest.param({"top": 5}, "top", "measure, by, limit, offset, format", id="unknown parameter"),
    ],
)
async def test_what_is_not_accepted_is_named_with_what_would_be(api, query, field, accepted):
    answer = await api.get("/v1/ranks", query)

    assert answer.status == 422
    (error,) = answer.json["errors"]
    assert (error["field"], error["value"]) == (field, str(query[field]))
    assert accepted in error["accepted"]


async def test_who_lacks_most_of_the_day_is_listed_as_unranked_with_the_reason(api, writer):
    writer.min_coverage = 0.5
    whole, half, less = (every_minute(["10", "12"] * minutes) for minutes in (20, 10, 9))
    await fill(writer, {"A:WHOLE": whole, "A:HALF": half, "A:LESS": less})

    answer = (await api.get("/v1/ranks")).json
    refused = await api.get("/v1/metrics/A:LESS/rank")

    assert {row["metric"]: row["coverage"] for row in answer["ranks"]} == {"A:HALF": 20 / 1440, "A:WHOLE": 40 / 1440}
    assert answer["unranked"] == [{"metric": "A:LESS", "samples": 18, "coverage": 18 / 1440, "reason": "coverage"}]
    assert (refused.status, "18 samples, too few" in refused.json["detail"]) == (404, True)


async def test_on_the_first_day_all_that_are_equally_complete_are_ranked(api, writer):
    writer.min_coverage = 0.5
    await fill(writer, {"A:ONE": every_minute(["10"]), "A:TWO": every_minute(["10"])})

    answer = (await api.get("/v1/ranks")).json

    assert (answer["of"], answer["unranked"]) == (2, [])
