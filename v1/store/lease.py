"""The right to feed a Redis, as one key in it: taken, kept, taken over, given back. When, the worker decides."""

import time
from collections.abc import Callable

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from .. import keys
from .connection import LeaseLost, StoreAway, translate_errors
from .reader import Reader
from .transactions import change_watched


def awake_or_not() -> float:
    """Return the seconds since some moment, by a clock that nobody sets and that goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class LeaseHolder(Reader):
    """Who may feed, by a lease that runs out unless it is taken again. Each method raises `StoreAway`."""

    def __init__(self, redis: Redis, clock: Callable[[], float] = awake_or_not) -> None:
        super().__init__(redis)
        self._clock = clock
        self._who: str | None = None
        """Under which name it has the lease; `None` where nobody took one."""
        self._until = 0.0
        """When it surely lasts no longer, by a clock that goes on while the machine sleeps."""

    async def take_or_keep_lease(self, who: str) -> str | None:
        """Take or keep the right to feed this Redis; where somebody else has it, return that name."""
        now = self._clock()
        with translate_errors():
            while not await self._redis.set(keys.LEASE, who, nx=True, ex=keys.LEASE_SECONDS):
                holder = await self._redis.get(keys.LEASE)
                if holder is not None and holder != who:
                    return str(holder)
                if holder == who and await self._replace_holder(who, who):
                    break
        self._who, self._until = who, now + keys.LEASE_SECONDS
        return None

    async def take_over_lease(self, who: str, holder: str) -> bool:
        """Take the right to feed this Redis from a holder that is known to be gone; return whether it worked."""
        now = self._clock()
        if not await self._replace_holder(holder, who):
            return False
        self._who, self._until = who, now + keys.LEASE_SECONDS
        return True

    async def _replace_holder(self, holder: str, who: str) -> bool:
        """Put a name in place of another; return whether that one was still there."""

        async def decide(pipe: Pipeline) -> bool:
            if await pipe.get(keys.LEASE) != holder:
                return False
            pipe.multi()  # type: ignore[no-untyped-call]  # redis-py forgot to annotate it
            pipe.set(keys.LEASE, who, ex=keys.LEASE_SECONDS)
            return True

        return await change_watched(self._redis, keys.LEASE, decide)

    async def release_lease(self, who: str) -> None:
        """Return the right back, if it is still ours."""
        with translate_errors():
            if await self._redis.get(keys.LEASE) == who:
                await self._redis.delete(keys.LEASE)

    def check_holder(self, holder: str | None) -> None:
        """Compare who has the lease now with who took it here. Raises `LeaseLost`."""
        if self._who is not None and holder not in (None, self._who):
            raise LeaseLost(f"{holder} feeds this Redis now, and only one worker does at a time")

    async def check_lease(self) -> None:
        """
        See, before something is written, that nobody else can have fed since it was read.

        Raises `LeaseLost` where somebody else has the lease, and `StoreAway` where it ran out meanwhile: then it is
        taken again, but somebody may have had it and given it back, so what was read must be read anew.
        """
        now = self._clock()
        if self._who is None or now < self._until:
            return
        is_still_ours = await self._replace_holder(self._who, self._who)
        if is_still_ours:
            self._until = now + keys.LEASE_SECONDS
            return
        self.check_holder(await self.take_or_keep_lease(self._who))
        raise StoreAway("the lease ran out between reading and writing; it is taken again")
