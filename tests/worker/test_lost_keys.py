"""
Every key is lost, becomes garbage, or one of another type, while ticks go on and the API is asked: nothing ends,
no answer is an error of ours, and afterwards everything follows from the samples again.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis

from tests.support.invented import BTC, ETH, NOON
from tests.support.serving import Api, sample, serving
from tests.support.serving import Clock as ApiClock
from tests.worker.sampling.test_sampler import Sampling, idle, until
from v1.market.metric_state import read_state
from v1.model import By, find_hour, list_hours
from v1.store import keys
from worker.latest import DAY, HOUR, MINUTE, Measure
from worker.latest.delivery import Outbox
from worker.latest.store import RuleStore, Verifier, Writer, connect
from worker.latest.toplist import ListOrigin, ListStore, PricedCoin, ProviderList, RankedCoin, TopWriter, merge_lists
from worker.sampling.rule_provider import RuleProvider
from worker.sampling.tick import commit_tick as move

CHANNEL = "pushover"
PATHS = [
    "/health/ready",
    "/v1/metrics",
    f"/v1/metrics/{BTC}",
    f"/v1/metrics/{BTC}/history",
    f"/v1/metrics/{BTC}/rank",
    f"/v1/metrics/{BTC}/candles?interval=1h",
    "/v1/ranks",
    "/v1/top",
    "/v1/alerts",
    "/v1/rules",
    "/v1/silences",
]

STRINGS = [
    keys.TICK,
    keys.ARCHIVE,
    keys.OUTAGES,
    keys.RULES_PROBLEM,
    keys.moments(BTC),
    keys.budget("coinmarketcap"),
]
HASHES = [
    *(keys.SOURCES, keys.RULES, keys.FILE_RULES, keys.SILENCES, keys.CHANNELS, keys.TOP_ROLES),
    *(keys.sending(CHANNEL), keys.receipts(CHANNEL), keys.top_coins(NOON), keys.alert(f"r.{BTC}.{NOON}")),
]
ZSETS = [
    *(keys.METRICS, keys.ALERTS, keys.TOP, keys.mean(Measure.PRICE), keys.rank(Measure.PRICE, By.CV)),
    *(keys.samples(BTC, find_hour(at)) for at in (NOON, NOON - HOUR, NOON - DAY + MINUTE)),
]
STREAMS = [keys.OUTBOX, keys.PRICES, keys.RANKINGS, keys.dead(CHANNEL)]
LISTS = [keys.deliveries(f"r.{BTC}.{NOON}")]
EVERY = [*STRINGS, *HASHES, *ZSETS, *STREAMS, *LISTS, keys.LEASE]


@pytest.fixture
async def redis(server: str) -> AsyncIterator[Redis]:
    async with connect(server, "tests") as client:
        yield client


@pytest.fixture
async def api(server: str, tmp_path: Path) -> AsyncIterator[Api]:
    clock = ApiClock()
    clock.now = NOON + 10 * MINUTE
    async with serving(clock, server, data_dir=tmp_path) as served:
        yield served


@pytest.fixture
async def sampling(request: pytest.FixtureRequest, redis: Redis, session: ClientSession) -> Sampling:
    """A day of two metrics, a top list, a rule that speaks at every tick, and a channel that is told."""
    store, every = Writer(redis), getattr(request, "param", 20 * MINUTE)
    await store.open()
    day = [sample(at, f"{40000 + at // MINUTE % 7}", volume="1") for at in range(NOON - DAY + every, NOON + 1, every)]
    for metric in (BTC, ETH):
        await store.insert_samples(metric, day, "tests", NOON)
    await store.update_rankings(NOON)
    await redis.hset(keys.RULES, "r", '{"id":"r","kind":"threshold","above":0,"cooldown":0}')
    await Outbox(redis, CHANNEL, DAY).open()
    await put_top(redis, NOON)
    return Sampling(session, store, [idle(BTC, ETH)], rules=RuleProvider(RuleStore(redis), MINUTE, None))


async def put_top(redis: Redis, at: int) -> None:
    prices = ProviderList(ListOrigin("coinmarketcap", at, at, MINUTE, {}), [PricedCoin(1, "46000.5", at)])
    ranks = ProviderList(ListOrigin("cryptocompare", at, at, MINUTE, {}), [RankedCoin(1, "BTC", "Bitcoin", "12.5")])
    listings = ListStore(redis)
    await listings.add_prices(prices)
    await listings.add_ranks(ranks)
    await TopWriter(redis).write_snapshot(merge_lists(at, prices, ranks, 10))


async def garbage(redis: Redis, key: str) -> None:
    """Put in what nobody of us wrote: of the right type, and with an end where ours has one."""
    if key in HASHES:
        await redis.hset(key, "garbage", "{garbage")
    elif key in ZSETS:
        await redis.zadd(key, {"garbage": NOON - MINUTE})
    elif key in STREAMS:
        await redis.xadd(key, {"garbage": "garbage"}, id="*" if key == keys.OUTBOX else f"{(NOON + MINUTE) * 1000}-1")
    elif key in LISTS:
        await redis.rpush(key, "garbage")
    else:
        await redis.set(key, "garbage")
    if key not in keys.PERMANENT:
        await redis.expire(key, 2 * DAY)


async def other_type(redis: Redis, key: str) -> None:
    await redis.delete(key)
    if key in STRINGS or key == keys.LEASE:
        await redis.rpush(key, "not ours")
    else:
        await redis.set(key, "not ours")
    await redis.expire(key, 2 * DAY)


async def nobody_breaks(api: Api) -> None:
    statuses = {path: (await api.get(path)).status for path in PATHS}

    assert {path: status for path, status in statuses.items() if status not in {200, 404, 503}} == {}


async def is_consistent(redis: Redis) -> bool:
    report = await Verifier(redis).verify(repair=False)
    return report.is_clean


@pytest.mark.parametrize("key", EVERY)
async def test_a_key_that_is_lost_is_missing_and_everything_else_goes_on(
    redis: Redis, api: Api, sampling: Sampling, key: str
):
    async with sampling.going():
        await sampling.beat(NOON + MINUTE)
        await redis.delete(key)
        await nobody_breaks(api)
        await sampling.beat(*[NOON + MINUTE * number for number in range(2, 5)])
        await nobody_breaks(api)
    await counted(redis)

    assert await is_consistent(redis)


async def counted(redis: Redis) -> None:
    """Let every metric's turn to be counted come, which is within an hour of ticks."""
    store = Writer(redis)
    await store.open()
    await move(NOON + 2 * HOUR, {}, store)


