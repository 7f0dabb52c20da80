"""Puts the archive's parts together, from the settings, for the commands that need them. No work is done here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from worker.archiving.rollup import HourlyRollup, RollupOptions
from worker.backfill.from_archive import ArchiveBackfill
from worker.latest import DAY, ArchiveWriter, Writer, connect_archive
from worker.settings import WorkerSettings


class ArchiveParts(NamedTuple):
    """What works on one archive and one store."""

    archive: ArchiveWriter
    closer: HourlyRollup
    hindsight: ArchiveBackfill


@asynccontextmanager
async def open_archiving(settings: WorkerSettings, store: Writer) -> AsyncIterator[ArchiveParts]:
    """Return the parts; nothing is opened yet, and everything is closed at the end."""
    rules = RollupOptions(settings.interval, settings.archive_grace, settings.archive_days)
    # What is asked for must not be let go of at once.
    days = settings.archive_days
    backfill = settings.archive_backfill if days is None else min(settings.archive_backfill, days * DAY)
    async with connect_archive(settings.archive_address, "data-tracker-worker", writes=True) as engine:
        archive = ArchiveWriter(engine)
        yield ArchiveParts(
            archive, HourlyRollup(store, archive, rules), ArchiveBackfill(store, archive, settings.interval, backfill)
        )
