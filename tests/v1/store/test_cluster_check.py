"""What is wrong with a cluster is said in words, and where nothing could be kept in it, it is refused."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.support.cluster import ClusterShape, RunningCluster, run_nodes
from v1.store import StoreAway, StoreError, connect
from v1.store.cluster_check import (
    CheckedShard,
    describe_database,
    find_database,
    find_missing_slots,
    list_cluster_lacks,
    list_refusals,
    read_shards,
)
from v1.store.cluster_fitness import UnfitCluster, read_shards_of
from v1.store.config_check import check_config, list_lacks_of_nodes
from v1.store.data_format import DataFormat
from worker.embedded.cluster.forming import form_cluster, open_clients

SEEDS = ("10.0.0.1:6379", "10.0.0.2:6379")


def node(host: str, role: str = "replica", health: str = "online") -> dict[str, Any]:
    """Return a node as `CLUSTER SHARDS` tells it."""
    return {"id": host, "port": 6379, "ip": host, "endpoint": host, "role": role, "health": health}


def shards(*hosts: tuple[str, ...], lost: str = "") -> list[CheckedShard]:
    """Return shards of so many hosts, each the primary and its replicas, with all slots."""
    bounds = [16_384 * number // len(hosts) for number in range(len(hosts) + 1)]
    return read_shards(
        [
            {
                "slots": [begin, end - 1],
                "nodes": [
                    node(host, "replica" if number else "master", "fail" if host == lost else "online")
                    for number, host in enumerate(shard)
                ],
            }
            for begin, end, shard in zip(bounds, bounds[1:], hosts, strict=False)
        ]
    )


SPREAD = (("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.3"), ("10.0.0.3", "10.0.0.1"))


@asynccontextmanager
async def clients(cluster: RunningCluster) -> AsyncIterator[dict[str, Redis]]:
    """Return a client of each node, which knows no other."""
    async with open_clients(cluster.addresses) as opened:
        yield dict(zip(map(str, cluster.addresses), opened, strict=True))


@pytest.fixture(scope="module")
def bare() -> Iterator[RunningCluster]:
    """Return nodes that are no cluster yet."""
    with run_nodes(ClusterShape(3, 0)) as nodes:
        yield nodes


# ---- on real clusters -------------------------------------------------------------------------------------


async def test_the_cluster_that_we_start_lacks_nothing(cluster: RunningCluster):
    async with clients(cluster) as nodes:
        assert await list_lacks_of_nodes(nodes, [*nodes]) == []


async def test_what_a_directive_costs_is_said_of_the_nodes_that_have_it(cluster: RunningCluster):
    first, second, *others = cluster.ports
    async with clients(cluster) as nodes:
        by_port = dict(zip(cluster.ports, nodes.values(), strict=True))
        for each in nodes.values():
            await each.config_set("cluster-require-full-coverage", "yes")
        await by_port[first].config_set("appendonly", "no")
        await by_port[second].config_set("cluster-node-timeout", "60000")
        try:
            lacks = await list_lacks_of_nodes(nodes, [*nodes])
        finally:
            for each in nodes.values():
                await each.config_set("cluster-require-full-coverage", "no")
                await each.config_set("cluster-node-timeout", "15000")
            await by_port[first].config_set("appendonly", "yes")

    assert len(others) == 4
    assert [lack.partition(", and should be")[0] for lack in lacks] == [
        f"on 127.0.0.1:{first}: appendonly is no",
        "on every node: cluster-require-full-coverage is yes",
        f"on 127.0.0.1:{second}: cluster-node-timeout is 60000",
    ]
    assert "all metrics stop with those of one part" in lacks[1]


async def test_a_replica_as_the_only_address_is_said_with_what_to_write_instead(cluster: RunningCluster):
    *_, replica = cluster.ports
    async with clients(cluster) as nodes:
        (lack,) = await list_lacks_of_nodes(nodes, [f"127.0.0.1:{replica}"])

    assert lack.startswith(f"the address names one node alone, 127.0.0.1:{replica}, a replica: while that one is away ")
    assert f"with commas between: 127.0.0.1:{replica},127.0.0.1:" in lack


async def test_the_command_checks_every_node_of_an_address(cluster: RunningCluster):
    first, *_, replica = cluster.ports
    assert await check_config(cluster.url) == []

    (lack,) = await check_config(f"redis://127.0.0.1:{replica}")
    assert lack.startswith(f"the address names one node alone, 127.0.0.1:{replica}, a replica: ")

    async with cluster.client(first) as client:
        await client.config_set("maxmemory-policy", "allkeys-lru")
        lacks = await check_config(cluster.url)
        await client.config_set("maxmemory-policy", "noeviction")
    assert [lack.partition(",")[0] for lack in lacks] == [f"on 127.0.0.1:{first}: maxmemory-policy is allkeys-lru"]


async def test_another_database_of_a_cluster_is_refused(cluster: RunningCluster):
    with pytest.raises(StoreError, match="the address names database 3, and a cluster has database 0 alone"):
        await check_config(f"redis://127.0.0.1:{cluster.ports[0]}/3")


async def test_nodes_that_are_no_cluster_yet_or_lack_slots_are_refused(bare: RunningCluster):
    async with clients(bare) as nodes:
        for each in nodes.values():
            await until_up(each)
        with pytest.raises(UnfitCluster, match="no node of the cluster has slots: make the nodes one cluster first"):
            await list_lacks_of_nodes(nodes, [*nodes])

        await form_cluster(bare.addresses, 3)
        (lack,) = await list_lacks_of_nodes(nodes, [*nodes])
        assert lack.startswith(f"{', '.join(nodes)} have no replica: when such a primary is lost, ")

        async with connect(bare.url, "tests") as client:
            await DataFormat(client).ensure()
        first, *_ = nodes.values()
        await first.execute_command("CLUSTER DELSLOTS", 7)
        with pytest.raises(UnfitCluster, match=r"has the slots 7: .* \(CLUSTER ADDSLOTSRANGE\), or type redis-cli"):
            await list_lacks_of_nodes(nodes, [*nodes])
        async with connect(bare.url, "tests") as client:
            with pytest.raises(UnfitCluster, match=r"has the slots 7: "):
                await DataFormat(client).ensure()


async def until_up(client: Redis) -> None:
    while True:
        try:
            await client.ping()
        except RedisError:
            await asyncio.sleep(0.02)
        else:
            return


async def test_a_node_that_does_not_answer_is_one_thing_that_is_wrong():
    with run_nodes(ClusterShape()) as cluster:
        await form_cluster(cluster.addresses, 3)
        lost = cluster.ports[0]
        (heir,) = await cluster.replicas_of(lost)
        cluster.kill(lost)
        await cluster.wait_for_failover(lost)
        async with clients(cluster) as nodes:
            lacks = await list_lacks_of_nodes(nodes, [*nodes])

        assert lacks[0].startswith(f"127.0.0.1:{heir} has no replica: when such a primary is lost, ")
        assert lacks[1].startswith(f"on 127.0.0.1:{lost}: it does not answer (")
        assert len(lacks) == 2

        cluster.kill(heir)
        async with clients(cluster) as nodes:
            while not (lacks := await list_lacks_of_nodes(nodes, [*nodes]))[0].startswith("the slots"):
                pass

        assert lacks[0].startswith("the slots 0-5460 are served by nobody: their primary 127.0.0.1:")
        assert "is lost, and no replica has taken its place; start it again" in lacks[0]

        for port in cluster.ports:
            cluster.kill(port)
        async with clients(cluster) as nodes:
            with pytest.raises(StoreAway, match="no node of the cluster answers"):
                await read_shards_of(nodes)


# ---- what real machines would say -------------------------------------------------------------------------


def test_a_cluster_over_three_machines_lacks_nothing():
    assert list_refusals(shards(*SPREAD)) == []
    assert list_cluster_lacks(shards(*SPREAD), SEEDS) == []


def test_slots_that_nobody_has_are_listed_as_the_tools_of_the_engine_write_them():
    some = [CheckedShard([(1, 5), (7, 100)], []), CheckedShard([(200, 16_383)], [])]

    assert find_missing_slots(some) == [(0, 0), (6, 6), (101, 199)]
    assert "has the slots 0, 6, 101-199: " in list_refusals(some)[0]


def test_too_few_primaries_are_said():
    (lack,) = list_cluster_lacks(shards(*SPREAD[:2]), SEEDS)

    assert lack.startswith("2 primaries are too few: ")


def test_a_machine_without_which_the_cluster_cannot_decide_is_named():
    lacks = list_cluster_lacks(shards(("10.0.0.1", "10.0.0.2"), ("10.0.0.1", "10.0.0.3"), SPREAD[2]), SEEDS)

    assert [lack.partition(":")[0] for lack in lacks] == ["2 of 3 primaries are on 10.0.0.1"]


def test_a_primary_whose_replicas_are_all_beside_it_is_named():
    lacks = list_cluster_lacks(shards(("10.0.0.1", "10.0.0.1"), *SPREAD[1:]), SEEDS)

    assert lacks == [
        (
            "10.0.0.1:6379 and all its replicas are on one machine: without it the slots 0-5460 are gone; "
            "have a node of another machine follow it"
        )
    ]


def test_a_replica_that_is_lost_does_not_count():
    lacks = list_cluster_lacks(shards(*SPREAD, lost="10.0.0.2")[:1] + shards(*SPREAD)[1:], SEEDS)

    assert [lack.partition(":6379 has ")[0] for lack in lacks] == ["10.0.0.1"]


@pytest.mark.parametrize(
    "address, number",
    [
        ("redis://a:1,b:2", 0),
        ("redis://:secret@a:1,b:2/", 0),
        ("redis://a:1,b:2/3", 3),
        ("rediss://a/0?db=7", 7),
        ("unix:///run/redis.sock?db=2", 2),
        ("unix:///run/redis.sock", 0),
    ],
)
def test_the_number_of_the_database_is_found_in_an_address(address: str, number: int):
    assert find_database(address) == number


def test_any_database_but_the_first_is_refused_in_words():
    assert describe_database(0) == ""
    assert describe_database(3) == (
        "the address names database 3, and a cluster has database 0 alone: leave the number out"
    )
