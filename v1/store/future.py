"""Drops what lies in the future because a worker wrote it while its clock was ahead. All that is older stays."""

import json
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis

from ..market import metric_state
from ..market.market_note import list_unranked
from ..market.metric_state import MetricState
from ..market.price_ranges import read_ranges, write_ranges
from ..market.ranks import RankInput, rank_all
from ..market.slots import trim_marks
from ..model import DAY, HOUR, Metric
from . import keys
from .binary import execute_binary, read_score
from .changes import ChangeKind, send_change
from .connection import translate_errors
from .data_format import DataFormat
from .places import get_places
from .reader import Reader
from .repair import StateRepair
from .stored_json import read_tick
from .verify import REPAIR, Verifier
from .writer import read_outages

_AT_ONCE = 1000


class DroppedFuture(NamedTuple):
    """How much of the future there was."""

    samples: int
    alerts: int
    lists: int
    """Top lists, and lists of its providers."""

    def __bool__(self) -> bool:
        return any(self)


class FutureRemover:
    """
    Whoever calls it has the lease. Killed on the way, the next call does the rest: the newest tick is set back last.

    What the future pushed out of the day does not come back by this; a fill brings it.
    """

    def __init__(self, redis: Redis, min_coverage: float = 0) -> None:
        self._redis = redis
        self._min_coverage = min_coverage
        self._reader = Reader(redis)
        self._verifier = Verifier(redis)
        self._repair = StateRepair(redis)

    async def read_tick(self) -> int | None:
        """Return the newest committed tick, which may lie in the future."""
        return await self._reader.read_tick()

    async def drop_future(self, now: int) -> DroppedFuture:
        """Drop what is later than `now`: samples, alerts and their messages, top lists; all that follows is recounted."""
        await DataFormat(self._redis).ensure()
        tick = await self.read_tick()
        samples = await self._drop_samples(now)
        at = await self._recount_all(tick, now)
        alerts = await self._drop_alerts(now)
        lists = await FutureLists(self._redis).drop_future(now)
        with translate_errors():
            if (await read_outages(self._redis)).at > now:
                await self._redis.delete(keys.OUTAGES)
            await self._redis.zremrangebyscore(keys.RANKED, f"({now}", "+inf")
            if tick is not None and tick > now:
                await (self._redis.set(keys.TICK, at) if at else self._redis.delete(keys.TICK))
            await self._set_back_partitions(at, now)
        await send_change(self._redis, ChangeKind.ALL)
        return DroppedFuture(samples, alerts, lists)

    async def _set_back_partitions(self, at: int, now: int) -> None:
        for tag in get_places(self._redis).list_tags():
            key = keys.partition_tick(tag)
            if (read_tick(await self._redis.get(key)) or 0) > now:
                await (self._redis.set(key, at) if at else self._redis.delete(key))

    async def _drop_samples(self, now: int) -> int:
        dropped = 0
        with translate_errors():
            async for key in self._redis.scan_iter(match=f"{keys.OURS}samples:{{*}}:*", count=_AT_ONCE):
                if int(str(key).rpartition(":")[2]) + HOUR > now:
                    dropped += await self._redis.zremrangebyscore(key, f"({now}", "+inf")
            async for key in self._redis.scan_iter(match=f"{keys.OURS}ranges:{{*}}:*", count=_AT_ONCE):
                await self._drop_ranges(str(key), now)
        return dropped

    async def _drop_ranges(self, key: str, now: int) -> None:
        """Drop the ranges of samples that are later than `now`: another sample of that tick must not get them."""
        hour = int(key.rpartition(":")[2])
        if hour + HOUR <= now:
            return
        found = read_ranges(hour, await execute_binary(self._redis, "GET", key))
        kept = {tick: each for tick, each in found.items() if tick <= now}
        if not kept:
            await self._redis.delete(key)
        elif len(kept) < len(found):
            await self._redis.set(key, write_ranges(hour, kept), keepttl=True)

    async def _recount_all(self, tick: int | None, now: int) -> int:
        """Set back every state that lies in the future, with all that follows; return the newest tick that is left."""
        states = {
            metric: await self._verifier.read_state(metric, tick) for metric in await self._verifier.list_metrics()
        }
        index, at = await self._reader.read_metrics(), 0
        for metric, state in states.items():
            newest = max(state.at if state else 0, index.get(metric, 0))
            at = max(at, await self._find_newest_left(metric, newest, now))
        rank_inputs, left, unranked = [], {}, list_unranked(await self._reader.read_market_notes())
        for metric, state in states.items():
            right = state if state and state.at <= now else await self._set_back(metric, state, at, now)
            if right is not None:
                left[metric] = right.newest
            if right is not None and metric not in unranked:
                newest_samples = await self._reader.read_samples(metric, right.at - 1, right.at)
                baseline = metric_state.compute_baseline(right, newest_samples)
                rank_inputs.append(RankInput(metric, right.day, baseline))
        await self._verifier.check_lists(rank_all(rank_inputs, self._min_coverage), left, repair=True)
        return at

    async def _set_back(self, metric: Metric, state: MetricState | None, at: int, now: int) -> MetricState | None:
        """Recount a state as of `at`, and return it; `None` where no sample is left."""
        samples = await self._reader.read_samples(metric, at - DAY, at)
        right = metric_state.recount_state(at, samples, state, state.source if state else REPAIR)
        right = right and right._replace(alerting=_keep_past(right, now), marks=trim_marks(right.marks, at))
        await self._repair.put_state(metric, right)
        return right

    async def _find_newest_left(self, metric: Metric, newest: int, now: int) -> int:
        """Return the tick of the newest sample that is not in the future; 0 where there is none."""
        if newest <= now:
            return newest
        samples = await self._reader.read_samples(metric, now - DAY, now)
        return samples[-1].tick if samples else 0

    async def _drop_alerts(self, now: int) -> int:
        with translate_errors():
            found = await self._redis.zrange(keys.ALERTS, f"({now}", "+inf", byscore=True)
            alerts = [str(json.loads(each)["id"]) for each in cast("list[str]", found)]
            pipe = self._redis.pipeline(transaction=True)
            for alert in alerts:
                pipe.execute_command("DEL", keys.alert(alert), keys.deliveries(alert))
            pipe.execute_command("ZREMRANGEBYSCORE", keys.ALERTS, f"({now}", "+inf")
            if alerts:
                # Clients that resume are told of a gap, and ask for the alerts that are left.
                pipe.execute_command("DEL", keys.EVENTS)
            await self._put_removal_of_messages(pipe, now)
            await pipe.execute()
        return len(alerts)

    async def _put_removal_of_messages(self, pipe: Any, now: int) -> None:
        """Put the removal of the messages about the future, in every channel."""
        if not await self._redis.exists(keys.OUTBOX):
            return
        groups = [group["name"] for group in await self._redis.xinfo_groups(keys.OUTBOX)]
        entries = cast("list[tuple[str, dict[str, str]]]", await self._redis.xrange(keys.OUTBOX))
        for entry, fields in entries:
            alert = _read_alert(fields.get("alert", ""))
            if alert.get("at", 0) > now:
                for group in groups:
                    pipe.execute_command("XACK", keys.OUTBOX, group, entry)
                    pipe.execute_command("HDEL", keys.sending(group), str(alert.get("id")))
                pipe.execute_command("XDEL", keys.OUTBOX, entry)


