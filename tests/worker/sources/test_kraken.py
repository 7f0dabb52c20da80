from collections import Counter
from typing import Any

import pytest
from aiohttp import ClientSession, web

from tests.support.loopback import ASKED, FAULTS
from tests.support.loopback.faults import once, page, says
from tests.support.shared import shared
from tests.worker.sources.conftest import MORNING, Clock
from worker.latest import DAY, HOUR, MINUTE, Metric
from worker.sources.base import parse_exact_json
from worker.sources.errors import SourceRefused
from worker.sources.kraken import (
    KrakenSource,
    KrakenTicker,
    join_errors,
    list_spellings,
    parse_candles,
    parse_markets,
    parse_provider_time,
    parse_tickers,
)
from worker.sources.pair_names import UnknownPair

BTC = Metric("KRAKEN:BTCUSD")
TICKER = "/0/public/Ticker"
MIDNIGHT = MORNING // DAY * DAY


def recorded(name: str) -> Any:
    return parse_exact_json(shared("recorded", "kraken", f"{name}.json").read_bytes())["result"]


def row(**changed: object) -> dict[str, object]:
    return {**recorded("http_ticker")["XBTUSDT"], **changed}


def asked(app: web.Application, path: str) -> list[dict[str, str]]:
    return [dict(request.query) for request in app[ASKED] if request.path == path]


async def opened(base: str, session: ClientSession, *wishes: str, interval: int = MINUTE) -> KrakenSource:
    source = KrakenSource(base, wishes or (BTC,), interval)
    await source.open(session)
    return source


# ---- reading what was recorded ---------------------------------------------------------------------------


def test_recorded_digits_are_kept():
    metric = Metric("KRAKEN:BTCUSDT")

    tickers = parse_tickers(
        recorded("http_ticker"), list_spellings(parse_markets(recorded("http_asset_pairs"))), Counter()
    )

    assert tickers == {metric: KrakenTicker("105899.40000", "163.28908096", "0.78648221")}


def test_the_candle_that_is_still_running_is_left_out_and_720_are_kept():
    rows = recorded("http_ohlc")["XBTUSDT"]

    candles = parse_candles(recorded("http_ohlc"), 0, MORNING + HOUR, Counter())

    assert len(rows) == 721
    assert [candle.start for candle in candles] == [int(row[0]) for row in rows[:-1]]


def test_a_minute_without_a_trade_is_a_flat_candle_with_no_volume():
    candles = parse_candles(recorded("http_ohlc"), 0, MORNING, Counter())

    flat = [candle for candle in candles if candle.volume == "0.00000000"]
    assert len(flat) == 215
    assert all(candle.open == candle.high == candle.low == candle.close for candle in flat)


def test_the_volume_of_a_candle_is_not_its_average_price():
    candle = parse_candles(recorded("http_ohlc"), 1762777200, 1762777260, Counter())[0]

    assert candle == (1762777200, "106038.1", "106044.3", "106038.1", "106040.1", "0.08317981")


def test_candles_are_read_under_whatever_name_they_come():
    body = {"XXBTZUSD": recorded("http_ohlc")["XBTUSDT"], "last": "1762820160"}

    assert len(parse_candles(body, 0, MORNING, Counter())) == 720


# ---- names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key, pair, metric",
    [
        pytest.param("XXBTZUSD", {"altname": "XBTUSD", "wsname": "XBT/USD"}, "KRAKEN:BTCUSD", id="bitcoin is BTC"),
        pytest.param("XDGEUR", {"altname": "XDGEUR", "wsname": "XDG/EUR"}, "KRAKEN:DOGEEUR", id="dogecoin is DOGE"),
        pytest.param("XETHXXBT", {"altname": "ETHXBT", "wsname": "ETH/XBT"}, "KRAKEN:ETHBTC", id="as the quote too"),
        pytest.param("BTC/USD", {"altname": "BTCUSD", "wsname": "BTC/USD"}, "KRAKEN:BTCUSD", id="newer names"),
        pytest.param("BTC/USD", {}, "KRAKEN:BTCUSD", id="newer names without more"),
        pytest.param(
            "AAVE/USD:BTNL", {"wsname": "AAVE/USD:BTNL"}, "KRAKEN:AAVEUSD-BTNL", id="another venue is another metric"
        ),
    ],
)
def test_a_pair_is_named_as_everybody_else_names_it(key: str, pair: dict[str, str], metric: str):
    assert list(parse_markets({key: pair})) == [metric]


