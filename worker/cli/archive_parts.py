"""Makes what works on the archive, from the settings, for the commands that need it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from worker.archiving.late_hours import LateHours
from worker.archiving.ordering import PartitionOrdering
from worker.archiving.rollup import HourlyRollup, RollupOptions
from worker.backfill.exchange_hours import ExchangeHourFetcher
from worker.backfill.from_archive import ArchiveBackfill
from worker.latest import DAY
from worker.latest.archive import ArchiveWriter, PartitionOrderer, connect_archive
from worker.latest.store import Writer
from worker.settings import WorkerSettings


class ArchiveParts(NamedTuple):
    """What works on one archive and one store."""

    archive: ArchiveWriter
    rollup: HourlyRollup
    backfill: ArchiveBackfill
    ordering: PartitionOrdering


@asynccontextmanager
async def open_archiving(
    settings: WorkerSettings, store: Writer, late_hours: LateHours | None = None
) -> AsyncIterator[ArchiveParts]:
    """Return the parts; nothing is opened yet, and everything is closed at the end. `late_hours` are the store's."""
    options = RollupOptions(settings.interval, settings.archive_grace, settings.archive_days)
    # What is asked for must not be dropped at once.
    days = settings.archive_days
    reach = settings.archive_backfill if days is None else min(settings.archive_backfill, days * DAY)
    async with connect_archive(settings.archive_address, "data-tracker-worker", writes=True) as engine:
        archive = ArchiveWriter(engine, settings.archive_partitions)
        yield ArchiveParts(
            archive,
            HourlyRollup(store, archive, options, late_hours),
            ArchiveBackfill(store, archive, settings.interval, ExchangeHourFetcher(archive, reach)),
            PartitionOrdering(PartitionOrderer(engine)),
        )
