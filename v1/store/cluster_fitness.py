"""Asks the nodes of a cluster for its shards, and refuses a cluster in which nothing can be kept as it is."""

from collections.abc import Mapping

from redis.asyncio import Redis

from .cluster.client import ClusterRedis
from .cluster_check import CheckedShard, list_refusals, read_shards
from .connection import StoreAway, StoreError, translate_errors


class UnfitCluster(StoreError):
    """Nothing can be kept in a cluster as it is; the message says why, and what would help."""


async def refuse_unfit(redis: Redis) -> None:
    """Raise `UnfitCluster` where a client is of a cluster in which nothing can be kept as it is."""
    if isinstance(redis, ClusterRedis):
        with translate_errors():
            nodes = await find_nodes(redis)
        if refusals := list_refusals(await read_shards_of(nodes)):
            raise UnfitCluster(" ".join(refusals))


async def find_nodes(redis: ClusterRedis) -> dict[str, Redis]:
    """Return a client of each node of a cluster, by its `host:port`: of those that it names, where none has slots."""
    await redis.table.ensure()
    shards = redis.table.list_shards()
    known = [endpoint for shard in shards for endpoint in (shard.primary, *shard.replicas)]
    return {str(endpoint): redis.table.get_client(endpoint) for endpoint in known or redis.table.seeds}


async def read_shards_of(nodes: Mapping[str, Redis]) -> list[CheckedShard]:
    """Return the shards of a cluster as the first node tells them that answers. Raises `StoreAway` where none does."""
    errors = []
    for name, node in nodes.items():
        try:
            with translate_errors():
                # In two words redis-py leaves the answer as it is.
                answer = await node.execute_command("CLUSTER", "SHARDS")  # type: ignore[no-untyped-call]
            return read_shards(answer, name.rpartition(":")[0])
        except StoreAway as error:
            errors.append(f"{name}: {error}")
    raise StoreAway(f"no node of the cluster answers ({'; '.join(errors)})")
