"""
The time that ages are counted by: the machine's, or while a recording is replayed, the replay's own.

The time of a replay is that of its newest tick, and goes on from there at its speed, up to the next tick and no
further. So a replay that falls behind or stops makes nothing old, and is said to have stopped (`/health/ready`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from ..store import Change, ChangeFeed, ChangeKind, ReplayStore, StoreError

RETRY_SECONDS = 1.0
"""After which it is asked again whether the market is replayed, where Redis did not say."""

log = structlog.get_logger()


class MarketClock:
    """Says what time it is in the market. `wall` says that of the machine, in unix seconds."""

    def __init__(self, wall: Callable[[], float], interval: int) -> None:
        self.read_wall = wall
        self.is_replayed = False
        """Whether the market is a replayed one."""
        self._interval = interval
        self._speed = 0.0
        """Of a replay, in recorded seconds a second; 0 where no time goes by between two ticks."""
        self._tick: int | None = None
        self._heard_at = 0.0
        """When the tick was heard of, by the wall."""
        self._changed = asyncio.Event()

    def now(self) -> float:
        """Return the unix seconds of the market."""
        wall = self.read_wall()
        if not self.is_replayed or self._tick is None:
            return wall
        passed = max(0.0, wall - self._heard_at) * self._speed
        return self._tick + min(passed, self._interval - 1)

    def count_seconds_until(self, at: int) -> float:
        """Return how many seconds of the machine it takes until it is `at` in the market; below zero: it was."""
        left = at - self.now()
        return left / self._speed if self.is_replayed and self._speed else left

    def note_change(self, change: Change) -> None:
        """Take in a tick, and have the mark of the replay read anew where it may be another."""
        if change.tick is not None:
            self._note_tick(change.tick)
        if change.kind is ChangeKind.ALL:
            self._changed.set()

    async def read(self, store: ReplayStore) -> None:
        """Learn whether the market is replayed. Raises what the store does."""
        before = self._tick
        progress = await store.read()
        self.is_replayed = progress is not None
        if progress is None:
            return
        self._speed = float(progress.mark.speed or 0)
        # A tick that was told meanwhile is newer than the one that was read.
        if self._tick == before and progress.at not in (None, before):
            self._note_tick(progress.at)

    async def keep(self, store: ReplayStore) -> None:
        """Learn it again whenever it may be otherwise, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self.read(store)
            except StoreError as error:
                log.debug("it is not known whether the market is replayed", reason=str(error))
                self._changed.set()
                await asyncio.sleep(RETRY_SECONDS)

    def _note_tick(self, tick: int | None) -> None:
        self._tick, self._heard_at = tick, self.read_wall()


@asynccontextmanager
async def follow_market(clock: MarketClock, store: ReplayStore, changes: ChangeFeed) -> AsyncIterator[None]:
    """Keep a clock at the market's time until the end. With the first `yield` it is, unless Redis is away."""
    changes.add_listener(clock.note_change)
    try:
        await clock.read(store)
    except StoreError:
        clock.note_change(Change(ChangeKind.ALL))
    task = asyncio.create_task(clock.keep(store))
    try:
        yield
    finally:
        changes.remove_listener(clock.note_change)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
