"""The servers that hold what a client asks for: several in a cluster, one otherwise."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import Redis

from .cluster.client import ClusterRedis

T = TypeVar("T")


async def ask_primaries(redis: Redis, ask: Callable[[Redis], Awaitable[T]]) -> dict[str, T]:
    """
    Return what each server answers that takes writes, by its `host:port`; of a server alone, its answer by an empty name.

    Raises what redis-py does, the first of several errors.
    """
    if not isinstance(redis, ClusterRedis):
        return {"": await ask(redis)}
    await redis.ensure_places()
    primaries = [shard.primary for shard in redis.table.list_shards()]
    answers = await asyncio.gather(*[ask(redis.table.get_client(each)) for each in primaries], return_exceptions=True)
    found = {}
    for endpoint, answer in zip(primaries, answers, strict=True):
        if isinstance(answer, BaseException):
            redis.table.note(answer)
            raise answer
        found[str(endpoint)] = answer
    return found