@pytest.mark.parametrize("key", [key for key in EVERY if key != keys.LEASE])  # whatever is in that one is a name
async def test_a_key_with_garbage_in_it_breaks_nothing(redis: Redis, api: Api, sampling: Sampling, key: str):
    async with sampling.going():
        await sampling.beat(NOON + MINUTE)
        await garbage(redis, key)
        await nobody_breaks(api)
        await sampling.beat(*[NOON + MINUTE * number for number in range(2, 4)])
        await nobody_breaks(api)
    if key == keys.METRICS:
        await redis.zrem(key, "garbage")

    assert await is_consistent(redis)


@pytest.mark.parametrize("key", EVERY)
async def test_a_key_of_another_type_is_waited_for_and_nothing_ends(
    redis: Redis, api: Api, sampling: Sampling, key: str
):
    async with sampling.going():
        await sampling.beat(NOON + MINUTE)
        await other_type(redis, key)
        sampling.beats.beat(NOON + 2 * MINUTE)
        await until(lambda: sampling.live._is_away or sampling.live._newest == NOON + 2 * MINUTE)
        await nobody_breaks(api)
        await redis.delete(key)
        await sampling.committed(NOON + 2 * MINUTE)
        await sampling.beat(NOON + 3 * MINUTE)
        await nobody_breaks(api)
    await counted(redis)

    assert await is_consistent(redis)


@pytest.mark.parametrize("sampling", [MINUTE], indirect=True)
async def test_hours_that_were_dropped_are_not_counted_any_more(redis: Redis, sampling: Sampling):
    for hour in list(list_hours(NOON - DAY, NOON))[2:21]:
        await redis.delete(keys.samples(BTC, hour))

    async with sampling.going():
        await sampling.beat(*[NOON + MINUTE * number for number in range(1, 62)])

    record = read_state(str(await redis.get(keys.moments(BTC))))
    there = len(await sampling.day(BTC, record.at))
    assert record.day[0].n == there < DAY // MINUTE // 4
    assert await is_consistent(redis)


@pytest.mark.parametrize("sampling", [MINUTE], indirect=True)
async def test_where_nothing_leaves_though_something_did_before_the_day_is_counted_at_once(
    redis: Redis, sampling: Sampling
):
    async with sampling.going():
        await sampling.beat(NOON + MINUTE)
        await redis.delete(keys.samples(BTC, find_hour(NOON - DAY + MINUTE)))
        await sampling.beat(NOON + 2 * MINUTE)

    record = read_state(str(await redis.get(keys.moments(BTC))))
    assert record.day[0].n == len(await sampling.day(BTC, NOON + 2 * MINUTE)) < DAY // MINUTE
