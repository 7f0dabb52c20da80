"""Data is moved to another Redis while a worker goes on: from one server to a cluster, and back."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support.cluster import RunningCluster
from tests.support.divided import METRICS, RULES, script
from tests.support.ledger import dump
from tests.support.serving import MINUTE, NOON
from v1.rules import RuleEngine
from v1.store import CannotMove, DataFormat, DataMove, LeaseLost, OtherFormat, Reader, Verifier, Writer, connect, keys
from worker.sampling.tick import commit_tick

PARTITIONS = 8
ONE, MOVER = "one", "mover"
TICKS = script()


@pytest.fixture
async def target(cluster: RunningCluster) -> AsyncIterator[Redis]:
    async with connect(cluster.url, "tests", partitions=PARTITIONS) as redis:
        yield redis


@pytest.fixture
async def source(server: str) -> AsyncIterator[Redis]:
    async with connect(server, "tests") as redis:
        yield redis


async def sample(store: Writer, engine: RuleEngine, *numbers: int) -> None:
    for number in numbers:
        await commit_tick(NOON + number * MINUTE, TICKS[number], store, engine)


async def open_market(redis: Redis) -> tuple[Writer, RuleEngine]:
    """Return a worker's store with two ticks and its lease."""
    store, engine = Writer(redis), RuleEngine(RULES, (), MINUTE)
    await DataFormat(redis).ensure()
    await store.lease.take_or_keep(ONE)
    await store.open()
    await sample(store, engine, 0, 1)
    return store, engine


async def move_all(source: Redis, target: Redis, holder: str | None = None) -> DataMove:
    move = DataMove(source, target)
    await move.begin()
    await move.copy_changed()
    lease = Writer(source).lease
    if holder:
        await lease.take_over(MOVER, holder)
    await move.copy_changed()
    await move.finish()
    if holder:
        await lease.release(MOVER)
    return move


async def dump_data(redis: Redis) -> dict[str, Any]:
    """Return what is data, whatever it lies in; groups of streams come along with them."""
    return {key: content for key, content in (await dump(redis)).items() if key not in (keys.LEASE, keys.FORMAT)}


async def test_what_is_moved_there_and_back_is_what_was(source: Redis, target: Redis):
    await open_market(source)
    before = await dump_data(source)

    await move_all(source, target, ONE)
    assert await dump_data(target) == before
    assert (await Verifier(target).verify(repair=False)).is_clean

    await move_all(target, source)
    assert await dump_data(source) == before
    assert (await Verifier(source).verify(repair=False)).is_clean


async def test_a_worker_samples_meanwhile_and_nothing_of_it_is_missing(source: Redis, target: Redis):
    store, engine = await open_market(source)
    move = DataMove(source, target)
    await move.begin()
    assert (await move.copy_changed()).keys > len(METRICS)
    await sample(store, engine, 2)
    await move.copy_changed()
    await sample(store, engine, 3)
    await store.lease.take_over(ONE, ONE)
    lease = Writer(source).lease
    assert await lease.take_over(MOVER, ONE)
    with pytest.raises(LeaseLost):
        await sample(store, engine, 4)
    await move.copy_changed()
    await move.finish()
    await lease.release(MOVER)

    assert await dump_data(target) == await dump_data(source)
    moved = Writer(target)
    await moved.lease.take_or_keep(ONE)
    assert await moved.open() == NOON + 3 * MINUTE
    await sample(moved, engine, 4)
    assert [each.tick for each in await Reader(target).read_samples(METRICS[0], 0, NOON + 9 * MINUTE)] == [
        NOON + number * MINUTE for number in range(5)
    ]
    assert (await Verifier(target).verify(repair=False)).is_clean


async def test_settled_samples_are_copied_once(source: Redis, target: Redis):
    await open_market(source)
    old, new = keys.samples(METRICS[0], NOON - 10 * 3600), keys.samples(METRICS[0], NOON - 9 * 3600)
    for key in (old, new):
        await source.zadd(key, {"[60,1,null,null,null,null,null]": 1})
        await source.pexpireat(key, 4_000_000_000_000)
    move = DataMove(source, target)
    await move.begin()
    first = await move.copy_changed()
    assert first.keys == first.of

    await source.pexpireat(new, 4_000_000_060_000)
    second = await move.copy_changed()

    assert second.of == first.of
    assert second.keys < first.keys
    assert await target.pexpiretime(new) == 4_000_000_060_000
    assert await target.pexpiretime(old) == 4_000_000_000_000


async def test_what_was_deleted_meanwhile_is_not_there(source: Redis, target: Redis):
    await open_market(source)
    move = DataMove(source, target)
    await move.begin()
    await move.copy_changed()
    await source.delete(keys.ALERTS)
    await move.copy_changed()

    assert not await target.exists(keys.ALERTS)
    assert await target.exists(keys.METRICS)


async def test_half_a_copy_is_refused_and_a_move_that_was_cut_off_is_typed_again(source: Redis, target: Redis):
    await open_market(source)
    cut_off = DataMove(source, target)
    await cut_off.begin()
    await target.set(keys.REPLAY, "of an earlier try")
    with pytest.raises(OtherFormat, match=r"is being filled by .* type it again"):
        await DataFormat(target).ensure()
    assert await DataFormat(source).check()

    await move_all(source, target)
    assert not await target.exists(keys.REPLAY)
    assert await DataFormat(target).check()


async def test_who_was_cut_off_between_the_two_marks_can_go_on(source: Redis, target: Redis):
    await open_market(source)
    move = DataMove(source, target)
    await move.begin()
    await move.copy_changed()
    await source.set(keys.FORMAT, "moved")

    await move_all(source, target)
    assert await DataFormat(target).check()


async def test_what_was_moved_says_so_and_is_not_moved_again(source: Redis, target: Redis):
    await open_market(source)
    await move_all(source, target)

    with pytest.raises(OtherFormat, match="set TRACKER_REDIS_URL to where its data is now"):
        await DataFormat(source).ensure()
    with pytest.raises(CannotMove, match="moved already"):
        await DataMove(source, target).begin()


async def test_other_data_is_not_overwritten(source: Redis, target: Redis):
    await open_market(source)
    await open_market(target)

    with pytest.raises(CannotMove, match="there is data already"):
        await DataMove(source, target).begin()


async def test_nothing_is_moved_to_where_it_is(source: Redis, server: str):
    await open_market(source)
    async with connect(server, "tests") as same:
        with pytest.raises(CannotMove, match="to where it is"):
            await DataMove(source, same).begin()


async def test_where_there_is_no_data_nothing_is_moved(source: Redis, target: Redis):
    with pytest.raises(CannotMove, match="no data of this version"):
        await DataMove(source, target).begin()
