"""How long a cluster takes to replace a primary that is lost, beside how often a tick comes."""

from typing import cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from .cluster.client import ClusterRedis
from .pool import NOT_FOR_US, read_error_code
from .primaries import ask_present_primaries
from .sharing.shares import find_lease_seconds

SLOWEST = 1.8
"""Node timeouts until a replica serves, at most; measured, as docs/how-to/cluster.md says."""
SHORTEST_NODE_TIMEOUT_MS = 1000
"""Below it a machine that is merely busy counts as lost."""
DIRECTIVE = "cluster-node-timeout"


async def read_node_timeout(redis: Redis) -> int | None:
    """
    Return the longest node timeout of the primaries that answer, in ms; `None` of one node, or where it may not be asked.

    Raises what redis-py does.
    """
    if not isinstance(redis, ClusterRedis):
        return None
    try:
        found = await ask_present_primaries(redis, lambda node: node.config_get(DIRECTIVE))
    except ResponseError as error:
        if read_error_code(error) not in NOT_FOR_US:
            raise
        return None
    told = [cast("dict[str, str]", each).get(DIRECTIVE) for each in found.values()]
    return max((int(each) for each in told if each), default=None)


def find_longest_node_timeout(interval: int) -> int | None:
    """Return the longest node timeout, in ms, at which a failover is over within an interval; `None` where none is."""
    longest = int((interval - find_lease_seconds(interval)) / SLOWEST * 10) * 100
    return longest if longest >= SHORTEST_NODE_TIMEOUT_MS else None


def describe_slow_failover(node_timeout_ms: int | None, interval: int) -> str | None:
    """Return that ticks are late after the loss of a primary, and what to set; `None` where they are not."""
    if node_timeout_ms is None:
        return None
    lease, longest = find_lease_seconds(interval), find_longest_node_timeout(interval)
    failover = SLOWEST * node_timeout_ms / 1000
    if failover + lease <= interval:
        return None
    shorter = f"set {DIRECTIVE} to {longest} (ms) or less" if longest else "raise TRACKER_INTERVAL"
    return (
        f"when a primary is lost, its replica serves after up to {failover:.1f} s ({DIRECTIVE} is {node_timeout_ms} ms), "
        f"and a worker's leases last {lease} s: longer than an interval of {interval} s, so ticks are late then, and none "
        f"is lost; {shorter}"
    )
