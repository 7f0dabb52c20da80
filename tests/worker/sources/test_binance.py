import gzip
import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import ClientSession, web

from tests.support.loopback import ASKED, FAULTS
from tests.support.loopback.faults import hang, once, page, reset, says
from tests.support.shared import shared
from tests.worker.sources.conftest import MORNING, Clock
from worker.latest import DAY, HOUR, MINUTE, Metric, Reading
from worker.sources import binance_seconds
from worker.sources.base import parse_exact_json
from worker.sources.binance import COLUMNS, LIMIT, BinanceSource, make_refusal, parse_markets, parse_tickers
from worker.sources.candle_rows import parse_finished
from worker.sources.errors import InvalidResponse, SourceRefused, translate_errors
from worker.sources.pair_names import UnknownPair
from worker.sources.rejects import Rejects
from worker.sources.supervised import SupervisedSource

BTC, BNB = Metric("BINANCE:BTCUSDT"), Metric("BINANCE:BNBBTC")
DAY_PATH, WINDOW, KLINES = "/api/v3/ticker/24hr", "/api/v3/ticker", "/api/v3/klines"


def recorded(name: str) -> Any:
    return parse_exact_json(shared("recorded", "binance", f"{name}.json").read_bytes())


def row(**changed: object) -> dict[str, object]:
    # Of the numbers in Binance's own example, only this one has nothing to do with the others.
    return {**recorded("ticker_24hr_response"), "quoteVolume": "2640.87548000", **changed}


def asked(app: web.Application, path: str) -> list[dict[str, str]]:
    return [dict(request.query) for request in app[ASKED] if request.path == path]


async def opened(base: str, session: ClientSession, *wishes: str, interval: int = MINUTE) -> BinanceSource:
    source = BinanceSource(base, wishes or (BTC,), interval)
    await source.open(session)
    return source


# ---- reading what was recorded ---------------------------------------------------------------------------


def test_recorded_digits_are_kept_and_percent_stays_percent():
    readings = parse_tickers([row()], {"BNBBTC": BNB}, Counter())

    assert readings == {
        BNB: Reading(
            "4.00000200",
            "8913.30000000",
            change_percentage="-95.960",
            change_absolute="-94.99999800",
            provider_time=1499869899,
        )
    }


def test_a_recorded_candle_keeps_its_digits_and_starts_when_it_opens():
    candles = parse_finished(recorded("klines_response"), COLUMNS, 0, 1499040060, Counter())

    assert candles == [(1499040000, "0.01634790", "0.80000000", "0.01575800", "0.01577100", "148976.11427815")]


def test_only_recorded_symbols_that_trade_are_metrics():
    path = shared("recorded", "binance", "exchangeInfo.2021-10-12.json.gz")

    known = parse_markets(parse_exact_json(gzip.decompress(path.read_bytes())))

    assert Counter(known.status.values()) == {"TRADING": 1262, "BREAK": 433}
    assert known.limit == 1200


def test_a_symbol_of_any_script_is_a_metric():
    known = parse_markets({"symbols": [{"symbol": "币安人生USDT", "status": "TRADING"}]})

    assert known.symbols == {"BINANCE:币安人生USDT": "币安人生USDT"}
    assert known.limit == LIMIT


async def test_a_wish_that_binance_cannot_fulfil_is_named_with_the_reason(base: str, session: ClientSession):
    source = BinanceSource(base, ("BINANCE:BTCUSDT", "BINANCE:BTCUSD", "BINANCE:HSRBTC", "KRAKEN:FOO"), MINUTE)

    missing = await source.open(session)

    assert source.metrics == (BTC,)
    assert missing.keys() == {"BINANCE:BTCUSD", "BINANCE:HSRBTC"}
    assert "binance has no pair BTCUSD; nearest: BTCUSDT" in missing[Metric("BINANCE:BTCUSD")]
    assert missing[Metric("BINANCE:HSRBTC")] == "binance has HSRBTC, but it is not trading: BREAK"


