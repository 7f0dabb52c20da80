"""The candles route: what the archive has, what is still running, and how they are put together."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.serving import DAY, HOUR, MINUTE, NOON, Api, every_minute, fill, sample, serving
from v1.market import candles
from v1.market.candles import HourCandle, HourSlot
from v1.market.exchange_hours import ExchangeHour, make_exchange_hour
from v1.market.price_ranges import PriceRange
from v1.model import Candle, Metric

BTC = Metric("KRAKEN:BTCUSD")
PATH = "/v1/metrics/KRAKEN:BTCUSD/candles"
WEEK_START = 1_621_209_600
"""2021-05-17T00:00:00Z, a Monday."""


def hour(start: int, *prices: str, volume: str | None = "1.50", metric: Metric = BTC) -> HourCandle:
    known = every_minute(prices, start + len(prices) * MINUTE)
    made = candles.make_hour_from_samples(HourSlot(metric, start, start + HOUR + 90), known, MINUTE)
    assert made
    return made._replace(volume=volume)


async def asked(api: Api, **query: object) -> list[dict[str, Any]]:
    """Return the candles with their digits."""
    answer = await api.get(PATH, {name.rstrip("_"): value for name, value in query.items()})
    assert answer.status == 200, answer.text
    known: list[dict[str, Any]] = json.loads(answer.text, parse_float=str, parse_int=str)["candles"]
    return known


def column(known: Sequence[dict[str, Any]], name: str) -> list[Any]:
    return [candle[name] for candle in known]


async def test_hours_are_answered_with_their_digits_oldest_first(api, archive):
    await archive.write([hour(NOON - 2 * HOUR, "5.10", "7.0", "4.25"), hour(NOON - 4 * HOUR, "1e-07")])

    answer = await api.get(PATH, {"from": NOON - DAY})

    assert answer.status == 200
    assert answer.json | {"candles": []} == {
        "metric": BTC,
        "interval": "1h",
        "from": NOON - DAY,
        "to": NOON - 2 * HOUR,
        "fill": "none",
        "candles": [],
    }
    assert (
        f'{{"start":{NOON - 2 * HOUR},"open":5.10,"high":7.0,"low":4.25,"close":4.25,"mean":5.450000,"latest":4.25,'
        '"volume":1.50,"samples":3,"coverage":0.05,"mean_coverage":0.05,"revision":1,'
        '"kind":"sampled","complete":false,"closed":true}' in answer.text
    )
    assert column(await asked(api), "open") == ["0.0000001", "5.10"]


async def test_the_hour_that_runs_comes_from_the_samples_and_is_not_closed(api, archive, writer):
    await archive.write([hour(NOON - HOUR, "1", "2")])
    await fill(writer, {BTC: every_minute(["3", "9", "6.5"], NOON + 3 * MINUTE)}, NOON + 3 * MINUTE)

    known = await asked(api)

    assert column(known, "start") == [str(NOON - HOUR), str(NOON)]
    assert column(known, "closed") == [True, False]
    assert [known[1][name] for name in ("open", "high", "low", "close", "samples", "revision")] == [
        *("3", "9", "3", "6.5"),
        *("3", "0"),
    ]


async def test_an_hour_that_is_over_and_not_kept_yet_is_there_and_not_complete(api, archive, writer):
    await archive.write([hour(NOON - 3 * HOUR, "1")])
    prices = [str(10 + minute) for minute in range(90)]
    await fill(writer, {BTC: every_minute(prices, NOON + 30 * MINUTE)}, NOON + 30 * MINUTE)

    known = await asked(api)

    assert column(known, "start") == [str(NOON - 3 * HOUR), str(NOON - HOUR), str(NOON)]
    assert column(known, "closed") == [True, False, False]
    assert column(known, "close") == ["1", "69", "99"]


async def test_without_any_kept_hour_the_day_is_still_answered(api, writer):
    await fill(writer, {BTC: every_minute(["1"] * 120)})

    assert column(await asked(api), "closed") == [False, False]


@pytest.mark.parametrize(
    "interval, starts",
    [
        ("4h", [WEEK_START - 4 * HOUR, WEEK_START, WEEK_START + 8 * HOUR]),
        ("1d", [WEEK_START - DAY, WEEK_START]),
        ("1w", [WEEK_START - 7 * DAY, WEEK_START]),
    ],
)
async def test_longer_candles_are_put_together_of_hours(api, archive, interval, starts):
    hours = [
        hour(WEEK_START - HOUR, "8", "9"),
        hour(WEEK_START, "5.5", "7"),
        hour(WEEK_START + HOUR, "6", "2.25", volume=None),
        hour(WEEK_START + 9 * HOUR, "4.00"),
    ]
    await archive.write(hours)

    known = await asked(api, interval=interval)

    assert column(known, "start") == [str(start) for start in starts]
    assert [known[1][name] for name in ("open", "high", "low")] == ["5.5", "7", "2.25"]
    expected = {"4h": ("2.25", "1.50", "4", "5.187500"), "1d": ("4.00", "3.00", "5", "4.950000")}.get(interval)
    assert tuple(known[1][name] for name in ("close", "volume", "samples", "mean")) == (
        expected or ("4.00", "3.00", "5", "4.950000")
    )
    assert (
        float(known[1]["coverage"])
        == int(known[1]["samples"]) * MINUTE / {"4h": 4 * HOUR, "1d": DAY, "1w": 7 * DAY}[interval]
    )


async def test_the_day_that_runs_holds_kept_hours_and_the_running_one(api, archive, writer):
    await archive.write([hour(NOON - 2 * HOUR, "5", "7", "4"), hour(NOON - HOUR, "4", "3")])
    await fill(
        writer, {BTC: every_minute(["3.5", "8", "2.50"], NOON + 3 * MINUTE, interval_volume="2")}, NOON + 3 * MINUTE
    )

    (day,) = await asked(api, interval="1d")

    assert day == {
        "start": str(WEEK_START),
        "open": "5",
        "high": "8",
        "low": "2.50",
        "close": "2.50",
        "mean": "4.625000",
        "latest": "2.50",
        "volume": "9.00",
        "samples": "8",
        "coverage": repr(8 * MINUTE / DAY),
        "mean_coverage": repr(8 * MINUTE / DAY),
        "revision": "2",
        "kind": "sampled",
        "complete": False,
        "closed": False,
    }


async def test_yesterday_is_closed_although_its_last_hours_are_missing(api, archive):
    await archive.write([hour(WEEK_START - 5 * HOUR, "5"), hour(NOON, "5")])

    assert column(await asked(api, interval="1d"), "closed") == [True, False]


def whole_hour(start: int, price: str) -> HourCandle:
    """Make an hour that all is known of, minute by minute."""
    return hour(start, *[price] * 60)


def told_hour(start: int, close: str) -> HourCandle:
    """Make an hour that the provider alone knows, as one candle."""
    made = candles.make_hour_from_candles(
        HourSlot(BTC, start, start + HOUR), [Candle(start, close, close, close, close, "1")], HOUR, "k"
    )
    assert made
    return made


@pytest.mark.parametrize("fill", ["none", "null"])
async def test_an_hour_is_complete_where_all_of_it_is_known(api, archive, fill):
    hours = [hour(NOON - 3 * HOUR, *["1"] * 59), whole_hour(NOON - 2 * HOUR, "1"), told_hour(NOON - HOUR, "1")]
    await archive.write(hours)

    known = await asked(api, fill=fill, from_=NOON - 4 * HOUR)

    found = {int(each["start"]): (each["complete"], each["closed"], each["coverage"]) for each in known}
    assert [found[each.start] for each in hours] == [
        (False, True, repr(59 / 60)),
        (True, True, "1.0"),
        (True, True, "1.0"),
    ]
    assert found.get(NOON - 4 * HOUR) == ((False, True, "0.0") if fill == "null" else None)


async def test_a_day_is_complete_where_each_of_its_hours_is(api, archive, clock):
    whole = [whole_hour(WEEK_START - DAY + place * HOUR, "5") for place in range(24)]
    await archive.write([*whole, whole_hour(WEEK_START + 13 * HOUR, "5")])
    first = await asked(api, interval="1d")
    await archive.trim(WEEK_START - 22 * HOUR)
    clock.now += 1
    partial = await asked(api, interval="1d")

    assert column(first, "complete") == [True, False]
    assert (column(partial, "complete"), column(partial, "closed")) == ([False, False], [True, False])
    assert partial[0]["coverage"] == repr(22 / 24)


async def test_a_mean_says_how_much_of_its_candle_it_speaks_of(api, archive):
    told = [told_hour(WEEK_START - DAY + place * HOUR, "9") for place in range(21)]
    sampled = [whole_hour(WEEK_START - 3 * HOUR + place * HOUR, "5") for place in range(3)]
    await archive.write([*told, *sampled, whole_hour(WEEK_START, "5")])

    (day, _), hours = await asked(api, interval="1d"), await asked(api)

    assert (day["complete"], day["coverage"], day["mean"]) == (True, "1.0", "5.0000")
    assert day["mean_coverage"] == repr(3 / 24)
    assert [(each["mean"], each["mean_coverage"]) for each in hours[20:22]] == [(None, "0.0"), ("5.0000", "1.0")]


async def test_hours_that_are_missing_are_missing_or_filled_as_asked(api, archive):
    await archive.write([hour(NOON - 5 * HOUR, "5.0"), hour(NOON - 2 * HOUR, "7", "6")])
    query = {"from_": NOON - 4 * HOUR, "to": NOON + 9 * HOUR}

    missing, nulls = await asked(api, **query), await asked(api, fill="null", **query)
    previous = await asked(api, fill="previous", **query)

    assert column(missing, "start") == [str(NOON - 2 * HOUR)]
    assert column(nulls, "start") == [str(NOON - back * HOUR) for back in (4, 3, 2)]
    assert column(nulls, "close") == [None, None, "6"]
    assert column(previous, "open") == ["5.0", "5.0", "7"]
    assert column(previous, "samples") == ["0", "0", "2"]
    assert column(previous, "volume") == [None, None, "1.50"]


async def test_from_and_to_name_the_starts_of_candles(api, archive):
    await archive.write([hour(NOON + place * HOUR, str(place)) for place in range(-5, 0)])

    assert column(await asked(api, from_=NOON - 4 * HOUR, to=NOON - 3 * HOUR), "open") == ["-4", "-3"]
    assert column(await asked(api, from_=NOON - 4 * HOUR + 1, to=NOON - 2 * HOUR - 1), "open") == ["-3"]
    assert column(await asked(api, from_="2021-05-17T10:00Z", to="now"), "open") == ["-2", "-1"]


async def test_without_from_it_is_the_newest_two_hundred(api, archive):
    await archive.write([hour(NOON - back * HOUR, str(back)) for back in range(1, 300)])

    known = await asked(api)

    assert (len(known), known[0]["open"], known[-1]["open"]) == (200, "200", "1")


async def test_csv_and_ndjson_say_the_same(api, archive):
    await archive.write([hour(NOON - 2 * HOUR, "5.10", volume=None), hour(NOON - HOUR, "6")])

    known = await asked(api)
    table = [*csv.DictReader(io.StringIO((await api.get(PATH, {"format": "csv"})).text))]
    lines = (await api.get(PATH, Accept="application/x-ndjson")).text.splitlines()

    assert [json.loads(line, parse_float=str, parse_int=str) for line in lines] == known
    plain = [{name: "" if cell is None else cell for name, cell in candle.items()} for candle in known]
    flags = ("complete", "closed")
    assert [row | {name: row[name] == "true" for name in flags} for row in table] == plain


async def test_an_answer_is_good_until_the_next_tick_and_then_asked_again_for_nothing(api, archive, writer, clock):
    await archive.write([hour(NOON - HOUR, "5")])
    await fill(writer, {BTC: [sample(NOON, "5")]})
    first = await api.get(PATH)

    again = await api.get(PATH, If_None_Match=first.headers["ETag"])
    await archive.write([hour(NOON - HOUR, "5", "6")])
    clock.now += 1
    revised = await api.get(PATH, If_None_Match=first.headers["ETag"])

    assert first.headers["Cache-Control"] == "public, max-age=55"
    assert (again.status, revised.status) == (304, 200)
    assert revised.json["candles"][0]["revision"] == 2


async def test_a_metric_that_only_the_archive_knows_is_answered_and_one_that_nobody_knows_is_not(api, archive, writer):
    await archive.write([hour(NOON - 90 * DAY, "5")])
    await fill(writer, {"KRAKEN:ETHUSD": [sample(NOON, "5")]})

    assert column(await asked(api, interval="1d", from_=NOON - 91 * DAY), "close") == ["5"]
    unknown = await api.get("/v1/metrics/KRAKEN:NOPE/candles")
    assert unknown.status == 404
    assert "in the last day or in the archive" in unknown.json["detail"]


async def test_while_the_archive_is_away_only_candles_answer_503(server, clock, writer, tmp_path):
    await fill(writer, {BTC: [sample(NOON, "5")]})
    async with serving(clock, server, database_url=f"sqlite+aiosqlite:///{tmp_path}/none.db") as api:
        away, history = await api.get(PATH), await api.get("/v1/metrics/KRAKEN:BTCUSD/history")

    assert (away.status, away.headers["Retry-After"]) == (503, "5")
    assert away.json["detail"].startswith("the archive is away")
    assert history.status == 200
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    "query, field, accepted",
    [
        pytest.param({"interval": "2h"}, "interval", "1m, 5m, 15m, 30m, 1h, 4h, 1d or 1w", id="unknown interval"),
        pytest.param({"from": NOON, "to": NOON - 1}, "from", "not after `to`", id="backwards"),
        pytest.param({"from": 0}, "from", "10,000 candles at most", id="everything"),
        pytest.param({"from": 0}, "interval", "1w: 10,000", id="everything in hours"),
        pytest.param({"fill": "linear"}, "fill", "none, null or previous", id="unknown fill"),
        pytest.param({"format": "xml"}, "format", "json, csv or ndjson", id="unknown format"),
        pytest.param({"step": "1h"}, "step", "interval, from, to, fill, kind, format", id="unknown parameter"),
    ],
)
async def test_what_is_not_accepted_is_named_with_what_would_be(api, archive, query, field, accepted):
    await archive.write([hour(NOON, "5")])

    answer = await api.get(PATH, query)

    assert answer.status == 422
    (error,) = [each for each in answer.json["errors"] if each["field"] == field]
    assert accepted in error["accepted"]


async def test_ten_thousand_candles_are_not_too_many(api, archive):
    await archive.write([hour(NOON, "5")])

    answers = [await api.get(PATH, {"from": NOON - back * HOUR, "to": NOON}) for back in (9_999, 10_000)]

    assert [answer.status for answer in answers] == [200, 422]


async def test_history_beyond_the_day_says_where_to_ask_and_there_it_is(api, archive, writer):
    await archive.write([hour(NOON - 30 * HOUR, "5")])
    await fill(writer, {BTC: every_minute(["1"] * 30)})
    path = "/v1/metrics/KRAKEN:BTCUSD/history"

    beyond = await api.get(path, {"from": NOON - 40 * HOUR})
    within = await api.get(path)

    older = beyond.json["older"]
    assert beyond.headers["Link"] == f'<{older}>; rel="prev-archive"'
    assert [candle["close"] for candle in (await api.get(older)).json["candles"]] == [5]
    assert (within.json["older"], "Link" in within.headers) == (None, False)


@pytest.mark.parametrize("interval, seconds", [("1m", 60), ("5m", 300), ("15m", 900), ("30m", 1800)])
async def test_candles_of_minutes_are_of_the_samples_of_the_kept_day(api, archive, writer, interval, seconds):
    await archive.write([hour(NOON - 30 * HOUR, "1"), hour(NOON - 2 * HOUR, "1")])
    samples = every_minute([f"{minute % 97}.{minute % 10}" for minute in range(1440)], interval_volume="0.5")
    await fill(writer, {BTC: samples})

    known = await asked(api, interval=interval, from_=NOON - 2 * DAY)

    assert column(known, "start") == [str(start) for start in range(NOON - DAY, NOON, seconds)]
    step = [each for each in samples if NOON - seconds < each.tick <= NOON]
    assert (known[-1]["open"], known[-1]["close"], known[-1]["volume"]) == (
        *(step[0].values[0], step[-1].values[0]),
        f"{seconds / 120:.1f}",
    )
    assert {(each["samples"], each["coverage"], each["revision"]) for each in known} == {
        (str(seconds // 60), "1.0", "0")
    }
    assert {(each["complete"], each["closed"]) for each in known} == {(True, True)}


async def test_a_short_candle_that_runs_is_not_closed_and_one_with_a_gap_not_complete(api, writer, clock):
    samples = [sample(NOON - 8 * MINUTE, "1"), *every_minute(["2", "3", "4"], NOON + MINUTE)]
    await fill(writer, {BTC: samples}, NOON + MINUTE)
    clock.now += 60

    known = await asked(api, interval="5m")

    assert column(known, "start") == [str(NOON - 600), str(NOON - 300), str(NOON)]
    assert column(known, "coverage") == ["0.2", "0.4", "0.2"]
    assert column(known, "closed") == [True, True, False]
    assert column(known, "complete") == [False, False, False]


async def test_gaps_between_short_candles_are_filled_also_from_before_the_range(api, writer):
    await fill(writer, {BTC: [sample(NOON - 45 * MINUTE, "7.0"), sample(NOON, "8")]})

    query = {"interval": "15m", "from_": NOON - 1800}
    assert column(await asked(api, **query), "close") == ["8"]
    assert column(await asked(api, fill="null", **query), "close") == [None, "8"]
    assert column(await asked(api, fill="previous", **query), "close") == ["7.0", "8"]
    assert column(await asked(api, fill="null", interval="15m"), "start") == [
        str(start) for start in range(NOON - DAY, NOON, 900)
    ]


async def test_short_candles_are_lines_and_tables_as_the_others_are(api, writer):
    await fill(writer, {BTC: every_minute(["1", "2", "3"])})

    known = (await api.get(PATH, {"interval": "1m"})).json["candles"]
    lines = (await api.get(f"{PATH}.ndjson", {"interval": "1m"})).text.splitlines()
    table = (await api.get(f"{PATH}.csv", {"interval": "1m", "time": "iso"})).text.splitlines()

    assert [json.loads(line) for line in lines] == known
    assert table[1].startswith("2021-05-17T11:57:00Z,1,1,1,1,")


async def test_a_metric_that_is_archived_alone_has_no_short_candles(api, archive):
    await archive.write([hour(NOON - 2 * DAY, "1")])

    answer = await api.get(PATH, {"interval": "5m"})

    assert answer.status == 404
    assert answer.json["detail"].startswith("no metric 'KRAKEN:BTCUSD' has a sample in the last day;")


@pytest.mark.parametrize(
    "interval, length, fitting",
    [(300, "1m", "5m, 15m, 30m, 1h, 4h, 1d or 1w"), (1200, "30m", "1h, 4h, 1d or 1w"), (5, "1m", None)],
)
async def test_a_short_candle_holds_whole_sampling_intervals(clock, server, writer, interval, length, fitting):
    """And none is asked of an archive, which is not there."""
    await fill(writer, {BTC: [sample(NOON, "1")]})

    async with serving(clock, server, interval=interval) as api:
        answer = await api.get(PATH, {"interval": length})

    assert answer.status == (422 if fitting else 200)
    if fitting:
        (error,) = answer.json["errors"]
        assert (error["field"], error["value"]) == ("interval", length)
        assert error["accepted"] == f"{fitting}: a multiple of {interval} seconds, the sampling interval"


# ---- whose candles they are --------------------------------------------------------------------------------------


def told(start: int, *prices: str, volume: str = "99.0") -> ExchangeHour:
    """Make the exchange's own hour."""
    opened, high, low, close = prices
    known = [Candle(start, opened, high, low, close, volume)]
    return make_exchange_hour(HourSlot(BTC, start, start + HOUR + 120), known, "kraken")


