"""
Which source a metric that several sources have belongs to: the first in the configured order that lists it.

Its candles fill the gaps. Which source gives a tick's reading is decided at the tick, see `sampling.source_choice`.
"""

from collections.abc import Sequence

from worker.latest import Metric
from worker.sources.supervised import SupervisedSource


def assign_owners(sources: Sequence[SupervisedSource]) -> None:
    """Set on each source which of its metrics belong to it."""
    owners: dict[Metric, int] = {}
    for place, source in enumerate(sources):
        for metric in source.metrics:
            owners.setdefault(metric, place)
    for place, source in enumerate(sources):
        if source.metrics:
            source.owned = frozenset(metric for metric in source.metrics if owners[metric] == place)


async def open_up_to(source: SupervisedSource, sources: Sequence[SupervisedSource], at: int) -> None:
    """Open a source, and all before it in order, and assign which source gives what."""
    for each in sources[: sources.index(source) + 1]:
        await each.open(at)
    assign_owners(sources)
