"""Yields the ticks of the sampling grid when they come."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog

from worker.clock.wall import FUTURE_SECONDS, RETRY_SECONDS, ClockSetBack, WatchedClock

log = structlog.get_logger()


async def ticks(
    interval: int,
    after: int | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    watch: WatchedClock | None = None,
) -> AsyncIterator[int]:
    """
    Yield every multiple of `interval`, unix seconds, when it has come and is later than `after` (else than now).

    A slow tick skips the next ones. None is early, repeated or made up for; after the clock was set back,
    the next one comes when the clock is past the last. While `watch` says that the clock cannot be relied on, none
    comes; where it was far ahead, and providers say that it is right now, `ClockSetBack` is raised.
    """
    last = _find_newest_tick(clock(), interval) if after is None else after
    is_logged = False
    while True:
        # No longer than one interval at a time, so that a clock set forward is noticed by the next tick.
        await sleep(min(last + interval - clock(), interval))
        if watch is not None and not await watch.is_right():
            await sleep(min(interval, RETRY_SECONDS))
            continue
        tick = _find_newest_tick(clock(), interval)
        if tick > last:
            last, is_logged = tick, False
            yield tick
        elif watch is not None and watch.is_confirmed and tick < last - max(FUTURE_SECONDS, interval):
            raise ClockSetBack(f"the clock was {last - tick} s ahead, and is right again")
        elif tick < last and not is_logged:
            log.warning("the clock was set back, and nothing is sampled until it is past", now=tick, until=last)
            is_logged = True


def _find_newest_tick(now: float, interval: int) -> int:
    """Return the newest tick that has come."""
    return int(now // interval) * interval
