"""The history route: which points, with which digits, in which format."""

import csv
import io
import json

import pytest

from tests.support.serving import DAY, HOUR, MINUTE, NOON, Api, every_minute, fill, sample, serving

PATH = "/v1/metrics/KRAKEN:BTCUSD/history"


@pytest.fixture
async def day(writer):
    """A day of prices; the samples of 11:50 to 11:54 are missing."""
    prices = [f"{46000 + minute % 97}.{minute % 10}0" for minute in range(1440)]
    samples = every_minute(prices, interval_volume="1e-8")
    await fill(writer, {"KRAKEN:BTCUSD": [each for each in samples if not NOON - 600 <= each.tick < NOON - 300]})
    return {each.tick: each.values[0] for each in samples if not NOON - 600 <= each.tick < NOON - 300}


async def points(api: Api, **query: object) -> list[tuple[str, str | None]]:
    """Return the points with their digits."""
    answer = await api.get(PATH, {name.rstrip("_"): value for name, value in query.items()})
    assert answer.status == 200, answer.text
    return [tuple(point) for point in json.loads(answer.text, parse_float=str, parse_int=str)["points"]]


async def test_without_parameters_it_is_every_price_of_the_last_day_digit_for_digit(api, day):
    answer = await api.get(PATH)

    written = ",".join(f"[{tick},{price}]" for tick, price in day.items())
    assert f'"points":[{written}]' in answer.text
    assert answer.json | {"points": []} == {
        "metric": "KRAKEN:BTCUSD",
        "measure": "price",
        "from": NOON - DAY + MINUTE,
        "to": NOON,
        "kept_from": NOON - DAY + MINUTE,
        "older": None,
        "step": None,
        "agg": "last",
        "fill": "none",
        "hourly": [],
        "points": [],
    }


async def test_numbers_keep_exponents_trailing_zeros_and_thirty_digits(api, writer):
    prices = ["1.08e-05", "100.00", "0.000000000000000001", "123456789012345678901234567890.5", "0"]
    await fill(writer, {"KRAKEN:BTCUSD": every_minute(prices)})

    assert [price for _, price in await points(api)] == prices


async def test_from_and_to_are_both_answered(api, day):
    assert await points(api, from_=NOON - 120, to=NOON - 60) == [
        (str(NOON - 120), day[NOON - 120]),
        (str(NOON - 60), day[NOON - 60]),
    ]


@pytest.mark.usefixtures("day")
@pytest.mark.parametrize(
    "from_, to",
    [
        pytest.param("2021-05-17T11:58:00Z", "2021-05-17T12:00:00+00:00", id="with a zone"),
        pytest.param("2021-05-17T13:58+02:00", "2021-05-17T12:00", id="another zone, and none"),
        pytest.param("2021-05-17 11:58", f"{NOON}.75", id="with a space, and a fraction"),
        pytest.param("-2m", "now", id="from now"),
        pytest.param("now-120s", NOON, id="from now, in seconds"),
    ],
)
async def test_a_time_can_be_written_in_many_ways(api, from_, to):
    assert [int(tick) for tick, _ in await points(api, from_=from_, to=to)] == [NOON - 120, NOON - 60, NOON]


@pytest.mark.usefixtures("day")
async def test_a_plus_that_a_query_turned_into_a_space_is_still_a_zone(api):
    answer = await api.get(f"{PATH}?from=2021-05-17T13:58:00 02:00")

    assert answer.json["from"] == NOON - 120


@pytest.mark.usefixtures("day")
async def test_who_waits_for_the_next_tick_is_told_that_there_is_nothing_yet(api):
    answer = await api.get(PATH, {"from": NOON + MINUTE})

    assert (answer.status, answer.json["points"]) == (200, [])


async def test_a_range_beyond_the_kept_day_gives_what_is_kept_and_says_so(api, day):
    answer = await api.get(PATH, {"from": NOON - 3 * DAY})

    assert answer.json["from"] == NOON - 3 * DAY
    assert answer.json["kept_from"] == NOON - DAY + MINUTE
    assert len(answer.json["points"]) == len(day)


@pytest.mark.usefixtures("day")
async def test_the_name_of_a_metric_has_no_case(api):
    assert (await api.get("/v1/metrics/kraken:btcUSD/history", {"from": NOON})).json["metric"] == "KRAKEN:BTCUSD"


