"""Data of another format is refused, and can be deleted without leaving half of it."""

import pytest
from redis.asyncio import Redis

from tests.support.ledger import heard
from tests.support.serving import NOON
from v1.model import MINUTE, Metric
from v1.store import DataFormat, OtherFormat, Reader, StoreError, Writer, keys
from v1.store.data_format import describe_server
from worker.sampling.tick import commit_tick

BTC = Metric("KRAKEN:BTCUSD")


async def fill(redis: Redis) -> None:
    store = Writer(redis)
    await store.open()
    await commit_tick(NOON, heard({BTC: "1"}), store)
    await store.write_source_states({"kraken": {"state": "ok"}})
    await redis.hset(keys.RULES, "r", "{}")
    await redis.hset(keys.SILENCES, "s", "{}")
    await redis.set(keys.budget("coinmarketcap"), "{}", ex=MINUTE)


async def test_the_first_open_of_an_empty_redis_writes_the_number(fake: Redis):
    await Writer(fake).open()

    assert await fake.get("v1:format") == str(keys.FORMAT_NUMBER)
    assert await DataFormat(fake).check()


async def test_a_redis_without_data_of_ours_is_empty(fake: Redis):
    await fake.set("somebody:else", "1", ex=60)
    await fake.hset(keys.RULES, "r", "{}")

    assert not await DataFormat(fake).check()


@pytest.mark.parametrize("key", keys.TRACES)
async def test_data_without_a_number_is_refused(fake: Redis, key: str):
    await fake.set(key, "1")

    with pytest.raises(OtherFormat, match="holds data without a format number, and this data-tracker expects format 1"):
        await Writer(fake).open()
    with pytest.raises(StoreError, match=r"^Redis holds data without a format number"):
        await Reader(fake).check_format()
    assert await fake.keys("*") == [key]
    await fake.delete(key)


async def test_data_of_another_number_is_refused(fake: Redis):
    await fake.set(keys.FORMAT, keys.FORMAT_NUMBER + 1)

    with pytest.raises(OtherFormat, match=r"holds data of format 2, and this data-tracker expects format 1$"):
        await Writer(fake).open()


@pytest.mark.parametrize(
    "address, shown",
    [
        ("redis://user:secret@127.0.0.1:6399/3", "redis://127.0.0.1:6399/3"),
        ("redis://:secret@[::1]", "redis://[::1]:6379/0"),
        ("unix://user:secret@/run/redis.sock?db=2", "unix:///run/redis.sock"),
    ],
)
def test_the_address_in_a_refusal_has_no_password(address: str, shown: str):
    assert describe_server(Redis.from_url(address)) == shown


async def test_a_number_that_is_lost_comes_back_with_the_next_tick(fake: Redis):
    await fill(fake)
    await fake.delete(keys.FORMAT)

    await commit_tick(NOON + MINUTE, heard({BTC: "1"}), Writer(fake))

    assert await DataFormat(fake).check()


async def test_what_is_deleted_is_all_but_rules_silences_and_the_use_of_plans(fake: Redis):
    await fill(fake)
    data = DataFormat(fake)
    count = await data.count_keys()

    assert await data.delete_data() == count > 5
    assert set(await fake.keys("*")) == {keys.RULES, keys.SILENCES, keys.budget("coinmarketcap")}
    assert await Writer(fake).open() is None


async def test_data_that_is_half_deleted_is_refused_until_it_is_gone(fake: Redis, monkeypatch: pytest.MonkeyPatch):
    await fill(fake)

    async def cut_off(*_: str) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patched:
        patched.setattr(fake, "unlink", cut_off)
        with pytest.raises(StoreError):
            await DataFormat(fake).delete_data()
    with pytest.raises(OtherFormat, match="data of format reset"):
        await Writer(fake).open()
    await DataFormat(fake).delete_data()

    assert await Writer(fake).open() is None
    assert await Reader(fake).read_samples(BTC, NOON - MINUTE, NOON) == []
