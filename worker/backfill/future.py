"""Drops what was written with times of the future while the clock was ahead, once the clock is known to be right."""

import asyncio
from contextlib import suppress

import structlog

from worker.clock.wall import FUTURE_SECONDS, RETRY_SECONDS, WatchedClock
from worker.latest.archive import ArchiveError, ArchiveWriter, TopArchiveWriter, connect_archive
from worker.latest.store import FutureLists, FutureRemover, StoreAway, StoreError, Writer, connect
from worker.settings import WorkerSettings

log = structlog.get_logger()


async def wait_until_right(clock: WatchedClock) -> None:
    """Return when the clock can be relied on."""
    while True:
        if await clock.is_right():
            return
        await asyncio.sleep(RETRY_SECONDS)


async def report_clock(store: Writer, clock: WatchedClock) -> None:
    """Write what is wrong with the clock into the store, where the API finds it, for ever."""
    written: str | None = "not written yet"
    while True:
        clock.changed.clear()
        fault = clock.fault
        try:
            if fault is not None or written is not None:
                await store.note_clock(fault)
                written = fault
        except StoreAway as error:
            log.debug("the state of the clock is not written while Redis is away", reason=str(error))
        with suppress(TimeoutError):
            await asyncio.wait_for(clock.changed.wait(), RETRY_SECONDS)


async def drop_if_far(settings: WorkerSettings, clock: WatchedClock, archive: ArchiveWriter) -> None:
    """Drop what is later than now where the newest tick is far ahead and a provider confirms the clock; logged, never raised."""
    try:
        async with connect(settings.redis_address, "data-tracker-future") as redis:
            tick = await FutureRemover(redis).read_tick()
        now = int(clock.wall())
        if tick is None or tick <= now + max(FUTURE_SECONDS, settings.interval):
            return
        if not clock.is_confirmed:
            log.warning("the newest tick is in the future, and no provider confirms the clock", ahead=f"{tick - now} s")
            return
        log.warning("the newest tick is in the future: a clock was wrong", ahead=f"{tick - now} s")
        await archive.open()
        log.warning("data of the future is dropped", what=await drop_future(settings, now, archive))
    except (StoreError, ArchiveError) as error:
        log.warning("data of the future is not dropped", reason=str(error))


async def drop_future(settings: WorkerSettings, now: int, archive: ArchiveWriter) -> str:
    """
    Drop all that is later than `now`, and return in words what that was. The caller holds the lease.

    The archive comes first: the newest tick, by which the need is seen, is set back last.
    """
    hours = await archive.drop_future(now)
    async with connect_archive(settings.archive_address, "data-tracker-future", writes=True) as engine:
        hours += await TopArchiveWriter(engine).drop_future(now)
    async with connect(settings.redis_address, "data-tracker-future") as redis:
        dropped = await FutureRemover(redis, settings.min_coverage).drop_future(now)
    return (
        f"dropped {dropped.samples} samples, {dropped.alerts} alerts, {dropped.lists} top lists "
        f"and {hours} hours of the archive that lay in the future"
    )


async def drop_lists_if_far(lists: FutureLists, clock: WatchedClock) -> None:
    """Drop top lists of the future in the same way: the roles that make them may run in processes of their own."""
    try:
        now = int(clock.wall())
        if clock.is_settled and await lists.find_newest() > now + FUTURE_SECONDS:
            dropped = await lists.drop_future(now)
            log.warning("top lists of the future are dropped: a clock was wrong", lists=dropped)
    except StoreError as error:
        log.warning("top lists of the future are not dropped", reason=str(error))
