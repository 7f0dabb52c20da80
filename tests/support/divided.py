"""
A market of a few ticks with all that rules can say of it, a store that is divided, and a failover that forgets.

    script()          the readings of each of the TICKS
    play_whole        commits them all
    divide            has a client say that its store is divided, as one of a cluster does
    save, forget_since  what a part of it holds, and how it holds that again: as a replica that was behind
"""

from collections.abc import Mapping
from itertools import chain
from typing import Any

from redis.asyncio import Redis

from tests.support.ledger import dump
from tests.support.serving import MINUTE, NOON
from v1.market.metric_state import SourceReading
from v1.model import Metric, Reading
from v1.rules import RuleEngine, parse_rule
from v1.store import Writer, keys
from v1.store.places import Places
from worker.sampling.tick import commit_tick

PARTITIONS = 3
TAGS = Places(PARTITIONS).list_tags()
TICKS = range(NOON, NOON + 5 * MINUTE, MINUTE)
NOT_COMPARED = (*keys.OF_PARTITIONS, keys.EVENTS, keys.OUTBOX, keys.LEASE)
METRICS = [Metric(f"KRAKEN:C{number}USD") for number in range(7)]
OTHERS = [Metric(f"BINANCE:C{number}USDT") for number in range(2)]
RULES = [
    parse_rule({"id": name, "kind": kind} | more)
    for name, kind, more in [
        ("above", "threshold", {"above": 5, "cooldown": 0, "resolved": True}),
        ("held", "threshold", {"above": 5, "for": 60, "cooldown": 120}),
        ("stale", "stale", {"intervals": 2, "cooldown": 0, "resolved": True}),
        ("top", "rank", {"top": 2, "min_samples": 1, "cooldown": 0}),
    ]
]


def heard(prices: Mapping[Metric, str]) -> dict[Metric, SourceReading]:
    return {metric: SourceReading(Reading(price), metric.partition(":")[0].lower()) for metric, price in prices.items()}


def script() -> list[dict[Metric, SourceReading]]:
    """Seven metrics jump together, which is a digest; the other source falls silent, and comes back at the end."""
    calm, wild = dict.fromkeys(METRICS, "1"), dict.fromkeys(METRICS, "9")
    there = dict.fromkeys(OTHERS, "1")
    some = wild | {METRICS[0]: "1", METRICS[1]: "20"}
    return [heard(each) for each in (calm | there, calm, wild, some, calm | there)]


async def log(redis: Redis) -> tuple[Any, Any, Any]:
    """Return the alerts, the messages in no order, and where the rules stand at sources."""
    sent: Any = await redis.xrange(keys.OUTBOX)
    return (
        await redis.zrange(keys.ALERTS, 0, -1),
        sorted(fields["alert"] for _, fields in sent),
        await redis.get(keys.OUTAGES),
    )


def divide(redis: Redis) -> Redis:
    redis.places = Places(PARTITIONS)  # type: ignore[attr-defined]  # as a client of a cluster has it
    return redis


async def open_writer(redis: Redis, kind: type[Writer] = Writer, name: str = "one") -> Any:
    store = kind(redis)
    await store.lease.take_or_keep(name)
    await store.open()
    return store


async def read_contents(redis: Redis) -> Mapping[Any, Any]:
    """Return all but what a division adds, and what lies in the order in which partitions come."""
    return {key: value for key, value in (await dump(redis)).items() if not str(key).startswith(NOT_COMPARED)}


async def read_events(redis: Redis) -> list[Any]:
    return sorted(str(fields) for _, fields in await redis.xrange(keys.EVENTS))


def make_engine() -> RuleEngine:
    return RuleEngine(RULES, (), MINUTE)


async def play_whole(redis: Redis) -> None:
    store = await open_writer(redis)
    engine = make_engine()
    for at, readings in zip(TICKS, script(), strict=True):
        await commit_tick(at, readings, store, engine)


def leave_out_alert_keys(contents: Mapping[Any, Any]) -> Mapping[Any, Any]:
    return {key: value for key, value in contents.items() if not str(key).startswith(keys.alert(""))}


async def read_ends(redis: Redis) -> Mapping[str, str]:
    """Return when each alert was over that is."""
    known = sorted([key async for key in redis.scan_iter() if key.startswith(keys.alert(""))])
    ends = {key: await redis.hget(key, "ended_at") for key in known}
    return {key: end for key, end in ends.items() if end}


async def is_of(key: str, tag: str) -> bool:
    places = Places(PARTITIONS)
    return f"{{{tag}}}" in places.place(key)


async def save(redis: Redis, tag: str) -> dict[str, Any]:
    """Return what a part of the store holds."""
    found = [key async for key in redis.scan_iter() if await is_of(key, tag)]
    return {key: await copy(redis, key) for key in found}


async def copy(redis: Redis, key: str) -> tuple[Any, ...]:
    """Return a key as commands that write it: its type, what follows, its content."""
    kind, ttl = str(await redis.type(key)), await redis.ttl(key)
    if kind == "string":
        return ttl, [("SET", key, await redis.get(key))]
    if kind == "hash":
        return ttl, [("HSET", key, *chain.from_iterable((await redis.hgetall(key)).items()))]
    if kind == "list":
        return ttl, [("RPUSH", key, *await redis.lrange(key, 0, -1))]
    if kind == "stream":
        entries: Any = await redis.xrange(key)
        return ttl, [("XADD", key, entry, *chain.from_iterable(fields.items())) for entry, fields in entries]
    members: Any = await redis.zrange(key, 0, -1, withscores=True)
    return ttl, [("ZADD", key, *chain.from_iterable((score, member) for member, score in members))]


async def forget_since(redis: Redis, tag: str, saved: Mapping[str, Any]) -> None:
    """Have a part of the store hold what it held, as a replica does that was behind; who has its fence is not forgotten."""
    fences = {keys.LEASE, keys.feeder(tag)}
    for key in {key async for key in redis.scan_iter() if await is_of(key, tag)} - fences:
        await redis.delete(key)
    for key in saved.keys() - fences:
        ttl, written = saved[key]
        for command in written:
            await redis.execute_command(*command)
        if ttl > 0:
            await redis.expire(key, ttl)