# ---- rows that are no readings ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed, is_given",
    [
        pytest.param({}, True, id="as they are"),
        pytest.param(
            {"quoteVolume": "8913.30000000", "volume": "2640.87548000"}, True, id="a mean between low and high"
        ),
        pytest.param({"quoteVolume": "15.30000000"}, False, id="far too little"),
        pytest.param({"highPrice": "0.2", "lowPrice": "0.1"}, False, id="above the highest price"),
        pytest.param({"highPrice": "0.2821760", "lowPrice": "0.1"}, False, id="by a hair more than 5 %"),
        pytest.param({"highPrice": "0.2821761", "lowPrice": "0.1"}, True, id="by a hair less"),
        pytest.param({"volume": "0.00000000", "quoteVolume": "0.00000000"}, True, id="nothing traded"),
        pytest.param({"quoteVolume": None}, True, id="not known"),
    ],
)
def test_a_day_whose_volumes_disagree_with_its_prices_is_left_out(changed: dict[str, object], is_given: bool):
    rejects = Rejects()

    readings = parse_tickers([row(**changed)], {"BNBBTC": BNB}, rejects)

    assert bool(readings) is is_given
    assert [(each.metric, each.reason) for each in rejects.list_newest()] == (
        [] if is_given else [(BNB, "volume that disagrees with the price")]
    )


@pytest.mark.parametrize(
    "price, reason",
    [
        ("0.00000000", "dead market"),
        ("-1", "negative price"),
        ("NaN", "unreadable price"),
        (float("inf"), "unreadable price"),
        (None, "missing price"),
        (["1"], "unreadable price"),
    ],
)
def test_a_ticker_without_a_price_is_left_out_and_counted(price: object, reason: str):
    rejects: Counter[str] = Counter()

    readings = parse_tickers([row(lastPrice=price), row(symbol="BTCUSDT")], {"BNBBTC": BNB, "BTCUSDT": BTC}, rejects)

    assert list(readings) == [BTC]
    assert rejects == {reason: 1}


def test_any_other_number_that_cannot_be_read_costs_only_itself():
    rejects: Counter[str] = Counter()
    broken = row(volume="-1", priceChangePercent="", priceChange=None, closeTime="soon")

    assert parse_tickers([broken], {"BNBBTC": BNB}, rejects) == {BNB: Reading("4.00000200")}
    assert rejects == {"negative volume": 1, "unreadable change_percentage": 1, "missing change_absolute": 1}


def test_rows_of_nobody_are_passed_over_and_missing_ones_counted():
    rejects: Counter[str] = Counter()

    assert parse_tickers([None, "x", {"symbol": []}, row(symbol="FOO")], {"BNBBTC": BNB}, rejects) == {}
    assert rejects == {"not in the answer": 1}


def test_an_answer_that_is_no_list_is_nonsense():
    with pytest.raises(InvalidResponse, match="an array was expected"), translate_errors("binance"):
        parse_tickers({"symbol": "BNBBTC"}, {"BNBBTC": BNB}, Counter())


# ---- asking ----------------------------------------------------------------------------------------------


async def test_few_symbols_are_asked_for_by_name_in_one_call(app: web.Application, base: str, session: ClientSession):
    source = await opened(base, session, "BINANCE:BTCUSDT", "BINANCE:ETHUSDT")

    readings = await source.fetch(session, MORNING)

    assert readings.keys() == {"BINANCE:BTCUSDT", "BINANCE:ETHUSDT"}
    assert [json.loads(query["symbols"]) for query in asked(app, DAY_PATH)] == [["BTCUSDT", "ETHUSDT"]]


async def test_all_symbols_are_asked_for_in_one_call_and_a_thousand_have_an_interval_volume(
    app: web.Application, base: str, session: ClientSession
):
    source = await opened(base, session, "*")

    readings = await source.fetch(session, MORNING)

    assert asked(app, DAY_PATH) == [{}]
    assert len(asked(app, WINDOW)) == 10
    assert len(readings) > 1200
    assert sum(reading.interval_volume is not None for reading in readings.values()) == 1000


async def test_a_delisted_symbol_costs_only_itself(app: web.Application, base: str, session: ClientSession):
    source = await opened(base, session)
    app[FAULTS][DAY_PATH] = once(says({"code": -1121, "msg": "Invalid symbol."}, 400))

    first, second = await source.fetch(session, MORNING), await source.fetch(session, MORNING + MINUTE)

    assert list(first) == list(second) == [BTC]
    assert ["symbols" in query for query in asked(app, DAY_PATH)] == [True, False, False]


# ---- what was traded in the interval ---------------------------------------------------------------------


