"""Finds out whether an address is that of a cluster, and opens a client of what is there."""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ..places import Places
from ..pool import ReplacingPool
from .client import ClusterRedis
from .seeds import Seeds
from .slot_table import Endpoint, SlotTable

PARTITIONS = 64
"""Into how many parts the data of a cluster is divided unless it is said otherwise."""
ASK_SECONDS = 2.0
"""How long a node may take to say what it is."""

_DATABASE = re.compile(r"^/[0-9]*|(?<=[?&])db=[0-9]*")

MakePool = Callable[[str], ReplacingPool]


class FoundNode(NamedTuple):
    """The first node that answered."""

    endpoint: Endpoint
    is_cluster: bool


def open_client(seeds: Seeds, found: FoundNode | None, make_pool: MakePool, partitions: int | None) -> Redis:
    """
    Return a client of the cluster that has one of the seeds, or of the server alone that was found there.

    Where none was found, a list of several is taken for a cluster, and a single one for a server alone.
    """
    found = found or FoundNode(seeds.endpoints[0], is_cluster=len(seeds.endpoints) > 1)
    pool = make_pool(seeds.make_address(found.endpoint))
    if not found.is_cluster:
        return Redis.from_pool(pool)
    table = SlotTable(seeds.endpoints, lambda endpoint: make_pool(seeds.make_address(endpoint)))
    return ClusterRedis(table, pool, Places(partitions or PARTITIONS), is_count_given=partitions is not None)


async def ask_any(seeds: Seeds, make_pool: MakePool) -> FoundNode | None:
    """Return what the first node is that answers."""
    # A cluster would refuse to be asked in another database than the first.
    anywhere = seeds._replace(after=_DATABASE.sub("", seeds.after))
    for endpoint in seeds.endpoints:
        client = Redis.from_pool(make_pool(anywhere.make_address(endpoint)))
        with suppress(RedisError, OSError, TimeoutError):
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    about = await client.info("cluster")
                return FoundNode(endpoint, is_cluster=bool(about.get("cluster_enabled")))
            finally:
                await client.aclose()
    return None
