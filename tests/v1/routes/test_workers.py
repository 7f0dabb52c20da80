"""`/v1/workers`: who shares the market, what each has, and what nobody has; health says the latter, too."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.support.serving import NOON, Api, fill, sample
from v1.store import connect, keys
from v1.store.sharing.members import Members, SeenWorker, WorkerNote, list_free

ONE = WorkerNote(
    "a:7:1",
    "a",
    7,
    NOON - 60,
    "1.0",
    600,
    ("p0.1", "p1.0"),
    True,
    NOON,
    ("p1.0",),
    sources=("kraken",),
    able=("kraken",),
    avoided=("binance",),
)
TWO = WorkerNote("b:9:2", "b", 9, NOON - 30, "1.0", 600, ("p2.3",), False, NOON, ())


@pytest.fixture
async def redis_client(server: str) -> AsyncIterator[Redis]:
    async with connect(server, "tests") as client:
        yield client


async def test_where_nobody_shares_there_are_no_workers(api: Api):
    answer = await api.get("/v1/workers")

    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.json == {"partitions": 0, "free": [], "workers": []}


async def test_each_worker_says_what_it_has(api: Api, redis_client: Redis):
    await Members(redis_client).report(TWO)
    await Members(redis_client).report(ONE)

    first, second = (await api.get("/v1/workers")).json["workers"]

    assert first.pop("silent_seconds") >= 0
    assert first == {
        "name": "a:7:1",
        "host": "a",
        "pid": 7,
        "since": NOON - 60,
        "version": "1.0",
        "is_alive": True,
        "lease_seconds": 600,
        "is_asking": True,
        "partitions": ["p0.1", "p1.0"],
        "tick": NOON,
        "behind": ["p1.0"],
        "interval": 0,
        "settings": {},
        "sources": ["kraken"],
        "avoided": ["binance"],
    }
    assert (second["name"], second["is_asking"]) == ("b:9:2", False)


async def test_a_worker_that_is_silent_for_longer_than_its_lease_is_not_alive_and_is_shown(
    api: Api, redis_client: Redis
):
    await Members(redis_client).report(ONE)
    await redis_client.zincrby(keys.WORKERS_SEEN, -599_000, ONE.name)
    await Members(redis_client).report(TWO)
    assert (await api.get("/v1/workers")).json["workers"][0]["is_alive"]

    async with asyncio.timeout(60):
        while (await api.get("/v1/workers")).json["workers"][0]["is_alive"]:
            await asyncio.sleep(0.05)


async def test_who_has_not_been_heard_of_for_ten_minutes_is_forgotten(redis_client: Redis):
    members = Members(redis_client)
    await members.report(ONE)
    await redis_client.zincrby(keys.WORKERS_SEEN, -700_000, ONE.name)

    assert [(each.name, [*each.partitions]) for each in await members.report(TWO)] == [("b:9:2", ["p2.3"])]

    assert [each.note.name for each in await members.read_all()] == ["b:9:2"]


async def test_who_leaves_is_not_waited_for(redis_client: Redis):
    members = Members(redis_client)
    await members.report(ONE)
    await members.report(TWO)
    await members.remove(ONE.name)

    assert [each.name for each in await members.report(TWO)] == ["b:9:2"]


async def test_what_a_worker_of_another_version_says_is_left_out(redis_client: Redis):
    await Members(redis_client).report(ONE)
    await redis_client.hset(keys.WORKERS, "odd", "{")
    await redis_client.zadd(keys.WORKERS_SEEN, {"odd": 9e15})

    assert [each.note.name for each in await Members(redis_client).read_all()] == ["a:7:1"]


def test_partitions_that_nobody_has_who_is_alive_are_free():
    seen = [SeenWorker(ONE, 1), SeenWorker(TWO, 700)]
    assert list_free(("p0.1", "p1.0", "p2.3", "p3.0"), seen) == ["p2.3", "p3.0"]
    assert list_free(("p0.1",), []) == []


async def test_health_is_as_before_where_nobody_shares(api: Api, writer):
    await fill(writer, {"KRAKEN:BTCUSD": [sample(NOON, "1")]})
    assert (await api.get("/health/ready")).json["reasons"] == []