async def test_the_interval_volume_is_what_was_traded_since_the_last_tick(
    clock: Clock, base: str, session: ClientSession
):
    source = await opened(base, session)

    exactly = (await source.fetch(session, MORNING))[BTC].interval_volume
    clock.now = MORNING + 0.5
    later = (await source.fetch(session, MORNING))[BTC].interval_volume
    candle = (await source.fetch_candles(session, BTC, MORNING - MINUTE, MORNING))[0]

    assert exactly == candle.volume
    assert later is not None
    assert float(candle.volume) <= float(later) < float(candle.volume) * 1.5


@pytest.mark.parametrize(
    "late",
    [
        pytest.param(7.0, id="seven seconds late"),
        pytest.param(61.0, id="a minute late"),
        pytest.param(-1.0, id="by a clock that is ahead"),
    ],
)
async def test_a_window_that_is_not_the_interval_is_not_taken(
    clock: Clock, base: str, session: ClientSession, late: float
):
    source = await opened(base, session)
    clock.now = MORNING + late

    reading = (await source.fetch(session, MORNING))[BTC]

    assert reading.interval_volume is None
    assert source.rejects == {"window is not the interval": 1}


@pytest.mark.parametrize("interval", [1, 5, 90])
async def test_an_interval_that_is_no_whole_minute_is_added_up_by_the_second(
    clock: Clock, app: web.Application, base: str, session: ClientSession, interval: int
):
    source = await opened(base, session, interval=interval)
    clock.now = MORNING + 0.2

    traded = [
        (await source.fetch(session, at))[BTC].interval_volume
        for at in range(MORNING - 180 + interval, MORNING + interval, interval)
    ]

    assert asked(app, WINDOW) == []
    candles = await source.fetch_candles(session, BTC, MORNING - 180, MORNING)
    assert sum(Decimal(volume or "NaN") for volume in traded) == sum(Decimal(candle.volume) for candle in candles)


async def test_the_seconds_are_not_asked_for_while_binances_clock_says_that_they_are_not_over(
    clock: Clock, app: web.Application, base: str, session: ClientSession
):
    source = await opened(base, session, interval=5)
    clock.now = MORNING - 0.2

    assert (await source.fetch(session, MORNING))[BTC].interval_volume is None
    assert asked(app, KLINES) == []


async def test_where_a_second_is_missing_the_volume_is_unknown(app: web.Application, base: str, session: ClientSession):
    source = await opened(base, session, interval=5)
    kline = [0, "1", "1", "1", "1", "2.5", 0, "2.5", 1, "1", "1", "0"]
    app[FAULTS][KLINES] = says([[(MORNING - second) * 1000, *kline[1:]] for second in (5, 4, 3, 2)])

    assert (await source.fetch(session, MORNING))[BTC].interval_volume is None
    assert source.rejects == {"seconds of the interval are missing": 1}


async def test_seconds_that_never_come_cost_no_price_though_little_time_is_left(
    app: web.Application, base: str, session: ClientSession
):
    timeout = 30.0
    watched = SupervisedSource(await opened(base, session, interval=1), session, timeout)
    app[FAULTS][KLINES] = hang()

    readings = await watched.read(MORNING)

    assert readings.keys() == {BTC}
    assert readings[BTC].interval_volume is None
    assert watched.describe_state()["state"] == "ok"


@pytest.mark.parametrize(
    "interval, room, count", [(5, 4800, 50), (1, 4800, 10), (90, 4800, 100), (5, 9, 4), (5, 0, 0), (5, -7, 0)]
)
def test_the_seconds_of_as_many_metrics_are_asked_for_as_the_weight_allows(interval: int, room: int, count: int):
    many = [Metric(f"BINANCE:C{number}") for number in range(200)]

    assert binance_seconds.choose_affordable(many, interval, room) == many[:count]


@pytest.mark.parametrize(
    "fault, kind",
    [
        (says({"code": -1003, "msg": "Too much request weight used"}, 429), "refused"),
        (page(503), "refused"),
        (page(), "invalid response"),
        (says({"unexpected": 1}), "invalid response"),
        (reset(), "no answer"),
    ],
)
async def test_a_failing_window_costs_only_the_interval_volume(
    app: web.Application, base: str, session: ClientSession, fault: Any, kind: str
):
    source = await opened(base, session)
    app[FAULTS][WINDOW] = fault

    reading = (await source.fetch(session, MORNING))[BTC]

    assert reading.interval_volume is None
    assert source.rejects == {f"no interval volume ({kind})": 1}


