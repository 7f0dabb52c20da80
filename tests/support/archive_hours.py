"""Hours to write into an archive, and archives to write them into."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from tests.support.serving import HOUR, MINUTE, NOON, every_minute
from v1.archive import connect_archive
from v1.archive.writer import ArchiveWriter
from v1.market import candles
from v1.market.candles import HourCandle, HourSlot
from v1.model import Metric

BTC, ETH = Metric("KRAKEN:BTCUSD"), Metric("KRAKEN:ETHUSD")


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[ArchiveWriter]:
    async with connect_archive(address, "tests", writes=True) as engine:
        archive = ArchiveWriter(engine)
        await archive.open()
        yield archive


def hour(*prices: str, start: int = NOON, metric: Metric = BTC, at: int = 0, volume: str = "1.50") -> HourCandle:
    """Make an hour of one price a minute."""
    known = every_minute(prices, start + len(prices) * MINUTE, interval_volume=volume)
    made = candles.make_hour_from_samples(HourSlot(metric, start, at or start + HOUR + 90), known, MINUTE)
    assert made
    return made


def some_hours(count: int, metric: Metric = BTC, start: int = NOON) -> list[HourCandle]:
    """Make hours of prices and volumes of all sizes, some of them missing, some known by a provider alone."""
    dice = Random(f"{metric} {start}")
    made = []
    for place in range(count):
        prices = [f"{dice.randrange(1, 10**9)}e-{dice.randrange(0, 12):02}" for _ in range(dice.choice((1, 7, 60)))]
        each = hour(
            *prices, start=start + place * HOUR, metric=metric, volume=f"{dice.random():.{dice.randrange(1, 9)}f}"
        )
        if dice.random() < 0.2:
            each = each._replace(total=None, mean=None, samples=1, covered=HOUR, source="kraken")
        if dice.random() < 0.2:
            each = each._replace(volume=None)
        if dice.random() < 0.9:
            made.append(each)
    return made
