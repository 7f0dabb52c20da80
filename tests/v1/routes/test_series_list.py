"""The history of many metrics and measures in one answer: the points of each alone, side by side, in each format."""

import csv
import io
import json

import nanoarrow
import pytest

from tests.support.serving import DAY, HOUR, MINUTE, NOON, every_minute, fill, sample, serving
from v1.routes import series_list

PATH = "/v1/history"
BTC, ETH = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD"


@pytest.fixture
async def market(writer):
    """A day of BTC without 11:50 to 11:54, two hours of ETH until 11:58, and one number of DOGE."""
    prices = [f"{46000 + minute * 7919 % 997}.{minute % 10}0" for minute in range(1440)]
    kept = [each for each in every_minute(prices, interval_volume="1e-8") if not NOON - 600 <= each.tick < NOON - 300]
    mixed = [
        sample(NOON - tick * MINUTE, str(tick), **({"volume": f"{tick}.50"} if tick % 3 else {}))
        for tick in range(122, 1, -1)
    ]
    await fill(writer, {BTC: kept, ETH: mixed, "BINANCE:DOGEUSDT": [sample(NOON - HOUR, "0.05")]})


async def ask(api, path=PATH, **query):
    answer = await api.get(path, {name.rstrip("_"): value for name, value in query.items()})
    assert answer.status == 200, answer.text
    return json.loads(answer.text, parse_float=str, parse_int=str)


@pytest.mark.usefixtures("market")
@pytest.mark.parametrize(
    "query",
    [
        {},
        {"from_": NOON - 700, "to": NOON - 60},
        {"step": "5m", "agg": "mean"},
        {"step": "1h", "agg": "min", "fill": "null"},
        {"fill": "linear", "from_": "-15m"},
        {"fill": "previous", "step": "2m", "from_": NOON - 3 * DAY},
        {"agg": "minmax", "step": "10m", "from_": "-3h"},
        {"agg": "lttb", "points": 20},
        {"from_": NOON + MINUTE},
        {"from_": NOON - 2 * DAY, "to": NOON - DAY - HOUR},
    ],
    ids=str,
)
async def test_the_points_of_each_metric_are_those_of_its_own_history(api, query):
    answer = await ask(api, metrics="KRAKEN:*", **query)

    assert [each["metric"] for each in answer["series"]] == [BTC, ETH]
    for each in answer["series"]:
        # Each alone ends at its own newest sample, together they end at the newest of all.
        alone = await ask(api, f"/v1/metrics/{each['metric']}/history", **({"to": answer["to"]} | query))
        assert each["points"] == alone["points"]
        assert each["hourly"] == alone["hourly"]
        assert {name: answer[name] for name in ("from", "to", "kept_from", "step", "agg", "fill")} == {
            name: alone[name] for name in ("from", "to", "kept_from", "step", "agg", "fill")
        }


@pytest.mark.usefixtures("market")
@pytest.mark.parametrize("query", [{}, {"step": "4m", "agg": "max"}, {"fill": "null"}], ids=str)
async def test_measures_stand_side_by_side_with_null_where_one_is_not_known(api, query):
    (each,) = (await ask(api, metrics=ETH, measures="volume,price,interval_return", **query))["series"]

    known = [
        dict((await ask(api, f"/v1/metrics/{ETH}/history", measure=measure, to=NOON, **query))["points"])
        for measure in ("volume", "price", "interval_return")
    ]
    ticks = sorted({tick for part in known for tick in part}, key=int)
    assert each["points"] == [[tick, *[part.get(tick) for part in known]] for tick in ticks]
    assert (None in [volume for _, volume, _, _ in each["points"]]) == ("step" not in query)


@pytest.mark.usefixtures("market")
async def test_where_samples_are_chosen_all_measures_are_answered_at_their_ticks(api):
    (whole,) = (await ask(api, metrics=BTC, measures="price,interval_return,interval_volume"))["series"]
    for query in ({"agg": "lttb", "points": 30}, {"agg": "minmax", "step": "1h"}):
        (chosen,) = (await ask(api, metrics=BTC, measures="price,interval_volume", **query))["series"]
        alone = await ask(api, f"/v1/metrics/{BTC}/history", **query)

        known = {tick: [price, volume] for tick, price, _, volume in whole["points"]}
        assert {tick for tick, _ in alone["points"]} <= {tick for tick, _, _ in chosen["points"]}
        assert all(known[tick] == numbers for tick, *numbers in chosen["points"])


