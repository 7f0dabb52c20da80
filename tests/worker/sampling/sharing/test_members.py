"""Leases of partitions: each is had by one worker, is kept, given back, and taken from whoever is gone; a lost one fences."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from redis.asyncio import Redis

from tests.support.cluster import open_cluster
from tests.support.crew import Crew, Mate
from v1.rules import NO_RULES
from v1.store import LeaseLost, StoreAway, connect, keys
from v1.store.places import HOME_SLOT, Places, find_tag_slot, get_places
from v1.store.sharing.partition_leases import PartitionLeases
from worker.sampling.sharing.membership import Membership

PARTITIONS = 6
TAGS = Places(PARTITIONS).list_tags()


@pytest.fixture
async def store(server: str) -> AsyncIterator[Redis]:
    async with connect(server, "tests") as redis:
        redis.places = Places(PARTITIONS)  # type: ignore[attr-defined]  # as a client of a cluster has it
        yield redis


def count_held(crew: Crew) -> dict[str, int]:
    return {name: len(mate.leases.held) for name, mate in crew.mates.items()}


async def test_who_comes_first_has_all_and_gives_others_their_part(store: Redis):
    crew = Crew(store, NO_RULES)
    one, two, three = crew.mates.values()
    await one.membership.renew()
    assert one.leases.held == {*TAGS}

    await two.membership.renew()
    assert two.leases.held == frozenset()  # nothing is free yet
    await one.membership.renew()
    await two.membership.renew()

    assert one.leases.held | two.leases.held == {*TAGS}
    assert not one.leases.held & two.leases.held
    await three.membership.renew()
    await crew.renew()
    assert sum(count_held(crew).values()) == PARTITIONS


async def test_who_leaves_has_nothing_any_more_and_the_others_have_it_at_once(store: Redis):
    crew = Crew(store, NO_RULES, ("one", "two"))
    await crew.renew()
    await crew.renew()
    await crew.mates.pop("one").membership.release()

    await crew.renew()

    assert count_held(crew) == {"two": PARTITIONS}


async def test_who_is_killed_has_its_partitions_until_its_leases_run_out(store: Redis):
    one, two = PartitionLeases(store, "one", 600), PartitionLeases(store, "two", 600)
    await one.renew(TAGS)
    assert (await two.renew(TAGS)).gained == frozenset()

    for tag in TAGS[:2]:
        await store.delete(keys.feeder(tag))

    assert (await two.renew(TAGS)).gained == {*TAGS[:2]}
    assert (await one.renew(TAGS)).lost == {*TAGS[:2]}
    assert one.held == {*TAGS[2:]}


async def test_leases_run_out_by_themselves(store: Redis):
    one, two = PartitionLeases(store, "one", 2), PartitionLeases(store, "two", 600)
    await one.renew(TAGS)

    async with asyncio.timeout(60):
        while two.held != {*TAGS}:
            await two.renew(TAGS)
            await asyncio.sleep(0.05)


async def test_a_lease_that_ran_out_and_is_taken_anew_is_another_one(store: Redis):
    leases = PartitionLeases(store, "one", 600)
    await leases.renew(TAGS[:1])
    before = leases.find_partition_fence(TAGS[0])
    assert (await leases.renew(TAGS[:1])) == (frozenset(), frozenset())
    assert leases.find_partition_fence(TAGS[0]) == before

    await store.delete(keys.feeder(TAGS[0]))

    assert (await leases.renew(TAGS[:1])) == (frozenset({TAGS[0]}), frozenset({TAGS[0]}))
    assert leases.find_partition_fence(TAGS[0]) != before


async def test_nothing_is_written_in_a_partition_that_another_has_by_now(store: Redis):
    mate = Mate(store, "one", NO_RULES)
    await mate.leases.renew(TAGS[:1])
    await mate.writer.open_partitions(TAGS[:1])
    changes = mate.writer.feeder.open_changes()
    changes.choose_partition(TAGS[0]).execute_command("SET", "v1:tried", "1")
    await store.set(keys.feeder(TAGS[0]), "two:1")

    with pytest.raises(LeaseLost, match="two:1"):
        await mate.writer.feeder.send(changes)

    assert await store.get("v1:tried") is None


async def test_partitions_are_kept_by_renewing_them_for_as_long_as_the_worker_runs(store: Redis):
    mate = Mate(store, "one", NO_RULES)
    rounds = asyncio.Semaphore(0)

    async def sleep(seconds: float) -> None:
        assert seconds < mate.leases.seconds / 2
        rounds.release()
        await asyncio.sleep(0.01)

    membership = Membership(
        members=mate.membership._members, leases=mate.leases, note=mate.membership._note, tags=lambda: TAGS, sleep=sleep
    )
    running = asyncio.create_task(membership.run())
    async with asyncio.timeout(60):
        for _ in range(3):
            await rounds.acquire()
    for tag in TAGS:
        await store.persist(keys.feeder(tag))
    async with asyncio.timeout(60):
        while any([await store.ttl(keys.feeder(tag)) < 0 for tag in TAGS]):
            await asyncio.sleep(0.01)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_node_that_stands_still_costs_no_lease_at_the_others():
    async with (
        open_cluster(replicas=0) as cluster,
        connect(cluster.url, "tests", partitions=PARTITIONS) as redis,
        connect(cluster.url, "tests", 0.5, partitions=PARTITIONS) as quick,
    ):
        tags = get_places(redis).list_tags()
        leases = PartitionLeases(redis, "one", 600)
        await leases.renew(tags)
        leases._redis = quick
        home = await cluster.find_owner(HOME_SLOT)
        owners = {tag: await cluster.find_owner(find_tag_slot(tag)) for tag in tags}
        held_up = next(port for port in owners.values() if port != home)
        others = [tag for tag, port in owners.items() if port != held_up]
        for tag in others:
            await redis.persist(keys.feeder(tag))

        cluster.pause(held_up)
        try:
            with pytest.raises(StoreAway):
                await leases.renew(tags)
            assert leases.held == {*tags}
            async with asyncio.timeout(60):
                while any([await redis.ttl(keys.feeder(tag)) < 0 for tag in others]):
                    await asyncio.sleep(0.01)
        finally:
            cluster.resume(held_up)
