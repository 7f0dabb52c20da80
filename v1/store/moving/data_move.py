"""
Moves the data of one store into another: what is there, then again what has changed meanwhile, then the right to be fed.

Until all of it is there, the second store is marked as one that nobody may use; the first is the data until it is
marked as moved. So whoever is killed in between leaves the first as it was, and the move is begun again.
"""

import secrets
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis

from ...numbers.chunks import split_into_chunks
from .. import keys
from ..changes import ChangeKind, send_change
from ..cluster.client import ClusterRedis
from ..cluster_fitness import refuse_unfit
from ..connection import DataMoved, StoreError, translate_errors
from ..data_format import DataFormat, describe_server
from ..feeder import Feeder
from ..homeward import HomewardLists, read_entry, take_over
from ..lease import Lease
from ..places import get_places
from ..primaries import ask_primaries
from .change_log import KeyChangeLog
from .key_copies import BATCH, KeyCopier
from .marks import is_moved, is_moving, write_moved, write_moving

Seen = Callable[[int, int], None]

SENDER = "data-tracker-deliver"
"""The name of the connection over which a worker sends alerts, for as long as it has the lease."""
_COUNTED = 1000
"""Keys that are counted in one round trip."""
_ROUNDS = 5
"""How often both stores are compared until they are the same: a key may end while they are."""
_PASSING = (
    f"{keys.limits()}:{{",
    keys.staging("").removesuffix("}"),
    *(f"{name}{{" for name in keys.OF_PARTITIONS),
    *(name(0).removesuffix("0") for name in (keys.partition_reports, keys.score_parts, keys.partition_results)),
    *(keys.asker(""), keys.source_turn("", 0).removesuffix(":0"), keys.source_answer("", 0).removesuffix(":0")),
)
"""How the keys begin of what lives for minutes, and of what is only there because a store is divided."""
_OF_THE_STORE = frozenset({keys.FORMAT, keys.PARTITIONS, keys.LEASE, keys.CLOCK, keys.WORKERS, keys.WORKERS_SEEN})
"""What says something of the store that it is in, or of who feeds it: it is not moved."""
_PROBE_SECONDS = 60


class MoveRefused(Exception):
    """Nothing is moved; the message says why, and what would help."""


class MovedCounts(NamedTuple):
    """What both stores have, once they are the same."""

    keys: int
    metrics: int
    samples: int