async def test_an_hour_is_the_exchanges_where_its_own_candle_is_known_with_the_mean_of_what_was_sampled(api, archive):
    await archive.write([hour(NOON - 3 * HOUR, "5.0", "7.0"), hour(NOON - 2 * HOUR, "6", "8")])
    await archive.write_exchange_hours(
        [told(NOON - 3 * HOUR, "4.90", "9.10", "4.0", "7.00"), told(NOON - HOUR, *"8978")]
    )

    known = await asked(api)

    assert [[candle[name] for name in ("open", "high", "low", "close", "volume", "kind")] for candle in known] == [
        ["4.90", "9.10", "4.0", "7.00", "99.0", "exchange"],
        ["6", "8", "6", "8", "1.50", "sampled"],
        ["8", "9", "7", "8", "99.0", "exchange"],
    ]
    assert column(known, "mean") == ["6.00000", "7.0000", None]
    assert column(known, "samples") == ["2", "2", "0"]
    assert column(known, "coverage") == ["1.0", repr(120 / 3600), "1.0"]
    assert column(known, "mean_coverage") == [repr(120 / 3600), repr(120 / 3600), "0.0"]
    assert column(known, "complete") == [True, False, True]


@pytest.mark.parametrize("fill", ["none", "previous"])
@pytest.mark.parametrize("interval", ["1h", "4h"])
@pytest.mark.parametrize(
    "kind, hours, days",
    [
        ("sampled", [("8.0", "sampled"), ("9", "sampled")], [("9", "sampled")]),
        ("exchange", [("9.5", "exchange")], [("9.5", "exchange")]),
        (None, [("9.5", "exchange"), ("9", "sampled")], [("9.5", "mixed")]),
    ],
)
async def test_one_kind_can_be_asked_for(api, archive, fill, interval, kind, hours, days):
    await archive.write([hour(NOON, "5.0", "8.0"), hour(NOON + HOUR, "9")])
    await archive.write_exchange_hours([told(NOON, "4.0", "9.5", "4.0", "8.0")])

    known = await asked(api, interval=interval, fill=fill, from_=NOON, **({"kind": kind} if kind else {}))

    there = [candle for candle in known if candle["samples"] != "0"]
    assert [(candle["high"], candle["kind"]) for candle in there] == (hours if interval == "1h" else days)
    assert all(candle["kind"] is None for candle in known if candle not in there)