@pytest.mark.usefixtures("day")
async def test_a_measure_that_nobody_gave_has_no_points(api):
    assert await points(api, measure="volume") == []


async def test_each_measure_is_cut_from_its_own_column(api, writer):
    first = {"volume": "2", "change_percentage": "-3.5", "change_absolute": "-4", "interval_volume": "5"}
    await fill(writer, {"KRAKEN:BTCUSD": [sample(NOON, "1", **first, interval_return="6.0")]})

    values = {measure: (await points(api, measure=measure))[0][1] for measure in ["price", *first, "interval_return"]}
    assert values == {"price": "1", **first, "interval_return": "6.0"}


@pytest.mark.parametrize(
    "agg, expected",
    [("first", "3.0"), ("last", "2.5"), ("min", "1"), ("max", "10"), ("mean", "4.125")],
)
async def test_a_step_is_one_number_of_those_in_it(api, writer, agg, expected):
    await fill(writer, {"KRAKEN:BTCUSD": every_minute(["99", "3.0", "10", "1", "2.5"])})

    assert await points(api, step="4m", agg=agg, from_=NOON) == [(str(NOON), expected)]


async def test_steps_end_on_their_own_multiples_and_the_running_one_is_not_answered_yet(api, writer, clock):
    clock.now = NOON + 125
    await fill(writer, {"KRAKEN:BTCUSD": every_minute(["1", "2", "3", "4", "5"], NOON + 120)}, NOON + 120)

    assert await points(api, step=300) == [(str(NOON), "3")]
    assert await points(api, step=300, to=NOON + 300) == [(str(NOON), "3"), (str(NOON + 300), "5")]


async def test_the_description_says_where_a_series_without_a_beginning_begins(api):
    paths = (await api.get("/openapi.json")).json["paths"]
    (told,) = [
        each["description"]
        for each in paths["/v1/metrics/{metric}/history"]["get"]["parameters"]
        if each["name"] == "from"
    ]

    assert "24 hours, or 10,000 points, before `to`" in told


@pytest.mark.usefixtures("day")
async def test_without_fill_a_gap_is_a_gap(api):
    ticks = [int(tick) for tick, _ in await points(api, from_=NOON - 720)]

    assert ticks == [*range(NOON - 720, NOON - 600, 60), *range(NOON - 300, NOON + 1, 60)]


async def test_a_gap_is_filled_as_wished_also_where_it_reaches_beyond_the_range(api, day):
    before, after = day[NOON - 660], day[NOON - 300]
    query = {"from_": NOON - 420, "to": NOON - 300}
    line = [float(before) + (float(after) - float(before)) * part / 6 for part in (4, 5)]

    null = await points(api, fill="null", **query)
    previous = await points(api, fill="previous", **query)
    linear = await points(api, fill="linear", **query)

    assert [value for _, value in null] == [None, None, after]
    assert [value for _, value in previous] == [before, before, after]
    assert [float(value or 0) for _, value in linear] == pytest.approx([*line, float(after)])
    assert linear[-1][1] == after


async def test_nothing_is_filled_beyond_the_newest_tick(api, day):
    assert await points(api, fill="previous", from_=NOON, to=NOON + HOUR) == [(str(NOON), day[NOON])]


async def test_csv_is_a_table_with_a_header_and_the_same_digits(api, day):
    by_format = await api.get(PATH, {"format": "csv", "fill": "null"})
    by_header = await api.get(PATH, {"fill": "null"}, Accept="text/csv, */*;q=0.1")

    rows = [*csv.reader(io.StringIO(by_format.text))]
    assert rows[0] == ["tick", "price"]
    assert {int(tick): price for tick, price in rows[1:] if price} == day
    assert len(rows) == 1441
    assert by_format.headers["Content-Type"].startswith("text/csv")
    assert by_header.text == by_format.text


async def test_ndjson_is_one_point_a_line(api, day):
    answer = await api.get(PATH, {"from": NOON - 360}, Accept="application/x-ndjson")

    lines = [json.loads(line, parse_float=str) for line in answer.text.splitlines()]
    assert lines == [{"tick": tick, "value": day[tick]} for tick in range(NOON - 300, NOON + 1, 60)]
    assert answer.headers["Content-Type"] == "application/x-ndjson"