@pytest.mark.usefixtures("market")
async def test_extremes_of_the_day_are_among_five_hundred_points(api):
    prices = dict((await ask(api, f"/v1/metrics/{BTC}/history"))["points"])

    chosen = (await ask(api, f"/v1/metrics/{BTC}/history", agg="lttb"))["points"]

    assert len(chosen) == 500
    assert all(prices[tick] == price for tick, price in chosen)
    numbers = [float(price) for price in prices.values()]
    assert {min(numbers), max(numbers)} <= {float(price) for _, price in chosen}


async def test_at_a_sample_every_five_seconds_lttb_is_of_the_whole_day(server, writer, clock):
    samples = [sample(NOON - index * 5, str(index % 1009)) for index in reversed(range(17_280))]
    await fill(writer, {BTC: samples})

    async with serving(clock, server, interval=5) as api:
        points = (await api.get(f"/v1/metrics/{BTC}/history", {"agg": "lttb", "points": 300})).json["points"]

    assert (len(points), points[0][0], points[-1][0]) == (300, NOON - DAY + 5, NOON)


@pytest.mark.usefixtures("market")
async def test_csv_and_ndjson_are_long_tables_with_the_same_digits(api):
    query = {"measures": "price,volume", "from": "-1h"}
    series = (await ask(api, measures="price,volume", from_="-1h"))["series"]
    expected = [[each["metric"], *point] for each in series for point in each["points"]]

    head, *rows = csv.reader(io.StringIO((await api.get(f"{PATH}.csv", query)).text))
    lines = (await api.get(f"{PATH}.ndjson", query)).text.splitlines()

    assert head == ["metric", "tick", "price", "volume"]
    assert [[cell or None for cell in row] for row in rows] == expected
    named = [json.loads(line, parse_float=str, parse_int=str) for line in lines]
    assert named == [dict(zip(head, row, strict=True)) for row in expected]


@pytest.mark.usefixtures("market")
async def test_times_of_csv_are_iso_where_that_is_asked_for(api):
    answer = await api.get(f"{PATH}.csv", {"metrics": BTC, "from": "-1m", "time": "iso", "bom": "yes"})

    assert answer.text.splitlines()[1].startswith('"KRAKEN:BTCUSD",2021-05-17T11:59:00Z,')
    assert answer.text.startswith("\ufeffmetric,tick,price\n")


@pytest.mark.usefixtures("market")
@pytest.mark.parametrize("measures", ["price", "volume,price"])
async def test_arrow_reads_back_as_the_same_numbers(api, measures):
    query = {"measures": measures, "from": "-2h", "fill": "null"}
    series = (await api.get(PATH, query)).json["series"]
    names = ["metric", "tick", *measures.split(",")]

    table = nanoarrow.ArrayStream.from_readable(await api.read_bytes(f"{PATH}.arrow", query)).read_all()

    assert table.to_pylist() == [
        dict(zip(names, [each["metric"], *point], strict=True)) for each in series for point in each["points"]
    ]
    kinds = ["string", "int64", *["double"] * (len(names) - 2)]
    assert [str(field.type.name).lower() for field in table.schema.fields] == kinds


@pytest.mark.usefixtures("market")
async def test_one_metric_as_arrow_has_its_ticks_and_its_measure(api):
    path = f"/v1/metrics/{BTC}/history"
    points = (await api.get(path)).json["points"]

    for where, query in ((f"{path}.arrow", {}), (path, {"format": "arrow"})):
        body = await api.read_bytes(where, query)
        table = nanoarrow.ArrayStream.from_readable(body).read_all()
        assert table.to_pylist() == [{"tick": tick, "price": price} for tick, price in points]


@pytest.mark.usefixtures("market")
async def test_a_metric_without_a_point_in_the_range_is_there_with_none(api):
    answer = await ask(api, from_="-10m")

    assert answer["series"][0] == {"metric": "BINANCE:DOGEUSDT", "hourly": [], "points": []}


async def test_before_the_first_sample_there_is_no_series(api):
    assert (await ask(api))["series"] == []
    assert (await api.get(f"{PATH}.ndjson")).text == ""


