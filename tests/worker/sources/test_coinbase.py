"""Coinbase: what is read of its answers, how many markets are asked for and how fast, and what a failure costs."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from tests.support.loopback import ASKED, FAULTS
from tests.support.loopback.faults import reset, says
from tests.support.shared import shared
from tests.worker.sources.conftest import MORNING, Clock
from worker.latest import DAY, HOUR, MINUTE, Metric, Reading
from worker.sources.coinbase import (
    AT_ONCE,
    CoinbaseSource,
    count_markets,
    parse_answer_time,
    parse_products,
    parse_ticker,
)
from worker.sources.errors import InvalidResponse, RequestRefused, SourceRefused
from worker.sources.pair_names import UnknownPair

BTC, ETH = Metric("COINBASE:BTCUSD"), Metric("COINBASE:ETHUSD")
TICKER = "/products/BTC-USD/ticker"


class Pauses:
    """Lets no time pass, and notes how long was slept and what had been asked by then."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self.taken: list[tuple[float, int]] = []

    async def __call__(self, seconds: float) -> None:
        if seconds:
            self.taken.append((seconds, len(self._app[ASKED])))
        await asyncio.sleep(0)


@pytest.fixture
def make(app: web.Application, base: str) -> Callable[..., CoinbaseSource]:
    def one(*wishes: str, interval: int = MINUTE) -> CoinbaseSource:
        return CoinbaseSource(f"{base}/", wishes, interval, Pauses(app))

    return one


def test_a_recorded_ticker_keeps_its_digits():
    recorded: Path = shared("recorded") / "coinbase" / "coinbaseexchange.abridged.json"
    body = json.loads(recorded.read_text())["methods"]["fetchTicker"][0]["httpResponse"]

    assert parse_ticker(body, BTC, MORNING, Counter(), set()) == Reading(
        "73367.8", "1207.50668151", provider_time=MORNING
    )


@pytest.mark.parametrize(
    "body, reason",
    [
        ({"price": "0", "volume": "1"}, "dead market"),
        ({"price": None, "volume": "1"}, "missing price"),
        ({"price": "NaN"}, "unreadable price"),
        ({"price": "-1", "volume": "1"}, "negative price"),
    ],
)
def test_a_ticker_without_a_price_is_no_reading(body: object, reason: str):
    rejects: Counter[str] = Counter()
    dead: set[Metric] = set()

    assert parse_ticker(body, BTC, None, rejects, dead) is None
    assert rejects == {reason: 1}
    assert dead == ({BTC} if reason == "dead market" else set())


def test_a_market_that_is_not_traded_is_known_with_its_state():
    known, states = parse_products(
        [
            {"id": "BTC-USD", "status": "online"},
            {"id": "OLD-USD", "status": "delisted"},
            {"id": "HALT-USD", "status": "online", "trading_disabled": True},
            {"id": 7},
            "nonsense",
        ]
    )

    assert known == {BTC: "BTC-USD", "COINBASE:OLDUSD": "OLD-USD", "COINBASE:HALTUSD": "HALT-USD"}
    assert [*states.values()] == ["online", "delisted", "trading is disabled"]


@pytest.mark.parametrize(
    "date, made",
    [
        ("Tue, 11 Nov 2025 00:17:00 GMT", MORNING),
        ("Tue, 11 Nov 2025 03:17:00 GMT", None),
        ("", None),
        ("soon", None),
    ],
)
def test_an_answer_is_of_when_it_was_made_unless_that_cannot_be(date: str, made: int | None):
    assert parse_answer_time(date, MORNING) == made


@pytest.mark.parametrize("interval, markets", [(1, 6), (5, 6), (10, 18), (60, 108), (3600, 120)])
def test_as_many_markets_as_fit_into_a_part_of_the_interval(interval: int, markets: int):
    assert count_markets(interval) == markets


async def test_named_markets_are_read_at_once(app: web.Application, session: ClientSession, make):
    source = make(BTC, ETH, "COINBASE:BTCUSDX", "COINBASE:OLDUSD")

    missing = await source.open(session)
    readings = await source.fetch(session, MORNING)

    assert missing["COINBASE:BTCUSDX"].startswith("coinbase has no pair BTCUSDX; nearest: BTCUSD")
    assert missing["COINBASE:OLDUSD"] == "coinbase has OLDUSD, but it is not trading: delisted"
    assert readings.keys() == {BTC, ETH}
    assert all(reading.volume and reading.interval_volume is None for reading in readings.values())
    assert app[ASKED][0].path == "/products"
    assert source._sleep.taken == []


