"""
Which source gives a metric that several sources have.

Such a metric comes from one of them and stays with it: the first in order, from the moment on at which it says that it
has the metric, until it says that it has it no more. Two providers never agree to the last digit, and a price that
jumps between them is no move of the market.
"""

from collections.abc import Sequence

from worker.latest import Metric
from worker.sources.supervised import SupervisedSource


def assign_owners(sources: Sequence[SupervisedSource]) -> None:
    """
    Set on each source which of its metrics it gives.

    A source keeps the metrics that it gives already. Only a source that has just said for the first time what it has
    takes metrics from those that come after it in order.
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
    """Open a source, and all before it in order, and assign which source gives what."""
    for each in sources[: sources.index(source) + 1]:
        await each.open(at)
    assign_owners(sources)
