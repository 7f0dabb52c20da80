"""The servers that hold what a client asks for: several in a cluster, one otherwise."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError

from . import keys
from .cluster.client import ClusterRedis
from .cluster.slot_table import Endpoint, is_astray
from .places import find_tag_slot

T = TypeVar("T")
PROBE_SECONDS = 1.0
"""How long a node may take to answer before its partitions count as away."""


async def ask_primaries(redis: Redis, ask: Callable[[Redis], Awaitable[T]]) -> dict[str, T]:
    """
    Return what each server answers that takes writes, by its `host:port`; of a server alone, its answer by an empty name.

    Raises what redis-py does, the first of several errors.
    """
    if not isinstance(redis, ClusterRedis):
        return {"": await ask(redis)}
    answers = await _ask_each(redis, ask)
    for answer in answers.values():
        if isinstance(answer, BaseException):
            raise answer
    return {str(endpoint): answer for endpoint, answer in answers.items() if not isinstance(answer, BaseException)}


async def ask_present_primaries(redis: Redis, ask: Callable[[Redis], Awaitable[T]]) -> dict[str, T]:
    """
    Return what `ask_primaries` does, of a cluster without the nodes that are away.

    Raises what redis-py does: of a server alone, and where a node answers with an error of another kind.
    """
    if not isinstance(redis, ClusterRedis):
        return {"": await ask(redis)}
    found = {}
    for endpoint, answer in (await _ask_each(redis, ask)).items():
        if not isinstance(answer, BaseException):
            found[str(endpoint)] = answer
        elif not is_astray(answer):
            raise answer
    return found


async def count_away_partitions(redis: Redis) -> int:
    """
    Return how many partitions cannot be read where they are now; 0 where the data is not divided.

    Raises what redis-py does where no node of the cluster answers at all.
    """
    if not isinstance(redis, ClusterRedis):
        return 0
    away: Collection[str] = redis.places.list_tags()
    for _ in range(2):  # the first answer may only say that another node has them by now
        await redis.ensure_places()
        away = await _list_away(redis, away)
        if not away:
            break
    return len(away)


async def _list_away(redis: ClusterRedis, tags: Collection[str]) -> list[str]:
    """Return those of the partitions that cannot be read; of each node, one is asked for."""
    away, of_node = [], dict[Endpoint, list[str]]()
    for tag in tags:
        try:
            of_node.setdefault(redis.table.find_shard(find_tag_slot(tag)).primary, []).append(tag)
        except NoConnection:
            away.append(tag)
    are_there = await asyncio.gather(*[_is_there(redis, node, some[0]) for node, some in of_node.items()])
    for some, is_there in zip(of_node.values(), are_there, strict=True):
        away += [] if is_there else some
    return away


async def _is_there(redis: ClusterRedis, node: Endpoint, tag: str) -> bool:
    """Return whether a node answers for a partition. A node that loads its data answers `INFO` and `PING` alone."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await redis.table.get_client(node).exists(keys.partition_tick(tag))
    except TimeoutError:
        return False
    except (RedisError, OSError) as error:
        redis.table.note(error)
        return False
    return True


async def _ask_each(redis: ClusterRedis, ask: Callable[[Redis], Awaitable[T]]) -> dict[Endpoint, T | BaseException]:
    """Return what each primary answers; errors are answers, too."""
    await redis.ensure_places()
    primaries = [shard.primary for shard in redis.table.list_shards()]
    answers = await asyncio.gather(*[ask(redis.table.get_client(each)) for each in primaries], return_exceptions=True)
    for answer in answers:
        redis.table.note(answer)
    return dict(zip(primaries, answers, strict=True))
