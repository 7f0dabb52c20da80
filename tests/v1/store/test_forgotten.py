"""A real cluster whose primaries are killed while their replicas are behind: what was forgotten is committed again, to the byte."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support.cluster import RunningCluster, open_cluster
from tests.support.divided import (
    TICKS,
    leave_out_alert_keys,
    log,
    make_engine,
    open_writer,
    play_whole,
    read_contents,
    read_events,
    script,
)
from v1.rules import RuleEngine
from v1.store import StoreAway, Verifier, Writer, connect, keys
from v1.store.places import HOME, find_slot
from worker.sampling.tick import commit_tick

PARTITIONS = 6
PATIENCE = 90.0
"""Seconds that a failover may take on a busy machine."""


@asynccontextmanager
async def connecting(cluster: RunningCluster) -> AsyncIterator[Redis]:
    async with connect(cluster.url, "tests", partitions=PARTITIONS) as redis:
        yield redis


async def read_all(redis: Redis) -> tuple[Mapping[Any, Any], Any]:
    """Return what a store holds, without how it is divided, and what was alerted and sent."""
    contents = {key: value for key, value in (await read_contents(redis)).items() if key != keys.PARTITIONS}
    return contents, await log(redis)


async def commit_patiently(store: Writer, at: int, readings: Any, engine: RuleEngine) -> None:
    """Commit a tick as the worker does: as long as the store is away, it is opened anew and the tick tried again."""
    is_away = False
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                if is_away:
                    await store.lease.take_or_keep("one")
                    await store.open()
                if await store.read_tick() != at:
                    await commit_tick(at, readings, store, engine)
            except StoreAway:
                is_away = True
                await asyncio.sleep(0.1)
            else:
                return


async def test_a_cluster_holds_what_one_node_holds(server: str, cluster: RunningCluster):
    async with connect(server, "tests") as redis:
        await play_whole(redis)
        whole, events = await read_all(redis), await read_events(redis)

    async with connecting(cluster) as redis:
        await play_whole(redis)

        contents, alerts = await read_all(redis)
        assert alerts == whole[1]
        assert leave_out_alert_keys(contents) == leave_out_alert_keys(whole[0])
        assert await read_events(redis) == events
        assert (await Verifier(redis).verify(repair=False)).is_clean


async def lag(cluster: RunningCluster, primary: int) -> list[int]:
    """Have the replicas of a primary stand still, with nothing on its way to them; return their ports."""
    replicas = await cluster.replicas_of(primary)
    async with cluster.client(primary) as client:
        for replica in replicas:
            cluster.pause(replica)
        await client.execute_command("CLIENT", "KILL", "TYPE", "replica")
    return replicas


@pytest.mark.parametrize("part", ["a partition", HOME])
async def test_what_a_killed_primary_had_acknowledged_and_no_replica_has_is_committed_again(
    shared_cluster: RunningCluster, part: str
):
    await shared_cluster.flush()
    async with connecting(shared_cluster) as redis:
        await play_whole(redis)
        expected, events = await read_all(redis), await read_events(redis)

    async with open_cluster() as cluster, connecting(cluster) as redis:
        store, engine = await open_writer(redis), make_engine()
        ticks = [*zip(TICKS, script(), strict=True)]
        for at, readings in ticks[:2]:
            await commit_patiently(store, at, readings, engine)
        home = await cluster.find_owner(find_slot(f"{{{HOME}}}"))
        primary = home if part == HOME else next(each for each in await cluster.primaries() if each != home)
        replicas = await lag(cluster, primary)
        for at, readings in ticks[2:4]:
            await commit_patiently(store, at, readings, engine)

        cluster.kill(primary)
        for replica in replicas:
            cluster.resume(replica)
        await cluster.wait_for_failover(primary)
        await commit_patiently(store, *ticks[4], engine)

        assert store.session.recommitted > 0
        assert await read_all(redis) == expected
        if part != HOME:
            assert await read_events(redis) == events
        assert (await Verifier(redis).verify(repair=False)).is_clean
        assert await store.read_tick() == TICKS[-1]


async def test_what_a_replica_has_is_not_remembered_any_longer(cluster: RunningCluster):
    async with connecting(cluster) as redis:
        store = await open_writer(redis)
        for at, readings in zip(TICKS, script(), strict=True):
            await commit_patiently(store, at, readings, make_engine())

        async with asyncio.timeout(PATIENCE):  # replicas acknowledge once a second
            while any(store.feeder._commit_log._sent.values()):
                await store.feeder.forget_replicated(TICKS[-1])
                await asyncio.sleep(0.05)