@pytest.mark.parametrize(
    "key, pair",
    [
        ("XXBTZUSD.d", {"altname": "XBTUSD.d"}),
        ("XXBTZUSD.d", {"wsname": "XBT/USD"}),
        ("XXBTZUSD", {}),
        ("XXBTZUSD", {"wsname": "X T/USD"}),
        ("XXBTZUSD", {"wsname": ["XBT/USD"]}),
        ("XXBTZUSD", None),
    ],
)
def test_a_dark_pool_or_a_pair_without_a_usable_name_is_no_metric(key: str, pair: object):
    assert parse_markets({key: pair}) == {}


@pytest.mark.parametrize("key", ["XXBTZUSD", "XBTUSD", "XBT/USD", "BTC/USD"])
def test_a_ticker_is_known_by_every_spelling(key: str):
    known = parse_markets({"XXBTZUSD": {"altname": "XBTUSD", "wsname": "XBT/USD"}})

    assert list(parse_tickers({key: row()}, list_spellings(known), Counter())) == [BTC]


def test_the_same_coins_on_two_venues_are_told_apart():
    known = parse_markets({"AAVEUSD": {"wsname": "AAVE/USD"}, "AAVE/USD:BTNL": {"wsname": "AAVE/USD:BTNL"}})
    body = {"AAVE/USD:BTNL": row(c=["2", "1"]), "AAVEUSD": row(c=["1", "1"])}

    tickers = parse_tickers(body, list_spellings(known), Counter())

    assert {metric: ticker.price for metric, ticker in tickers.items()} == {
        "KRAKEN:AAVEUSD": "1",
        "KRAKEN:AAVEUSD-BTNL": "2",
    }


async def test_a_wish_that_kraken_cannot_fulfil_is_named_with_what_is_near(base: str, session: ClientSession):
    source = KrakenSource(base, ("KRAKEN:BTCUSDD", "KRAKEN:XBTUSD", "KRAKEN:ETHUSD", "BINANCE:FOO"), MINUTE)

    missing = await source.open(session)

    assert source.metrics == ("KRAKEN:ETHUSD",)
    assert missing.keys() == {"KRAKEN:BTCUSDD", "KRAKEN:XBTUSD"}
    assert missing[Metric("KRAKEN:BTCUSDD")].startswith("kraken has no pair BTCUSDD; nearest: BTCUSD")
    assert missing[Metric("KRAKEN:XBTUSD")] == "kraken's XBTUSD is called KRAKEN:BTCUSD here"


# ---- rows that are no readings ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed, reason",
    [
        pytest.param({"c": ["0.00000", "0.00000000"]}, "dead market", id="zero"),
        pytest.param({"c": ["-1.5", "1"]}, "negative price", id="negative"),
        pytest.param({"c": ["NaN", "1"]}, "unreadable price", id="NaN in a text"),
        pytest.param({"c": [float("nan"), "1"]}, "unreadable price", id="NaN"),
        pytest.param({"c": "105899.4"}, "missing price", id="no couple"),
        pytest.param({"c": []}, "missing price", id="empty"),
        pytest.param({"c": None}, "missing price", id="null"),
    ],
)
def test_a_ticker_without_a_price_is_left_out_and_counted(changed: dict[str, object], reason: str):
    rejects: Counter[str] = Counter()
    known = {"XXBTZUSD": BTC, "XETHZUSD": Metric("KRAKEN:ETHUSD")}

    tickers = parse_tickers({"XXBTZUSD": row(**changed), "XETHZUSD": row()}, known, rejects)

    assert list(tickers) == ["KRAKEN:ETHUSD"]
    assert rejects == {reason: 1}


def test_a_volume_that_cannot_be_read_costs_only_itself():
    rejects: Counter[str] = Counter()

    tickers = parse_tickers({"XXBTZUSD": row(v=["-1", "1e999"])}, {"XXBTZUSD": BTC}, rejects)

    assert tickers == {BTC: KrakenTicker("105899.40000", None, None)}
    assert rejects == {"negative volume since midnight": 1, "unreadable volume": 1}


def test_a_pair_that_is_not_in_the_answer_is_counted():
    rejects: Counter[str] = Counter()

    assert parse_tickers({}, {"XXBTZUSD": BTC, "XBTUSD": BTC}, rejects) == {}
    assert rejects == {"not in the answer": 1}