class DataMove:
    """
    One move. The order of the calls: `check`, `begin`, `copy` until it is little, then with the lease of the old store
    `take_over_alerts`, `copy`, `compare`, `mark_old` and `mark_new`. Each raises `StoreError`.
    """

    def __init__(self, old: Redis, new: Redis) -> None:
        self._old = old
        self._new = new
        self._copier = KeyCopier(old, new)
        self._log = KeyChangeLog(old)

    async def check(self, *, should_replace: bool = False) -> None:
        """Raise `MoveRefused` where there is nothing to move, or where the new store has data; `should_replace`: not for that."""
        mark = await _read_format(self._new)
        try:
            has_data = await DataFormat(self._old).check()
        except DataMoved:
            # The move was cut off just before its end: what is left to be done is at the new store.
            has_data = is_moved(await _read_format(self._old)) and is_moving(mark)
            if not has_data:
                raise
        if not has_data:
            raise MoveRefused(f"{describe_store(self._old)} holds no data: there is nothing to move")
        await refuse_unfit(self._new)
        if await self._is_same():
            raise MoveRefused(f"--to names the store that the data is in: {describe_store(self._new)}")
        count = 0 if is_moved(mark) or is_moving(mark) or should_replace else len(await _list_names(self._new))
        if count:
            raise MoveRefused(
                f"{describe_store(self._new)} holds {count} keys of a data-tracker already: name an empty one, or add "
                "--replace, which deletes them"
            )

    async def begin(self) -> bool:
        """Mark the new store as unfinished, and return whether its server reads what the old one's dumps."""
        with translate_errors():
            if isinstance(self._new, ClusterRedis):
                await self._new.note_places()
            await self._new.set(keys.FORMAT, write_moving(describe_store(self._old)))
        for redis in (self._old, self._new):
            await DataFormat(redis).release_mark()
        return await self._copier.open()

    async def copy(self, seen: Seen = lambda _done, _of: None) -> int:
        """Copy what has changed since the last time, at first everything; return how many keys that were."""
        changed = await self._log.take()
        names = sorted(await _list_names(self._old) if changed is None else filter(is_moved_along, changed))
        done = 0
        for some in split_into_chunks(names, BATCH):
            await self._copier.copy(some)
            done += len(some)
            seen(done, len(names))
        return len(names)

    async def compare(self) -> MovedCounts:
        """Return what both stores hold; copy again what differs. Raises `StoreError` where that does not help."""
        differing: list[str] = []
        for _ in range(_ROUNDS):
            old, new = [await _count(each) for each in (self._old, self._new)]
            differing = [name for name in {*old, *new} if old.get(name) != new.get(name)]
            if not differing:
                metrics = {found[0] for name in old if (found := keys.parse_samples(name))}
                return MovedCounts(len(old), len(metrics), sum(old.values()))
            await self._copier.copy(sorted(differing))
        raise StoreError(
            f"{len(differing)} keys differ between the stores, as {differing[0]}: is somebody writing there?"
        )

    async def take_over_alerts(self, lease: Lease) -> None:
        """Take home what alerts have left in the partitions of the old store."""

        async def run(pipe: Any) -> list[Any]:
            with translate_errors():
                return cast("list[Any]", await pipe.execute())

        feeder = Feeder(self._old, lease, run)
        changes = feeder.open_changes()
        for entries in (await HomewardLists(self._old, run).read_new()).values():
            for entry in filter(None, map(read_entry, entries)):
                take_over(changes.derived, entry)
        await feeder.send_home(changes)

    async def read_holder(self) -> str | None:
        """Return who feeds the old store; `None`: nobody."""
        with translate_errors():
            return cast("str | None", await self._old.get(keys.LEASE))

    async def has_sender(self) -> bool:
        """Return whether a worker is connected to the old store that has, or had, its lease: it may write the outbox."""

        async def ask(node: Redis) -> bool:
            return any(each.get("name") == SENDER for each in await node.client_list())

        with translate_errors():
            return any((await ask_primaries(self._old, ask)).values())

    async def read_tick(self) -> str | None:
        """Return the newest tick of the old store, as it is written."""
        with translate_errors():
            return cast("str | None", await self._old.get(keys.TICK))

    async def mark_old(self) -> None:
        """Mark the old store as moved: nobody feeds it any more, also who waits for the lease."""
        mark = write_moved(describe_store(self._new))
        with translate_errors():
            pipe = self._old.pipeline(transaction=False)
            for key in (keys.FORMAT, keys.LEASE, *map(keys.feeder, get_places(self._old).list_tags())):
                pipe.set(key, mark)
            await pipe.execute()
        await send_change(self._old, ChangeKind.ALL)

    async def mark_new(self) -> None:
        """Mark the new store as whole: from now on it is the data."""
        tick = await self.read_tick()
        with translate_errors():
            pipe = self._new.pipeline(transaction=False)
            if tick is not None:
                for tag in get_places(self._new).list_tags():
                    pipe.set(keys.partition_tick(tag), tick)
            pipe.set(keys.FORMAT, keys.FORMAT_NUMBER)
            await pipe.execute()
        await send_change(self._new, ChangeKind.ALL)

    async def close(self) -> None:
        await self._log.close()

    async def _is_same(self) -> bool:
        """Return whether both clients speak to the same data."""
        probe, word = keys.staging(keys.LEASE), secrets.token_hex(8)
        with translate_errors():
            await self._new.set(probe, word, ex=_PROBE_SECONDS)
            found = await self._old.get(probe)
            await self._new.unlink(probe)
        return bool(found == word)


def is_moved_along(name: str) -> bool:
    """Return whether a key is a part of the data: not of who feeds it, nor of what is gone in moments."""
    return name not in _OF_THE_STORE and not name.startswith(_PASSING)


def describe_store(redis: Redis) -> str:
    """Return the address of a client's server or cluster, without name and password."""
    if isinstance(redis, ClusterRedis):
        return f"redis://{','.join(map(str, redis.table.seeds))}"
    return describe_server(redis)


async def _read_format(redis: Redis) -> str | None:
    with translate_errors():
        return cast("str | None", await redis.get(keys.FORMAT))


async def _list_names(redis: Redis) -> list[str]:
    """Return the names of all keys of the data, as on one node."""
    with translate_errors():
        found = {str(key) async for key in redis.scan_iter(match=f"{keys.OURS}*", count=_COUNTED)}
    return [*filter(is_moved_along, found)]


async def _count(redis: Redis) -> dict[str, int]:
    """Return how many samples each key of the data holds: 0 of one that is of something else."""
    counts = dict.fromkeys(await _list_names(redis), 0)
    names = [name for name in counts if keys.parse_samples(name)]
    for some in split_into_chunks(names, _COUNTED):
        with translate_errors():
            pipe = redis.pipeline(transaction=False)
            for name in some:
                pipe.zcard(name)
            counts |= zip(some, cast("Sequence[int]", await pipe.execute()), strict=True)
    return counts
