"""
Makes good what was missed: the store's day from the archive, and the archive's past from the providers. It runs when
a source's fill is over, as slowly as the source wants, and never overwrites what is known better.

What the archive gives back to the day is one sample for each hour that has none: at the hour's end, with its close as
the price and every other measure unknown. So a day that was lost, and that no provider knows by the minute any more, is
known by the hour.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from worker.backfill.day import Sleep
from worker.latest import (
    DAY,
    HOUR,
    ArchiveWriter,
    Candle,
    Measure,
    Metric,
    Sample,
    Writer,
    candles,
    find_hour,
    split_into_chunks,
)
from worker.sources.base import SourceError, SourceRefused
from worker.sources.supervised import SupervisedSource

log = structlog.get_logger()

SOURCE = "archive"
PART = 250
PAUSE = 0.05
"""Seconds between two questions to a source that has no pace: others want to run, too."""


class BackfillResult(NamedTuple):
    """What came of it."""

    samples: int
    """That the archive gave back to the day."""
    hours: int
    """That the source gave to the archive."""


@dataclass(frozen=True, slots=True)
class ArchiveBackfill:
    """What it raises is the store's and the archive's."""

    store: Writer
    archive: ArchiveWriter
    interval: int
    reach: int
    """Seconds that the providers are asked back; 0: not at all."""
    sleep: Sleep = asyncio.sleep
    asked: dict[Metric, int] = field(default_factory=dict)
    """Until which hour a metric's source was asked. What it did not know then, it will not know later."""

    async def backfill(
        self,
        source: SupervisedSource,
        others: Sequence[SupervisedSource],
        at: int,
        is_urgent: Callable[[], bool] = lambda: False,
    ) -> BackfillResult:
        """
        Make good what the fill of `source` could not, at tick `at`, and return what came of it.

        `others` look after their own metrics. It ends early where `is_urgent` says so.
        """
        elsewhere = {metric for other in others for metric in other.given}
        known = await self.archive.read_metrics(at - DAY - HOUR)
        taken = await self.refill_from_archive([metric for metric in known if metric not in elsewhere], at)
        hours = 0
        for metric in source.given:
            if is_urgent():
                break
            found = await self._fetch_older_hours(source, metric, at)
            hours += found
            if found:
                taken += await self.refill_from_archive([metric], at)
        if hours:
            log.info("asked for older hours", source=source.name, hours=hours)
        if taken:
            await self.store.update_rankings(at)
            log.info("filled the past day", source=SOURCE, samples=taken)
        return BackfillResult(taken, hours)

    async def refill_from_archive(self, metrics: Sequence[Metric], at: int) -> int:
        """Put what the archive knows into hours of the day that have no sample, and return how many samples that made."""
        taken = 0
        for part in split_into_chunks(metrics, PART):
            records = await self.store.read_metric_states(part)
            lacking = [
                metric
                for metric, record in zip(part, records, strict=True)
                if record is None or record.at < at or record.count_day(Measure.PRICE) < DAY // self.interval
            ]
            empty = await self._find_empty_hours(lacking, at)
            for metric, hours in empty.items():
                samples = await self._read_known(metric, hours)
                taken += await self.store.insert_samples(metric, samples, SOURCE, at) if samples else 0
        return taken

    async def _find_empty_hours(self, metrics: Sequence[Metric], at: int) -> dict[Metric, set[int]]:
        """Return the hours that ended in the day and hold no sample, of the metrics that have any."""
        asked = [(metric, hour) for metric in metrics for hour in _list_ended_hours(at)]
        empty: dict[Metric, set[int]] = {}
        for (metric, hour), count in zip(asked, await self.store.count_samples(asked), strict=True):
            if not count:
                empty.setdefault(metric, set()).add(hour)
        return empty

    async def _read_known(self, metric: Metric, hours: set[int]) -> list[Sample]:
        known = await self.archive.read_hours(metric, min(hours), max(hours) + HOUR)
        return [Sample.make(hour.start + HOUR, {Measure.PRICE: hour.close}) for hour in known if hour.start in hours]

    async def _fetch_older_hours(self, source: SupervisedSource, metric: Metric, at: int) -> int:
        """Ask a source for the hours of a metric that nobody else knows, and return how many it knew."""
        until = at // HOUR * HOUR
        since = max(until - self.reach // HOUR * HOUR, self.asked.get(metric, 0))
        lacking = await self._find_missing_hours(metric, since, until) if since < until else []
        if not lacking:
            return 0
        try:
            length, told = await source.fetch_hours(metric, lacking[0], lacking[-1] + HOUR)
        except SourceError as error:
            log.warning("no older hours", source=source.name, metric=metric, reason=str(error))
            await self.sleep((error.wait if isinstance(error, SourceRefused) else None) or source.source.pace)
            return 0
        by_hour: dict[int, list[Candle]] = {hour: [] for hour in lacking}
        for candle in told:
            by_hour.get(candle.start // HOUR * HOUR, []).append(candle)
        made = [
            candles.make_hour_from_candles(candles.HourSlot(metric, hour, at), some, length, source.name)
            for hour, some in by_hour.items()
        ]
        known = [hour for hour in made if hour is not None]
        await self.archive.write(known)
        self.asked[metric] = until
        await self.sleep(max(source.source.pace, PAUSE))
        return len(known)

    async def _find_missing_hours(self, metric: Metric, since: int, until: int) -> list[int]:
        """
        Return the hours of which not all is known, neither by the archive nor, soon, from the store.

        Better the whole hour without its mean than a part of it with one. What a provider knows less of changes nothing.
        """
        covered = await self.archive.read_coverage(metric, since, until)
        lacking = [hour for hour in range(since, until, HOUR) if covered.get(hour, 0) < HOUR]
        there = [hour for hour in _list_ended_hours(until) if hour in lacking]
        if not there:
            return lacking
        # Samples are read, not counted: how long one stands for depends on where it lies. It is a day at most, and
        # only of hours that the archive does not know yet.
        for hour, ticks in await self.store.read_value_seconds(metric, Measure.PRICE, there[0], there[-1] + HOUR):
            covered[hour] = max(covered.get(hour, 0), candles.count_covered_seconds(ticks, self.interval))
        return [hour for hour in lacking if covered.get(hour, 0) < HOUR]


def _list_ended_hours(at: int) -> range:
    """Return the hours of the day before `at` that are over."""
    return range(find_hour(at - DAY + 1), at - HOUR + 1, HOUR)
