"""A provider made up for tests of the worker's motion: it knows everything, asks nobody, and fails when it is told to."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from zlib import crc32

from aiohttp import ClientSession

from worker.latest import DAY, MINUTE, Candle, Metric, Reading
from worker.sources.errors import SourceError

NOON = 1_621_252_800
"""2021-05-17T12:00:00Z."""
BTC, ETH, XRP = Metric("INVENTED:BTCUSD"), Metric("INVENTED:ETHUSD"), Metric("INVENTED:XRPUSD")


def price(metric: Metric, at: int) -> str:
    return f"{crc32(metric.encode()) % 1000}.{crc32(b'%d' % at) % 100_000:05}"


def volume(at: int) -> str:
    """Return what is traded in the minute that ends at `at`."""
    return f"{crc32(b'volume %d' % at) % 1000}.5"


class Invented:
    """
    A source as `worker.sources.base` defines it, whose candles and readings agree.

    `trouble` is raised by whatever is asked, `listing_trouble` where it is asked what it has, `candle_trouble` by the candles of one metric, as often
    as it is listed there. What waits, waits for `gate`.
    """

    name = "invented"
    pace = 1.0
    lead = 0

    def __init__(self, *metrics: Metric, name: str = "invented", lead: int = 0) -> None:
        self.name, self.lead = name, lead
        self._metrics: Sequence[Metric] = ()
        self._all = metrics
        self.missing: dict[Metric, str] = {}
        self.trouble: SourceError | None = None
        self.listing_trouble: SourceError | None = None
        self.candle_trouble: dict[Metric, list[SourceError]] = {}
        self.keeps = DAY
        """Seconds before the end that candles are kept for."""
        self.holes: set[int] = set()
        """Ticks whose minute has no candle."""
        self.gate = asyncio.Event()
        self.gate.set()
        self.opened = 0
        self.fetched: list[int] = []
        self.candles_asked: list[tuple[Metric, int, int]] = []
        self.rejects: Counter[str] = Counter()

    @property
    def metrics(self) -> Sequence[Metric]:
        return self._metrics

    async def open(self, session: ClientSession) -> Mapping[Metric, str]:  # noqa: ARG002  # the contract's
        self.opened += 1
        await self._answer()
        if self.listing_trouble is not None:
            raise self.listing_trouble
        self._metrics = self._all
        return self.missing

    def lists(self, *metrics: Metric) -> None:
        """Have other metrics from now on, for whoever asks."""
        self._all = metrics

    async def fetch(self, session: ClientSession, at: int) -> Mapping[Metric, Reading]:  # noqa: ARG002  # the contract's
        self.fetched.append(at)
        await self._answer()
        return {metric: self.reading(metric, at) for metric in self._metrics}

    def reading(self, metric: Metric, at: int) -> Reading:
        return Reading(price(metric, at), interval_volume=volume(at), provider_time=at)

    async def fetch_candles(self, session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:  # noqa: ARG002  # the contract's
        self.candles_asked.append((metric, start, end))
        await self._answer()
        if self.candle_trouble.get(metric):
            raise self.candle_trouble[metric].pop(0)
        first = -(-max(start, end - self.keeps) // MINUTE) * MINUTE
        starts = [opens for opens in range(first, end - MINUTE + 1, MINUTE) if opens + MINUTE not in self.holes]
        closes = [price(metric, opens + MINUTE) for opens in starts]
        return [
            Candle(opens, close, close, close, close, volume(opens + MINUTE))
            for opens, close in zip(starts, closes, strict=True)
        ]

    async def _answer(self) -> None:
        await self.gate.wait()
        if self.trouble is not None:
            raise self.trouble


class Beats:
    """Beats that come when the test says so."""

    def __init__(self) -> None:
        self._come: asyncio.Queue[int] = asyncio.Queue()

    def beat(self, *ticks: int) -> None:
        for tick in ticks:
            self._come.put_nowait(tick)

    async def __aiter__(self) -> AsyncIterator[int]:
        while True:
            yield await self._come.get()
