"""What a cluster answers when its slots move or its nodes die: each is `StoreAway`, and the next try finds the way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from redis.asyncio import Redis

from tests.support import servers
from tests.support.cluster import WAIT_SECONDS, RunningCluster, open_cluster
from v1.model import Metric
from v1.store import Reader, StoreAway, StoreError, connect, keys
from v1.store.cluster.client import ClusterRedis
from v1.store.connection import translate_errors
from v1.store.places import HOME_SLOT, Places, find_slot

ANSWER_SECONDS = 60.0
NEVER_SECONDS = 3600.0
PARTITIONS = 8
PLACES = Places(PARTITIONS)
BTC = Metric("KRAKEN:BTCUSD")
SLOT = find_slot(PLACES.place(keys.moments(BTC)))


@asynccontextmanager
async def open_client(cluster: RunningCluster) -> AsyncIterator[Redis]:
    async with connect(cluster.url, "tests", ANSWER_SECONDS, partitions=PARTITIONS) as redis:
        yield redis


@pytest.fixture
async def moving() -> AsyncIterator[RunningCluster]:
    """A cluster of three primaries without replicas, whose slots may be moved."""
    async with open_cluster(replicas=0) as cluster:
        yield cluster


async def find_other(cluster: RunningCluster, slot: int = SLOT) -> int:
    owner = await cluster.find_owner(slot)
    return next(port for port in await cluster.primaries() if port != owner)


async def read(redis: Redis, key: str) -> str | None:
    with translate_errors():
        return cast("str | None", await redis.get(key))


async def write(redis: Redis) -> bool:
    with translate_errors():
        return bool(await redis.set(keys.moments(BTC), "state"))


async def read_both(redis: Redis, *named: str) -> list[str | None]:
    with translate_errors():
        return cast("list[str | None]", await redis.mget(*named))


async def retry(do: Callable[[], Awaitable[object]]) -> object:
    """Do something as often as the store is away."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                return await do()
            except StoreAway:
                await asyncio.sleep(0.05)


async def test_a_slot_that_has_moved_is_found_at_the_next_try(moving: RunningCluster):
    async with open_client(moving) as redis:
        await redis.set(keys.moments(BTC), "state")
        await moving.move_slot(SLOT, await find_other(moving))

        with pytest.raises(StoreAway, match="MOVED"):
            await read(redis, keys.moments(BTC))
        assert await read(redis, keys.moments(BTC)) == "state"


async def test_the_slot_of_home_may_move_before_it_was_first_read_how_the_data_is_divided(moving: RunningCluster):
    async with open_client(moving) as redis, open_client(moving) as late:
        await cast("ClusterRedis", redis).note_places()
        await redis.set(keys.TICK, 60)
        await cast("ClusterRedis", late).table.ensure()
        await moving.move_slot(HOME_SLOT, await find_other(moving, HOME_SLOT))

        with pytest.raises(StoreAway, match="MOVED"):
            await read(late, keys.TICK)
        assert await read(late, keys.TICK) == "60"


async def test_the_primary_of_home_may_die_before_it_was_first_read_how_the_data_is_divided():
    async with open_cluster() as cluster, open_client(cluster) as redis, open_client(cluster) as late:
        await cast("ClusterRedis", redis).note_places()
        await redis.set(keys.TICK, 60)
        await redis.wait(1, 0)
        await cast("ClusterRedis", late).table.ensure()
        owner = await cluster.find_owner(HOME_SLOT)
        cluster.kill(owner)
        await cluster.wait_for_failover(owner)

        with pytest.raises(StoreAway):
            await read(late, keys.TICK)
        assert await retry(lambda: read(late, keys.TICK)) == "60"


async def test_a_node_that_knows_no_other_is_not_believed_again_and_again(moving: RunningCluster):
    owner = await moving.find_owner(SLOT)
    lonely = next(address for address in moving.addresses if address.port != owner)
    others = [address for address in moving.addresses if address != lonely]
    ids = [state.own.id for port, state in (await moving.states()).items() if port != lonely.port]
    async with moving.client(lonely.port) as node:
        for each in ids:
            await node.execute_command("CLUSTER FORGET", each)
        assert len(await node.execute_command("CLUSTER", "SLOTS")) == 1
    seeds = f"redis://{','.join(map(str, (lonely, *others)))}"
    async with connect(seeds, "tests", ANSWER_SECONDS, partitions=PARTITIONS) as redis:
        with pytest.raises(StoreAway):
            await read(redis, keys.moments(BTC))
        assert await retry(lambda: write(redis))


