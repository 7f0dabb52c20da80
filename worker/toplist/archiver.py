"""
Puts the top list of each full hour into the archive, for good.

The list of an hour is the one of its full minute, or where that has none, the newest of the hour before it.
What could not be put there while the database was away is made up for, as long as Redis has it.
"""

from collections.abc import AsyncIterator
from typing import Any

import structlog

from worker.latest import DAY, HOUR
from worker.latest.archive import ArchiveError, TopArchiveWriter
from worker.latest.store import StoreAway, StoreError, Unreadable
from worker.latest.toplist import TopList, TopWriter

log = structlog.get_logger()

NAME = "keeping"


class TopListArchiver:
    """Keeps hours, for ever. Whatever is wrong with the database is told once and tried again."""

    def __init__(self, top: TopWriter, archive: TopArchiveWriter, margin: int, days: int | None) -> None:
        self._top = top
        self._archive = archive
        self._margin = margin
        self._days = days
        """How many days are kept; without a number all."""
        self._is_open = False
        self._newest: int | None = None
        """The newest hour that is behind us."""
        self._kept: int | None = None
        """The newest hour that is in the archive, as far as we have looked."""
        self._reason: str | None = None

    async def run(self, now: int, beats: AsyncIterator[int]) -> None:
        """Keep what is due at minute `now`, and at every one that comes, for ever."""
        await self.archive_until(now)
        async for at in beats:
            await self.archive_until(at)

    async def archive_until(self, at: int) -> None:
        """Keep the hours up to `at` that are not kept yet."""
        try:
            if not self._is_open:
                await self._archive.open()
                self._is_open = True
            await self._archive_hour(at)
        except ArchiveError as error:
            await self._write_state(at, str(error))
        except StoreAway as error:
            log.debug("no hour is kept while Redis is away", reason=str(error))
        except StoreError as error:
            await self._write_state(at, str(error))
        else:
            await self._write_state(at, None)

    async def _archive_hour(self, at: int) -> None:
        span = await self._top.read_range()
        if span is None:
            return
        # Until then its minute may still be waiting for lists, or for whoever makes up for minutes that were missed.
        newest = min(at - self._margin - 1, span.newest) // HOUR * HOUR
        if self._newest is not None and newest <= self._newest:
            return
        since = newest - DAY + HOUR if self._newest is None else self._newest + HOUR
        held = await self._archive.read_top_hours(since)
        for hour in range(since, newest + 1, HOUR):
            snapshot = None if hour in held else await self._find_list(hour)
            if snapshot is not None:
                await self._archive.write(hour, snapshot)
                held.add(hour)
                log.info("top list is kept", hour=hour, coins=len(snapshot.coins))
        if self._days is not None:
            await self._archive.trim(at - self._days * DAY)
        self._newest, self._kept = newest, max(held, default=self._kept)

    async def _find_list(self, hour: int) -> TopList | None:
        try:
            found = await self._top.read_snapshot(hour)
        except Unreadable as error:
            log.warning("a top list is not kept, for it cannot be read", hour=hour, reason=str(error))
            return None
        return found if found is not None and found.at > hour - HOUR else None

    async def _write_state(self, at: int, reason: str | None) -> None:
        if reason is not None and self._reason is None:
            log.warning("top lists are not kept", reason=reason)
        elif reason is None and self._reason is not None:
            log.info("top lists are kept again")
        self._reason = reason
        state: dict[str, Any] = {"state": "ok" if reason is None else "failing", "reason": reason, "at": at}
        try:
            await self._top.write_role_state(NAME, state | {"list_at": self._kept})
        except StoreError as error:
            log.debug("nothing is said while Redis does not take it", reason=str(error))