async def test_many_markets_are_asked_for_in_groups_of_a_second_and_the_others_are_named(
    app: web.Application, session: ClientSession, make
):
    source = make("COINBASE:*", BTC, interval=10)

    missing = await source.open(session)
    app[ASKED].clear()
    readings = await source.fetch(session, MORNING)

    assert len(source.metrics) == len(readings) + len(source.dead) == 18
    assert source.metrics[0] == BTC
    assert {*missing.values()} == {
        "coinbase is asked for 18 markets at most at this interval, each by a request; name fewer"
    }
    assert [seconds for seconds, _ in source._sleep.taken] == [1.0, 1.0]
    # Whoever sleeps the first second has not asked for the second group.
    assert source._sleep.taken[0][1] <= AT_ONCE
    assert source._sleep.taken[1][1] <= 2 * AT_ONCE


async def test_one_market_that_fails_does_not_cost_the_others(app: web.Application, session: ClientSession, make):
    source = make(BTC, ETH)
    await source.open(session)
    app[FAULTS][TICKER] = says({"message": "NotFound"}, 404)

    readings = await source.fetch(session, MORNING)
    app[FAULTS][TICKER] = reset()
    again = await source.fetch(session, MORNING + MINUTE)

    assert readings.keys() == again.keys() == {ETH}
    assert source.rejects == {"no ticker (refused)": 1, "no ticker (no answer)": 1}


@pytest.mark.parametrize("headers, wait", [({}, 10.0), ({"Retry_After": "7"}, 7)])
async def test_too_often_ends_the_tick_for_all(
    app: web.Application, session: ClientSession, make, headers: dict[str, str], wait: float
):
    source = make("COINBASE:*", BTC)
    await source.open(session)
    app[FAULTS][TICKER] = says({"message": "Public rate limit exceeded"}, 429, **headers)
    app[ASKED].clear()

    with pytest.raises(SourceRefused, match="coinbase answered 429 to products/BTC-USD/ticker: Public rate") as raised:
        await source.fetch(session, MORNING)

    assert raised.value.wait == wait
    assert len(app[ASKED]) == AT_ONCE


async def test_a_day_of_candles_is_whole_and_oldest_first_although_they_come_newest_first(
    app: web.Application, session: ClientSession, make, clock: Clock
):
    source = make(BTC)
    await source.open(session)
    app[ASKED].clear()

    candles = await source.fetch_candles(session, BTC, MORNING - DAY, MORNING)

    starts = [candle.start for candle in candles]
    assert starts == sorted({*starts})
    assert starts[0] >= MORNING - DAY
    assert starts[-1] < MORNING == clock.now
    assert len(app[ASKED]) == 5
    assert all(float(candle.low) <= float(candle.open) <= float(candle.high) for candle in candles)
    # No minute is lost at the ends of requests: whatever was traded has its candle.
    alone = [await source.fetch_candles(session, BTC, start, start + MINUTE) for start in starts[295:305]]
    assert [candle for (candle,) in alone] == [*candles[295:305]]


async def test_hours_are_asked_for_as_hours(session: ClientSession, make):
    source = make(BTC)
    await source.open(session)

    hours = await source.fetch_hours(session, BTC, MORNING // HOUR * HOUR - 5 * HOUR, MORNING // HOUR * HOUR)

    assert [hour.start % HOUR for hour in hours] == [0] * 5


async def test_a_market_that_is_not_given_is_refused_before_anything_is_asked(session: ClientSession, make):
    with pytest.raises(UnknownPair):
        await make(BTC).fetch_candles(session, ETH, 0, 60)


async def test_what_cannot_be_read_is_said(app: web.Application, session: ClientSession, make):
    app[FAULTS]["/products"] = says({"message": "moved"})
    with pytest.raises(InvalidResponse):
        await make(BTC).open(session)
    app[FAULTS]["/products"] = says({"message": "no"}, 400)
    with pytest.raises(RequestRefused, match="coinbase answered 400 to products: no"):
        await make(BTC).open(session)


async def test_its_access_is_read_by_the_smallest_request(app: web.Application, session: ClientSession, make):
    report = await make(BTC).read_access(session)

    assert report.warning is None
    assert [request.path for request in app[ASKED]] == ["/time"]