async def test_a_pipeline_whose_slot_has_moved_raises_and_the_next_one_is_whole(moving: RunningCluster):
    async with open_client(moving) as redis:
        await redis.set(keys.moments(BTC), "state")
        await redis.set(keys.TICK, 60)
        await moving.move_slot(SLOT, await find_other(moving))
        store = Reader(redis)

        with pytest.raises(StoreAway):
            await store.read_metric_states([BTC])
        pipe = redis.pipeline(transaction=False)
        pipe.get(keys.TICK)
        pipe.get(keys.moments(BTC))
        assert await pipe.execute() == ["60", "state"]


async def test_a_key_that_is_ahead_of_its_slot_is_away_until_the_slot_has_followed(moving: RunningCluster):
    async with open_client(moving) as redis:
        await redis.set(keys.moments(BTC), "state")
        to = await find_other(moving)
        source = await moving.begin_move(SLOT, to)
        await moving.move_keys(SLOT, source, to)

        for _ in range(3):
            with pytest.raises(StoreAway, match="ASK"):
                await read(redis, keys.moments(BTC))
        await moving.end_move(SLOT, source, to)
        assert await retry(lambda: read(redis, keys.moments(BTC))) == "state"


async def test_keys_of_one_command_on_both_sides_of_a_move_are_away_until_it_ends(moving: RunningCluster):
    named = keys.moments(BTC), keys.samples(BTC, 0)
    async with open_client(moving) as redis:
        for key in named:
            await redis.set(key, "here")
        to = await find_other(moving)
        source = await moving.begin_move(SLOT, to)
        await moving.move_keys(SLOT, source, to, 1)

        with pytest.raises(StoreAway, match="TRYAGAIN"):
            await read_both(redis, *named)
        await moving.move_keys(SLOT, source, to)
        await moving.end_move(SLOT, source, to)
        assert await retry(lambda: read_both(redis, *named)) == ["here", "here"]


async def test_slots_of_a_dead_primary_without_a_replica_are_away_and_the_others_are_not(moving: RunningCluster):
    async with open_client(moving) as redis:
        owner = await moving.find_owner(SLOT)
        owned = (await moving.states())[owner].own.slots
        elsewhere = next(
            metric
            for metric in (Metric(f"KRAKEN:M{number}") for number in range(1000))
            if find_slot(PLACES.place(keys.moments(metric))) not in owned
        )
        await redis.set(keys.moments(elsewhere), "state")
        if await moving.find_owner(find_slot(PLACES.place(keys.TICK))) == owner:
            await moving.move_slot(find_slot(PLACES.place(keys.TICK)), await find_other(moving))
            await retry(lambda: read(redis, keys.TICK))
        moving.kill(owner)

        with pytest.raises(StoreAway):
            await read(redis, keys.moments(BTC))
        assert await retry(lambda: read(redis, keys.moments(elsewhere))) == "state"
        with pytest.raises(StoreAway):
            await read(redis, keys.moments(BTC))

        moving.start(owner)
        assert await retry(lambda: read(redis, keys.moments(BTC))) is None


async def test_keys_of_two_slots_in_one_transaction_are_refused_with_their_names(cluster: RunningCluster):
    async with open_client(cluster) as redis:
        pipe = redis.pipeline(transaction=True)
        pipe.set(keys.TICK, 60)
        pipe.set(keys.moments(BTC), "state")

        with pytest.raises(StoreError, match=r"not in one slot.*v1:moments"), translate_errors():
            await pipe.execute()
        assert await read(redis, keys.TICK) is None


async def test_a_command_whose_keys_are_not_known_is_refused(cluster: RunningCluster):
    async with open_client(cluster) as redis:
        with pytest.raises(StoreError, match="where the keys stand in SORT"), translate_errors():
            await redis.sort(keys.TICK)


async def test_after_a_failover_all_that_was_copied_is_there():
    async with open_cluster() as cluster, open_client(cluster) as redis:
        await redis.set(keys.moments(BTC), "state")
        await redis.execute_command("WAIT", 1, 30_000)  # the node of home; the others as well
        lost = await cluster.find_owner(SLOT)
        async with cluster.client(lost) as node:
            await node.execute_command("WAIT", 1, 30_000)
        cluster.kill(lost)

        with pytest.raises(StoreAway):
            await read(redis, keys.moments(BTC))
        assert await retry(lambda: read(redis, keys.moments(BTC))) == "state"


async def test_a_node_that_stands_still_is_away_and_comes_back(moving: RunningCluster):
    async with connect(moving.url, "tests", 0.5, partitions=PARTITIONS) as redis:
        await redis.set(keys.moments(BTC), "state")
        owner = await moving.find_owner(SLOT)
        moving.pause(owner)
        try:
            with pytest.raises(StoreAway):
                await read(redis, keys.moments(BTC))
        finally:
            moving.resume(owner)

        assert await retry(lambda: read(redis, keys.moments(BTC))) == "state"


