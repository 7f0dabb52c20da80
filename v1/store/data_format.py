"""
The number of the format in which Redis holds our data. It is kept beside the data, written before anything else and
again with every tick, so that data of another format is refused and not misread.
"""

from urllib.parse import quote

from redis.asyncio import Redis

from ..numbers.chunks import split_into_chunks
from . import keys
from .changes import ChangeKind, send_change
from .cluster.client import ClusterRedis
from .cluster_fitness import refuse_unfit
from .connection import translate_errors

_BATCH = 1000
_RESET = "reset"
"""In place of the number while data is being deleted: whoever meets what is left of it refuses it."""
MOVING, MOVED = "moving", "moved"
"""In place of the number where data is being moved to, and where it has been moved from."""
_MARKS = {
    MOVING: "is being filled by scripts/start-worker.sh move; if that was stopped, type it again",
    MOVED: "was moved by scripts/start-worker.sh move: set TRACKER_REDIS_URL to where its data is now",
}


class OtherFormat(Exception):
    """Redis holds data of another format; the message says where, which one, and which one is expected."""

    def __init__(self, address: str, found: str | None) -> None:
        has = "data without a format number" if found is None else f"data of format {found}"
        expected = f"holds {has}, and this data-tracker expects format {keys.FORMAT_NUMBER}"
        self.contents = _MARKS.get(found or "", expected)
        self.is_moved = found in _MARKS
        """Whether it is data of this version that is moved, or was."""
        super().__init__(f"{address} {self.contents}")


class DataFormat:
    """Checks and writes the number of the format, and deletes the data. Each method raises what a `Reader`'s does."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def check(self) -> bool:
        """Return whether Redis holds data; raises `OtherFormat` where that is of another format. Writes nothing."""
        # Without a transaction, which a full server refuses. Whoever writes data has written the number before, so it
        # is read after.
        pipe = self._redis.pipeline(transaction=False)
        for key in keys.TRACES:
            pipe.exists(key)
        pipe.get(keys.FORMAT)
        with translate_errors():
            *traces, found = await pipe.execute()
        if found == str(keys.FORMAT_NUMBER):
            return True
        if found is not None or any(traces):
            raise OtherFormat(describe_server(self._redis), found)
        return False

    async def ensure(self) -> None:
        """
        Write the number into a Redis without data.

        Raises `OtherFormat` where there is other data, and `UnfitCluster` of a cluster that lacks slots.
        """
        await refuse_unfit(self._redis)
        if not await self.check():
            with translate_errors():
                await self._redis.set(keys.FORMAT, keys.FORMAT_NUMBER, nx=True)
        if isinstance(self._redis, ClusterRedis):
            with translate_errors():
                await self._redis.note_places()

    async def count_keys(self) -> int:
        """Return how many keys `delete_data` would delete."""
        return len(await self._find_data())

    async def delete_data(self) -> int:
        """
        Delete what workers have written, in any format, and return how many keys that were.

        Kept are the rules, silences and keys of the API, and how much of the providers' plans is used. Cut off, it leaves
        data that is refused until this was done to its end.
        """
        with translate_errors():
            await self._redis.set(keys.FORMAT, _RESET)
        last = {keys.FORMAT, *keys.TRACES}
        found = await self._find_data()
        others = [key for key in found if key not in last]
        with translate_errors():
            for chunk in split_into_chunks(others, _BATCH):
                await self._redis.unlink(*chunk)
            await self._redis.unlink(*last)
        await send_change(self._redis, ChangeKind.ALL)
        return len(found)

    async def _find_data(self) -> list[str]:
        kept = {keys.PARTITIONS, keys.RULES, keys.SILENCES, keys.API_KEYS, keys.API_KEY_USES, keys.LEASE, keys.FORMAT}
        plans = keys.budget("")
        with translate_errors():
            found = {str(key) async for key in self._redis.scan_iter(match=f"{keys.OURS}*", count=_BATCH)}
        return sorted(key for key in found if key not in kept and not key.startswith(plans))


def describe_server(redis: Redis) -> str:
    """Return the address of a client's server, without name and password."""
    known = redis.connection_pool.connection_kwargs
    if "path" in known:
        return f"unix://{quote(str(known['path']))}"
    host = str(known.get("host", "localhost"))
    shown = f"[{host}]" if ":" in host else host
    return f"redis://{shown}:{known.get('port', 6379)}/{known.get('db') or 0}"
