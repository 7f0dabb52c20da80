"""Says in Redis that the market is replayed, until a worker samples a live one."""

import json

from redis.asyncio import Redis

from ..market.replayed import ReplayMark, ReplayProgress, judge_progress, parse_mark
from . import keys
from .changes import ChangeKind, put_change
from .connection import translate_errors
from .stored_json import read_dict, read_tick


class ReplayStore:
    """
    Writes and reads the mark of a replay. Each method raises what a `Reader`'s does.

    The mark is the same from the first tick to the last. How far a replay is, the newest tick says, and whether it
    still runs, the lease: so a replay that is killed leaves nothing wrong behind.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def write(self, mark: ReplayMark) -> None:
        """Mark the market as replayed."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.set(keys.REPLAY, json.dumps(mark._asdict(), separators=(",", ":")))
        put_change(pipe, ChangeKind.ALL)
        with translate_errors():
            await pipe.execute()

    async def clear(self) -> None:
        """Take the mark away: from now on the market is a live one."""
        with translate_errors():
            if not await self._redis.exists(keys.REPLAY):
                return
            pipe = self._redis.pipeline(transaction=True)
            pipe.delete(keys.REPLAY)
            put_change(pipe, ChangeKind.ALL)
            await pipe.execute()

    async def read(self) -> ReplayProgress | None:
        """Return how far the replay is; `None` of a live market."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.get(keys.REPLAY)
        pipe.get(keys.TICK)
        pipe.exists(keys.LEASE)
        with translate_errors():
            written, tick, is_fed = await pipe.execute()
        mark = parse_mark(read_dict(written))
        return None if mark is None else judge_progress(mark, read_tick(tick), is_fed=bool(is_fed))