async def test_a_node_that_stands_still_does_not_hold_up_the_search_for_who_has_its_slots():
    async with open_cluster() as cluster, open_client(cluster) as redis:
        await redis.set(keys.moments(BTC), "state")
        first = cast("ClusterRedis", redis).table.list_shards()[0].primary
        cluster.pause(first.port)
        try:
            cast("ClusterRedis", redis).table.mark_out_of_date()
            # The node itself would be waited for as long as an answer may take, which here is longer than all of this.
            await asyncio.wait_for(cast("ClusterRedis", redis).table.ensure(), ANSWER_SECONDS - 1)
        finally:
            cluster.resume(first.port)


async def test_the_first_seeds_may_be_gone(cluster: RunningCluster):
    await cluster.wait_until_whole()
    address = f"redis://127.0.0.1:1,{cluster.addresses[-1]}"
    async with connect(address, "tests", partitions=PARTITIONS) as redis:
        await redis.set(keys.moments(BTC), "state")
    async with open_client(cluster) as redis:
        assert await read(redis, keys.moments(BTC)) == "state"


async def test_one_node_of_a_cluster_is_enough_of_an_address(cluster: RunningCluster):
    async with connect(f"redis://{cluster.addresses[0]}", "tests", partitions=PARTITIONS) as redis:
        assert await redis.set(keys.moments(BTC), "state")


async def test_of_several_names_of_one_server_the_first_that_answers_is_used(tmp_path: Path):
    port = servers.free_port()
    options = ("--port", str(port), "--bind", "127.0.0.1")
    with servers.running(servers.embedded(), tmp_path, *options):
        async with connect(f"redis://127.0.0.1:1,127.0.0.1:{port}", "tests") as redis:
            await redis.set(keys.TICK, 60)

            assert not isinstance(redis, ClusterRedis)
            assert await read(redis, keys.TICK) == "60"


async def test_another_number_of_partitions_than_the_data_has_is_refused_in_words(cluster: RunningCluster):
    async with open_client(cluster) as redis:
        await redis.note_places()  # type: ignore[attr-defined]
    async with connect(cluster.url, "tests", partitions=PARTITIONS * 2) as redis:
        with pytest.raises(StoreError, match="divided into 8 partitions for good, and TRACKER_PARTITIONS says 16"):
            await read(redis, keys.TICK)
    async with connect(cluster.url, "tests") as redis:
        assert await read(redis, keys.TICK) is None


async def test_an_answer_of_a_node_that_stands_still_is_not_waited_for_once_its_replica_serves():
    # Whoever waits would do so for far longer than the test may take.
    async with (
        open_cluster() as cluster,
        connect(cluster.url, "tests", NEVER_SECONDS, partitions=PARTITIONS) as redis,
    ):
        await redis.set(keys.moments(BTC), "state")
        owner = await cluster.find_owner(SLOT)
        async with cluster.client(owner) as node:
            await node.execute_command("WAIT", 1, 30_000)
        cluster.pause(owner)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                ways = ("a command", "a pipeline", "a transaction")
                told = await asyncio.gather(*[ask_in(redis, way) for way in ways], return_exceptions=True)
                assert await retry(lambda: read(redis, keys.moments(BTC))) == "state"
        finally:
            cluster.resume(owner)

    assert [type(each) for each in told] == [StoreAway] * len(ways)


async def ask_in(redis: Redis, way: str) -> None:
    with translate_errors():
        if way == "a command":
            await redis.get(keys.moments(BTC))
        else:
            pipe = redis.pipeline(transaction=way == "a transaction")
            pipe.get(keys.moments(BTC))
            await pipe.execute()


async def test_an_answer_that_takes_long_is_waited_for_while_its_node_is_the_primary(moving: RunningCluster):
    async with connect(moving.url, "tests", NEVER_SECONDS, partitions=PARTITIONS) as redis:
        await redis.set(keys.moments(BTC), "state")
        owner, looks = await moving.find_owner(SLOT), asyncio.Semaphore(0)
        table = cast("ClusterRedis", redis).table
        read_table = table._read

        async def count() -> None:
            await read_table()
            looks.release()

        table._read = count  # type: ignore[method-assign]
        moving.pause(owner)
        asked = asyncio.create_task(read(redis, keys.moments(BTC)))
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await looks.acquire()
                await looks.acquire()
        finally:
            moving.resume(owner)

        assert await asyncio.wait_for(asked, WAIT_SECONDS) == "state"
