"""The ticks that are to be committed by several workers, at home: whoever asks the sources writes them, all others read."""

from collections.abc import Collection
from typing import NamedTuple

from redis.asyncio import Redis

from .. import keys
from ..binary import execute_binary
from ..connection import translate_errors, translate_unreadable
from ..feeder import Feeder
from ..places import HOME
from .tick_readings import COMMON, TickReadings, read_tick_readings, write_tick_readings

_TICKS = keys.readings(HOME)
_FIELDS_AT_ONCE = 250
"""Fields that one command brings: a script has all its words on its stack, which holds 8,000."""
FEWEST_TICKS = 30
SHORTEST = 60


def find_kept_seconds(interval: int) -> int:
    """Return how long a tick is kept, committed or not: long enough that what a failover forgot is committed again."""
    return max(SHORTEST, min(keys.KEEP_SHARED, FEWEST_TICKS * interval))


class DueTicks(NamedTuple):
    """Which ticks there are."""

    complete: int | None
    """The newest tick that is committed in all partitions, and whose ranks are published."""
    kept: list[int]
    """Those whose readings are there, oldest first, before it and after it."""

    @property
    def next(self) -> int | None:
        """Return the tick that is to be completed next."""
        return next((tick for tick in self.kept if tick > (self.complete or 0)), None)


class ReadingsLog:
    """Raises `StoreError`, and `LeaseLost` where somebody else has the lease of whoever writes."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def add(self, feeder: Feeder, tick: TickReadings, kept_seconds: int) -> None:
        """Write a tick as one, while the lease is ours: it is there for all partitions or for none."""
        changes, key = feeder.open_changes(), keys.tick_readings(HOME, tick.at)
        fields = [word for pair in write_tick_readings(tick).items() for word in pair]
        with changes.derived.put_together() as put:
            for begin in range(0, len(fields), 2 * _FIELDS_AT_ONCE):
                put.execute_command("HSET", key, *fields[begin : begin + 2 * _FIELDS_AT_ONCE])
            put.execute_command("EXPIRE", key, kept_seconds)
            put.execute_command("ZADD", _TICKS, tick.at, tick.at)
            put.execute_command("ZREMRANGEBYSCORE", _TICKS, "-inf", tick.at - kept_seconds)
            put.execute_command("EXPIRE", _TICKS, keys.KEEP_SHARED)
        await feeder.send_home(changes)

    async def read_due(self) -> DueTicks:
        """Return which ticks there are."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.get(keys.TICK)
        pipe.zrange(_TICKS, 0, -1)
        with translate_errors():
            complete, kept = await pipe.execute()
        return DueTicks(None if complete is None else int(complete), [int(each) for each in kept])

    async def read(self, at: int, tags: Collection[str]) -> TickReadings | None:
        """Return what is known of some partitions at a tick; `None` where the tick is not there."""
        key, wanted = keys.tick_readings(HOME, at), [*tags]
        common, *packed = await execute_binary(self._redis, "HMGET", key, COMMON, *wanted)
        if common is None or None in packed:
            return None
        with translate_unreadable(key):
            return read_tick_readings(at, common, dict(zip(wanted, packed, strict=True)))
