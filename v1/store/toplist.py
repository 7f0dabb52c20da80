"""The top list in Redis: a snapshot a minute, the names of its coins, and how those who make it do."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from .. import keys, snapshots
from ..model import HOUR
from ..toplist import Snapshot
from .connection import Unreadable, readable, translated
from .kept_json import read_dicts
from .raw import raw, score
from .watched import change_watched

REMEMBERED = 20_000
"""Coins of snapshots that a reader remembers: 100 lists of 200, or 4 of 5000. Who asks, asks mostly for the newest."""
WHOLE_EVERY = HOUR
"""Seconds for which minutes may be kept as being the same as one before them."""


class Span(NamedTuple):
    """From which minute to which there are snapshots."""

    oldest: int
    newest: int


class TopReader:
    """Asks for the top list. Each method raises `StoreAway` when Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._remembered: OrderedDict[bytes, Snapshot] = OrderedDict()

    async def snapshot(self, minute: int) -> Snapshot | None:
        """Give the newest snapshot at or before `minute`."""
        found = await self._member(minute, "-inf")
        if found is None:
            return None
        with readable(keys.TOP):
            same, at = snapshots.same_as(found), snapshots.minute_of(found)
        if same is None:
            return await self._read(found)
        whole = await self._member(same, same)
        if whole is None:
            return None  # beyond the day, where minutes end before those that say the same as they
        return (await self._read(whole))._replace(at=at)

    async def span(self) -> Span | None:
        """Give the oldest and the newest minute that have a snapshot."""
        ends = [await raw(self._redis, "ZRANGE", keys.TOP, place, place, "WITHSCORES") for place in (0, -1)]
        return Span(*[score(each) for each in ends]) if all(ends) else None

    async def after(self, minute: int) -> int | None:
        """Give the first minute after `minute` that has a snapshot."""
        limited = ("BYSCORE", "LIMIT", 0, 1, "WITHSCORES")
        found = await raw(self._redis, "ZRANGE", keys.TOP, f"({minute}", "+inf", *limited)
        return score(found) if found else None

    async def roles(self) -> Mapping[str, dict[str, Any]]:
        """Give what each role last said of itself."""
        with translated():
            said = await self._redis.hgetall(keys.TOP_ROLES)
        return read_dicts(cast("dict[str, str]", said))

    async def _member(self, until: int, since: int | str) -> bytes | None:
        found: list[bytes] = await raw(self._redis, "ZRANGE", keys.TOP, until, since, "BYSCORE", "REV", "LIMIT", 0, 1)
        return found[0] if found else None

    async def _read(self, member: bytes) -> Snapshot:
        """Read a snapshot, or remember it: a member never changes, and neither do its names."""
        if member in self._remembered:
            self._remembered.move_to_end(member)
            return self._remembered[member]
        with readable(keys.TOP):
            packed = snapshots.unpack(member)
        references = [row[0] for row in packed.rows]
        with translated():
            names = await self._redis.hmget(keys.top_coins(packed.at), references) if references else []
        if None in names:
            raise Unreadable(
                f"names of the top list of minute {packed.at} are missing: {keys.top_coins(packed.at)} is lost"
            )
        with readable(keys.top_coins(packed.at)):
            snapshot = snapshots.unfold(packed, dict(zip(references, cast("list[str]", names), strict=True)))
        self._remembered[member] = snapshot
        while len(self._remembered) > 1 and len(self._remembered) * len(packed.rows) > REMEMBERED:
            self._remembered.popitem(last=False)
        return snapshot


class TopWriter(TopReader):
    """Keeps snapshots. Several may do so at the same time: of each minute there is one, the first that came."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self._whole: Snapshot | None = None
        """The newest snapshot that is kept whole, as far as this writer knows."""

    async def put(self, snapshot: Snapshot) -> bool:
        """
        Keep a snapshot, and tell whether it was the first of its minute.

        Its names are there before it is. Killed in between, a name more is known, and nothing else happened.
        """
        at, whole = snapshot.at, self._whole
        if (
            whole
            and await self._has_names(whole.at)
            and 0 < at - whole.at < WHOLE_EVERY
            and snapshot._replace(at=whole.at) == whole
        ):
            is_new = await self._add(at, snapshots.pack_same(at, whole.at), whole.at)
            if is_new is not None:
                return is_new
        is_new = await self._add(at, snapshots.pack(snapshot, await self._referred(snapshot)))
        self._whole = snapshot if is_new else None
        return bool(is_new)

    async def note(self, role: str, state: Mapping[str, Any]) -> None:
        """Say how a role does, in place of what was said before."""
        with translated():
            await self._redis.hset(keys.TOP_ROLES, role, json.dumps(state))

    async def _referred(self, snapshot: Snapshot) -> list[str]:
        """Put the names of a snapshot's coins into the table of its day, and give the coins' references."""
        names = [snapshots.naming(coin) for coin in snapshot.coins]
        wanted: dict[str, str] = {}
        for coin, name in zip(snapshot.coins, names, strict=True):
            _put_free(wanted, snapshots.reference(coin), name)
        references: dict[str, str] = {}
        while wanted:
            held = await self._name(keys.top_coins(snapshot.at), wanted)
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
        """Tell whether the table of names is there that a snapshot needs: a new whole one writes it again."""
        with translated():
            return bool(await self._redis.exists(keys.top_coins(at)))

    async def _name(self, key: str, names: Mapping[str, str]) -> dict[str, str | None]:
        """Add what is not yet in a table of names, and give what it says then."""
        pipe = self._redis.pipeline(transaction=False)
        for reference, name in names.items():
            pipe.hsetnx(key, reference, name)
        pipe.expire(key, keys.KEEP_NAMES)
        pipe.hmget(key, list(names))
        with translated():
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
            return True

        return await change_watched(self._redis, keys.TOP, decide)


def _put_free(names: dict[str, str], reference: str, name: str) -> None:
    """Add a name under a reference that no other has."""
    while names.setdefault(reference, name) != name:
        reference += "~"
