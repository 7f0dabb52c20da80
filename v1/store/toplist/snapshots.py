"""The top list in Redis: a snapshot a minute, the names of its coins, and how those who make it do."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from ...model import HOUR
from ...toplist import codec
from ...toplist.model import TopList
from .. import keys
from ..binary import execute_binary, read_score
from ..changes import ChangeKind, put_change
from ..connection import Unreadable, translate_errors, translate_unreadable
from ..stored_json import read_dicts
from ..transactions import change_watched

REMEMBERED = 20_000
"""Coins of snapshots that a reader remembers: 100 lists of 200, or 4 of 5000. Who asks, asks mostly for the newest."""
WHOLE_EVERY = HOUR
"""Seconds for which minutes may be kept as being the same as one before them."""


class MinuteRange(NamedTuple):
    """From which minute to which there are snapshots."""

    oldest: int
    newest: int


class TopReader:
    """Asks for the top list. Each method raises `StoreAway` when Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._remembered: OrderedDict[bytes, TopList] = OrderedDict()

    async def read_snapshot(self, minute: int) -> TopList | None:
        """Return the newest snapshot at or before `minute`."""
        found = await self._member(minute, "-inf")
        if found is None:
            return None
        with translate_unreadable(keys.TOP):
            same, at = codec.read_repeated_minute(found), codec.read_minute(found)
        if same is None:
            return await self._read(found)
        whole = await self._member(same, same)
        if whole is None:
            return None  # beyond the day, where minutes end before those that say the same as they
        return (await self._read(whole))._replace(at=at)

    async def read_range(self) -> MinuteRange | None:
        """Return the oldest and the newest minute that have a snapshot."""
        ends = [await execute_binary(self._redis, "ZRANGE", keys.TOP, place, place, "WITHSCORES") for place in (0, -1)]
        return MinuteRange(*[read_score(each) for each in ends]) if all(ends) else None

    async def find_next_minute(self, minute: int) -> int | None:
        """Return the first minute after `minute` that has a snapshot."""
        limited = ("BYSCORE", "LIMIT", 0, 1, "WITHSCORES")
        found = await execute_binary(self._redis, "ZRANGE", keys.TOP, f"({minute}", "+inf", *limited)
        return read_score(found) if found else None

    async def read_role_states(self) -> Mapping[str, dict[str, Any]]:
        """Return what each role last said of itself."""
        with translate_errors():
            said = await self._redis.hgetall(keys.TOP_ROLES)
        return read_dicts(cast("dict[str, str]", said))

    async def _member(self, until: int, since: int | str) -> bytes | None:
        found: list[bytes] = await execute_binary(
            self._redis, "ZRANGE", keys.TOP, until, since, "BYSCORE", "REV", "LIMIT", 0, 1
        )
        return found[0] if found else None

    async def _read(self, member: bytes) -> TopList:
        """Read a snapshot, or remember it: a member never changes, and neither do its names."""
        if member in self._remembered:
            self._remembered.move_to_end(member)
            return self._remembered[member]
        with translate_unreadable(keys.TOP):
            packed = codec.unpack_snapshot(member)
        references = [row[0] for row in packed.rows]
        with translate_errors():
            names = await self._redis.hmget(keys.top_coins(packed.at), references) if references else []
        if None in names:
            raise Unreadable(
                f"names of the top list of minute {packed.at} are missing: {keys.top_coins(packed.at)} is lost"
            )
        with translate_unreadable(keys.top_coins(packed.at)):
            snapshot = codec.restore_snapshot(packed, dict(zip(references, cast("list[str]", names), strict=True)))
        self._remembered[member] = snapshot
        while len(self._remembered) > 1 and len(self._remembered) * len(packed.rows) > REMEMBERED:
            self._remembered.popitem(last=False)
        return snapshot


class TopWriter(TopReader):
    """Keeps snapshots. Several may do so at the same time: of each minute there is one, the first that came."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self._whole: TopList | None = None
        """The newest snapshot that is kept whole, as far as this writer knows."""

    async def write_snapshot(self, snapshot: TopList) -> bool:
        """
        Keep a snapshot, and return whether it was the first of its minute.

        Its names are there before it is. Killed in between, a name more is known, and nothing else happened.
        """
        at, whole = snapshot.at, self._whole
        if (
            whole
            and await self._has_names(whole.at)
            and 0 < at - whole.at < WHOLE_EVERY
            and snapshot._replace(at=whole.at) == whole
        ):
            is_new = await self._add(at, codec.pack_repeat(at, whole.at), whole.at)
            if is_new is not None:
                return is_new
        is_new = await self._add(at, codec.pack_snapshot(snapshot, await self._make_references(snapshot)))
        self._whole = snapshot if is_new else None
        return bool(is_new)

    async def write_role_state(self, role: str, state: Mapping[str, Any]) -> None:
        """Say how a role does, in place of what was said before."""
        with translate_errors():
            await self._redis.hset(keys.TOP_ROLES, role, json.dumps(state))

    async def _make_references(self, snapshot: TopList) -> list[str]:
        """Put the names of a snapshot's coins into the table of its day, and return the coins' references."""
        names = [codec.write_name(coin) for coin in snapshot.coins]
        wanted: dict[str, str] = {}
        for coin, name in zip(snapshot.coins, names, strict=True):
            _put_free(wanted, codec.make_reference(coin), name)
        references: dict[str, str] = {}
        while wanted:
            held = await self._add_names(keys.top_coins(snapshot.at), wanted)
            again: dict[str, str] = {}
            for reference, name in wanted.items():
                if held[reference] == name:
                    references[name] = reference
                else:
                    # Renamed today: the minutes before keep the name they had.
                    _put_free(again, f"{reference}~", name)
            wanted = again
        return [references[name] for name in names]

    async def _has_names(self, at: int) -> bool:
        """Return whether the table of names is there that a snapshot needs: a new whole one writes it again."""
        with translate_errors():
            return bool(await self._redis.exists(keys.top_coins(at)))

    async def _add_names(self, key: str, names: Mapping[str, str]) -> dict[str, str | None]:
        """Add what is not yet in a table of names, and return what it says then."""
        pipe = self._redis.pipeline(transaction=False)
        for reference, name in names.items():
            pipe.hsetnx(key, reference, name)
        pipe.expire(key, keys.KEEP_NAMES)
        pipe.hmget(key, list(names))
        with translate_errors():
            *_, held = await pipe.execute()
        return dict(zip(names, held, strict=True))

    async def _add(self, at: int, member: bytes, needed: int | None = None) -> bool | None:
        """Add a snapshot unless its minute has one; `None` where the one is missing that it needs."""

        async def decide(pipe: Pipeline) -> bool | None:
            if await pipe.zcount(keys.TOP, at, at):
                return False
            if needed is not None and not await pipe.zcount(keys.TOP, needed, needed):
                return None
            pipe.multi()  # type: ignore[no-untyped-call]  # redis-py's
            pipe.zadd(keys.TOP, {member: at})
            pipe.zremrangebyscore(keys.TOP, "-inf", at - keys.KEEP)
            pipe.expire(keys.TOP, keys.KEEP)
            put_change(pipe, ChangeKind.TOP)
            return True

        return await change_watched(self._redis, keys.TOP, decide)


def _put_free(names: dict[str, str], reference: str, name: str) -> None:
    """Add a name under a reference that no other has."""
    while names.setdefault(reference, name) != name:
        reference += "~"
