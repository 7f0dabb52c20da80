"""
Counts what clients use of their limits, in windows that slide: in Redis for all processes together, and in the memory
of each while Redis does not answer.

The counting is that of the library `limits` (its sliding window counter): the count of the running window, and of the
one before as much as still lies within the length of a window.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from math import floor
from typing import NamedTuple, TypeVar, cast

import structlog
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage, SlidingWindowCounterSupport
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import Redis

from . import keys
from .cluster.client import ClusterRedis
from .connection import StoreError, translate_errors

AWAY_SECONDS = 5.0
"""How long Redis is not asked again after it did not answer."""
ANSWER_SECONDS = 1.0
"""How long its answer is waited for. A client must not wait for it longer than for what it asked."""

T = TypeVar("T")

log = structlog.get_logger()


class UsageLimit(NamedTuple):
    """How much may be used in the length of a window."""

    name: str
    amount: int
    seconds: int


class SlidingWindow(NamedTuple):
    """The two counts that the library keeps of a limit."""

    before: int
    """Used in the window before."""
    before_ends: float
    """For how many seconds of that it still lies within a window's length."""
    running: int
    """Used in the running window."""
    running_lasts: float
    """For how many seconds its count is kept: a window's length longer than itself; 0 where there is none."""


class WindowUsage(NamedTuple):
    """How much of a limit is left, and for how long."""

    remaining: int
    ends_in: float
    """Seconds until the running window ends."""
    wait: float
    """Seconds until the amount that was asked about is free again; 0 where it is."""


class RateLimitStore:
    """Takes amounts from the windows of subjects. Never raises what comes from Redis: limits are never switched off."""

    def __init__(self, redis: Redis, steady: Callable[[], float] = time.monotonic) -> None:
        """`steady` says seconds that only go forward."""
        # The library connects by itself only where it is given no pool; ours reaches the server of the settings.
        storage = RedisStorage(
            "async+redis://localhost:6379",
            implementation="redispy",
            key_prefix=keys.limits(),
            connection_pool=redis.connection_pool,  # type: ignore[arg-type]  # handed on to redis-py as it is
        )
        if isinstance(redis, ClusterRedis):
            # The library would ask one node for everything, or bring a client of clusters of its own.
            storage.bridge.connection_getter = lambda _: redis  # type: ignore[attr-defined]  # of its own bridge to redis-py
            storage.bridge.register_scripts()
        self._shared = SlidingWindowCounterRateLimiter(storage)
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._steady = steady
        self._away_until: float | None = None

    async def take(self, limit: UsageLimit, subject: str, amount: int) -> bool:
        """Use `amount` of a limit; return whether it was free. Nothing is used where it was not."""
        item = _make_item(limit)
        return await self._ask(lambda limiter: limiter.hit(item, subject, cost=amount))

    async def read_usage(self, limit: UsageLimit, subject: str, amount: int) -> WindowUsage:
        """Return what is left of a limit, and how long until `amount` of it is free."""
        item = _make_item(limit)

        async def read(limiter: SlidingWindowCounterRateLimiter) -> WindowUsage:
            storage = cast("SlidingWindowCounterSupport", limiter.storage)
            window = SlidingWindow(*await storage.get_sliding_window(item.key_for(subject), limit.seconds))
            return compute_usage(limit, amount, window)

        return await self._ask(read)

    async def _ask(self, work: Callable[[SlidingWindowCounterRateLimiter], Awaitable[T]]) -> T:
        if self._away_until is None or self._steady() >= self._away_until:
            try:
                with translate_errors():
                    async with asyncio.timeout(ANSWER_SECONDS):
                        answer = await work(self._shared)
            except StoreError as error:
                if self._away_until is None:
                    log.warning("rate limits are counted by this process alone", reason=str(error))
                self._away_until = self._steady() + AWAY_SECONDS
            else:
                if self._away_until is not None:
                    self._away_until = None
                    log.info("rate limits are counted in Redis again")
                return answer
        return await work(self._own)


def _make_item(limit: UsageLimit) -> RateLimitItem:
    item = parse(f"{limit.amount}/{limit.seconds} second")
    item.namespace = limit.name
    return item


def compute_usage(limit: UsageLimit, amount: int, window: SlidingWindow) -> WindowUsage:
    """Return what is left of a limit, and when `amount` of it is free."""
    before, before_ends, running, running_lasts = window
    length = limit.seconds
    ends_in = running_lasts - length if running_lasts > length else before_ends or float(length)
    counted = before * before_ends / length + running
    over = counted + amount - limit.amount
    if over <= 0:
        wait = 0.0
    elif before and over * length / before <= before_ends:
        # What was used in the window before fades evenly until the running one ends.
        wait = over * length / before
    else:
        wait = ends_in + max(0, running + amount - limit.amount) * length / max(running, 1)
    return WindowUsage(max(0, limit.amount - floor(counted)), ends_in, wait)
