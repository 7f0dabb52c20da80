"""The clock: one instant after the other on the sampling grid. It only says when; what to do then is not its business."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog

log = structlog.get_logger()


async def beats(
    interval: int,
    after: int | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[int]:
    """
    Yield every multiple of `interval`, unix seconds, when it has come and is later than `after` (else than now).

    A slow tick skips beats. None is early, repeated or made up for; after the clock was set back,
    the next one comes when the clock is past the last.
    """
    last = _passed(clock(), interval) if after is None else after
    has_told = False
    while True:
        # No longer than one interval at a time, so that a clock set forward is noticed by the next beat.
        await sleep(min(last + interval - clock(), interval))
        beat = _passed(clock(), interval)
        if beat > last:
            last, has_told = beat, False
            yield beat
        elif beat < last and not has_told:
            log.warning("the clock was set back, and nothing is sampled until it is past", now=beat, until=last)
            has_told = True


def _passed(now: float, interval: int) -> int:
    """Give the newest beat that has come."""
    return int(now // interval) * interval
