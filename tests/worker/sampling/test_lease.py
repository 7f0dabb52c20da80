import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio import Redis
from structlog.testing import capture_logs

from v1.store import keys
from worker.cli.process import describe_place, is_gone
from worker.latest.store import LEASE_SECONDS, StoreAway, Writer
from worker.sampling import lease
from worker.sampling.lease import RENEWALS, LeaseTaken, hold_lease, take_lease, wait_for_lease


def alive(_holder: str) -> bool:
    return False


def dead(_holder: str) -> bool:
    return True


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "WAIT_SECONDS", 0.01)
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.03)


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.002)


async def test_a_lease_that_nobody_has_is_taken_and_runs_out_by_itself(store: Writer, redis: Redis):
    await take_lease(store.lease, "me", alive)

    assert await redis.get(keys.LEASE) == "me"
    assert 0 < await redis.ttl(keys.LEASE) <= LEASE_SECONDS


async def test_a_second_worker_is_told_who_has_it(store: Writer):
    await take_lease(store.lease, "first", alive)

    with pytest.raises(LeaseTaken, match="first feeds this Redis, and only one worker does at a time: stop it first"):
        await take_lease(store.lease, "second", alive)


async def test_from_a_holder_that_is_known_to_be_dead_it_is_taken_at_once(store: Writer, redis: Redis):
    await take_lease(store.lease, "first", alive)

    await take_lease(store.lease, "second", dead)

    assert await redis.get(keys.LEASE) == "second"


async def test_a_second_worker_stands_by_and_takes_over_when_the_first_gives_it_back(store: Writer, redis: Redis):
    await take_lease(store.lease, "first", alive)
    with capture_logs() as logs:
        waiting = asyncio.create_task(wait_for_lease(store.lease, "second", alive))
        await until(lambda: logs)
        await asyncio.sleep(0.05)
        assert not waiting.done()

        await store.lease.release("first")
        await waiting

    assert await redis.get(keys.LEASE) == "second"
    assert [entry["event"] for entry in logs] == ["standing by"]


async def test_and_when_the_lease_of_the_first_runs_out(store: Writer, redis: Redis):
    await take_lease(store.lease, "first", alive)
    waiting = asyncio.create_task(wait_for_lease(store.lease, "second", alive))

    await redis.pexpire(keys.LEASE, 1)
    await waiting

    assert await redis.get(keys.LEASE) == "second"


async def test_a_redis_that_is_away_is_waited_for_and_told_once():
    server = FakeServer()
    server.connected = False
    async with FakeAsyncRedis(server=server) as redis:
        with capture_logs() as logs:
            waiting = asyncio.create_task(wait_for_lease(Writer(redis).lease, "me", alive))
            await until(lambda: logs)
            await asyncio.sleep(0.05)
            server.connected = True
            await waiting

    assert [entry["event"] for entry in logs] == ["standing by"]
    assert logs[0]["reason"].startswith("Redis is away")


async def test_who_cannot_wait_is_told_that_redis_is_away():
    server = FakeServer()
    server.connected = False
    async with FakeAsyncRedis(server=server) as redis:
        with pytest.raises(StoreAway, match="Redis is away"):
            await take_lease(Writer(redis).lease, "me", alive)


async def test_holding_renews_it_before_it_runs_out(store: Writer, redis: Redis):
    await take_lease(store.lease, "me", alive)
    await redis.expire(keys.LEASE, 2)

    holding = asyncio.create_task(hold_lease(store.lease, "me"))
    async with asyncio.timeout(60):
        while await redis.ttl(keys.LEASE) <= 2:
            await asyncio.sleep(0.005)
    holding.cancel()

    assert await redis.ttl(keys.LEASE) > LEASE_SECONDS / RENEWALS


async def test_a_holder_whose_lease_another_has_stops(store: Writer):
    await take_lease(store.lease, "me", alive)
    await store.lease.take_over("other", "me")

    with pytest.raises(LeaseTaken, match="other feeds this Redis now"):
        await hold_lease(store.lease, "me")


async def test_holding_outlasts_an_outage_of_redis_and_takes_a_lease_that_ran_out_anew():
    server = FakeServer()
    async with FakeAsyncRedis(server=server, decode_responses=True) as redis:
        store = Writer(redis)
        await take_lease(store.lease, "me", alive)
        holding = asyncio.create_task(hold_lease(store.lease, "me"))
        server.connected = False
        await asyncio.sleep(0.05)
        server.connected = True
        await redis.delete(keys.LEASE)
        async with asyncio.timeout(60):
            while await redis.get(keys.LEASE) != "me":
                await asyncio.sleep(0.005)

        assert not holding.done()
        holding.cancel()


async def test_only_the_holder_gives_it_back(store: Writer, redis: Redis):
    await take_lease(store.lease, "first", alive)

    await store.lease.release("second")
    assert await redis.get(keys.LEASE) == "first"

    await store.lease.release("first")
    assert await redis.get(keys.LEASE) is None


@pytest.fixture
def ended() -> int:
    """The number of a process that has just ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


HERE = describe_place()


def test_a_process_of_this_machine_that_has_ended_is_gone(ended: int):
    assert is_gone(f"{HERE}:{ended}:123")


def test_one_that_runs_is_not():
    assert not is_gone(f"{HERE}:{os.getppid()}:123")


@pytest.mark.parametrize("elsewhere", [f"elsewhere.{HERE}", f"{HERE}1", f"{socket.gethostname()}/1", "elsewhere"])
def test_one_of_another_machine_or_container_may_run_whatever_its_number(ended: int, elsewhere: str):
    assert not is_gone(f"{elsewhere}:{ended}:123")
    assert not is_gone(f"{elsewhere}:{os.getpid()}:123")


def test_our_own_number_was_that_of_somebody_who_is_gone():
    assert is_gone(f"{HERE}:{os.getpid()}:123")


def test_the_first_process_of_the_machine_runs_whosever_it_is():
    assert not is_gone(f"{HERE}:1:123")


@pytest.mark.parametrize("holder", ["", "somebody", f"{HERE}:x:1", f"{HERE}:", f"{HERE}:-1:1", "a:b:c:d:e"])
def test_a_holder_that_is_named_otherwise_may_run(holder: str):
    assert not is_gone(holder)
