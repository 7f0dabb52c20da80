"""
Keeps the archive up with the store beside sampling: archives hours when they are due, revises them after late samples,
and tries again when the database is away. While it has nothing of that to do, it puts what is over in order.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import structlog

from worker.archiving.health import ArchiveCondition
from worker.archiving.late_hours import LateHours
from worker.archiving.ordering import PartitionOrdering
from worker.archiving.rollup import HourlyRollup
from worker.latest import DAY, HOUR
from worker.latest.archive import ArchiveError, ArchiveWriter, TableLayout
from worker.latest.store import StoreAway, StoreError, Writer

log = structlog.get_logger()

MOST_LATE = 600
"""Seconds that late samples may go on coming before their hours are revised all the same."""
WRITE_CHECK_SECONDS = 30
"""Seconds between two checks that an archive that is open still takes writes; hours are archived far more rarely."""
OPEN_SECONDS = 30.0
"""Seconds that the first tick may wait for hours that it would drop from the store."""


class Archiver:
    """
    Runs for ever. A failing database costs sampling nothing: it is logged once, its state is kept where the API finds
    it, and it is tried again until all that is still in the store is in the archive.

    `request_backfill` is called when samples may be missing: the archive is back, or the store has lost its data.
    """

    def __init__(  # noqa: PLR0913  # all by name
        self,
        *,
        store: Writer,
        archive: ArchiveWriter,
        rollup: HourlyRollup,
        late_hours: LateHours,
        health: ArchiveCondition,
        ordering: PartitionOrdering | None = None,
        request_backfill: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._archive = archive
        self._rollup = rollup
        self._late_hours = late_hours
        self._health = health
        self._ordering = ordering
        self._request_backfill = request_backfill
        self._checked_at = 0
        """When the archive was last seen to take writes."""
        self._late = 0
        """How much was late at the last look."""
        self._late_since = 0
        self._refused = ""
        """The last error that Redis answered with."""
        self._written: dict[str, Any] | None = None
        """The state that was last written to the store."""

    async def open(self, now: int) -> None:
        """
        Open the archive, and archive the hours that the first tick would drop, before there is one.

        An archive that is away, or cannot be used, is logged and tried again by `run`: it costs sampling nothing.
        """
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._open_archive()
                tick = await self._store.read_tick()
                if tick is not None:
                    self._rollup.start_at(tick - DAY + 1, await self._archive.read_metrics(tick - DAY))
                    await self._rollup.close_until(now - DAY + HOUR, now)
        except ArchiveError as error:
            self._health.record_failure(now, error)
        except (StoreError, TimeoutError) as error:
            log.debug("not all hours were archived before the first tick", reason=str(error))

    async def run(self, instants: AsyncIterator[int]) -> None:
        """Do what is due at every instant, for ever."""
        async for now in instants:
            await self.archive_due(now)

    async def archive_due(self, now: int) -> None:
        """Do what is due at `now`; never raises because a database is away."""
        if now < self._health.retry_at:
            return
        try:
            await self._check_archive(now)
            has_closed = await self._close(now)
            await self._revise(now)
        except ArchiveError as error:
            self._health.record_failure(now, error)
        except StoreError as error:
            self._log_store_error(error)
            return
        else:
            if self._health.record_success(now):
                self._request_backfill()
            if self._ordering is not None and not has_closed and not self._late:
                await self._ordering.advance(now)
        await self._write_state()

    def _log_store_error(self, error: StoreError) -> None:
        """Log what is refused to the archiver alone; the sampler logs that Redis is away."""
        write_log = log.debug if isinstance(error, StoreAway) or str(error) == self._refused else log.warning
        write_log("nothing is archived until Redis answers", reason=str(error))
        self._refused = str(error)

    async def _open_archive(self) -> None:
        if not self._health.is_open:
            await self._archive.open()
            self._health.is_open = True
            if self._archive.layout is not TableLayout.PARTITIONS:
                log.info("the archive's tables are kept by an extension of PostgreSQL", layout=self._archive.layout)
            # What it took before it failed may be lost: a file put back, a standby that lags.
            self._rollup.begin_again()

    async def _check_archive(self, now: int) -> None:
        """Open the archive, or check now and then that it takes writes: an hour is too long to notice that it does not."""
        if not self._health.is_open:
            await self._open_archive()
        elif now < self._checked_at + WRITE_CHECK_SECONDS:
            return
        else:
            await self._archive.check()
        self._checked_at = now

    async def _close(self, now: int) -> bool:
        """Close the hours that are over, and return whether there were any."""
        tick = await self._store.read_tick()
        if tick is None:
            return False
        # An hour is over when its last tick is committed, however late that is, and its grace has passed.
        closed = await self._rollup.close_until(min(tick, now - self._rollup.grace), now)
        if closed:
            log.info("hours are archived", hours=closed, newest=self._rollup.newest)
        return bool(closed)

    async def _revise(self, now: int) -> None:
        """Archive hours anew that late samples were put into, once no more of them come: a backfill takes its time."""
        before, self._late = self._late, len(self._late_hours)
        if not before:
            self._late_since = now
        if not self._late or (self._late != before and now < self._late_since + MOST_LATE):
            return
        changed = await self._rollup.revise_late(now)
        self._late = 0
        if changed:
            log.info("archived hours are revised", candles=changed)

    async def _write_state(self) -> None:
        """Write how the archive does; where the state written before is gone, so is everything else in Redis."""
        ordering = None if self._ordering is None else self._ordering.describe()
        state = self._health.describe() | {"newest": self._rollup.newest, "ordering": ordering}
        try:
            if self._written is not None and await self._store.read_archive_state() is None:
                log.warning("Redis has lost its data, the day is filled again")
                self._written = None
                self._request_backfill()
            if state != self._written:
                await self._store.write_archive_state(state)
                self._written = state
        except StoreError as error:
            log.debug("the archive's state is not written while Redis is away", reason=str(error))