class FutureLists:
    """Drops top lists of the future, and the lists of their providers. Nobody needs a lease for that."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def find_newest(self) -> int:
        """Return the minute of the newest list of any kind; 0 where there is none."""
        newest = await execute_binary(self._redis, "ZRANGE", keys.TOP, -1, -1, "WITHSCORES")
        minutes = [read_score(newest)] if newest else [0]
        for key in (keys.PRICES, keys.RANKINGS):
            last = await execute_binary(self._redis, "XREVRANGE", key, "+", "-", "COUNT", 1)
            minutes += [_read_minute(last[0][0])] if last else []
        return max(minutes)

    async def drop_future(self, now: int) -> int:
        """Drop the lists that are later than `now`, and return how many there were."""
        with translate_errors():
            dropped = int(await self._redis.zremrangebyscore(keys.TOP, f"({now}", "+inf"))
            for role, said in cast("dict[str, str]", await self._redis.hgetall(keys.TOP_ROLES)).items():
                if int(json.loads(said).get("at") or 0) > now:
                    await self._redis.hdel(keys.TOP_ROLES, role)
        for key in (keys.PRICES, keys.RANKINGS):
            dropped += await _drop_entries(self._redis, key, now)
        await send_change(self._redis, ChangeKind.TOP)
        return dropped


async def _drop_entries(redis: Redis, key: str, now: int) -> int:
    """
    Write a stream anew without its entries of the future.

    Deleting them would not do: a stream takes no entry that is older than one it ever had.
    """
    entries = await execute_binary(redis, "XRANGE", key, "-", "+")
    left = [each for each in entries if _read_minute(each[0]) <= now]
    if len(left) == len(entries):
        return 0
    pipe = redis.pipeline(transaction=True)
    pipe.execute_command("DEL", key)
    for entry, fields in left:
        written = [part for pair in fields.items() for part in pair] if isinstance(fields, dict) else fields
        pipe.execute_command("XADD", key, entry, *written)
    if left:
        pipe.execute_command("EXPIRE", key, keys.KEEP)
    with translate_errors():
        await pipe.execute()
    return len(entries) - len(left)


def _read_minute(entry: bytes) -> int:
    return int(entry.partition(b"-")[0]) // 1000


def _read_alert(written: str) -> dict[str, Any]:
    try:
        found = json.loads(written)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _keep_past(record: MetricState, now: int) -> dict[str, Any]:
    """Return the states of the alert rules that name no time of the future; the others begin anew."""
    return {
        rule: state
        for rule, state in record.alerting.items()
        if not any(isinstance(each, int) and each > now for each in state)
    }