@pytest.mark.usefixtures("market")
async def test_an_unknown_name_is_named_with_the_nearest_and_a_pattern_may_match_none(api):
    answer = await api.get(PATH, {"metrics": "KRAKEN:BTCUSDC,KRAKEN:*"})

    assert answer.status == 404
    assert [(each["value"], each["accepted"].split(",")[0]) for each in answer.json["errors"]] == [
        ("KRAKEN:BTCUSDC", BTC)
    ]
    assert (await ask(api, metrics="GEMINI:*"))["series"] == []


@pytest.mark.usefixtures("market")
async def test_ranges_side_by_side_join_without_a_seam(api):
    whole = await ask(api, measures="price,volume", step="5m", from_=NOON - HOUR, to=NOON)
    cuts = [(NOON - HOUR, NOON - 1700), (NOON - 1699, NOON - 301), (NOON - 300, NOON)]

    parts = [await ask(api, measures="price,volume", step="5m", from_=first, to=last) for first, last in cuts]

    for place, series in enumerate(whole["series"]):
        assert series["points"] == [point for part in parts for point in part["series"][place]["points"]]


@pytest.mark.usefixtures("market")
async def test_too_large_an_answer_is_refused_with_what_would_do(api, monkeypatch):
    monkeypatch.setattr(series_list, "MOST_NUMBERS", 5000)

    answer = await api.get(PATH, {"metrics": "KRAKEN:*", "measures": "price,volume"})
    told = {each["field"]: each["accepted"] for each in answer.json["errors"]}

    assert answer.status == 422
    assert told == {
        "metrics": "1 or fewer of this range and step: 5,000 numbers at most",
        "step": "120 seconds or more: 5,000 numbers at most",
    }
    query = {"metrics": "KRAKEN:*", "measures": "price,volume", "step": 120}
    assert (await api.get(PATH, query)).status == 200
    assert (await api.get(PATH, query | {"agg": "minmax"})).status == 422
    assert (await api.get(PATH, {"metrics": BTC, "measures": "price,volume"})).status == 200
    assert (await api.get(PATH, {"measures": "price,volume", "from": "-10m"})).status == 200


@pytest.mark.usefixtures("market")
async def test_too_many_points_of_lttb_are_refused_with_how_many_would_do(api, monkeypatch):
    monkeypatch.setattr(series_list, "MOST_NUMBERS", 1000)

    answer = await api.get(PATH, {"agg": "lttb"})

    assert [(each["field"], each["accepted"]) for each in answer.json["errors"]] == [
        ("metrics", "2 or fewer of this range and step: 1,000 numbers at most"),
        ("points", "333 or fewer: 1,000 numbers at most"),
    ]
    assert (await api.get(PATH, {"agg": "lttb", "points": 333})).status == 200


@pytest.mark.usefixtures("market")
async def test_what_would_be_made_of_too_many_samples_is_refused(api, monkeypatch):
    monkeypatch.setattr(series_list, "MOST_SAMPLES", 4000)

    answer = await api.get(PATH, {"step": "1h"})

    assert [(each["field"], each["accepted"]) for each in answer.json["errors"]] == [
        ("metrics", "2 metrics or fewer of this range, and these are 3")
    ]
    assert (await api.get(PATH, {"step": "1h", "from": "-20h"})).status == 200


@pytest.mark.usefixtures("market")
@pytest.mark.parametrize("path", [PATH, f"/v1/metrics/{BTC}/history"])
@pytest.mark.parametrize(
    "query, field, accepted",
    [
        ({"agg": "minmax"}, "agg", "minmax with a step"),
        ({"agg": "lttb", "step": "5m"}, "step", "no step with agg=lttb"),
        ({"points": 100}, "points", "only with agg=lttb"),
        ({"agg": "lttb", "points": 3}, "points", "from 4 to 10000"),
        ({"agg": "lttb", "fill": "linear"}, "fill", "none with agg=lttb"),
        ({"agg": "minmax", "step": "5m", "fill": "null"}, "fill", "none with agg=minmax"),
        ({"agg": "minmax", "step": "1m", "from": NOON - 5001 * 60}, "step", "120 seconds or more"),
        ({"from": 0}, "from", "10,000 points at most"),
        ({"format": "xml"}, "format", "json, csv, ndjson or arrow"),
    ],
    ids=str,
)
async def test_what_does_not_go_together_is_named(api, path, query, field, accepted):
    answer = await api.get(path, query)

    assert answer.status == 422, answer.text
    (error,) = [each for each in answer.json["errors"] if each["field"] == field]
    assert accepted in error["accepted"]