@pytest.mark.usefixtures("day")
async def test_a_format_that_is_named_beats_the_header(api):
    answer = await api.get(PATH, {"format": "json", "from": NOON}, Accept="text/csv")

    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.usefixtures("day")
async def test_who_accepts_what_is_not_offered_gets_json(api):
    for accept in ("text/html,application/xhtml+xml,*/*;q=0.8", "image/png", "text/csv;q=0", "text/csv;q=x"):
        answer = await api.get(PATH, {"from": NOON}, Accept=accept)

        assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.usefixtures("day")
@pytest.mark.parametrize(
    "query, field, accepted",
    [
        pytest.param({"measure": "prize"}, "measure", "price, volume", id="unknown measure"),
        pytest.param({"from": "yesterday"}, "from", "ISO 8601", id="no time"),
        pytest.param({"from": "NaN"}, "from", "unix seconds", id="not a number"),
        pytest.param({"from": "-5"}, "from", "unix seconds", id="before 1970"),
        pytest.param({"from": "1960-01-01"}, "from", "not before 1970", id="long before 1970"),
        pytest.param({"from": "+1h"}, "from", "from now on is not accepted here", id="the future"),
        pytest.param({"to": "now 1h"}, "to", "from now on is not accepted here", id="a plus that became a space"),
        pytest.param({"from": NOON * 1000}, "from", "looks like milliseconds", id="milliseconds"),
        pytest.param({"to": "9" * 400}, "to", "unix seconds", id="a number without end"),
        pytest.param({"to": "-99999999d9"}, "to", "unix seconds", id="no unit"),
        pytest.param({"from": NOON, "to": NOON - 60}, "from", f"not after `to`, {NOON - 60}", id="from after to"),
        pytest.param({"to": "-30000d"}, "to", "not before `from`, 0", id="to before 1970"),
        pytest.param({"step": 90}, "step", "a multiple of the interval, 60 seconds", id="does not divide"),
        pytest.param({"step": "0"}, "step", "seconds (300)", id="no step"),
        pytest.param({"step": "-5m"}, "step", "seconds (300)", id="backwards"),
        pytest.param({"step": "2d"}, "step", "up to a day", id="longer than the day"),
        pytest.param({"step": "1w"}, "step", "s, m, h or d", id="unknown unit"),
        pytest.param({"from": NOON - 10_000 * 60, "to": NOON}, "step", "120 seconds or more", id="too many points"),
        pytest.param({"from": 0}, "from", "10,000 points at most", id="everything"),
        pytest.param({"agg": "median"}, "agg", "last, mean, min, max, first, minmax or lttb", id="unknown aggregate"),
        pytest.param({"fill": "zero"}, "fill", "none, null, previous or linear", id="unknown fill"),
        pytest.param({"format": "xml"}, "format", "json, csv, ndjson or arrow", id="unknown format"),
        pytest.param(
            {"form": "csv"}, "form", "measure, from, to, step, agg, points, fill, format", id="unknown parameter"
        ),
    ],
)
async def test_what_is_not_accepted_is_named_with_what_would_be(api, query, field, accepted):
    answer = await api.get(PATH, query)

    assert answer.status == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    (error,) = [each for each in answer.json["errors"] if each["field"] == field]
    assert error["value"] in str(query[field]) + "..." if field in query else True
    assert accepted in error["accepted"]
    assert field in answer.json["detail"]


async def test_at_a_sample_a_second_the_default_is_the_last_ten_thousand(server, writer, clock):
    samples = [sample(NOON - index, str(index)) for index in reversed(range(10_005))]
    await fill(writer, {"KRAKEN:BTCUSD": samples})

    async with serving(clock, server, interval=1) as api:
        points = (await api.get(PATH)).json["points"]

    assert (len(points), points[0], points[-1]) == (10_000, [NOON - 9_999, 9_999], [NOON, 0])


@pytest.mark.usefixtures("day")
async def test_ten_thousand_points_are_not_too_many(api):
    assert (await api.get(PATH, {"from": NOON - 9_999 * 60, "to": NOON})).status == 200
    assert (await api.get(PATH, {"from": NOON - 10_000 * 60, "to": NOON, "step": 120})).status == 200
