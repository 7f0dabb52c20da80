"""
Ticks of 1,000 symbols, one a second, out of streams that send 2,000 messages a second: how much of a processor that takes,
whether a tick is late, whether every second's interval volume is the exact sum of its trades, and whether the streams
agree with REST whenever they are compared (here every five seconds instead of every minute).
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from statistics import median
from typing import Any, NamedTuple

import uvloop
from aiohttp import ClientSession, TCPConnector

from bench.report import Figure, at_least, at_most, beside
from worker.clock.ticks import ticks
from worker.latest import Metric, Reading
from worker.sources.binance import BinanceSource
from worker.sources.streams import streamed_ticks
from worker.sources.streams.binance import BinanceStream
from worker.sources.streams.feed import StreamFeed
from worker.sources.streams.streamed_ticks import DIFFERS, LATE, LOST, StreamedTicks
from worker.sources.supervised import SupervisedSource

SYMBOLS, MESSAGES = 1_000, 2_000
SECONDS = 25
CHECK_SECONDS = 5
LATEST = 1.0
"""A tick must be answered before the next."""


class CountedSource(BinanceSource):
    """A source that notes at which ticks it was asked by REST."""

    def __init__(self, base: str) -> None:
        super().__init__(base, ["BINANCE:*"], 1)
        self.asked: list[int] = []

    async def fetch(self, session: ClientSession, at: int) -> Mapping[Metric, Reading]:
        self.asked.append(at)
        return await super().fetch(session, at)


class Run(NamedTuple):
    """What was seen."""

    answered: list[float]
    """Seconds after each tick until all its readings were there."""
    readings: int
    wrong: int
    """Interval volumes that are not the sum of the second's trades."""
    unknown: int
    checks: int
    """Ticks at which REST was asked, too."""
    rejects: dict[str, int]
    share: float
    """Of one processor, for everything of the streams."""
    rate: float
    """Messages a second."""


def measure() -> Iterator[Figure]:
    run = uvloop.run(_measure())
    how = f"{SYMBOLS:,} symbols, {run.rate:,.0f} messages a second, {len(run.answered)} ticks of a second"
    yield at_least("messages a second", run.rate, 0.95 * MESSAGES, "", "trades and 24 h numbers, half of each")
    yield beside(
        "processor share of the streams", f"{100 * run.share:.0f} %", f"of one core, provider not counted; {how}"
    )
    late = sum(1 for each in run.answered if each >= LATEST)
    told = f"median {1000 * median(run.answered):.0f} ms after the tick, slowest {1000 * max(run.answered):.0f} ms"
    yield at_most("ticks that were late", late, 0, "", told)
    missing = SYMBOLS * len(run.answered) - run.readings
    yield at_most("readings that were missing", missing, 0, "", f"of {SYMBOLS * len(run.answered):,}")
    yield at_most(
        "differences from REST", run.rejects.get(DIFFERS, 0), 0, "", f"{run.checks} comparisons of {SYMBOLS:,}"
    )
    exact = (
        f"of {run.readings:,}; {run.unknown} unknown, {run.rejects.get(LOST, 0)} lost, {run.rejects.get(LATE, 0)} late"
    )
    yield at_most("interval volumes that are not the exact sum", run.wrong, 0, "", exact)


@asynccontextmanager
async def _providing() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.stream_provider", f"{SYMBOLS}", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield f"127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.terminate()
        await process.wait()


async def _measure() -> Run:
    streamed_ticks.CHECK_SECONDS = CHECK_SECONDS
    async with (
        _providing() as address,
        ClientSession() as asking,
        ClientSession(connector=TCPConnector(limit=0)) as streaming,
    ):
        asked = CountedSource(f"http://{address}")
        source = SupervisedSource(asked, asking, timeout=0.8)
        feed = StreamFeed(BinanceStream(), f"ws://{address}", streaming, interval=1, rejects=source.rejects)
        source.streamed = StreamedTicks(feed, 1, source.rejects)
        await source.open(int(time.time()))
        try:
            return await _sample(source, asked, asking, address)
        finally:
            source.cancel_requests()


async def _sample(source: SupervisedSource, asked: CountedSource, asking: ClientSession, address: str) -> Run:
    beats = ticks(1)
    async with asyncio.timeout(60):
        # The first interval that all streams delivered whole.
        async for at in beats:
            readings = await source.read(at)
            if len(readings) == SYMBOLS and all(each.interval_volume is not None for each in readings.values()):
                break
    before, began, used = await _ask_truth(asking, address, at), time.perf_counter(), time.process_time()
    answered, collected = [], []
    asked.asked.clear()
    for _ in range(SECONDS):
        at = await anext(beats)
        collected.append((at, await source.read(at)))
        answered.append(time.time() - at)
    took, spent = time.perf_counter() - began, time.process_time() - used
    after = await _ask_truth(asking, address, at)
    wrong = unknown = 0
    for tick, readings in collected:
        sums = (await _ask_truth(asking, address, tick))["sums"]
        for metric, reading in readings.items():
            if reading.interval_volume is None:
                unknown += 1
            elif Decimal(reading.interval_volume) != Decimal(sums.get(_symbol(metric), "0")):
                wrong += 1
    readings_count = sum(len(each) for _, each in collected)
    rate = (after["sent"] - before["sent"]) / took
    rejects = dict(source.rejects)
    return Run(answered, readings_count, wrong, unknown, len(asked.asked), rejects, spent / took, rate)


def _symbol(metric: Metric) -> str:
    return metric.partition(":")[2]


async def _ask_truth(asking: ClientSession, address: str, tick: int) -> Any:
    async with asking.get(f"http://{address}/truth/{tick}") as answer:
        return await answer.json()
