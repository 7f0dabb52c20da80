"""Reads the samples that alert rules look back on. Puts commands into a pipeline and takes answers; sends nothing."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from redis.asyncio.client import Pipeline

from .. import keys
from ..model import HOUR, Metric, Sample
from ..records import LOOKS_AT_NOTHING, Look, Record


class _Read(NamedTuple):
    """One look into one hour of one metric."""

    place: int
    """Of the metric among those of the tick."""
    hour: int
    start: int
    is_first_only: bool


class Recent:
    """
    What the rules look back on at one tick, for each of its metrics.

    The first sample of a window nearly always lies in the window's first hour, so only that one is
    asked for; where it is not there, `lacks` asks for the others.
    """

    def __init__(self, at: int, metrics: Sequence[Metric], look: Callable[[Metric], Look]) -> None:
        self._at = at
        self._metrics = metrics
        self._looks = {
            place: wanted for place, metric in enumerate(metrics) if (wanted := look(metric)) is not LOOKS_AT_NOTHING
        }
        self._reads = [read for place, wanted in self._looks.items() for read in self._first_reads(place, wanted)]
        self._samples: dict[int, dict[int, Sample]] = {place: {} for place in self._looks}

    def put(self, pipe: Pipeline) -> None:
        """Put the reads that are due."""
        for place, hour, start, is_first_only in self._reads:
            key, limit = keys.samples(self._metrics[place], hour), ("LIMIT", 0, 1) if is_first_only else ()
            pipe.execute_command("ZRANGE", key, start, f"({self._at}", "BYSCORE", *limit)

    def take(self, answers: Iterator[list[str]]) -> None:
        """Take the answers to what was put."""
        for read in self._reads:
            for sample in keys.parse_all(read.hour, next(answers)):
                self._samples[read.place][sample.tick] = sample
        self._reads = []

    def lacks(self, records: Sequence[Record | None]) -> bool:
        """Tell whether there is more to put and take, to know the first sample of each window."""
        for place, wanted in self._looks.items():
            record = records[place]
            for start in [self._at - seconds for seconds in wanted.first_of]:
                first, *others = self._hours(start)
                known = self._samples[place]
                is_known = any(start <= tick <= first + HOUR for tick in known)
                if not is_known and record is not None and record.newest >= start:
                    self._reads += [_Read(place, hour, start, is_first_only=True) for hour in others]
        return bool(self._reads)

    def samples(self) -> Iterable[tuple[int, list[Sample]]]:
        """Give the samples of each metric that has some, by its place, oldest first."""
        return ((place, [sample for _, sample in sorted(known.items())]) for place, known in self._samples.items())

    def _first_reads(self, place: int, wanted: Look) -> Iterator[_Read]:
        for start in [self._at - seconds for seconds in wanted.first_of]:
            yield _Read(place, self._hours(start)[0], start, is_first_only=True)
        if wanted.all_of:
            start = self._at - wanted.all_of
            yield from (_Read(place, hour, start, is_first_only=False) for hour in self._hours(start))

    def _hours(self, start: int) -> Sequence[int]:
        return keys.hours(start - 1, self._at - 1)
