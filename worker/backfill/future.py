"""Drops what a clock that was ahead has left in the future, once the clock is known to be right. What that is, the stores know."""

import asyncio
from contextlib import suppress

import structlog

from worker.clock.wall import FUTURE_SECONDS, RETRY_SECONDS, WatchedClock
from worker.latest import (
    ArchiveError,
    ArchiveWriter,
    FutureLists,
    FutureRemover,
    StoreAway,
    StoreError,
    TopArchiveWriter,
    Writer,
    connect,
    connect_archive,
)
from worker.settings import WorkerSettings

log = structlog.get_logger()


async def wait_until_right(clock: WatchedClock) -> None:
    """Return when the clock can be relied on."""
    while True:
        if await clock.is_right():
            return
        await asyncio.sleep(RETRY_SECONDS)


async def report_clock(store: Writer, clock: WatchedClock) -> None:
    """Say what is wrong with the clock where the API finds it, for ever."""
    said: str | None = "not looked at yet"
    while True:
        clock.changed.clear()
        fault = clock.fault
        try:
            if fault is not None or said is not None:
                await store.note_clock(fault)
                said = fault
        except StoreAway as error:
            log.debug("nothing is noted while the store is away", reason=str(error))
        with suppress(TimeoutError):
            await asyncio.wait_for(clock.changed.wait(), RETRY_SECONDS)


async def drop_if_far(settings: WorkerSettings, clock: WatchedClock, archive: ArchiveWriter) -> None:
    """Drop the future where the newest tick lies far in it and a provider confirms our clock; told, never raised."""
    try:
        async with connect(settings.redis_address, "data-tracker-future") as redis:
            tick = await FutureRemover(redis).read_tick()
        now = int(clock.wall())
        if tick is None or tick <= now + max(FUTURE_SECONDS, settings.interval):
            return
        if not clock.is_confirmed:
            log.warning("the newest tick lies in the future, and no provider says whether that is so", ahead=tick - now)
            return
        log.warning("the newest tick lies in the future: a clock was wrong", ahead=f"{tick - now} s")
        await archive.open()
        log.warning("the future is dropped", what=await drop_future(settings, now, archive))
    except (StoreError, ArchiveError) as error:
        log.warning("the future is not dropped", reason=str(error))


async def drop_future(settings: WorkerSettings, now: int, archive: ArchiveWriter) -> str:
    """
    Drop all that is later than `now`, and return in words what that was. Whoever calls it has the lease.

    The archive comes first: by the newest tick, which is set back last, it is seen that there is something to do.
    """
    hours = await archive.drop_future(now)
    async with connect_archive(settings.archive_address, "data-tracker-future", writes=True) as engine:
        hours += await TopArchiveWriter(engine).drop_future(now)
    async with connect(settings.redis_address, "data-tracker-future") as redis:
        dropped = await FutureRemover(redis).drop_future(now)
    return (
        f"dropped {dropped.samples} samples, {dropped.alerts} alerts, {dropped.lists} top lists "
        f"and {hours} hours of the archive that lay in the future"
    )


async def drop_lists_if_far(lists: FutureLists, clock: WatchedClock) -> None:
    """Drop top lists of the future, likewise: the roles that make them may run in processes of their own."""
    try:
        now = int(clock.wall())
        if clock.is_settled and await lists.newest() > now + FUTURE_SECONDS:
            dropped = await lists.drop_future(now)
            log.warning("top lists of the future are dropped: a clock was wrong", lists=dropped)
    except StoreError as error:
        log.warning("top lists of the future are not looked for", reason=str(error))
