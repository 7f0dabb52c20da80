"""Reads every source once, checks and merges the readings: one tick's, each metric from the source that owns it."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from worker.latest import Metric, Reading
from worker.latest.market import SourceReading
from worker.sampling.reading_checks import ReadingChecks
from worker.sources.ownership import assign_owners
from worker.sources.supervised import SupervisedSource


async def collect(
    sources: Sequence[SupervisedSource], at: int, checks: ReadingChecks | None = None
) -> Mapping[Metric, SourceReading]:
    """Return the readings of tick `at` that `checks` accept. A metric whose source does not answer is missing."""
    answers = await asyncio.gather(*[source.read(at) for source in sources])
    assign_owners(sources)
    readings = {
        metric: SourceReading(reading, source.name)
        for source, answer in zip(sources, answers, strict=True)
        for metric, reading in answer.items()
        if source.owned is None or metric in source.owned
    }

    if checks is None:
        return readings

    def list_others(metric: Metric) -> Iterable[Reading]:
        used = readings[metric].source
        return [
            answer[metric]
            for source, answer in zip(sources, answers, strict=True)
            if source.name != used and metric in answer
        ]

    accepted, rejected = checks.select(at, readings, list_others)
    rejects = {source.name: source.rejects for source in sources}
    for each in rejected:
        rejects[each.source].note(each.reason, each.text, each.metric)
    return accepted