async def test_an_hour_that_is_over_and_not_kept_yet_is_the_exchanges_where_that_is_known(api, archive, writer):
    prices = [str(10 + minute) for minute in range(150)]
    await fill(writer, {BTC: every_minute(prices, NOON + 30 * MINUTE)}, NOON + 30 * MINUTE)
    await archive.write_exchange_hours([told(NOON - HOUR, "9", "200", "8", "99")])

    known = await asked(api)
    sampled = await asked(api, kind="sampled")
    exchange = await asked(api, kind="exchange")

    assert [(candle["start"], candle["high"], candle["kind"]) for candle in known] == [
        (str(NOON - 2 * HOUR), "69", "sampled"),
        (str(NOON - HOUR), "200", "exchange"),
        (str(NOON), "159", "sampled"),
    ]
    assert column(sampled, "high") == ["69", "129", "159"]
    assert column(exchange, "high") == ["200"]


async def test_a_metric_that_only_the_exchange_tells_of_is_known(api, archive):
    await archive.write_exchange_hours([told(NOON, *"1212"), told(NOON + HOUR, *"2323")])

    assert column(await asked(api), "high") == ["2", "3"]
    assert column(await asked(api, interval="1d"), "kind") == ["exchange"]
    assert await asked(api, kind="sampled") == []


