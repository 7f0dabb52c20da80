"""All data is moved to another store and back, name by name the same, however either is divided and while it is fed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support.cluster import RunningCluster
from tests.support.ledger import heard, play
from tests.support.serving import NOON
from v1.model import MINUTE, Metric
from v1.store import DataFormat, DataMoved, Lease, Reader, Verifier, Writer, connect, keys
from v1.store.moving.data_move import DataMove, MoveRefused, is_moved_along
from v1.store.moving.key_copies import KeyCopier
from v1.store.places import get_places
from worker.sampling.tick import commit_tick

METRICS = [Metric(f"KRAKEN:C{number}USD") for number in range(40)]
PARTITIONS = 8


@pytest.fixture
async def old(server: str) -> AsyncIterator[Redis]:
    async with connect(server, "tests") as redis:
        yield redis
        await redis.flushall()  # a mark has no end


@pytest.fixture
async def new(cluster: RunningCluster) -> AsyncIterator[Redis]:
    async with connect(cluster.url, "tests", partitions=PARTITIONS) as redis:
        yield redis
    await cluster.flush()


async def fill(redis: Redis, ticks: int = 5) -> None:
    store = Writer(redis)
    await store.open()
    await play(
        store,
        {
            NOON + at * MINUTE: {metric: str(at + number) for number, metric in enumerate(METRICS)}
            for at in range(ticks)
        },
    )
    await redis.hset(keys.RULES, "r", "{}")
    await redis.set(keys.budget("coinmarketcap"), "{}", ex=MINUTE)
    await redis.set(keys.rank_frame(0), b"\xff\xfe\x00", ex=MINUTE)
    for number in range(3):
        await redis.xadd(keys.OUTBOX, {"alert": str(number)})
    await redis.xgroup_create(keys.OUTBOX, "webhook", "0")
    await redis.execute_command("XREADGROUP", "GROUP", "webhook", "me", "COUNT", 2, "STREAMS", keys.OUTBOX, ">")
    await redis.rpush(keys.deliveries("a"), "1", "2")
    await redis.expire(keys.deliveries("a"), MINUTE)


async def contents(redis: Redis) -> dict[str, Any]:
    """Return all that is moved, with what is known of the groups of streams."""
    held: dict[str, Any] = {}
    async for key in redis.scan_iter(match="v1:*"):
        if is_moved_along(key):
            kind = str(await redis.type(key))
            reads = {"string": ("GETRANGE", key, 0, -1), "zset": ("ZRANGE", key, 0, -1, "WITHSCORES")}
            reads |= {"hash": ("HGETALL", key), "list": ("LRANGE", key, 0, -1), "stream": ("XRANGE", key, "-", "+")}
            content = await redis.execute_command(*reads[kind], NEVER_DECODE=[])
            groups = [
                (each["name"], each["last-delivered-id"], each["pending"]) for each in await redis.xinfo_groups(key)
            ] if kind == "stream" else None  # fmt: skip
            held[key] = (kind, content, groups, await redis.ttl(key) > 0)
    return held


@asynccontextmanager
async def opened(old: Redis, new: Redis) -> AsyncIterator[DataMove]:
    move = DataMove(old, new)
    try:
        await move.check()
        await move.begin()
        yield move
    finally:
        await move.close()


async def move_all(old: Redis, new: Redis) -> None:
    async with opened(old, new) as move:
        await move.copy()
        await finish(move, old)


async def finish(move: DataMove, old: Redis) -> None:
    lease = Lease(old)
    holder = await lease.take_or_keep("mover")
    assert holder is None or await lease.take_over("mover", holder)
    await move.take_over_alerts(lease)
    await move.copy()
    await move.compare()
    await move.mark_old()
    await move.mark_new()


async def test_all_that_is_moved_to_a_cluster_and_back_is_the_same_name_by_name(old: Redis, new: Redis):
    await fill(old)
    before = await contents(old)

    await move_all(old, new)
    there, read = await contents(new), await Verifier(new).verify(repair=False)
    await move_all(new, old)

    assert there == before
    assert read.is_clean
    assert read.metrics == len(METRICS)
    assert await contents(old) == before
    assert await Writer(old).open() == NOON + 4 * MINUTE


async def test_a_store_that_is_divided_otherwise_takes_all_of_another(cluster: RunningCluster, old: Redis, new: Redis):
    await fill(new)
    before = await contents(new)
    await move_all(new, old)
    await cluster.flush()
    async with connect(cluster.url, "tests", partitions=3) as other:
        await move_all(old, other)

        assert await contents(other) == before
        store = Writer(other)
        assert await store.open() == NOON + 4 * MINUTE
        await commit_tick(NOON + 5 * MINUTE, heard(dict.fromkeys(METRICS, "7")), store)
        assert (await Verifier(other).verify(repair=False)).is_clean


async def test_a_server_that_does_not_read_the_others_dumps_is_given_contents(old: Redis, redis7: str):
    await fill(old)
    async with connect(redis7, "tests") as other:
        await other.flushall()
        async with opened(old, other) as move:
            assert not await KeyCopier(old, other).open()
            await move.copy()
            await finish(move, old)

        assert await contents(other) == await contents(old)
        assert await other.xpending(keys.OUTBOX, "webhook") == await old.xpending(keys.OUTBOX, "webhook")
        about = [await each.xinfo_stream(keys.OUTBOX) for each in (old, other)]
        assert about[0]["last-generated-id"] == about[1]["last-generated-id"]
        await other.flushall()


async def test_what_is_written_while_it_is_copied_is_copied_again(old: Redis, new: Redis):
    await fill(old)
    store = Writer(old)
    await store.open()
    assert await store.lease.take_or_keep("worker") is None
    async with opened(old, new) as move:
        everything = await move.copy()
        await commit_tick(NOON + 5 * MINUTE, heard(dict.fromkeys(METRICS[1:], "7")), store)
        await old.delete(keys.rank_frame(0))
        changed = await move.copy()
        await commit_tick(NOON + 6 * MINUTE, heard(dict.fromkeys(METRICS, "8")), store)
        await finish(move, old)

        assert 0 < changed < everything
    assert await Reader(new).read_tick() == NOON + 6 * MINUTE
    assert await contents(new) == await contents(old)
    with pytest.raises(DataMoved, match=r"moved to redis://127\.0\.0\.1:\d+,.*set TRACKER_REDIS_URL to it"):
        await commit_tick(NOON + 7 * MINUTE, heard(dict.fromkeys(METRICS, "9")), store)
    with pytest.raises(DataMoved):
        await store.lease.take_or_keep("worker")  # as it does every few seconds
    assert await Reader(old).read_tick() == NOON + 6 * MINUTE


async def test_until_a_move_is_whole_the_old_store_is_the_data_and_the_new_one_is_refused(old: Redis, new: Redis):
    await fill(old)
    async with opened(old, new) as move:
        await move.copy()

    with pytest.raises(DataMoved, match="not all of it is there yet: let the move end, or type it again"):
        await Writer(new).open()
    await commit_tick(NOON + 5 * MINUTE, heard(dict.fromkeys(METRICS, "7")), Writer(old))

    await move_all(old, new)

    assert await contents(new) == await contents(old)
    assert await Writer(new).open() == NOON + 5 * MINUTE


async def test_a_move_that_ended_between_its_two_marks_is_finished_by_typing_it_again(old: Redis, new: Redis):
    await fill(old)
    async with opened(old, new) as move:
        await move.copy()
        await move.compare()
        await move.mark_old()
    for redis in (old, new):
        with pytest.raises(DataMoved):
            await Writer(redis).open()

    await move_all(old, new)

    assert await Writer(new).open() == NOON + 4 * MINUTE


async def test_nobody_feeds_a_store_that_was_moved_also_not_who_waits_for_it(old: Redis, new: Redis):
    await fill(old)
    await move_all(old, new)

    with pytest.raises(DataMoved):
        await Lease(old).take_or_keep("worker")
    with pytest.raises(DataMoved):
        await Reader(old).check_format()
    with pytest.raises(DataMoved):
        await DataMove(old, new).check()
    assert await old.ttl(keys.LEASE) == -1


async def test_what_is_left_of_a_moved_store_can_be_deleted_and_used_anew(old: Redis, new: Redis):
    await fill(old)
    await move_all(old, new)

    await DataFormat(old).release_mark()
    await DataFormat(old).delete_data()

    assert await Lease(old).take_or_keep("worker") is None
    assert await Writer(old).open() is None


async def test_a_store_with_other_data_is_refused_unless_it_is_to_be_replaced(old: Redis, new: Redis):
    await fill(old)
    await fill(new, ticks=2)

    with pytest.raises(MoveRefused, match=r"^redis://.* holds \d+ keys of a data-tracker already.*--replace"):
        await DataMove(old, new).check()
    await DataMove(old, new).check(should_replace=True)
    assert await Writer(new).open() == NOON + MINUTE


async def test_there_must_be_something_to_move_and_another_place_for_it(old: Redis, new: Redis, server: str):
    with pytest.raises(MoveRefused, match="holds no data: there is nothing to move"):
        await DataMove(old, new).check()
    await fill(old)
    async with connect(server, "tests") as same:
        with pytest.raises(MoveRefused, match="--to names the store that the data is in"):
            await DataMove(old, same).check()


async def test_where_the_connection_that_tells_of_changes_is_lost_everything_is_copied_again(old: Redis, new: Redis):
    await fill(old)
    async with opened(old, new) as move:
        everything = await move.copy()
        assert await move.copy() == 0
        await old.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

        assert await move.copy() == everything


async def test_alerts_that_are_not_home_yet_are_brought_home_before_a_cluster_is_left(old: Redis, new: Redis):
    await fill(new)
    entry = '[1,86400,true,[["id1","{\\"id\\":\\"id1\\",\\"at\\":1}",true]],[],[]]'
    await new.rpush(keys.homeward(get_places(new).list_tags()[0]), entry)

    await move_all(new, old)

    assert await old.zrange(keys.ALERTS, 0, -1) == ['{"id":"id1","at":1}']
