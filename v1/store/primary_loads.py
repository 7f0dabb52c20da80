"""What each primary of a cluster has: how many partitions, keys and bytes. Changes nothing."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from redis.asyncio import Redis

from .cluster.client import ClusterRedis
from .connection import connect, translate_errors
from .places import find_tag_slot
from .primaries import ask_primaries


class PrimaryLoad(NamedTuple):
    """What a primary has."""

    name: str
    """Its `host:port`."""
    partitions: int
    keys: int
    used_bytes: int
    limit_bytes: int
    """Its memory, at most; 0: no limit."""


async def read_primary_loads(address: str) -> Sequence[PrimaryLoad]:
    """Return what each primary of the cluster at `address` has; nothing where it is no cluster. Raises `StoreError`."""
    async with connect(address, "data-tracker-plan") as redis:
        if not isinstance(redis, ClusterRedis):
            return []
        with translate_errors():
            counts = await ask_primaries(redis, _count_keys)
            about = await ask_primaries(redis, _read_memory)
            slots = map(find_tag_slot, redis.places.list_tags())
            partitions = Counter(str(redis.table.find_shard(slot).primary) for slot in slots)
    return [PrimaryLoad(name, partitions[name], counts[name], *about.get(name, (0, 0))) for name in counts]


async def _count_keys(node: Redis) -> int:
    return int(await node.dbsize())


async def _read_memory(node: Redis) -> tuple[int, int]:
    about = await node.info("memory")
    return int(about.get("used_memory", 0)), int(about.get("maxmemory", 0))
