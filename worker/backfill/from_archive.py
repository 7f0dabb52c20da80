"""
Restores the store's day from the archive, and has the archive's older hours fetched from the sources. It runs after a
source's candles were used to fill the day, at the source's pace, and never overwrites data that is more complete.

The archive restores one sample for each hour of the day that has none: at the hour's end, with its close as the price
and every other measure unknown. So a day that was lost, and of which no source has minutes any more, has its hours.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from worker.backfill.day import Sleep
from worker.backfill.exchange_hours import ExchangeHourFetcher
from worker.latest import DAY, HOUR, Measure, Metric, Sample, find_hour, split_into_chunks
from worker.latest.archive import ArchiveWriter
from worker.latest.market import SlotReason
from worker.latest.store import Writer
from worker.sources.errors import SourceError, SourceRefused
from worker.sources.supervised import SupervisedSource

log = structlog.get_logger()

SOURCE = "archive"
PART = 250
PAUSE = 0.05
"""Seconds between two requests to a source that has no pace: other tasks need to run, too."""


class BackfillResult(NamedTuple):
    """How much was added."""

    samples: int
    """Put into the day, from the archive."""
    hours: int
    """Put into the archive, from the source."""


@dataclass(frozen=True, slots=True)
class ArchiveBackfill:
    """Raises `StoreError` and `ArchiveError`."""

    store: Writer
    archive: ArchiveWriter
    interval: int
    fetcher: ExchangeHourFetcher
    sleep: Sleep = asyncio.sleep

    async def backfill(
        self,
        source: SupervisedSource,
        others: Sequence[SupervisedSource],
        at: int,
        is_urgent: Callable[[], bool] = lambda: False,
    ) -> BackfillResult:
        """
        Restore from the archive what the candles of `source` did not have, fetch its older hours, and return how much
        was added; the day ends at tick `at`.

        The metrics of `others` are left to them. It ends early where `is_urgent` returns true.
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
        """Restore the hours of the day that have no sample, and return how many samples were put in."""
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
                samples = await self._read_archived(metric, hours)
                taken += await self._restore(metric, samples, at) if samples else 0
        return taken

    async def _restore(self, metric: Metric, samples: Sequence[Sample], at: int) -> int:
        return await self.store.insert_samples(metric, samples, SOURCE, at, reason=SlotReason.ARCHIVE)

    async def _find_empty_hours(self, metrics: Sequence[Metric], at: int) -> dict[Metric, set[int]]:
        """Return the hours that ended in the day and hold no sample, of the metrics that have any."""
        asked = [(metric, hour) for metric in metrics for hour in _list_ended_hours(at)]
        empty: dict[Metric, set[int]] = {}
        for (metric, hour), count in zip(asked, await self.store.count_samples(asked), strict=True):
            if not count:
                empty.setdefault(metric, set()).add(hour)
        return empty

    async def _read_archived(self, metric: Metric, hours: set[int]) -> list[Sample]:
        known = await self.archive.read_rows(metric, min(hours), max(hours) + HOUR)
        return [Sample.make(hour.start + HOUR, {Measure.PRICE: hour.close}) for hour in known if hour.start in hours]

    async def _fetch_older_hours(self, source: SupervisedSource, metric: Metric, at: int) -> int:
        """Fetch the hours of a metric that the archive lacks, at the source's pace, and return how many the source had."""
        try:
            found = await self.fetcher.fetch(source, metric, at)
        except SourceError as error:
            log.warning("no older hours", source=source.name, metric=metric, reason=str(error))
            await self.sleep((error.wait if isinstance(error, SourceRefused) else None) or source.source.pace)
            return 0
        if found is not None:
            await self.sleep(max(source.source.pace, PAUSE))
        return found or 0


def _list_ended_hours(at: int) -> range:
    """Return the hours of the day before `at` that are over."""
    return range(find_hour(at - DAY + 1), at - HOUR + 1, HOUR)
