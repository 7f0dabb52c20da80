"""What is kept of samples follows their slots: it is told of changes by whoever has them now."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from redis.asyncio import Redis

from tests.support.cluster import WAIT_SECONDS, RunningCluster, open_cluster
from tests.support.serving import HOUR, MINUTE, NOON, every_minute, fill, sample
from tests.v1.store.test_tracking import BTC, ETH, HOURS, keep, list_kept
from v1.market.pieces import KeptPieces
from v1.store import StoreAway, TrackedReader, Writer, connect, keys
from v1.store.cluster.client import ClusterRedis
from v1.store.places import Places, find_slot

PARTITIONS = 8
SLOT = find_slot(Places(PARTITIONS).place(keys.moments(BTC)))


class Both(NamedTuple):
    reader: TrackedReader
    reading: Redis
    writer: Writer


@asynccontextmanager
async def open_both(cluster: RunningCluster) -> AsyncIterator[Both]:
    """A reader, and a writer on connections of its own that has filled two hours of two metrics."""
    async with (
        connect(cluster.url, "tests", partitions=PARTITIONS) as redis,
        connect(cluster.url, "readers", only_reads=True) as reading,
    ):
        writer, reader = Writer(redis), TrackedReader(reading, KeptPieces(10**6))
        await fill(writer, {BTC: every_minute(["1.5"] * 120), ETH: every_minute(["2.5"] * 120)})
        try:
            yield Both(reader, reading, writer)
        finally:
            await reader.close()


async def correct(writer: Writer) -> None:
    at = NOON - 90 * MINUTE
    await writer.insert_samples(BTC, [sample(at, "9")], "tests", NOON, replace=[at])


async def retry(do: Callable[[], Awaitable[None]]) -> None:
    """Do something as often as the store is away."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                return await do()
            except StoreAway:
                await asyncio.sleep(0.05)


async def test_a_late_sample_drops_its_hour_before_that_is_read_again(cluster: RunningCluster):
    async with open_both(cluster) as (reader, _, writer):
        await keep(reader)
        await keep(reader, ETH)
        assert list_kept(reader) == HOURS
        await correct(writer)
        await reader.read(BTC, [])

        assert list_kept(reader) == HOURS[1:]
        assert list_kept(reader, ETH) == HOURS


async def test_what_was_read_where_a_slot_was_before_is_not_kept_although_nobody_asks_there_again():
    async with open_cluster(replicas=0) as cluster, open_both(cluster) as (reader, reading, writer):
        await keep(reader)
        await keep(reader, ETH)
        owner = await cluster.find_owner(SLOT)
        to = next(port for port in await cluster.primaries() if port != owner)
        await cluster.move_slot(SLOT, to)
        # Another question of the same client learns of it, so this reader never hears it from the node of before.
        assert isinstance(reading, ClusterRedis)
        reading.table.mark_out_of_date()
        await reading.ensure_places()
        await retry(lambda: correct(writer))
        await reader.read(BTC, [])

        assert list_kept(reader) == []


async def test_after_a_failover_samples_are_kept_again():
    async with open_cluster() as cluster, open_both(cluster) as (reader, *_):
        await keep(reader)
        lost = await cluster.find_owner(SLOT)
        async with cluster.client(lost) as node:
            await node.execute_command("WAIT", 1, 30_000)
        cluster.kill(lost)
        await cluster.wait_for_failover(lost)

        await retry(lambda: keep(reader))

        assert list_kept(reader) == HOURS
        (opened,) = (await reader.read(BTC, [NOON - 2 * HOUR])).hours
        assert len(opened.members) == 60
