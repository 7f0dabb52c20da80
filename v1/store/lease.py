"""The lease of a Redis, one key in it: whoever holds it may feed, nobody else. Raises `StoreAway` as every read does."""

import time
from collections.abc import Callable

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from . import keys
from .connection import LeaseLost, StoreAway, translate_errors
from .transactions import change_watched


def read_sleepless_clock() -> float:
    """Return the seconds since some moment, by a clock that nobody sets and that goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Lease:
    """
    The right to feed one Redis, as one process has it or not. It runs out unless it is taken again in time.

    A process that never took it may write all the same: it is for whoever starts the process to take it first.
    """

    def __init__(self, redis: Redis, clock: Callable[[], float] = read_sleepless_clock) -> None:
        self._redis = redis
        self._clock = clock
        self._holder: str | None = None
        """The name under which we took it; `None` before that."""
        self._until = 0.0
        """Until when we have it for certain, by `clock`."""

    async def take_or_keep(self, name: str) -> str | None:
        """Take or renew the lease; where somebody else has it, return that name."""
        now = self._clock()
        with translate_errors():
            while not await self._redis.set(keys.LEASE, name, nx=True, ex=keys.LEASE_SECONDS):
                holder = await self._redis.get(keys.LEASE)
                if holder is not None and holder != name:
                    return str(holder)
                if holder == name and await self._replace_holder(name, name):
                    break
        self._holder, self._until = name, now + keys.LEASE_SECONDS
        return None

    async def take_over(self, name: str, holder: str) -> bool:
        """Take the lease from a holder that is known to be gone; return whether it was still that holder's."""
        now = self._clock()
        if not await self._replace_holder(holder, name):
            return False
        self._holder, self._until = name, now + keys.LEASE_SECONDS
        return True

    async def release(self, name: str) -> None:
        """Release the lease, if it is still held under this name."""
        with translate_errors():
            if await self._redis.get(keys.LEASE) == name:
                await self._redis.delete(keys.LEASE)

    def check_holder(self, holder: str | None) -> None:
        """Raise `LeaseLost` where `holder`, just read from Redis, is somebody else than who took the lease here."""
        if self._holder is not None and holder not in (None, self._holder):
            raise LeaseLost(f"{holder} feeds this Redis now, and only one worker does at a time")

    async def check(self) -> None:
        """
        See, before something is written, that nobody else can have fed since it was read.

        Raises `LeaseLost` where somebody else has the lease, and `StoreAway` where it ran out meanwhile: then it is
        taken again, but somebody may have had it and given it back, so what was read must be read anew.
        """
        now = self._clock()
        if self._holder is None or now < self._until:
            return
        is_still_ours = await self._replace_holder(self._holder, self._holder)
        if is_still_ours:
            self._until = now + keys.LEASE_SECONDS
            return
        self.check_holder(await self.take_or_keep(self._holder))
        raise StoreAway("the lease ran out between reading and writing; it is taken again")

    async def _replace_holder(self, holder: str, name: str) -> bool:
        """Put a name in place of another; return whether that one was still there."""

        async def decide(pipe: Pipeline) -> bool:
            if await pipe.get(keys.LEASE) != holder:
                return False
            pipe.multi()  # type: ignore[no-untyped-call]  # redis-py forgot to annotate it
            pipe.set(keys.LEASE, name, ex=keys.LEASE_SECONDS)
            return True

        return await change_watched(self._redis, keys.LEASE, decide)
