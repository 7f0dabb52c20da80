"""Reads the state of each metric, and the samples that leave its windows at a tick."""

from collections.abc import Iterator, Sequence
from itertools import chain

from redis.asyncio.client import Pipeline

from ..market import metric_state
from ..market.metric_state import PriorState
from ..model import DAY, HOUR, Metric, Sample, list_hours
from ..numbers.chunks import split_into_chunks
from . import keys

_BATCH = 500
"""Metrics per MGET: few commands for the client, and none that keeps Redis from answering others."""


class EvictionQuery:
    """
    What tick `at` moves out of the windows of metrics whose records are valid at `since` or later.

    Put the commands into a pipeline, send it, and have the answers read in the same order.
    """

    def __init__(self, at: int, since: int, metrics: Sequence[Metric]) -> None:
        self.metrics = metrics
        self.unreadable: set[Metric] = set()
        """Metrics with a state that cannot be read."""
        self._at = at
        self._day_hours = list_hours(since - DAY, at - DAY)
        # There is nothing to look for in the hour of a record that is older than an hour.
        self._hour_since = max(since, at - HOUR) - HOUR
        self._hour_hours = list_hours(self._hour_since - 1, at - HOUR - 1)

    def put_commands(self, pipe: Pipeline) -> None:
        for batch in self._batches():
            pipe.execute_command("MGET", *[keys.moments(metric) for metric in batch])
        day_ends, hour_begins, hour_ends = self._at - DAY, self._hour_since, f"({self._at - HOUR}"
        for metric in self.metrics:
            for hour in self._day_hours:
                pipe.execute_command("ZRANGE", keys.samples(metric, hour), "-inf", day_ends, "BYSCORE")
            for hour in self._hour_hours:
                pipe.execute_command("ZRANGE", keys.samples(metric, hour), hour_begins, hour_ends, "BYSCORE")

    def read_answers(self, answers: Iterator[list[str]]) -> list[PriorState]:
        """Return what was found of each metric, in order."""
        written = chain.from_iterable([next(answers) for _ in self._batches()])
        return [self._read_state(metric, held, answers) for metric, held in zip(self.metrics, written, strict=True)]

    def _read_state(self, metric: Metric, written: str | None, answers: Iterator[list[str]]) -> PriorState:
        record = metric_state.try_read_state(written)
        leaving_day, leaving_hour = _read_hours(answers, self._day_hours), _read_hours(answers, self._hour_hours)
        if record is None:
            if written is not None:
                self.unreadable.add(metric)
            return PriorState(None, leaving_day)
        return PriorState(record, leaving_day, [sample for sample in leaving_hour if sample.tick >= record.at - HOUR])

    def _batches(self) -> Iterator[Sequence[Metric]]:
        return split_into_chunks(self.metrics, _BATCH)


def _read_hours(answers: Iterator[list[str]], hours: Sequence[int]) -> list[Sample]:
    """Return the samples of one metric's hours, which are the next answers."""
    return [sample for hour in hours for sample in keys.parse_all(hour, next(answers))]
