"""
Looks after the archive beside sampling: closes hours when they are due, revises them when late samples came, and
tries again when the database is away. How an hour is closed is `closing`'s business.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import structlog

from worker.archiving.rollup import HourlyRollup
from worker.backfill.from_archive import ArchiveBackfill
from worker.latest import DAY, HOUR, ArchiveError, ArchiveWriter, StoreAway, StoreError, Writer
from worker.sources.supervised import SupervisedSource

log = structlog.get_logger()

BEATS = 5
"""Seconds between two looks at what is due."""
SHORTEST_WAIT, LONGEST_WAIT = 5, 60
"""Seconds between two tries while the database is away, doubled each time."""
MOST_LATE = 600
"""Seconds that late samples may go on coming before their hours are revised all the same."""
LOOK_SECONDS = 30
"""Seconds between two looks whether an archive that is open still takes writes; hours are closed far more rarely."""
ADVICE = "see whether the database of TRACKER_DATABASE_URL, or the disk of TRACKER_DATA_DIR, takes writes"
PATIENCE = 30.0
"""Seconds that the first tick may wait for hours that it would let go of."""


class Archiver:
    """
    Keeps the archive up with the store, for ever. Whatever is wrong with the database costs sampling nothing: it is
    told once, kept where the API finds it, and tried again until all that is still in the store is in the archive.

    `look_again` is called when there may be more to fill: the archive is back, or the store has lost its memory.
    """

    def __init__(
        self,
        store: Writer,
        archive: ArchiveWriter,
        closer: HourlyRollup,
        hindsight: ArchiveBackfill,
        look_again: Callable[[], None] = lambda: None,
    ) -> None:
        self.look_again = look_again
        self._store = store
        self._archive = archive
        self._closer = closer
        self._hindsight = hindsight
        self._is_open = False
        self._looked_at = 0
        """When the archive was last seen to take writes."""
        self._late = 0
        """How much was late at the last look."""
        self._late_since = 0
        self._reason: str | None = None
        """Why the archive fails; `None` while it does not."""
        self._since: int | None = None
        self._wait = SHORTEST_WAIT
        self._not_before = 0
        self._refused = ""
        """What Redis said last instead of an answer."""
        self._noted: dict[str, Any] | None = None

    async def open(self, now: int) -> None:
        """
        Open the archive, and close what the first tick would let go of, before there is one.

        An archive that is away, or cannot be used, is told and tried again by `run`: it costs sampling nothing.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                await self._open_archive()
                tick = await self._store.read_tick()
                if tick is not None:
                    self._closer.start_at(tick - DAY + 1, await self._archive.read_metrics(tick - DAY))
                    await self._closer.close_until(now - DAY + HOUR, now)
        except ArchiveError as error:
            self._handle_failure(now, error)
        except (StoreError, TimeoutError) as error:
            log.debug("not all was closed before the first tick", reason=str(error))

    async def run(self, beats: AsyncIterator[int]) -> None:
        """Look at every beat whether something is due, for ever."""
        async for now in beats:
            await self.work(now)

    async def work(self, now: int) -> None:
        """Do what is due at `now`; never raises because a database is away."""
        if now < self._not_before:
            return
        try:
            await self._checked(now)
            await self._close(now)
            await self._revise(now)
        except ArchiveError as error:
            self._handle_failure(now, error)
        except StoreError as error:
            self._wait_for_store(error)
            return
        else:
            self._handle_success(now)
        await self._note()

    async def backfill_after(
        self, source: SupervisedSource, others: Sequence[SupervisedSource], at: int, is_urgent: Callable[[], bool]
    ) -> None:
        """
        Make good, both ways, what the fill of a source could not: the store from the archive, and the archive from
        the source. Ends early where `is_urgent` says that there is something to fill again.
        """
        if self._reason is not None or not self._is_open:
            return
        try:
            await self._hindsight.backfill(source, others, at, is_urgent)
        except ArchiveError as error:
            self._handle_failure(at, error)

    def _wait_for_store(self, error: StoreError) -> None:
        """Whoever commits tells that Redis is away, but not what is refused to us alone."""
        tell = log.debug if isinstance(error, StoreAway) or str(error) == self._refused else log.warning
        tell("nothing is closed while Redis does not answer as it should", reason=str(error))
        self._refused = str(error)

    async def _open_archive(self) -> None:
        if not self._is_open:
            await self._archive.open()
            self._is_open = True
            if self._reason is not None:
                # What it has taken before it failed it may have lost: a file put back, a standby that lags.
                self._closer.forget()

    async def _checked(self, now: int) -> None:
        """Open the archive, or see now and then that it takes writes: an hour is too long to find out that it does not."""
        if not self._is_open:
            await self._open_archive()
        elif now < self._looked_at + LOOK_SECONDS:
            return
        else:
            await self._archive.check()
        self._looked_at = now

    async def _close(self, now: int) -> None:
        tick = await self._store.read_tick()
        if tick is None:
            return
        # An hour is over when its last tick is committed, however late that is, and its grace has passed.
        closed = await self._closer.close_until(min(tick, now - self._closer.grace), now)
        if closed:
            log.info("hours are closed", hours=closed, newest=self._closer.newest)

    async def _revise(self, now: int) -> None:
        """Close hours anew that late samples were put into, once no more of them come: a fill takes its time."""
        before, self._late = self._late, sum(len(metrics) for metrics in self._store.late_hours.values())
        if not before:
            self._late_since = now
        if not self._late or (self._late != before and now < self._late_since + MOST_LATE):
            return
        changed = await self._closer.revise_late(now)
        self._late = 0
        if changed:
            log.info("closed hours are revised", candles=changed)

    def _handle_failure(self, now: int, error: ArchiveError) -> None:
        if self._reason is None:
            self._since = now
            log.warning("the archive fails, hours wait in Redis", reason=str(error))
        elif self._reason != str(error):
            log.warning("the archive still fails", reason=str(error), since=self._since)
        self._reason = str(error)
        self._is_open = False
        self._closer.begin_again()
        self._not_before, self._wait = now + self._wait, min(2 * self._wait, LONGEST_WAIT)

    def _handle_success(self, now: int) -> None:
        self._wait = SHORTEST_WAIT
        if self._since is None:
            self._since = now
        if self._reason is not None:
            log.info("the archive is back", failed_since=self._since)
            self._reason, self._since = None, now
            self.look_again()

    async def _note(self) -> None:
        """Say how the archive does; where what was said before is gone, so is everything else in Redis."""
        state = {
            "state": "ok" if self._reason is None else "failing",
            "since": self._since,
            "newest": self._closer.newest,
            "reason": self._reason,
            "retry_at": self._not_before if self._reason else None,
            "advice": ADVICE if self._reason else None,
        }
        try:
            if self._noted is not None and await self._store.read_archive_state() is None:
                log.warning("Redis has lost what it held, the day is filled again")
                self._noted = None
                self.look_again()
            if state != self._noted:
                await self._store.write_archive_state(state)
                self._noted = state
        except StoreError as error:
            log.debug("nothing is noted while the store is away", reason=str(error))
