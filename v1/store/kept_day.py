"""Reads the kept day of many metrics at once, to try rules on it."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..market.metric_state import MetricState
from ..model import DAY, Metric, Sample
from ..numbers.chunks import split_into_chunks
from .reader import Reader

_BATCH = 500


class TooManySamples(Exception):
    """The day holds more samples than may be read; the message says how many."""

    def __init__(self, samples: int, metrics: int) -> None:
        super().__init__(f"the kept day holds {samples:,} samples of {metrics:,} metrics")


class KeptDay(NamedTuple):
    """The samples of the kept day."""

    samples: Mapping[Metric, Sequence[Sample]]
    """Oldest first."""
    sources: Mapping[Metric, str]
    """Who gave the newest one."""
    until: int
    """The newest tick."""


async def read_kept_day(
    reader: Reader, is_wanted: Callable[[Metric], bool] = lambda _: True, most: int | None = None
) -> KeptDay:
    """Read the day of every metric that is wanted. Raises `TooMuch` where that is more than `most` samples."""
    metrics = [metric for metric in await reader.read_metrics() if is_wanted(metric)]
    records: dict[Metric, MetricState] = {}
    for batch in split_into_chunks(metrics, _BATCH):  # in between, others get their turn
        found = zip(batch, await reader.read_metric_states(batch), strict=True)
        records |= {metric: record for metric, record in found if record is not None}
    samples = sum(max(day.n for day in record.day) for record in records.values())
    if most is not None and samples > most:
        raise TooManySamples(samples, len(records))
    until = max([await reader.read_tick() or 0, *(record.newest for record in records.values())])
    days = {metric: await reader.read_samples(metric, until - DAY, until) for metric in records}
    return KeptDay(days, {metric: record.source for metric, record in records.items()}, until)
