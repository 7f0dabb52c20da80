"""Whether a cluster replaces a lost primary within an interval: asked of real nodes, and judged beside the interval."""

import pytest

from tests.support.cluster import RunningCluster, open_cluster
from tests.support.serving import Clock, serving
from v1.store import connect
from v1.store.failover import DIRECTIVE, describe_slow_failover, find_longest_node_timeout, read_node_timeout


@pytest.mark.parametrize(
    "node_timeout_ms, interval, advice",
    [
        (5000, 60, None),
        (2000, 15, None),
        (16_000, 30, "set cluster-node-timeout to 15500 (ms) or less"),
        (15_000, 60, None),
        (5000, 5, "set cluster-node-timeout to 1600 (ms) or less"),
        (1600, 5, None),
        (1000, 1, "raise TRACKER_INTERVAL"),
        (None, 1, None),
    ],
)
def test_a_failover_that_takes_longer_than_an_interval_is_said_with_what_to_set(
    node_timeout_ms: int | None, interval: int, advice: str | None
):
    said = describe_slow_failover(node_timeout_ms, interval)

    assert (said is None) == (advice is None)
    assert said is None or said.endswith(f"none is lost; {advice}")


def test_what_is_advised_is_short_enough_and_no_shorter_than_a_busy_machine_takes():
    for interval in (4, 5, 10, 15, 30, 60, 3600):
        assert describe_slow_failover(find_longest_node_timeout(interval), interval) is None
    assert [find_longest_node_timeout(interval) for interval in (1, 2, 3)] == [None, None, None]


async def test_one_node_has_none(server: str):
    async with connect(server, "tests") as redis:
        assert await read_node_timeout(redis) is None


async def test_health_says_it_of_a_cluster_whose_nodes_wait_for_long():
    async with open_cluster(replicas=0) as cluster, connect(cluster.url, "tests") as redis:
        slow = (await cluster.primaries())[-1]
        async with serving(Clock(), cluster.url, interval=5) as api:
            await set_node_timeout(cluster, slow, 1600)
            others = await read_node_timeout(redis)
            await set_node_timeout(cluster, slow, 5000)
            reasons = (await api.get("/health/ready")).json["reasons"]

        assert await read_node_timeout(redis) == 5000
        assert others is not None
        assert others < 5000
    (said,) = [each for each in reasons if DIRECTIVE in each]
    assert said == (
        "when a primary is lost, its replica serves after up to 9.0 s (cluster-node-timeout is 5000 ms), and a worker's "
        "leases last 2 s: longer than an interval of 5 s, so ticks are late then, and none is lost; set "
        "cluster-node-timeout to 1600 (ms) or less"
    )


async def set_node_timeout(cluster: RunningCluster, port: int, milliseconds: int) -> None:
    async with cluster.client(port) as node:
        await node.config_set(DIRECTIVE, milliseconds)