async def test_a_wait_that_a_window_was_given_is_kept_at_the_next_tick(
    app: web.Application, base: str, session: ClientSession
):
    source = await opened(base, session)
    app[FAULTS][WINDOW] = once(says({"code": -1003, "msg": "IP banned"}, 418, Retry_After="90"))
    await source.fetch(session, MORNING)
    calls = len(app[ASKED])

    with pytest.raises(SourceRefused) as caught:
        await source.fetch(session, MORNING + MINUTE)

    assert caught.value.wait == 30
    assert len(app[ASKED]) == calls
    assert await source.fetch(session, MORNING + 2 * MINUTE)


async def test_no_window_is_asked_for_when_the_weight_of_the_minute_is_nearly_used(
    app: web.Application, base: str, session: ClientSession
):
    source = await opened(base, session)
    app[FAULTS][DAY_PATH] = says([row(symbol="BTCUSDT")], X_MBX_USED_WEIGHT_1M="4797")

    assert (await source.fetch(session, MORNING))[BTC].interval_volume is None
    assert asked(app, WINDOW) == []


# ---- when Binance says no --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status, after, wait",
    [(429, 7, 7), (429, None, 60), (418, 300, 300), (418, None, 120), (403, None, None), (503, None, None)],
)
def test_a_refusal_says_how_long_to_stay_away(status: int, after: int | None, wait: int | None):
    assert make_refusal(status, None, after, "ticker").wait == wait


async def test_a_refusal_tells_what_binance_said(app: web.Application, base: str, session: ClientSession):
    source = await opened(base, session)
    app[FAULTS][DAY_PATH] = says({"code": -1003, "msg": "Way too much request weight used"}, 418, Retry_After="300")

    with pytest.raises(
        SourceRefused, match="binance answered 418 to ticker/24hr: Way too much request weight"
    ) as caught:
        await source.fetch(session, MORNING)

    assert caught.value.wait == 300


async def test_an_error_inside_a_200_is_a_refusal(app: web.Application, base: str, session: ClientSession):
    source = await opened(base, session)
    app[FAULTS][DAY_PATH] = says({"code": -1000, "msg": "An unknown error occurred"})

    with pytest.raises(SourceRefused, match="An unknown error"):
        await source.fetch(session, MORNING)


async def test_a_symbol_that_binance_does_not_know_is_named(app: web.Application, base: str, session: ClientSession):
    source = await opened(base, session)
    app[FAULTS][KLINES] = says({"code": -1121, "msg": "Invalid symbol."}, 400)

    with pytest.raises(UnknownPair, match="klines of BTCUSDT: Invalid symbol"):
        await source.fetch_candles(session, BTC, MORNING - HOUR, MORNING)
    with pytest.raises(UnknownPair, match="BINANCE:FOO"):
        await source.fetch_candles(session, Metric("BINANCE:FOO"), MORNING - HOUR, MORNING)


async def test_a_window_that_never_comes_costs_no_price(
    app: web.Application, base: str, session: ClientSession, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("worker.sources.binance_windows.LATE", 0.05)
    source = await opened(base, session)
    app[FAULTS][WINDOW] = hang()

    assert (await source.fetch(session, MORNING)).keys() == {BTC}
    assert source.rejects == {"no interval volume (no answer)": 1}


# ---- candles ---------------------------------------------------------------------------------------------


async def test_a_day_of_candles_is_whole_in_two_calls(app: web.Application, base: str, session: ClientSession):
    source = await opened(base, session)

    candles = await source.fetch_candles(session, BTC, MORNING - DAY, MORNING)

    assert [candle.start for candle in candles] == list(range(MORNING - DAY, MORNING, MINUTE))
    assert len(asked(app, KLINES)) == 2


async def test_the_candle_that_is_still_running_is_left_out(clock: Clock, base: str, session: ClientSession):
    source = await opened(base, session)
    clock.now = MORNING + 30

    candles = await source.fetch_candles(session, BTC, MORNING - HOUR, MORNING + 30)

    assert candles[-1].start == MORNING - MINUTE
