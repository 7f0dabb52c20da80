"""Reads every source once and merges the readings: one tick's readings, each metric from the source that owns it."""

import asyncio
from collections.abc import Mapping, Sequence

from worker.latest import Metric
from worker.latest.market import SourceReading
from worker.sources.ownership import assign_owners
from worker.sources.supervised import SupervisedSource


async def collect(sources: Sequence[SupervisedSource], at: int) -> Mapping[Metric, SourceReading]:
    """Return the readings of tick `at`. A metric whose source does not answer is missing."""
    answers = await asyncio.gather(*[source.read(at) for source in sources])
    assign_owners(sources)
    return {
        metric: SourceReading(reading, source.name)
        for source, readings in zip(sources, answers, strict=True)
        for metric, reading in readings.items()
        if source.owned is None or metric in source.owned
    }
