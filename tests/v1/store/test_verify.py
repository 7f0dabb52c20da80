"""Whatever is damaged that follows from the samples, is found and repaired; and what is whole is left alone."""

from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from tests.support.cluster import ON_ONE_NODE
from tests.support.ledger import BTC, DOGE, ETH, XRP, Ledger, dump, heard, play
from tests.support.serving import HOUR, MINUTE, NOON, sample
from v1.market import metric_state
from v1.market.metric_state import MetricState
from v1.model import DAY, Metric, Reading
from v1.store import Verifier, Writer, keys
from worker.sampling.tick import commit_tick

MARKETS = {
    NOON - minutes * MINUTE: {
        BTC: Reading(f"465{minutes:02}.17", str(minutes), interval_volume=f"0.{minutes}"),
        ETH: Reading(f"{minutes}e-9"),
        XRP: Reading("1.5"),
    }
    for minutes in (1450, 1400, 800, 90, 59, 20, 1)
} | {NOON: {BTC: Reading("46500", provider_time=NOON - 2), XRP: Reading("1.5", "7")}}

Damage = Callable[[Redis], Awaitable[object]]


@pytest.fixture
async def whole(redis: Redis) -> dict[str, object]:
    store = Writer(redis)
    await store.open()
    await play(store, MARKETS)
    return await dump(redis)


async def test_a_whole_store_is_clean(redis: Redis, whole: dict[str, object]):
    report = await Verifier(redis).verify(repair=True)

    assert report.is_clean
    assert report.metrics == 3
    assert report.samples == 7 + 6 + 7
    assert await dump(redis) == whole


async def test_an_empty_store_is_clean(redis: Redis):
    report = await Verifier(redis).verify(repair=True)

    assert report == (0, 0, [], [])
    assert set(await dump(redis)) == {keys.FORMAT}


async def test_after_a_tick_without_readings_late_samples_and_an_outage_the_store_is_clean(redis: Redis):
    store = Writer(redis)
    await store.open()
    await play(store, MARKETS)
    await store.insert_samples(
        ETH, [sample(NOON - 7 * MINUTE, "5e-9"), sample(NOON - 20 * HOUR, "1e9")], "candles", NOON
    )
    await store.insert_samples(DOGE, [sample(NOON - 7 * MINUTE, "1")], "candles", NOON)
    await store.update_rankings(NOON)
    assert (await Verifier(redis).verify(repair=False)).is_clean

    await commit_tick(NOON + 7 * HOUR, heard({BTC: "1"}), store)
    assert (await Verifier(redis).verify(repair=False)).is_clean
    await commit_tick(NOON + DAY, {}, store)
    assert (await Verifier(redis).verify(repair=False)).is_clean


@pytest.mark.usefixtures("whole")
async def test_the_progress_is_told(redis: Redis):
    seen: list[tuple[int, int]] = []

    await Verifier(redis).verify(repair=False, seen=lambda done, of: seen.append((done, of)))

    assert seen == [(1, 3), (2, 3), (3, 3)]


def changed(metric: Metric, change: Callable[[MetricState], MetricState]) -> Damage:
    async def damage(redis: Redis) -> None:
        (record,) = await Writer(redis).read_metric_states([metric])
        assert record
        await redis.set(keys.moments(metric), metric_state.write_state(change(record)), ex=keys.KEEP)

    return damage


def off_by_one(record: MetricState) -> MetricState:
    price, *others = record.day
    return record._replace(day=(price._replace(total=price.total + 1), *others))


MOMENTS = [
    pytest.param(changed(BTC, off_by_one), id="a sum that is off by one in the last place"),
    pytest.param(changed(BTC, lambda record: record._replace(day=record.hour)), id="a day that is an hour"),
    pytest.param(changed(BTC, lambda record: record._replace(hour=record.day)), id="an hour that is a day"),
    pytest.param(changed(BTC, lambda record: record._replace(price="46500.0")), id="another price"),
    pytest.param(changed(BTC, lambda record: record._replace(before="1")), id="another price before"),
    pytest.param(changed(BTC, lambda record: record._replace(newest=NOON - HOUR)), id="another newest tick"),
    pytest.param(changed(BTC, lambda record: record._replace(newest=NOON + HOUR)), id="a newest tick in the future"),
    pytest.param(lambda redis: redis.delete(keys.moments(BTC)), id="no moments at all"),
    pytest.param(lambda redis: redis.set(keys.moments(BTC), "nonsense", ex=99), id="moments that cannot be read"),
    pytest.param(lambda redis: redis.set(keys.moments(BTC), "[1,2]", ex=99), id="moments of another shape"),
]