# ---- asking ----------------------------------------------------------------------------------------------


async def test_few_pairs_are_asked_for_by_name_in_one_call(app: web.Application, base: str, session: ClientSession):
    source = await opened(base, session, "KRAKEN:BTCUSD", "KRAKEN:AAVEUSD-BTNL")

    readings = await source.fetch(session, MORNING)

    assert set(asked(app, TICKER)[0]["pair"].split(",")) == {"XXBTZUSD", "AAVE/USD:BTNL"}
    assert len(asked(app, TICKER)) == 1
    assert len(readings) == 2


async def test_all_pairs_are_asked_for_in_one_call(app: web.Application, base: str, session: ClientSession):
    source = await opened(base, session, "KRAKEN:*")

    readings = await source.fetch(session, MORNING)

    assert asked(app, TICKER) == [{}]
    assert len(readings) + source.rejects["dead market"] == len(source.metrics) > 600


async def test_nothing_is_asked_when_nothing_is_wished_for(app: web.Application, base: str, session: ClientSession):
    source = await opened(base, session, "BINANCE:BTCUSDT")

    assert await source.fetch(session, MORNING) == {}
    assert asked(app, TICKER) == []


async def test_a_delisted_pair_costs_only_itself(app: web.Application, base: str, session: ClientSession):
    source = await opened(base, session, "KRAKEN:BTCUSD", "KRAKEN:ETHUSD")
    app[FAULTS][TICKER] = once(says({"error": ["EQuery:Unknown asset pair"]}))

    first, second = await source.fetch(session, MORNING), await source.fetch(session, MORNING + MINUTE)

    assert first.keys() == second.keys() == {"KRAKEN:BTCUSD", "KRAKEN:ETHUSD"}
    assert ["pair" in query for query in asked(app, TICKER)] == [True, False, False]


async def test_kraken_says_nothing_of_24_h_changes(base: str, session: ClientSession):
    source = await opened(base, session)

    reading = (await source.fetch(session, MORNING))[BTC]

    assert (reading.change_percentage, reading.change_absolute) == (None, None)


async def test_the_answer_says_when_it_was_made(clock: Clock, base: str, session: ClientSession):
    source = await opened(base, session)
    clock.now = MORNING - 1

    reading = (await source.fetch(session, MORNING))[BTC]

    assert reading.provider_time == MORNING - 1


@pytest.mark.parametrize("said", ["", "yesterday", "Tue, 11 Nov 2025 00:20:04 GMT", "Mon, 01 Jan 0001 00:00:00 +2359"])
def test_a_time_that_cannot_be_is_not_believed(said: str):
    assert parse_provider_time(said, MORNING) is None


# ---- when Kraken says no ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said, wait",
    [
        ("EAPI:Rate limit exceeded", 15),
        ("EGeneral:Too many requests", 15),
        ("EService: Throttled: 1762820300", 15),
        ("EGeneral:Temporary lockout", 900),
        ("EService:Unavailable", None),
        ("EGeneral:Invalid arguments", None),
    ],
)
async def test_an_error_inside_a_200_is_a_refusal(
    app: web.Application, base: str, session: ClientSession, said: str, wait: float | None
):
    source = await opened(base, session)
    app[FAULTS][TICKER] = says({"error": [said]})

    with pytest.raises(SourceRefused, match=said) as caught:
        await source.fetch(session, MORNING)

    assert caught.value.wait == wait


async def test_the_wait_grows_until_there_is_an_answer(app: web.Application, base: str, session: ClientSession):
    source = await opened(base, session)
    waits = []

    for fault in (says({"error": ["EAPI:Rate limit exceeded"]}), page(429)) * 2:
        app[FAULTS][TICKER] = fault
        with pytest.raises(SourceRefused) as caught:
            await source.fetch(session, MORNING)
        waits.append(caught.value.wait)
    del app[FAULTS][TICKER]
    await source.fetch(session, MORNING)
    app[FAULTS][TICKER] = page(429)
    with pytest.raises(SourceRefused) as caught:
        await source.fetch(session, MORNING)

    assert [*waits, caught.value.wait] == [15, 30, 60, 60, 15]


async def test_a_stated_wait_is_passed_on(app: web.Application, base: str, session: ClientSession):
    source = await opened(base, session)
    app[FAULTS][TICKER] = says({}, 429, Retry_After="7")

    with pytest.raises(SourceRefused) as caught:
        await source.fetch(session, MORNING)

    assert caught.value.wait == 7


