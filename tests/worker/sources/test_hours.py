"""Candles of whole hours, which the archive asks for: they agree with the minutes, and reach back further."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from aiohttp import ClientSession, web

from tests.support.loopback import ASKED
from tests.worker.sources.conftest import MORNING, Clock
from worker.latest import HOUR, MINUTE, Candle, Metric
from worker.sources.base import Hourly, Source
from worker.sources.binance import BinanceSource
from worker.sources.coinbase import CoinbaseSource
from worker.sources.cryptowatch import CryptowatchSource
from worker.sources.kraken import KrakenSource
from worker.sources.pair_names import UnknownPair
from worker.sources.simulated import SimulatedSource
from worker.sources.supervised import SupervisedSource

HOUR_OF_MORNING = MORNING // HOUR * HOUR
MAKERS: list[tuple[Callable[[str], Source], Metric]] = [
    (lambda base: KrakenSource(base, ["KRAKEN:BTCUSD"], MINUTE), Metric("KRAKEN:BTCUSD")),
    (lambda base: BinanceSource(base, ["BINANCE:BTCUSDT"], MINUTE), Metric("BINANCE:BTCUSDT")),
    (lambda base: CoinbaseSource(base, ["COINBASE:BTCUSD"], MINUTE), Metric("COINBASE:BTCUSD")),
    (lambda base: CryptowatchSource(base, ["KRAKEN:BTCUSD"], MINUTE, None), Metric("KRAKEN:BTCUSD")),
]
each_source = pytest.mark.parametrize("make, metric", MAKERS, ids=["kraken", "binance", "coinbase", "cryptowatch"])


async def hours(source: Source, session: ClientSession, metric: Metric, start: int, end: int) -> list[Candle]:
    await source.open(session)
    assert isinstance(source, Hourly)
    return [*await source.fetch_hours(session, metric, start, end)]


@each_source
async def test_an_hour_is_what_its_minutes_come_to(base: str, session: ClientSession, make, metric):
    source = make(base)
    start = HOUR_OF_MORNING - 2 * HOUR

    (hour,) = await hours(source, session, metric, start, start + HOUR)
    minutes = await source.fetch_candles(session, metric, start, start + HOUR)

    assert hour.start == start
    assert (hour.open, hour.close) == (minutes[0].open, minutes[-1].close)
    assert Decimal(hour.high) == max(Decimal(minute.high) for minute in minutes)
    assert Decimal(hour.low) == min(Decimal(minute.low) for minute in minutes)
    assert float(hour.volume) == pytest.approx(sum(float(minute.volume) for minute in minutes))


@each_source
async def test_a_week_comes_with_one_question(app: web.Application, base: str, session: ClientSession, make, metric):
    source = make(base)
    await source.open(session)
    before = len(app[ASKED])

    week = await hours(source, session, metric, HOUR_OF_MORNING - 168 * HOUR, HOUR_OF_MORNING)

    assert [hour.start for hour in week] == [HOUR_OF_MORNING - back * HOUR for back in range(168, 0, -1)]
    assert len(app[ASKED]) - before == 2, "one of them opens the source again"


async def test_the_hour_that_runs_is_left_out_where_kraken_says_that_it_does(base: str, session: ClientSession):
    source = KrakenSource(base, ["KRAKEN:BTCUSD"], MINUTE)

    known = await hours(source, session, Metric("KRAKEN:BTCUSD"), HOUR_OF_MORNING - HOUR, HOUR_OF_MORNING + HOUR)

    assert [hour.start for hour in known] == [HOUR_OF_MORNING - HOUR]


@each_source
async def test_hours_of_a_metric_that_is_not_given_are_refused(base: str, session: ClientSession, make, metric):
    with pytest.raises(UnknownPair, match="does not give KRAKEN:FOOUSD"):
        await hours(make(base), session, Metric("KRAKEN:FOOUSD"), HOUR_OF_MORNING - HOUR, HOUR_OF_MORNING)
    assert metric


async def test_a_source_without_hours_is_asked_for_its_minutes(session: ClientSession, clock: Clock):
    watched = SupervisedSource(SimulatedSource(["SIMULATED:BTCUSD"]), session, 5)
    await watched.open(int(clock()))

    length, candles = await watched.fetch_hours(watched.metrics[0], HOUR_OF_MORNING - HOUR, HOUR_OF_MORNING)

    assert (length, len(candles)) == (MINUTE, 60)


async def test_a_source_with_hours_is_asked_for_those(base: str, session: ClientSession):
    watched = SupervisedSource(KrakenSource(base, ["KRAKEN:BTCUSD"], MINUTE), session, 5)
    await watched.open(MORNING)

    length, candles = await watched.fetch_hours(watched.metrics[0], HOUR_OF_MORNING - 3 * HOUR, HOUR_OF_MORNING)

    assert (length, len(candles)) == (HOUR, 3)
