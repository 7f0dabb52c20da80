"""
Ask every source once and put together what they say. What a failure costs is `Watched`'s business.

A metric that several sources have comes from one of them and stays with it: the first in order, from the moment on at
which it says that it has the metric, until it says that it has it no more. A reading that this one does not give at a
tick is missing then. Two providers never differ by nothing, and a price that jumps between them is no move of the market.
"""

import asyncio
from collections.abc import Mapping, Sequence

from worker.latest import Metric, SourceReading
from worker.sources.supervised import SupervisedSource


async def collect(sources: Sequence[SupervisedSource], at: int) -> Mapping[Metric, SourceReading]:
    """Return what was heard of tick `at`, each metric from the source that it belongs to."""
    answers = await asyncio.gather(*[source.read(at) for source in sources])
    settle(sources)
    return {
        metric: SourceReading(reading, source.name)
        for source, readings in zip(sources, answers, strict=True)
        for metric, reading in readings.items()
        if source.owned is None or metric in source.owned
    }


def settle(sources: Sequence[SupervisedSource]) -> None:
    """
    Say to each source which of its metrics it gives.

    Whoever has a metric keeps it. Only a source that has just said for the first time what it has takes metrics from
    those that come after it in order.
    """
    owners: dict[Metric, int] = {}
    for place, source in enumerate(sources):
        held = source.owned or ()
        owners.update({metric: place for metric in source.metrics if metric in held})
    for place, source in enumerate(sources):
        for metric in source.metrics:
            owner = owners.get(metric)
            if owner is None or (source.owned is None and place < owner):
                owners[metric] = place
    for place, source in enumerate(sources):
        if source.metrics:
            source.owned = frozenset(metric for metric in source.metrics if owners[metric] == place)


async def open_up_to(source: SupervisedSource, sources: Sequence[SupervisedSource], at: int) -> None:
    """Let a source, and all before it in order, learn what they have, and settle who gives what."""
    for each in sources[: sources.index(source) + 1]:
        await each.open(at)
    settle(sources)
