"""The partitions of a worker are kept by a thread of their own, however long a tick computes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from threading import Event

import pytest
from redis.asyncio import Redis

from tests.support.cluster import RunningCluster
from tests.support.crew import wait_until
from v1.store import Lease, connect, keys
from v1.store.places import get_places
from v1.store.sharing.members import Members, WorkerNote
from v1.store.sharing.partition_leases import PartitionLeases
from worker.cli.share_thread import ShareThread
from worker.sampling.sharing.membership import Membership

NOTE = WorkerNote("here:1", "here", 1, 0, "test", 4)
PATIENT_SECONDS = 60
NAME = "asking"


@pytest.fixture
async def store(cluster: RunningCluster) -> AsyncIterator[Redis]:
    async with connect(cluster.url, "tests") as redis:
        yield redis


async def test_leases_are_renewed_while_the_workers_own_loop_stands_still(store: Redis, cluster: RunningCluster):
    thread, renewals, renewed = ShareThread(cluster.url, NOTE, Lease(store)), list[int](), Event()

    def count(note: WorkerNote) -> WorkerNote:
        renewals.append(1)
        if len(renewals) == 3:
            renewed.set()
        return note

    async with asyncio.timeout(PATIENT_SECONDS), thread.run() as leases:
        await wait_until(lambda: has_all(store, leases))
        thread.describe = count
        # As a tick does that computes: nothing else runs on this loop meanwhile.
        assert renewed.wait(PATIENT_SECONDS)


async def test_a_worker_that_ends_leaves_its_partitions_to_the_others_at_once(store: Redis, cluster: RunningCluster):
    thread, tags = ShareThread(cluster.url, NOTE, Lease(store)), get_places(store).list_tags()

    async with asyncio.timeout(PATIENT_SECONDS), thread.run() as leases:
        await wait_until(lambda: has_all(store, leases))

    assert [await store.get(keys.feeder(tag)) for tag in tags] == [None] * len(tags)
    assert await Members(store).read_all() == []


async def test_the_lease_of_whoever_asks_the_sources_is_kept_by_the_thread_too(store: Redis, cluster: RunningCluster):
    home = Lease(store)
    home.has_partitions, home.seconds = False, 4
    assert await home.take_or_keep(NAME) is None
    await store.expire(keys.LEASE, PATIENT_SECONDS)

    async with asyncio.timeout(PATIENT_SECONDS), ShareThread(cluster.url, NOTE, home).run():
        await wait_until(lambda: lives_at_most(store, home.seconds))


async def test_a_lease_that_somebody_else_has_is_not_prolonged(store: Redis):
    home = Lease(store)
    await store.set(keys.LEASE, "another", ex=PATIENT_SECONDS)

    assert not await home.keep(NAME)

    assert await store.get(keys.LEASE) == "another"


async def test_a_worker_that_stands_still_for_long_leaves_its_partitions_to_others(store: Redis):
    leases, rounds = PartitionLeases(store, NOTE.name, NOTE.lease_seconds), list[float]()

    async def end_after_three(seconds: float) -> None:
        rounds.append(seconds)
        if len(rounds) == 3:
            raise asyncio.CancelledError

    membership = Membership(
        members=Members(store),
        leases=leases,
        note=NOTE,
        tags=lambda: get_places(store).list_tags(),
        is_alive=lambda: False,
        sleep=end_after_three,
    )
    with suppress(asyncio.CancelledError):
        await membership.run()

    assert leases.held == frozenset()
    assert await Members(store).read_all() == []


async def has_all(redis: Redis, leases: PartitionLeases) -> bool:
    return leases.held == {*get_places(redis).list_tags()}


async def lives_at_most(redis: Redis, seconds: int) -> bool:
    return 0 < await redis.ttl(keys.LEASE) <= seconds
