"""
Makes a Redis save its snapshot file, and reads what a Redis holds that has loaded one.

A save holds the instant at which it was begun: the server forks there. A tick is many transactions, so that instant
may lie inside one: some metrics are at it already, and the others before it. A worker would complete
it; a file stays as it is.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError

from ..market import metric_state
from ..model import Metric
from ..numbers.chunks import split_into_chunks
from . import keys
from .connection import StoreError, translate_errors

LOOK_SECONDS = 0.02
SETTLE_SECONDS = 5.0
"""How long the next tick is waited for, because right after one nothing is half-written."""
UNFINISHED_SECONDS = 90.0
"""How long a tick may take to be finished: it waits at most a minute for a slow Redis."""
_BATCH = 1000

ProgressCallback = Callable[[int, int], None]
"""Called with how much is done, and of how much."""


class SnapshotStart(NamedTuple):
    """The instant that a save holds."""

    keys: int
    tick: int | None
    saves: int
    """How many the server had finished before."""


class LoadedSnapshot(NamedTuple):
    """What a server has loaded."""

    keys: int
    """With those that have expired meanwhile."""
    tick: int | None
    is_whole: bool
    """Whether no metric is at a later tick already."""


class SnapshotClient:
    """Talks to one server. Each method raises what a `Reader`'s does."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read_version(self) -> str:
        """Return kind and version: `Valkey 9.1.2`."""
        with translate_errors():
            about = await self._redis.info("server")
        return f"Valkey {about['valkey_version']}" if "valkey_version" in about else f"Redis {about['redis_version']}"

    async def wait_until_idle(self) -> None:
        """Wait until the server writes nothing else: a log anew, or somebody else's save."""
        about = await self._read_persistence()
        while _is_busy(about):
            await asyncio.sleep(LOOK_SECONDS)
            about = await self._read_persistence()

    async def start_snapshot(self) -> SnapshotStart:
        """Begin a save, in one round trip where the server is idle, and return what is in it."""
        while True:
            # One after the other in one packet: the server runs no other command in between.
            pipe = self._pipe()
            pipe.info("persistence")
            pipe.info("keyspace")
            pipe.get(keys.TICK)
            pipe.execute_command("BGSAVE")
            with translate_errors():
                about, keyspace, tick, begun = await pipe.execute(raise_on_error=False)
                if not isinstance(begun, Exception):
                    return SnapshotStart(_count_keys(keyspace), None if tick is None else int(tick), about["rdb_saves"])
                if not isinstance(begun, ResponseError) or not _is_busy(about):
                    raise begun
            await self.wait_until_idle()

    async def wait_for_file(self, begun: SnapshotStart, seen: ProgressCallback) -> Path:
        """Wait for the file, and return its path. Ask `is_newest` once it is open: another save replaces it."""
        about = await self._read_persistence()
        while about["rdb_bgsave_in_progress"]:
            seen(about["current_save_keys_processed"], begun.keys)
            await asyncio.sleep(LOOK_SECONDS)
            about = await self._read_persistence()
        with translate_errors():
            directives = cast("dict[str, str]", await self._redis.config_get("dir", "dbfilename"))
        if about["rdb_last_bgsave_status"] != "ok":
            raise StoreError(
                f"Redis could not write its snapshot into {directives['dir']}: is its disk full? Its log says why"
            )
        return Path(directives["dir"], directives["dbfilename"])

    async def is_newest(self, begun: SnapshotStart) -> bool:
        """Return whether no other save was finished since."""
        return bool((await self._read_persistence())["rdb_saves"] == begun.saves + 1)

    async def read_loaded(self) -> LoadedSnapshot:
        """Return what a server holds that has just loaded a snapshot."""
        loaded = await self._read_persistence()
        with translate_errors():
            tick = await self._redis.get(keys.TICK)
            listed = set(cast("list[str]", await self._redis.zrange(keys.METRICS, 0, -1)))
        newest = await self._read_ticks()
        at = -1 if tick is None else int(tick)
        # A metric that leaves at a tick has no record any more, and is listed until the end of it.
        is_whole = listed <= newest.keys() and all(each <= at for each in newest.values())
        count = loaded["rdb_last_load_keys_loaded"] + loaded["rdb_last_load_keys_expired"]
        return LoadedSnapshot(count, None if tick is None else at, is_whole)

    async def wait_for_next_tick(self, cut: int | None) -> bool:
        """
        Wait for a good instant to save, after a save that was cut inside the tick after `cut`: right after a tick.

        Returns whether one came or is to come: where no worker feeds this Redis, the tick stays as it is.
        """
        first = now = await self._read_feed_state()
        waited = 0.0
        while now.tick == first.tick and waited < (SETTLE_SECONDS if now.tick != cut else UNFINISHED_SECONDS):
            if not now.is_fed:
                return now.tick != cut
            await asyncio.sleep(LOOK_SECONDS)
            waited += LOOK_SECONDS
            now = await self._read_feed_state()
        return now.tick != cut

    async def _read_feed_state(self) -> "_FeedState":
        with translate_errors():
            tick, feeder = await self._redis.mget(keys.TICK, keys.LEASE)
        return _FeedState(None if tick is None else int(tick), feeder is not None)

    async def _read_ticks(self) -> dict[str, int]:
        """Return the tick that each metric with a record is at; 0 of a record that nobody can read."""
        pattern = keys.moments(Metric("*"))
        with translate_errors():
            found = [str(key) async for key in self._redis.scan_iter(match=pattern, count=_BATCH)]
            newest: dict[str, int] = {}
            for some in split_into_chunks(found, _BATCH):
                newest |= _parse_ticks(some, cast("list[str | None]", await self._redis.mget(some)))
        return newest

    def _pipe(self) -> Pipeline:
        return self._redis.pipeline(transaction=False)

    async def _read_persistence(self) -> Mapping[str, Any]:
        with translate_errors():
            return await self._redis.info("persistence")


class _FeedState(NamedTuple):
    tick: int | None
    is_fed: bool


def _is_busy(about: Mapping[str, Any]) -> bool:
    return bool(about["rdb_bgsave_in_progress"] or about["aof_rewrite_in_progress"])


def _count_keys(keyspace: Mapping[str, Mapping[str, int]]) -> int:
    return sum(each["keys"] for each in keyspace.values())


def _parse_ticks(names: Sequence[str], written: Sequence[str | None]) -> dict[str, int]:
    ticks = {}
    for name, each in zip(names, written, strict=True):
        record = metric_state.try_read_state(each)
        ticks[name.partition("{")[2].partition("}")[0]] = record.at if record else 0
    return ticks