LISTS = [
    pytest.param(
        lambda redis: redis.zadd("v1:rank:price:stddev", {BTC: 1.0}), "v1:rank:price:stddev", id="a wrong deviation"
    ),
    pytest.param(
        lambda redis: redis.zadd("v1:rank:volume:cv", {"NO:SUCH": 1.0}), "v1:rank:volume:cv", id="a rank of nobody"
    ),
    pytest.param(lambda redis: redis.delete("v1:rank:price:cv"), "v1:rank:price:cv", id="a missing ranking"),
    pytest.param(lambda redis: redis.zrem("v1:rank:price:cv", BTC), "v1:rank:price:cv", id="a missing rank"),
    pytest.param(lambda redis: redis.zincrby("v1:mean:price", 1e-9, XRP), "v1:mean:price", id="a wrong mean"),
    pytest.param(lambda redis: redis.delete("v1:mean:price"), "v1:mean:price", id="missing means"),
    pytest.param(lambda redis: redis.zrem(keys.METRICS, BTC), keys.METRICS, id="a metric missing in the index"),
    pytest.param(lambda redis: redis.delete(keys.METRICS), keys.METRICS, id="a missing index"),
    pytest.param(lambda redis: redis.zadd(keys.METRICS, {ETH: NOON}), keys.METRICS, id="a wrong tick in the index"),
    pytest.param(lambda redis: redis.zadd(keys.METRICS, {"NO:SUCH": NOON}), keys.METRICS, id="nobody in the index"),
]


@pytest.mark.parametrize("damage", MOMENTS)
@pytest.mark.usefixtures("whole")
async def test_wrong_moments_are_found_and_repaired(redis: Redis, ledger: Ledger, damage: Damage):
    for at, market in MARKETS.items():
        ledger.tick(at, market)
    await damage(redis)

    report = await Verifier(redis).verify(repair=True)

    assert report.moments == [BTC]
    await ledger.look_at(redis)
    assert (await Verifier(redis).verify(repair=False)).is_clean
    assert await redis.ttl(keys.moments(BTC)) > DAY


@pytest.mark.usefixtures("whole")
async def test_a_repaired_store_goes_on_as_a_whole_one(redis: Redis, ledger: Ledger):
    for at, market in MARKETS.items():
        ledger.tick(at, market)
    for key in [key async for key in redis.scan_iter() if not key.startswith(("v1:samples", keys.TICK, keys.FORMAT))]:
        await redis.delete(key)

    await Verifier(redis).verify(repair=True)
    await ledger.look_at(redis)
    market = {BTC: Reading("1"), DOGE: Reading("2")}
    store = Writer(redis)
    await store.open()
    await commit_tick(NOON + HOUR, heard(market), store)
    ledger.tick(NOON + HOUR, market)

    await ledger.look_at(redis)


@pytest.mark.usefixtures("whole")
@ON_ONE_NODE
async def test_moments_of_a_metric_without_samples_are_taken_away(redis: Redis):
    await redis.copy(keys.moments(BTC), keys.moments(DOGE))
    await redis.set(keys.moments(Metric("NO:SUCH")), "nonsense", ex=99)

    report = await Verifier(redis).verify(repair=True)

    assert report.moments == [DOGE, "NO:SUCH"]
    assert not await redis.exists(keys.moments(DOGE), keys.moments(Metric("NO:SUCH")))


@pytest.mark.parametrize("damage, key", LISTS)
async def test_wrong_lists_are_found_and_repaired(redis: Redis, whole: dict[str, object], damage: Damage, key: str):
    await damage(redis)

    report = await Verifier(redis).verify(repair=True)

    assert report.moments == []
    assert report.lists == [key]
    assert await dump(redis) == whole


@pytest.mark.parametrize("damage", [*MOMENTS, *[pytest.param(each.values[0], id=each.id) for each in LISTS]])
@pytest.mark.parametrize("redis", ["fake"], indirect=True)
@pytest.mark.usefixtures("whole")
async def test_looking_only_changes_nothing(redis: Redis, damage: Damage):
    await damage(redis)
    before = await dump(redis)

    report = await Verifier(redis).verify(repair=False)

    assert not report.is_clean
    assert await dump(redis) == before
