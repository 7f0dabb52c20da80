"""On real servers, with the configuration that we ship, samples are kept as packed lists and nothing is let go."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.conftest import emptied
from tests.support.ledger import BTC, dump, heard
from tests.support.serving import MINUTE, NOON
from v1.model import Reading
from v1.store import Writer, connect, keys
from worker.sampling.tick import commit_tick

LONGEST = Reading(
    "123456789.123456789", "123456789012.12345678", "-1234.567891", "-123456.123456789", "1234567.12345678"
)


@pytest.fixture(params=["valkey", "redis7"])
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    async with emptied(connect(request.getfixturevalue(request.param), "tests")) as client:
        yield client


@pytest.mark.parametrize("interval", [MINUTE, 5])
async def test_an_hour_of_samples_of_six_long_numbers_is_one_packed_list(redis: Redis, interval: int):
    store = Writer(redis)
    await store.open()
    await commit_tick(NOON - interval, heard({BTC: LONGEST}), store)
    await commit_tick(NOON, heard({BTC: LONGEST}), store)
    (last,) = await store.read_samples(BTC, NOON - 1, NOON)
    hour = [last._replace(tick=at) for at in range(NOON - 3600 + interval, NOON + 1, interval)]

    await store.insert_samples(BTC, hour, "candles", NOON)

    (key,) = [key async for key in redis.scan_iter("v1:samples:*")]
    assert await redis.zcard(key) == 3600 // interval
    assert await redis.object("encoding", key) == "listpack"


async def test_the_server_is_told_to_refuse_rather_than_to_forget(redis: Redis):
    said = await redis.config_get("maxmemory-policy", "appendonly", "save")

    assert said == {"maxmemory-policy": "noeviction", "appendonly": "yes", "save": ""}


async def test_the_keys_in_redis_cli_read_as_the_documentation_says(redis: Redis):
    store = Writer(redis)
    await store.open()
    await commit_tick(NOON, heard({BTC: Reading("46572.17", "5")}), store)

    held = await dump(redis)

    assert held[keys.samples(BTC, NOON - 3600)] == (
        "zset",
        f"[['[3600,46572.17,5,null,null,null,null]', {NOON}.0]]",
        True,
    )
    assert held[keys.TICK] == ("string", f"'{NOON}'", False)
    assert held["v1:rank:price:stddev"] == ("zset", f"[['{BTC}', 0.0]]", True)
