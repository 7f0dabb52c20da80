"""A client that may read from replicas reads from those that have everything, and else from primaries."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
from redis.asyncio import Redis

from tests.support.cluster import WAIT_SECONDS, RunningCluster, open_cluster
from tests.support.serving import NOON, tick
from v1.model import Metric
from v1.store import Reader, Writer, connect, follow_replicas, keys, open_change_feed
from v1.store.places import Places, find_slot

PARTITIONS = 8
BTC = Metric("KRAKEN:BTCUSD")
SLOT = find_slot(Places(PARTITIONS).place(keys.moments(BTC)))


class Clients(NamedTuple):
    writing: Redis
    reading: Redis


@asynccontextmanager
async def open_clients(address: str) -> AsyncIterator[Clients]:
    async with (
        connect(address, "tests", partitions=PARTITIONS) as writing,
        connect(address, "readers", 60.0, only_reads=True, reads_replicas=True) as reading,
        open_change_feed(address, "changes") as feed,
        follow_replicas(reading, feed),
    ):
        await wait_for(lambda: is_true(feed.is_live))
        yield Clients(writing, reading)


@pytest.fixture
async def clients(cluster: RunningCluster) -> AsyncIterator[Clients]:
    async with open_clients(cluster.url) as opened:
        yield opened


async def is_true(value: bool) -> bool:
    return value


async def wait_for(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not await is_so():
            await asyncio.sleep(0.02)


async def count_reads(cluster: RunningCluster, port: int) -> int:
    """Return how many states one node was asked for."""
    async with cluster.client(port) as node:
        found = (await node.info("commandstats")).get("cmdstat_mget", {})
    return int(found.get("calls", 0))


async def read_price(reading: Redis) -> str | None:
    (state,) = await Reader(reading).read_metric_states([BTC])
    return state.price if state else None


async def test_states_are_read_from_replicas_alone_once_these_have_what_was_committed(
    cluster: RunningCluster, clients: Clients
):
    await tick(Writer(clients.writing), NOON, {BTC: "46000.5"})
    owner = await cluster.find_owner(SLOT)
    (replica,) = await cluster.replicas_of(owner)
    before = await count_reads(cluster, replica)

    async def is_replica_read() -> bool:
        assert await read_price(clients.reading) == "46000.5"
        return await count_reads(cluster, replica) > before

    await wait_for(is_replica_read)
    asked = await count_reads(cluster, owner)
    for _ in range(10):
        assert await read_price(clients.reading) == "46000.5"
    assert await count_reads(cluster, owner) == asked


async def test_a_replica_that_stands_still_is_not_read_after_a_change_until_it_has_it():
    async with open_cluster(node_timeout_ms=60_000) as cluster, open_clients(cluster.url) as (writing, reading):
        writer = Writer(writing)
        await tick(writer, NOON, {BTC: "1"})
        owner = await cluster.find_owner(SLOT)
        (replica,) = await cluster.replicas_of(owner)
        cluster.pause(replica)
        try:
            for price in range(2, 6):
                await tick(writer, NOON + price * 60, {BTC: str(price)})

                assert await read_price(reading) == str(price)
        finally:
            cluster.resume(replica)
        before = await count_reads(cluster, replica)

        async def is_replica_read() -> bool:
            assert await read_price(reading) == "5"
            return await count_reads(cluster, replica) > before

        await wait_for(is_replica_read)


async def test_a_killed_replica_fails_no_read():
    async with open_cluster() as cluster, open_clients(cluster.url) as (writing, reading):
        await tick(Writer(writing), NOON, {BTC: "1"})
        (replica,) = await cluster.replicas_of(await cluster.find_owner(SLOT))
        before = await count_reads(cluster, replica)

        async def is_replica_read() -> bool:
            assert await read_price(reading) == "1"
            return await count_reads(cluster, replica) > before

        await wait_for(is_replica_read)
        cluster.kill(replica)

        for _ in range(20):
            assert await read_price(reading) == "1"


async def test_while_nobody_tells_of_changes_primaries_are_read(cluster: RunningCluster):
    async with (
        connect(cluster.url, "tests", partitions=PARTITIONS) as writing,
        connect(cluster.url, "readers", only_reads=True, reads_replicas=True) as reading,
    ):
        await tick(Writer(writing), NOON, {BTC: "1"})
        (replica,) = await cluster.replicas_of(await cluster.find_owner(SLOT))
        before = await count_reads(cluster, replica)

        assert [await read_price(reading) for _ in range(5)] == ["1"] * 5
        assert await count_reads(cluster, replica) == before


async def test_of_one_server_a_client_that_may_read_replicas_is_like_any_other(server: str):
    async with (
        connect(server, "tests") as writing,
        connect(server, "readers", only_reads=True, reads_replicas=True) as reading,
        open_change_feed(server, "changes") as feed,
        follow_replicas(reading, feed),
    ):
        await tick(Writer(writing), NOON, {BTC: "1"})

        assert await read_price(reading) == "1"
