"""Redis away, full, slow, or holding something else: what is raised, and that it works again afterwards."""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.conftest import emptied
from tests.support import missing, servers
from tests.support.ledger import BTC, ETH, Ledger, dump, heard, play
from tests.support.serving import MINUTE, NOON, sample
from v1.model import Reading, find_hour
from v1.store import Reader, StoreAway, StoreError, Verifier, Writer, connect, keys
from worker.sampling.tick import commit_tick

TICKS = {NOON - MINUTE: {BTC: Reading("46000")}, NOON: {BTC: Reading("46001"), ETH: Reading("2e-9")}}
NEXT = {BTC: Reading("46002"), ETH: Reading("3e-9")}


@pytest.mark.parametrize("name", ["embedded", "debian"])
async def test_a_server_that_is_killed_is_away_and_when_it_is_back_all_goes_on(name: str, ledger: Ledger):
    binary = getattr(servers, name)()
    if binary is None:
        missing.skip("redis-server")
    for at, market in [*TICKS.items(), (NOON + MINUTE, NEXT)]:
        ledger.tick(at, market)
    with tempfile.TemporaryDirectory() as folder:
        async with connect(servers.address(Path(folder)), "tests") as client:
            store = Writer(client)
            with killed_at_the_end(binary, Path(folder)):
                # As shipped, the last second may be lost on a busy disk; this is about what was kept.
                await client.config_set("appendfsync", "always")
                await store.open()
                await play(store, TICKS)
                before = await dump(client)

            with pytest.raises(StoreAway, match="Redis is away"):
                await commit_tick(NOON + MINUTE, heard(NEXT), store)
            with pytest.raises(StoreAway):
                await store.insert_samples(BTC, [sample(NOON - 2 * MINUTE, "1")], "candles", NOON)
            with pytest.raises(StoreAway):
                await store.open()

            with killed_at_the_end(binary, Path(folder)):
                assert await dump(client) == before
                await store.open()
                await commit_tick(NOON + MINUTE, heard(NEXT), store)
                await ledger.look_at(client)


@contextmanager
def killed_at_the_end(binary: Path, folder: Path) -> Iterator[int]:
    """Run a server, return its process, and end it as a power cut would."""
    process = servers.start(binary, folder)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


async def test_where_no_server_is_everybody_is_told_so(tmp_path: Path):
    async with connect(f"unix://{tmp_path / 'nobody.sock'}", "tests") as client:
        reader, writer = Reader(client), Writer(client)
        for question in (
            reader.ping(),
            reader.read_tick(),
            reader.read_metrics(),
            reader.read_metric_states([BTC]),
            reader.read_newest(BTC),
            reader.read_source_states(),
            writer.lease.take_or_keep("one"),
            writer.lease.take_over("one", "two"),
            writer.lease.release("one"),
            writer.update_rankings(NOON),
            writer.write_source_states({}),
            commit_tick(NOON, heard(NEXT), writer),
            Verifier(client).verify(repair=True),
        ):
            with pytest.raises(StoreAway, match="Redis is away"):
                await question


async def test_a_server_that_does_not_answer_in_time_is_away(tmp_path: Path):
    with killed_at_the_end(servers.embedded(), tmp_path) as process:
        async with connect(servers.address(tmp_path), "tests", answer_seconds=2) as client:
            store = Writer(client)
            await store.open()
            os.kill(process, signal.SIGSTOP)

            with pytest.raises(StoreAway):
                await commit_tick(NOON, heard(NEXT), store)

            os.kill(process, signal.SIGCONT)
        async with connect(servers.address(tmp_path), "tests") as client:
            store = Writer(client)
            await store.open()
            await commit_tick(NOON, heard(NEXT), store)
            assert (await Verifier(client).verify(repair=False)).is_clean


async def test_nobody_waits_for_a_lock_that_a_failed_tick_held(tmp_path: Path):
    async with connect(f"unix://{tmp_path / 'nobody.sock'}", "tests") as client:
        store = Writer(client)
        for _ in range(3):
            with pytest.raises(StoreAway):
                await commit_tick(NOON, heard(NEXT), store)

        assert not store.turn.locked()


@pytest.mark.parametrize("name", ["valkey", "redis7"])
async def test_a_full_memory_is_away_and_the_same_tick_later_leaves_no_trace_of_it(
    request: pytest.FixtureRequest, name: str
):
    async with emptied(connect(request.getfixturevalue(name), "tests")) as client:
        store = Writer(client)
        await store.open()
        await play(store, TICKS)
        await commit_tick(NOON + MINUTE, heard(NEXT), store)
        undisturbed = await dump(client)
        await client.flushdb()
        await store.open()
        await play(store, TICKS)

        await client.config_set("maxmemory", "1")
        try:
            with pytest.raises(StoreAway):
                await commit_tick(NOON + MINUTE, heard(NEXT), store)
            with pytest.raises(StoreAway):
                await store.insert_samples(BTC, [sample(NOON - 5 * MINUTE, "1")], "candles", NOON)
            assert (await Verifier(client).verify(repair=False)).moments == []
        finally:
            await client.config_set("maxmemory", "0")
        await commit_tick(NOON + MINUTE, heard(NEXT), store)

        assert await dump(client) == undisturbed


async def test_a_replica_that_takes_no_writes_is_away(tmp_path: Path):
    with servers.running(servers.embedded(), tmp_path, "--replicaof", "127.0.0.1", "1") as address:
        async with connect(address, "tests") as client:
            with pytest.raises(StoreAway):
                await Writer(client).lease.take_or_keep("one")


async def test_a_key_of_another_kind_where_a_sample_belongs_is_an_error_and_not_silence(redis: Redis):
    """The sample is refused inside the transaction, where Redis hands the error over as one answer of many."""
    store = Writer(redis)
    await store.open()
    await redis.set(keys.samples(BTC, find_hour(NOON)), "not ours", ex=100)

    with pytest.raises(StoreError, match="WRONGTYPE") as raised:
        await commit_tick(NOON, heard(NEXT), store)

    assert not isinstance(raised.value, StoreAway)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(keys.samples(BTC, find_hour(NOON - 86400)), id="the samples that leave"),
        pytest.param(keys.METRICS, id="the index"),
    ],
)
async def test_a_key_of_another_kind_anywhere_is_an_error(redis: Redis, key: str):
    store = Writer(redis)
    await store.open()
    await commit_tick(NOON - MINUTE, heard(NEXT), store)
    await redis.delete(key)
    await redis.set(key, "not ours", ex=100)

    with pytest.raises(StoreError, match="WRONGTYPE"):
        await commit_tick(NOON, heard(NEXT), store)


async def test_a_late_sample_that_meets_a_key_of_another_kind_is_an_error(redis: Redis):
    store = Writer(redis)
    await store.open()
    await redis.set(keys.METRICS, "not ours", ex=100)

    with pytest.raises(StoreError, match="WRONGTYPE"):
        await store.insert_samples(BTC, [sample(NOON - MINUTE, "1")], "candles", NOON)


async def test_moments_of_another_kind_are_an_error_to_who_asks(redis: Redis):
    await redis.hset(keys.moments(BTC), "a", "b")
    await redis.expire(keys.moments(BTC), 100)

    with pytest.raises(StoreError, match="WRONGTYPE"):
        await Reader(redis).read_metric_states([BTC])
