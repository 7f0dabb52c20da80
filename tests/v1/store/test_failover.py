"""Servers that change behind one address, and connections that end: who asks next is answered."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.support import servers
from tests.support.forwarding import RedisForwarder, forwarding_redis
from tests.support.ledger import BTC, heard
from tests.support.serving import MINUTE, NOON, Clock, fill, sample, serving
from v1.model import Reading
from v1.store import QuotaStore, Reader, StoreAway, StoreError, TopWriter, Verifier, Writer, connect, keys
from worker.sampling.tick import commit_tick

MARKET = heard({BTC: Reading("46000")})


class Pair:
    """A primary, a replica of it, and one address that leads to whichever is the primary now."""

    def __init__(self, forwarder: RedisForwarder, first: str, second: str, ports: tuple[int, int]) -> None:
        self.forwarder = forwarder
        self.first = first
        self.second = second
        self._ports = ports

    async def fail_over(self) -> None:
        """Promote the second, make the first its replica, and let the address lead there; connections stay open."""
        async with connect(self.first, "tests") as first, connect(self.second, "tests") as second:
            await first.execute_command("WAIT", 1, 5000)
            await second.execute_command("REPLICAOF", "NO", "ONE")
            await first.execute_command("REPLICAOF", "127.0.0.1", self._ports[1])
        self.forwarder.target = Path(self.second.removeprefix("unix://"))


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    ports = servers.free_port(), servers.free_port()
    with (
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as two,
        servers.running(
            servers.embedded(), Path(one), "--port", str(ports[0]), "--repl-diskless-sync-delay", "0"
        ) as first,
        servers.running(
            servers.embedded(), Path(two), "--port", str(ports[1]), "--replicaof", "127.0.0.1", str(ports[0])
        ) as second,
    ):
        async with connect(second, "tests") as redis, asyncio.timeout(60):
            while (await redis.info("replication"))["master_link_status"] != "up":
                await asyncio.sleep(0.05)
        async with forwarding_redis(Path(first.removeprefix("unix://"))) as forwarder:
            yield Pair(forwarder, first, second, ports)


@pytest.fixture
async def forwarder(server: str) -> AsyncIterator[RedisForwarder]:
    async with forwarding_redis(Path(server.removeprefix("unix://"))) as made:
        yield made


async def test_after_a_failover_the_next_try_reaches_the_new_primary(pair: Pair):
    async with connect(pair.forwarder.address, "tests") as redis:
        store = Writer(redis)
        await store.lease.take_or_keep("one")
        await store.open()
        await commit_tick(NOON, MARKET, store)
        await asyncio.gather(*[store.read_tick() for _ in range(5)])  # several connections lie open

        await pair.fail_over()
        with pytest.raises(StoreAway):
            await commit_tick(NOON + MINUTE, MARKET, store)
        await store.open()
        await commit_tick(NOON + MINUTE, MARKET, store)
        await asyncio.gather(*[store.write_source_states({}) for _ in range(5)])

    async with connect(pair.second, "tests") as redis:
        assert await Reader(redis).read_tick() == NOON + MINUTE
        assert (await Verifier(redis).verify(repair=False)).is_clean


async def test_after_a_failover_the_api_writes_again_at_the_second_try(pair: Pair, clock: Clock):
    rule = {"id": "mine", "kind": "threshold", "metrics": "*", "measure": "price", "above": 1}
    async with serving(clock, pair.forwarder.address) as api:
        await asyncio.gather(*[api.get("/v1/rules") for _ in range(5)])
        first = await api.send("POST", "/v1/rules", rule)
        await pair.fail_over()

        refused = await api.send("POST", "/v1/rules", rule | {"id": "next"})
        taken = [await api.send("POST", "/v1/rules", rule | {"id": f"rule-{number}"}) for number in range(5)]
        ready = await api.get("/health/ready")

    assert (first.status, refused.status) == (201, 503)
    assert [answer.status for answer in taken] == [201] * 5
    assert ready.json["store"] == "ok"


@pytest.mark.parametrize("code", ["READONLY", "MASTERDOWN", "NOREPLICAS", "UNBLOCKED", "CLUSTERDOWN"])
async def test_an_answer_that_is_true_of_the_connection_closes_it_and_all_others(forwarder: RedisForwarder, code: str):
    async with connect(forwarder.address, "tests") as redis:
        reader = Reader(redis)
        await asyncio.gather(*[reader.ping() for _ in range(3)])
        opened = forwarder.connections
        forwarder.refuse = lambda command: f"{code} made up".encode() if command[0] == b"SET" else None
        with pytest.raises(StoreAway, match="made up"):
            await Writer(redis).write_archive_state({})
        forwarder.refuse = lambda _: None

        await asyncio.gather(*[reader.ping() for _ in range(3)])

        assert forwarder.connections == opened + 3


@pytest.mark.parametrize("is_pipeline", [False, True])
@pytest.mark.parametrize("code", ["BUSY", "NOREPLICAS", "MISCONF", "OOM", "READONLY", "LOADING"])
async def test_an_answer_that_says_not_now_is_away_in_a_pipeline_as_elsewhere(
    forwarder: RedisForwarder, code: str, is_pipeline: bool
):
    async with connect(forwarder.address, "tests") as redis:
        writer = Writer(redis)
        forwarder.refuse = lambda command: (
            f"{code} made up".encode() if command[0] in {b"SET", b"EVAL", b"EVALSHA"} else None
        )

        with pytest.raises(StoreAway, match="made up"):
            await (commit_tick(NOON, MARKET, writer) if is_pipeline else writer.write_archive_state({}))


async def test_an_answer_that_nobody_foresaw_names_the_command_and_its_key(forwarder: RedisForwarder):
    async with connect(forwarder.address, "tests") as redis:
        await redis.lpush(keys.ARCHIVE, "not ours")
        await redis.expire(keys.ARCHIVE, 100)

        with pytest.raises(StoreError, match=r"WRONGTYPE.*\(GET v1:archive\)") as raised:
            await Reader(redis).read_archive_state()

        assert not isinstance(raised.value, StoreAway)


# ---- connections that end


async def test_a_connection_that_the_server_closed_while_it_was_idle_costs_nobody_an_answer(
    forwarder: RedisForwarder, clock: Clock
):
    async with connect(forwarder.address, "tests") as redis:
        await fill(Writer(redis), {"KRAKEN:BTCUSD": [sample(NOON, "1.50")]})
    rule = {"id": "mine", "kind": "threshold", "metrics": "*", "measure": "price", "above": 1}
    async with serving(clock, forwarder.address) as api:
        answers = []
        for number in range(4):
            answers.append(await api.get("/v1/metrics/KRAKEN:BTCUSD"))
            answers.append(await api.send("POST", "/v1/rules", rule | {"id": f"rule-{number}"}))
            forwarder.close_all()
            await asyncio.sleep(0.05)

    assert {answer.status for answer in answers} == {200, 201}


async def test_a_connection_that_breaks_when_it_is_used_is_asked_again_by_who_only_reads(
    forwarder: RedisForwarder, clock: Clock
):
    async with connect(forwarder.address, "tests") as redis:
        await fill(Writer(redis), {"KRAKEN:BTCUSD": [sample(NOON, "1.50")]})
    async with serving(clock, forwarder.address) as api:
        await api.get("/v1/metrics/KRAKEN:BTCUSD")
        forwarder.reset_all()

        assert (await api.get("/v1/metrics/KRAKEN:BTCUSD")).status == 200


async def test_what_writes_is_not_sent_a_second_time_when_its_connection_breaks(forwarder: RedisForwarder):
    async with connect(forwarder.address, "tests") as redis:
        await redis.ping()
        forwarder.reset_all()

        with pytest.raises(StoreAway):
            await Writer(redis).write_archive_state({})


# ---- changes that watch a key

WATCHING = [("plan", b"GET"), ("top", b"ZCOUNT"), ("lease", b"GET")]
MOMENTS = [(what, asked) for what, reads in WATCHING for asked in (b"WATCH", reads, b"UNWATCH")]


async def change(redis: Redis, what: str) -> object:
    if what == "plan":
        return await QuotaStore(redis).update_usage("coinmarketcap", lambda _: None)
    if what == "top":
        return await TopWriter(redis)._add(NOON, b"[1,2]", NOON)
    return await Writer(redis).lease.take_over("one", "two")


@pytest.mark.parametrize("what, asked", MOMENTS)
async def test_an_answer_that_does_not_come_while_a_key_is_watched_is_away(
    forwarder: RedisForwarder, what: str, asked: bytes
):
    async with connect(forwarder.address, "tests", answer_seconds=0.2) as redis:
        forwarder.hold = lambda command: command[0] == asked

        with pytest.raises(StoreAway):
            await change(redis, what)

    forwarder.hold = lambda _: False
    async with connect(forwarder.address, "tests") as redis:
        await change(redis, what)


@pytest.mark.parametrize("what, asked", MOMENTS)
async def test_a_connection_that_breaks_while_a_key_is_watched_is_away(
    forwarder: RedisForwarder, what: str, asked: bytes
):
    async with connect(forwarder.address, "tests") as redis:
        await redis.ping()
        forwarder.refuse = lambda command: b"break" if command[0] == asked else None

        with nullcontext() if asked == b"UNWATCH" else pytest.raises(StoreAway):  # by then all is done
            await change(redis, what)

        await change(redis, what)