@pytest.mark.parametrize(
    "errors, said",
    [
        (None, ""),
        ([], ""),
        (["WGeneral:Deprecated"], ""),
        (["WGeneral:Deprecated", "EService:Busy"], "EService:Busy"),
        ("EService:Busy", "EService:Busy"),
    ],
)
def test_a_warning_is_no_error(errors: object, said: str):
    assert join_errors(errors) == said


async def test_a_pair_that_kraken_does_not_know_is_named(app: web.Application, base: str, session: ClientSession):
    source = await opened(base, session)
    app[FAULTS]["/0/public/OHLC"] = says({"error": ["EQuery:Unknown asset pair"]})

    with pytest.raises(UnknownPair, match="XXBTZUSD"):
        await source.fetch_candles(session, BTC, MORNING - HOUR, MORNING)


async def test_candles_of_a_metric_that_is_not_given_are_refused(base: str, session: ClientSession):
    source = await opened(base, session)

    with pytest.raises(UnknownPair, match="KRAKEN:FOOUSD"):
        await source.fetch_candles(session, Metric("KRAKEN:FOOUSD"), MORNING - HOUR, MORNING)


# ---- candles ---------------------------------------------------------------------------------------------


async def test_candles_are_those_of_the_time_asked_for(base: str, session: ClientSession):
    source = await opened(base, session)

    candles = await source.fetch_candles(session, BTC, MORNING - HOUR, MORNING - 30 * MINUTE)

    assert [candle.start for candle in candles] == list(range(MORNING - HOUR, MORNING - 30 * MINUTE, MINUTE))


async def test_a_day_of_candles_is_the_half_that_kraken_keeps(clock: Clock, base: str, session: ClientSession):
    source = await opened(base, session)
    clock.now = MORNING + 30

    candles = await source.fetch_candles(session, BTC, MORNING - DAY, MORNING + MINUTE)

    assert len(candles) == 720
    assert candles[-1].start == MORNING - MINUTE


# ---- what was traded in the interval ---------------------------------------------------------------------


async def test_the_interval_volume_is_the_volume_of_the_minutes_candle(clock: Clock, base: str, session: ClientSession):
    source = await opened(base, session, "KRAKEN:*")
    await source.fetch(session, MORNING)
    clock.now = MORNING + MINUTE

    readings = await source.fetch(session, MORNING + MINUTE)
    candle = (await source.fetch_candles(session, BTC, MORNING, MORNING + MINUTE))[0]

    assert readings[BTC].interval_volume == candle.volume
    assert all(reading.interval_volume is not None for reading in readings.values())


async def test_the_interval_volume_is_unknown_at_the_first_tick_and_after_a_missed_one(
    clock: Clock, base: str, session: ClientSession
):
    source = await opened(base, session)
    volumes = []

    for minute in (0, 1, 3, 4):
        clock.now = MORNING + minute * MINUTE
        volumes.append((await source.fetch(session, MORNING + minute * MINUTE))[BTC].interval_volume)

    assert [volume is None for volume in volumes] == [True, False, True, False]


async def test_a_tick_that_is_asked_twice_is_one_tick(clock: Clock, base: str, session: ClientSession):
    source = await opened(base, session)
    await source.fetch(session, MORNING)
    clock.now = MORNING + MINUTE

    first = await source.fetch(session, MORNING + MINUTE)
    second = await source.fetch(session, MORNING + MINUTE)

    assert first == second
    assert first[BTC].interval_volume is not None


@pytest.mark.parametrize(
    "late, unknown",
    [
        pytest.param(1, 0, id="the answer at midnight is of the new day"),
        pytest.param(-1, 1, id="the answer at midnight is of the old day"),
    ],
)
async def test_no_interval_volume_is_made_up_over_midnight(
    clock: Clock, base: str, session: ClientSession, late: int, unknown: int
):
    source = await opened(base, session)
    seen = {}

    for minute in (-3, -2, -1, 0, 1, 2):
        clock.now = MIDNIGHT + minute * MINUTE + late
        seen[minute] = (await source.fetch(session, MIDNIGHT + minute * MINUTE))[BTC].interval_volume

    assert [minute for minute, volume in seen.items() if volume is None] == [-3, unknown]
    assert all(float(volume) < 20 for volume in seen.values() if volume is not None)
