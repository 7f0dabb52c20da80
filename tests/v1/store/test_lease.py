"""The right to feed a Redis: taken, kept, refused, run out, taken over, given back."""

import pytest
from redis.asyncio import Redis

from tests.support.cluster import ON_ONE_NODE
from tests.support.serving import MINUTE, NOON, sample
from tests.support.units import commit, read_states
from v1.model import Metric
from v1.store import LeaseLost, StoreAway, StoreError, Writer, keys


async def test_the_first_to_ask_has_the_lease_and_the_second_is_told_who_has_it(redis: Redis):
    first, second = Writer(redis), Writer(redis)

    assert await first.lease.take_or_keep("one") is None
    assert await second.lease.take_or_keep("two") == "one"
    assert await redis.get(keys.LEASE) == "one"


async def test_who_has_the_lease_keeps_it_by_asking_again(redis: Redis):
    store = Writer(redis)
    await store.lease.take_or_keep("one")
    await redis.expire(keys.LEASE, 1)

    assert await store.lease.take_or_keep("one") is None

    assert await redis.ttl(keys.LEASE) > 10


async def test_being_refused_does_not_prolong_anybodys_lease(redis: Redis):
    store = Writer(redis)
    await store.lease.take_or_keep("one")
    await redis.expire(keys.LEASE, 1)

    assert await store.lease.take_or_keep("two") == "one"

    assert await redis.ttl(keys.LEASE) <= 1


async def test_a_lease_that_has_run_out_goes_to_the_next_to_ask(redis: Redis):
    store = Writer(redis)
    await store.lease.take_or_keep("one")
    await redis.pexpire(keys.LEASE, 1)
    while await redis.exists(keys.LEASE):
        pass

    assert await store.lease.take_or_keep("two") is None
    assert await store.lease.take_or_keep("one") == "two"


async def test_a_lease_can_be_taken_from_a_holder_that_is_gone(redis: Redis):
    store = Writer(redis)
    await store.lease.take_or_keep("one")

    assert await store.lease.take_over("two", "one")

    assert await store.lease.take_or_keep("one") == "two"
    assert await store.lease.take_or_keep("two") is None


async def test_of_two_that_take_over_from_the_same_holder_only_the_first_does(redis: Redis):
    store = Writer(redis)
    await store.lease.take_or_keep("one")

    assert await store.lease.take_over("two", "one")
    assert not await store.lease.take_over("three", "one")

    assert await store.lease.take_or_keep("three") == "two"


async def test_a_lease_ends_by_itself(redis: Redis):
    await Writer(redis).lease.take_or_keep("one")
    assert 0 < await redis.ttl(keys.LEASE) <= keys.LEASE_SECONDS

    await Writer(redis).lease.take_over("two", "one")
    assert 0 < await redis.ttl(keys.LEASE) <= keys.LEASE_SECONDS


async def test_a_lease_that_is_given_back_is_free(redis: Redis):
    store = Writer(redis)
    await store.lease.take_or_keep("one")

    await store.lease.release("one")

    assert await store.lease.take_or_keep("two") is None


async def test_nobody_gives_back_what_is_not_his(redis: Redis):
    store = Writer(redis)
    await store.lease.take_or_keep("one")

    await store.lease.release("two")

    assert await store.lease.take_or_keep("two") == "one"


async def test_who_slept_for_longer_than_the_lease_moves_nothing_once_somebody_else_feeds(redis: Redis):
    first, second = Writer(redis), Writer(redis)
    await first.lease.take_or_keep("one")
    await redis.delete(keys.LEASE)
    await second.lease.take_or_keep("two")

    assert await read_states(second, NOON, []) == []
    with pytest.raises(StoreError, match="two feeds this Redis now"):
        await read_states(first, NOON, [])


async def overtaken(redis: Redis) -> tuple[Writer, Writer]:
    """Return a writer whose lease ran out, and the one that took it since."""
    first, second = Writer(redis), Writer(redis)
    await first.lease.take_or_keep("one")
    await redis.delete(keys.LEASE)
    await second.lease.take_or_keep("two")
    return first, second


@ON_ONE_NODE
async def test_who_sleeps_within_a_tick_for_longer_than_the_lease_writes_nothing_of_it(redis: Redis):
    first, _ = await overtaken(redis)

    for write in (
        commit(first, NOON),
        first.insert_samples(Metric("KRAKEN:BTCUSD"), [sample(NOON, "1")], "tests", NOON),
        first.update_rankings(NOON),
        first.write_source_states({"kraken": {}}),
        first.repair.put_state(Metric("KRAKEN:BTCUSD"), None),
        first.repair.put_list(keys.METRICS, [(1.0, Metric("KRAKEN:BTCUSD"))]),
    ):
        with pytest.raises(LeaseLost, match="two feeds this Redis now"):
            await write

    assert {key async for key in redis.scan_iter()} == {keys.LEASE}


async def test_who_slept_and_finds_the_lease_free_takes_it_again_and_must_read_anew(redis: Redis):
    first, second = await overtaken(redis)
    await commit(second, NOON + MINUTE)
    await second.lease.release("two")

    with pytest.raises(StoreAway, match="between reading and writing"):
        await commit(first, NOON)

    assert await redis.get(keys.LEASE) == "one"
    assert await first.read_tick() == NOON + MINUTE
    await commit(first, NOON + 2 * MINUTE)
    assert await first.read_tick() == NOON + 2 * MINUTE


async def test_who_takes_the_lease_anew_within_a_tick_commits_nothing_of_what_was_read_before(redis: Redis):
    first, second = Writer(redis), Writer(redis)
    await first.lease.take_or_keep("one")

    async with first.open_tick(NOON) as unit:
        await redis.delete(keys.LEASE)
        await second.lease.take_or_keep("two")
        await commit(second, NOON + MINUTE)
        await second.lease.release("two")
        await first.lease.take_or_keep("one")
        with pytest.raises(StoreAway, match="between reading and writing"):
            await unit.commit([])

    assert await first.read_tick() == NOON + MINUTE


async def test_who_renews_the_lease_within_a_tick_commits_it(redis: Redis):
    store = Writer(redis)
    await store.lease.take_or_keep("one")

    async with store.open_tick(NOON) as unit:
        await store.lease.take_or_keep("one")
        await unit.commit([])

    assert await store.read_tick() == NOON


async def test_a_lease_that_ran_out_and_that_nobody_took_holds_nobody_up(redis: Redis):
    store = Writer(redis)
    await store.lease.take_or_keep("one")
    await redis.delete(keys.LEASE)

    assert await read_states(store, NOON, []) == []
