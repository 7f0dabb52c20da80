"""The command that moves the data, beside a worker that samples every second."""

import re
from pathlib import Path

from redis.asyncio import Redis

from tests.support.cluster import RunningCluster
from tests.worker.test_commands import BTC, ETH, Start, address, eventually, live, redis, start  # noqa: F401
from v1.store import keys
from worker.latest import DAY, Reading
from worker.latest.market import SourceReading
from worker.latest.store import DataFormat, Reader, Verifier, Writer, connect
from worker.sampling.tick import commit_tick

SECONDS = 1
"""Between two ticks."""


async def has_ticks(redis: Redis, count: int) -> bool:  # noqa: F811  # a client
    tick = await Reader(redis).read_tick()
    return tick is not None and len(await Reader(redis).read_samples(BTC, tick - 60, tick)) >= count


async def is_later(redis: Redis, tick: int) -> bool:  # noqa: F811  # a client
    return (await Reader(redis).read_tick() or 0) > tick


async def test_a_worker_samples_while_its_data_is_moved_to_a_cluster_and_the_next_one_goes_on_there(
    start: Start,  # noqa: F811
    live: dict[str, str],  # noqa: F811
    redis: Redis,  # noqa: F811
    cluster: RunningCluster,
):
    worker = start("run", "--only", "sampling", **live)
    await eventually(lambda: has_ticks(redis, 3), worker)

    move = start("move", "--to", cluster.url, **live)
    assert await move.ended() == 0, move.said
    assert await worker.ended() == 1

    assert re.search(r"^moved \d+ keys: 2 metrics with \d+ samples, counted at both$", move.printed, re.MULTILINE)
    assert f"next: set TRACKER_REDIS_URL={cluster.url}, and start the worker" in move.printed
    old, tick = Reader(redis), await Reader(redis).read_tick()
    assert tick is not None
    async with connect(cluster.url, "tests") as there:
        assert await Reader(there).read_tick() == tick
        for metric in (BTC, ETH):
            samples = await Reader(there).read_samples(metric, tick - DAY, tick)
            assert samples == await old.read_samples(metric, tick - DAY, tick)
            ticks = [each.tick for each in samples if each.tick > tick - 3]
            assert ticks == [tick - 2 * SECONDS, tick - SECONDS, tick]
        assert (await Verifier(there).verify(repair=False)).moments == []

        again = start("run", "--only", "sampling", **live | {"REDIS_URL": cluster.url})
        await eventually(lambda: is_later(there, tick), again)
    refused = start("run", "--only", "sampling", **live)
    assert await refused.ended() == 1
    assert f"moved to {cluster.url}" in refused.said


async def test_what_was_moved_to_a_cluster_is_moved_back(
    start: Start,  # noqa: F811
    live: dict[str, str],  # noqa: F811
    redis: Redis,  # noqa: F811
    cluster: RunningCluster,
):
    await DataFormat(redis).ensure()
    await commit_tick(DAY, {BTC: SourceReading(Reading("1.50"), "tests")}, Writer(redis))
    there = live | {"REDIS_URL": cluster.url}

    for given, to in ((live, cluster.url), (there, live["REDIS_URL"]), (live, cluster.url)):
        move = start("move", "--to", to, **given)
        assert await move.ended() == 0, move.said
        async with connect(to, "tests") as new:
            (sample,) = await Reader(new).read_samples(BTC, 0, DAY)
            assert (sample.tick, sample.values[0]) == (DAY, "1.50")
            assert await DataFormat(new).check()


async def test_workers_that_share_a_cluster_end_when_its_data_is_moved_to_one_server(
    start: Start,  # noqa: F811
    live: dict[str, str],  # noqa: F811
    redis: Redis,  # noqa: F811
    cluster: RunningCluster,
):
    there = live | {"REDIS_URL": cluster.url, "PARTITIONS": "8", "SHARE": "yes"}
    workers = [start("run", "--only", "sampling", **there) for _ in range(2)]
    async with connect(cluster.url, "tests") as old:
        await eventually(lambda: has_ticks(old, 3), workers[0])
        move = start("move", "--to", live["REDIS_URL"], **there)
        assert await move.ended() == 0, move.said
        assert [await worker.ended() for worker in workers] == [1, 1]

        tick = await Reader(old).read_tick()
        assert tick is not None
        assert await Reader(redis).read_tick() == tick
        for metric in (BTC, ETH):
            samples = await Reader(redis).read_samples(metric, tick - DAY, tick)
            assert samples == await Reader(old).read_samples(metric, tick - DAY, tick)
    again = start("run", "--only", "sampling", **live)
    await eventually(lambda: is_later(redis, tick), again)
    await cluster.flush()


async def test_what_is_not_an_address_is_refused(start: Start, tmp_path: Path):  # noqa: F811
    move = start("move", "--to", "10.0.0.1:6379", REDIS_URL=f"unix://{tmp_path / 'redis.sock'}")

    assert await move.ended() == 2
    assert "--to is checked as TRACKER_REDIS_URL is" in move.said


async def test_what_was_moved_can_be_reset(start: Start, live: dict[str, str], redis: Redis):  # noqa: F811
    await redis.set(keys.FORMAT, "moved to redis://10.0.0.1:6379/0")
    await redis.set(keys.LEASE, "moved to redis://10.0.0.1:6379/0")
    await redis.zadd(keys.METRICS, {BTC: 1})

    reset = start("reset", "--yes", **live)

    assert await reset.ended() == 0, reset.said
    assert await redis.keys("v1:*") == []
