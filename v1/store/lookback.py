"""Reads the samples that alert rules look back on, by commands in a pipeline that the caller sends."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from redis.asyncio.client import Pipeline

from ..market.extremes import RangeCache, Span, WindowRange
from ..market.metric_state import NO_LOOKBACK, Lookback, MetricState
from ..model import HOUR, Metric, Sample, list_hours
from . import keys


class _HourRead(NamedTuple):
    """One read of one hour of one metric."""

    place: int
    """Of the metric among those of the tick."""
    hour: int
    start: int
    is_first_only: bool


class LookbackQuery:
    """
    What the rules look back on at one tick, for each of its metrics.

    The first sample of a window nearly always lies in the window's first hour, so only that one is
    asked for; where it is not there, `is_incomplete` has the others asked for. Extremes are kept in `ranges`; their
    windows are read only where those do not know them.
    """

    def __init__(
        self, at: int, metrics: Sequence[Metric], look: Callable[[Metric], Lookback], ranges: RangeCache
    ) -> None:
        self._at = at
        self._metrics = metrics
        self._ranges = ranges
        self._looks = {
            place: wanted for place, metric in enumerate(metrics) if (wanted := look(metric)) is not NO_LOOKBACK
        }
        self._unknown = {
            place
            for place, wanted in self._looks.items()
            if wanted.extremes_of and not ranges.is_known(metrics[place], wanted.extremes_of, at)
        }
        """Whose extremes follow from what is read now."""
        self._reads = [read for place, wanted in self._looks.items() for read in self._first_reads(place, wanted)]
        self._samples: dict[int, dict[int, Sample]] = {place: {} for place in self._looks}

    def put_commands(self, pipe: Pipeline) -> None:
        """Put the commands that are due."""
        for place, hour, start, is_first_only in self._reads:
            key, limit = keys.samples(self._metrics[place], hour), ("LIMIT", 0, 1) if is_first_only else ()
            pipe.execute_command("ZRANGE", key, start, f"({self._at}", "BYSCORE", *limit)

    def read_answers(self, answers: Iterator[list[str]]) -> None:
        """Read the answers to the commands that were put."""
        for read in self._reads:
            for sample in keys.parse_all(read.hour, next(answers)):
                self._samples[read.place][sample.tick] = sample
        self._reads = []

    def is_incomplete(self, records: Sequence[MetricState | None]) -> bool:
        """Return whether more must be read to know the first sample and the extremes of each window."""
        for place, wanted in self._looks.items():
            record = records[place]
            if record is not None and self._is_behind(place, wanted, record):
                self._unknown.add(place)
                self._reads += self._read_all(place, _find_longest(wanted))
            for start in [self._at - seconds for seconds in wanted.first_of]:
                first, *others = self._list_hours(start)
                known = self._samples[place]
                is_known = any(start <= tick <= first + HOUR for tick in known)
                if not is_known and record is not None and record.newest >= start:
                    self._reads += [_HourRead(place, hour, start, is_first_only=True) for hour in others]
        return bool(self._reads)

    def list_samples(self) -> Iterable[tuple[int, list[Sample]]]:
        """Return the samples of each metric that has some, by its place, oldest first."""
        return ((place, [sample for _, sample in sorted(known.items())]) for place, known in self._samples.items())

    def list_extremes(self, records: Sequence[MetricState | None]) -> Iterable[tuple[int, Mapping[Span, WindowRange]]]:
        """Return the extremes of each metric whose rules ask for some, by its place."""
        for place, wanted in self._looks.items():
            record, metric, spans = records[place], self._metrics[place], wanted.extremes_of
            if record is None or not spans:
                continue
            if place in self._unknown:
                known = self._samples[place]
                self._ranges.fill(metric, spans, record.at, [known[tick] for tick in sorted(known)])
            yield place, self._ranges.find_ranges(metric, spans, self._at)

    def _is_behind(self, place: int, wanted: Lookback, record: MetricState) -> bool:
        """Return whether the extremes that are kept are those of another state of the metric."""
        spans = wanted.extremes_of
        if not spans or place in self._unknown:
            return False
        return not self._ranges.is_known(self._metrics[place], spans, self._at, record.at)

    def _first_reads(self, place: int, wanted: Lookback) -> Iterator[_HourRead]:
        for start in [self._at - seconds for seconds in wanted.first_of]:
            yield _HourRead(place, self._list_hours(start)[0], start, is_first_only=True)
        all_of = max(wanted.all_of, _find_longest(wanted) if place in self._unknown else 0)
        if all_of:
            yield from self._read_all(place, all_of)

    def _read_all(self, place: int, seconds: int) -> Iterator[_HourRead]:
        start = self._at - seconds
        return (_HourRead(place, hour, start, is_first_only=False) for hour in self._list_hours(start))

    def _list_hours(self, start: int) -> Sequence[int]:
        return list_hours(start - 1, self._at - 1)


def _find_longest(wanted: Lookback) -> int:
    return max(seconds for _, seconds in wanted.extremes_of)
