"""The places of metrics over the past day: what a tick writes every quarter of an hour, and what is read of it."""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis

from ..market.kept_ranks import EVERY_SECONDS, PackedRanks, find_count, find_place, find_quarter
from ..model import By, Measure, Metric
from . import keys
from .connection import translate_errors
from .fence import FencedCalls
from .stored_json import read_list

_TAG_DIGITS = 16
_MOST_NAMES = 16
"""Lists of names that are remembered: there is another one only where a metric comes or goes."""


class KeptPlace(NamedTuple):
    """The place of a metric at a tick."""

    tick: int
    rank: int | None
    """1 for the largest; `None`: it has none."""
    of: int
    """How many metrics are ranked."""


class RankHistoryReader:
    """Reads places of the past. Raises `StoreAway` when Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._names: dict[str, dict[str, int]] = {}
        """Where each metric stands in a list of names, by the tag of the list."""

    async def read_places(self, metric: Metric, measure: Measure, by: By, start: int, end: int) -> list[KeptPlace]:
        """Return the places of a metric at the ticks that are kept from `start` to `end`, oldest first."""
        with translate_errors():
            written = await self._redis.zrange(keys.RANKED, start, end, byscore=True)
        frames = [(int(tick), tag) for tick, tag in (str(each).split(" ") for each in written)]
        await self._read_names({tag for _, tag in frames})
        pipe = self._redis.pipeline(transaction=False)
        for tick, tag in frames:
            names = self._names.get(tag, {})
            place = find_place(measure, by, names[metric], len(names)) if metric in names else None
            pipe.execute_command(
                "BITFIELD_RO", keys.rank_frame(find_quarter(tick)), *_list_reads(find_count(measure, by), place)
            )
        with translate_errors():
            found = await pipe.execute() if frames else []
        return [
            KeptPlace(tick, next(iter(places), 0) or None, of)
            for (tick, _), (of, *places) in zip(frames, found, strict=True)
            if of
        ]

    async def _read_names(self, tags: set[str]) -> None:
        unknown = sorted(tags - self._names.keys())
        if not unknown:
            return
        pipe = self._redis.pipeline(transaction=False)
        for tag in unknown:
            pipe.get(keys.rank_names(tag))
        with translate_errors():
            found = cast("list[str | None]", await pipe.execute())
        for tag, written in zip(unknown, found, strict=True):
            self._names[tag] = {name: index for index, name in enumerate(read_list(written) or ())}
        for old in [*self._names][:-_MOST_NAMES]:
            if old not in tags:
                del self._names[old]


async def read_newest_kept(redis: Redis) -> int | None:
    """Return the newest tick whose places are kept."""
    with translate_errors():
        found = await redis.zrange(keys.RANKED, -1, -1)
    return int(str(found[0]).split(" ")[0]) if found else None


def put_ranks(calls: FencedCalls, at: int, ranks: PackedRanks) -> None:
    """Put the places of a tick, as one; those of another tick of its quarter of an hour are gone then."""
    names = json.dumps(ranks.names, separators=(",", ":"))
    tag = sha256(names.encode()).hexdigest()[:_TAG_DIGITS]
    begins = find_quarter(at)
    with calls.put_together() as sink:
        put = sink.execute_command
        put("SET", keys.rank_names(tag), names, "EX", keys.KEEP_RANKED)
        put("SET", keys.rank_frame(begins), ranks.packed, "EX", keys.KEEP_RANKED)
        put("ZREMRANGEBYSCORE", keys.RANKED, begins, begins + EVERY_SECONDS - 1)
        put("ZADD", keys.RANKED, at, f"{at} {tag}")
        put("ZREMRANGEBYSCORE", keys.RANKED, "-inf", at - keys.KEEP_RANKED)
        put("EXPIRE", keys.RANKED, keys.KEEP_RANKED)


def _list_reads(*places: int | None) -> Sequence[Any]:
    return [part for place in places if place is not None for part in ("GET", "u16", f"#{place}")]
