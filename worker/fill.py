"""Fills the holes of the past day from the providers' candles, while live ticks go on. It never alerts."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from worker import candles
from worker.latest import DAY, Candle, Metric, Sample, Writer
from worker.progress import Seen
from worker.sources.base import SourceError
from worker.sources.watched import Watched

log = structlog.get_logger()

Sleep = Callable[[float], Awaitable[None]]


async def fill(
    source: Watched, metrics: Sequence[Metric], store: Writer, interval: int, at: int, seen: Seen, sleep: Sleep
) -> int:
    """
    Take in what the source's candles know of the day before `at` and the store does not; give how many.

    One call after the other, at the source's pace. A metric whose candles cannot be had is told and
    left as it is; the others go on. What is there already is never overwritten.
    """
    taken = 0
    for done, metric in enumerate(metrics, 1):
        missing = await _missing(metric, store, interval, at)
        if missing:
            taken += await _fill_one(source, metric, missing, store, interval, at)
            await sleep(source.source.pace)
        seen(done, len(metrics))
    return taken


async def _missing(metric: Metric, store: Writer, interval: int, at: int) -> set[int]:
    """Give the ticks of the day up to `at` that have no sample."""
    (record,) = await store.records([metric])
    if record and record.at == at and record.day[0].n == DAY // interval:
        return set()
    held = await store.samples(metric, at - DAY, at)
    return set(range(at - DAY + interval, at + 1, interval)) - {sample.tick for sample in held}


async def _fill_one(
    source: Watched, metric: Metric, missing: set[int], store: Writer, interval: int, at: int
) -> int:
    first, last = min(missing) - interval, max(missing)
    try:
        told = await source.candles(metric, first - source.source.lead, last)
    except SourceError as error:
        log.warning("no candles", source=source.name, metric=metric, reason=str(error))
        return 0
    made = await asyncio.to_thread(_samples, told, missing, interval)
    return await store.insert(metric, made, source.name, at)


def _samples(told: Sequence[Candle], missing: set[int], interval: int) -> list[Sample]:
    return [sample for sample in candles.samples(told, interval=interval) if sample.tick in missing]
