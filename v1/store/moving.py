"""
Moves all data to another Redis while a worker goes on feeding this one: from one server to a cluster, back, or to another.

Keys are copied as they are (DUMP and RESTORE, with their ends), named anew where they are spelt otherwise there. What
was copied is copied again where it has changed since: a set of samples has another end then, and everything else is
small. In between, the copy carries a mark in place of its format, so nobody takes half of it for the whole.

    copy_changed()        as often as wished, while the worker goes on
    copy_changed()        once more, while nobody else has the lease
    finish()              the one is marked as moved, the other as whole
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.client import NEVER_DECODE

from ..model import DAY, HOUR
from ..numbers.chunks import split_into_chunks
from . import keys
from .changes import ChangeKind, send_change
from .cluster.client import ClusterRedis
from .connection import StoreError, translate_errors
from .data_format import MOVED, MOVING, DataFormat
from .stored_json import read_tick

_BATCH = 200
_NOT_COPIED = (keys.FORMAT, keys.PARTITIONS, keys.LEASE, *keys.OF_PARTITIONS)
"""How the keys begin that belong to where the data lies, and not to the data."""
_HOURLY = (f"{keys.OURS}samples:", f"{keys.OURS}ranges:")


class CannotMove(StoreError):
    """The data cannot be moved from here to there; the message says why, and what would help."""


class CopiedKeys(NamedTuple):
    """What one round copied."""

    keys: int
    of: int
    """How many there are."""


class DataMove:
    """One move, from `source` to `target`. Each method raises `StoreError`; the same can be asked again then."""

    def __init__(self, source: Redis, target: Redis) -> None:
        self._source = source
        self._target = target
        self._copied: dict[str, int] = {}
        """The end, in Unix milliseconds, of each key as it was copied last."""

    async def begin(self) -> None:
        """Mark the target as one that is being filled. Raises `CannotMove` where there is something else."""
        with translate_errors():
            here, there = await self._source.get(keys.FORMAT), await self._target.get(keys.FORMAT)
            if await self._are_same():
                raise CannotMove("it would be moved to where it is: --to names the Redis of the settings")
        if here != str(keys.FORMAT_NUMBER) and not (here == MOVED and there == MOVING):
            raise CannotMove(
                "it was moved already, set TRACKER_REDIS_URL to where it is now"
                if here == MOVED
                else "there is no data of this version to move"
            )
        if there not in (None, MOVING, MOVED):
            raise CannotMove(
                "there is data already where it would be moved to: delete that first, or name another Redis"
            )
        if there != MOVING and await DataFormat(self._target).count_keys():
            await DataFormat(self._target).delete_data()
        with translate_errors():
            await self._target.set(keys.FORMAT, MOVING)

    async def copy_changed(self, seen: Callable[[int, int], None] = lambda _done, _of: None) -> CopiedKeys:
        """Copy what was not copied yet, or has changed since; `seen` is told how much is done, and of how much."""
        with translate_errors():
            at = read_tick(await self._source.get(keys.TICK)) or 0
            found = [str(key) async for key in self._source.scan_iter(match=f"{keys.OURS}*", count=1000)]
        names = sorted({name for name in found if not name.startswith(_NOT_COPIED)})
        copied = done = 0
        for batch in split_into_chunks(names, _BATCH):
            copied += await self._copy(batch, at)
            done += len(batch)
            seen(done, len(names))
        await self._delete_gone({*names})
        return CopiedKeys(copied, len(names))

    async def finish(self) -> None:
        """Mark the source as moved and the target as whole. Nobody else may have the lease of the source by now."""
        with translate_errors():
            await self._source.set(keys.FORMAT, MOVED)
            if isinstance(self._target, ClusterRedis):
                await self._target.note_places()
            await self._target.set(keys.FORMAT, keys.FORMAT_NUMBER)
        await send_change(self._source, ChangeKind.ALL)
        await send_change(self._target, ChangeKind.ALL)

    async def _copy(self, names: Sequence[str], at: int) -> int:
        """Copy those of some keys that have changed; return how many did."""
        ends = dict(zip(names, await self._ask(self._source, [("PEXPIRETIME", name) for name in names]), strict=True))
        changed = [name for name in names if self._copied.get(name) != ends[name] or not _is_settled(name, at)]
        pipe = self._source.pipeline(transaction=False)
        for name in changed:
            pipe.execute_command("DUMP", name, **{NEVER_DECODE: True})
        with translate_errors():
            dumps = await pipe.execute() if changed else []
        there = [(name, dump) for name, dump in zip(changed, dumps, strict=True) if dump is not None]
        await self._ask(
            self._target,
            [("RESTORE", name, max(0, ends[name]), dump, "REPLACE", "ABSTTL") for name, dump in there],
        )
        self._copied.update({name: ends[name] for name, _ in there})
        return len(there)

    async def _delete_gone(self, names: set[str]) -> None:
        """Delete what was copied and is not there any more, also by a move that was cut off."""
        with translate_errors():
            found = {str(key) async for key in self._target.scan_iter(match=f"{keys.OURS}*", count=1000)}
        gone = sorted(name for name in found - names if not name.startswith(_NOT_COPIED))
        await self._ask(self._target, [("DEL", name) for name in gone])
        for name in gone:
            self._copied.pop(name, None)

    async def _ask(self, redis: Redis, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        pipe = redis.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        with translate_errors():
            return await pipe.execute() if commands else []

    async def _are_same(self) -> bool:
        here, there = await self._source.info("server"), await self._target.info("server")
        return bool(here["run_id"] == there["run_id"])


def _is_settled(name: str, at: int) -> bool:
    """
    Return whether a key has another end whenever it changes.

    That is so of samples, but for those at the end of the day: who trims them leaves their end as it is.
    """
    if not name.startswith(_HOURLY):
        return False
    hour = int(name.rpartition(":")[2])
    return at - DAY + HOUR < hour < at - 2 * HOUR