async def test_csv_says_the_kind_of_each_candle(api, archive):
    await archive.write([hour(NOON, "5", "8")])
    await archive.write_exchange_hours([told(NOON + HOUR, *"1212")])

    answer = await api.get(f"{PATH}.csv", {})

    assert [row["kind"] for row in csv.DictReader(io.StringIO(answer.text))] == ["sampled", "exchange"]


@pytest.mark.parametrize(
    "query, accepted",
    [
        ({"kind": "mixed"}, "sampled or exchange"),
        ({"kind": "trades", "interval": "5m"}, "sampled or exchange"),
    ],
)
async def test_a_kind_that_there_is_not_is_refused(api, archive, query, accepted):
    await archive.write([hour(NOON, "5", "8")])

    answer = await api.get(PATH, query)

    assert answer.status == 422
    assert [(each["field"], each["accepted"]) for each in answer.json["errors"]] == [("kind", accepted)]


def widen(tick: int, high: str) -> dict[int, PriceRange]:
    return {tick: PriceRange("4.5", high, "0.25")}


async def test_highs_and_lows_that_filling_brought_are_in_candles_which_say_so(api, writer):
    live = every_minute(["5"] * 10, NOON + 20 * MINUTE)
    await fill(writer, {BTC: live}, NOON + 20 * MINUTE)
    filled = every_minute(["6"] * 10, NOON + 10 * MINUTE)
    ranges = {tick: each for sample in filled for tick, each in widen(sample.tick, f"{sample.tick}.0").items()}
    await writer.insert_samples(BTC, filled, "kraken", NOON + 20 * MINUTE, ranges=ranges)

    names = ("start", "open", "high", "low", "close", "kind")
    five = [[each[name] for name in names] for each in await asked(api, interval="5m")]
    (hour,) = [[each[name] for name in names] for each in await asked(api)]
    (sampled,) = [[each[name] for name in names] for each in await asked(api, kind="sampled")]

    assert five == [
        [str(NOON), "4.5", f"{NOON + 300}.0", "0.25", "6", "exchange"],
        [str(NOON + 300), "4.5", f"{NOON + 600}.0", "0.25", "6", "exchange"],
        [str(NOON + 600), "5", "5", "5", "5", "sampled"],
        [str(NOON + 900), "5", "5", "5", "5", "sampled"],
    ]
    assert hour == [str(NOON), "4.5", f"{NOON + 600}.0", "0.25", "5", "mixed"]
    assert sampled == [str(NOON), "6", "6", "5", "5", "sampled"]
    assert column(await asked(api, interval="5m", kind="exchange"), "start") == [str(NOON), str(NOON + 300)]
    assert column(await asked(api, interval="5m", kind="sampled"), "high") == ["6", "6", "5", "5"]
    assert column(await asked(api, interval="30m"), "kind") == ["mixed"]
    assert await asked(api, kind="exchange") == []


async def test_an_hour_that_is_over_and_not_kept_yet_has_the_ranges_of_its_filled_minutes(api, writer):
    filled = every_minute(["6"] * 60, NOON)
    ranges = {tick: each for sample in filled for tick, each in widen(sample.tick, "9").items()}
    await fill(writer, {BTC: every_minute(["5"], NOON + MINUTE)}, NOON + MINUTE)
    await writer.insert_samples(BTC, filled, "kraken", NOON + MINUTE, ranges=ranges)

    known = await asked(api)

    assert column(known, "high") == ["9", "5"]
    assert column(known, "kind") == ["exchange", "sampled"]
    assert column(known, "closed") == [False, False]
