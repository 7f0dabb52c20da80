"""Lists, snapshots and plans in Redis: what comes back, what is kept once, and what a reader is told."""

import asyncio
from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from v1.model import DAY, HOUR, MINUTE
from v1.store import ListStore, QuotaStore, StoreError, TopReader, TopWriter, keys
from v1.toplist.model import ListOrigin, PricedCoin, ProviderList, RankedCoin, TopCoin, TopList, merge_lists
from v1.toplist.quota import QuotaUsage

NOON = 1_621_252_800
PRICES = [
    PricedCoin(1, "56507.38254720854", NOON - 58),
    PricedCoin(825, "1.00008821772943", None),
    PricedCoin(5994, "1.1e-05", NOON - 60),
]
RANKS = [
    RankedCoin(825, "USDT", "Tether", "172251665280.04504"),
    RankedCoin(1, "BTC", "Bitcoin", "68130148004.21379"),
    RankedCoin(None, "=X", 'A "quoted" coin', "1E+9"),
    RankedCoin(5994, "SHIB", "柴犬", "0"),
    RankedCoin(77, "NEW", "Has no price", "12"),
]


def prices(at: int = NOON, coins: Sequence[PricedCoin] = PRICES, interval: int = 300) -> ProviderList[PricedCoin]:
    return ProviderList(ListOrigin("coinmarketcap", at, at - 2, interval, {"dead market": 1}), coins)


def ranks(at: int = NOON, coins: Sequence[RankedCoin] = RANKS, interval: int = 540) -> ProviderList[RankedCoin]:
    return ProviderList(ListOrigin("cryptocompare", at, None, interval, {}), coins)


def snapshot(at: int = NOON, **about: int) -> TopList:
    return merge_lists(at, prices(about.get("prices", NOON)), ranks(about.get("ranks", NOON)), 60)


@pytest.fixture
def listings(redis: Redis) -> ListStore:
    return ListStore(redis)


@pytest.fixture
def top(redis: Redis) -> TopWriter:
    return TopWriter(redis)


async def test_lists_come_back_as_they_went_in_digit_for_digit(listings: ListStore):
    assert await listings.add_prices(prices())
    assert await listings.add_ranks(ranks())

    assert await listings.read_prices(NOON) == prices()
    assert await listings.read_ranks(NOON) == ranks()


async def test_of_each_minute_there_is_one_list_the_first_and_none_comes_late(listings: ListStore):
    await listings.add_prices(prices())

    assert not await listings.add_prices(prices(coins=PRICES[:1]))
    assert not await listings.add_prices(prices(NOON - MINUTE))
    assert await listings.read_prices(NOON + DAY) == prices()


async def test_the_newest_list_up_to_a_minute_is_found_and_none_before_the_first(listings: ListStore):
    for at in (NOON, NOON + 300, NOON + 600):
        await listings.add_prices(prices(at))

    assert await listings.read_prices(NOON + 599) == prices(NOON + 300)
    assert await listings.read_prices(NOON + 600) == prices(NOON + 600)
    assert await listings.read_prices(NOON + 599) == prices(NOON + 300)
    assert await listings.read_prices(NOON - 1) is None


async def test_the_oldest_minute_is_the_first_that_has_both(listings: ListStore):
    assert await listings.find_oldest_minute() is None
    await listings.add_prices(prices(NOON - HOUR))
    assert await listings.find_oldest_minute() is None
    await listings.add_ranks(ranks(NOON))
    await listings.add_ranks(ranks(NOON + HOUR))

    assert await listings.find_oldest_minute() == NOON


async def test_lists_are_bounded_in_number(redis: Redis, listings: ListStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keys, "MOST_LISTS", 3)
    for minute in range(5):
        await listings.add_prices(prices(NOON + minute * MINUTE))

    assert await redis.xlen(keys.PRICES) == 3
    assert await listings.read_prices(NOON + MINUTE) is None


async def test_who_waits_for_news_is_told_of_a_newer_list(listings: ListStore):
    await listings.add_prices(prices())
    await listings.add_ranks(ranks())
    waiting = asyncio.create_task(listings.wait_for_news(NOON, NOON, 5))
    await asyncio.sleep(0.05)
    assert not waiting.done()

    await listings.add_ranks(ranks(NOON + MINUTE))

    assert await asyncio.wait_for(waiting, 2) == (NOON, NOON + MINUTE)
    assert await listings.wait_for_news(NOON - MINUTE, NOON + MINUTE, 5) == (NOON, NOON + MINUTE)
    assert await listings.wait_for_news(NOON, NOON + MINUTE, 0.01) == (NOON, NOON + MINUTE)


async def test_a_snapshot_comes_back_as_it_went_in(top: TopWriter, redis: Redis):
    assert await top.write_snapshot(snapshot())

    found = await TopReader(redis).read_snapshot(NOON)

    assert found == snapshot()
    assert [coin.price_usd for coin in found.coins] == ["1.00008821772943", "56507.38254720854", None, "1.1e-05", None]
    assert [coin.price_time for coin in found.coins] == [NOON, NOON - 58, None, NOON - 60, None]


async def test_the_same_snapshot_twice_is_one_and_a_published_minute_never_changes(top: TopWriter, redis: Redis):
    await top.write_snapshot(snapshot())

    assert not await top.write_snapshot(snapshot())
    assert not await TopWriter(redis).write_snapshot(merge_lists(NOON, prices(coins=PRICES[:1]), ranks(), 60))
    assert await redis.zcard(keys.TOP) == 1
    assert await top.read_snapshot(NOON) == snapshot()


async def test_two_that_merge_at_the_same_time_make_one(redis: Redis):
    writers = [TopWriter(redis) for _ in range(8)]

    new = await asyncio.gather(*[writer.write_snapshot(snapshot()) for writer in writers])

    assert sum(new) == 1
    assert await redis.zcard(keys.TOP) == 1


async def test_minutes_that_say_the_same_take_a_few_bytes_and_are_found_all_the_same(top: TopWriter, redis: Redis):
    for minute in range(90):
        await top.write_snapshot(snapshot(NOON + minute * MINUTE))

    reader = TopReader(redis)
    found = [await reader.read_snapshot(NOON + minute * MINUTE) for minute in range(90)]
    assert found == [snapshot(NOON + minute * MINUTE) for minute in range(90)]
    short = await redis.execute_command("ZRANGE", keys.TOP, 1, 59, NEVER_DECODE=True)
    assert [len(member) < 30 for member in short] == [True] * 59
    assert len((await redis.execute_command("ZRANGE", keys.TOP, 60, 60, NEVER_DECODE=True))[0]) > 100


async def test_a_minute_is_kept_whole_where_the_one_it_is_like_is_gone(top: TopWriter, redis: Redis):
    await top.write_snapshot(snapshot())
    await redis.delete(keys.TOP)

    assert await top.write_snapshot(snapshot(NOON + MINUTE))

    assert await top.read_snapshot(NOON + MINUTE) == snapshot(NOON + MINUTE)


async def test_a_coin_that_is_renamed_keeps_its_name_in_the_minutes_before(top: TopWriter):
    renamed = [RankedCoin(1, "XBT", "Bitcoin", "7"), RankedCoin(None, "=X", "another", "3"), RANKS[2]]
    later = merge_lists(NOON + 540, prices(), ranks(NOON + 540, renamed), 60)
    await top.write_snapshot(snapshot())

    await top.write_snapshot(later)

    assert await top.read_snapshot(NOON) == snapshot()
    assert await top.read_snapshot(NOON + 540) == later
    assert [(coin.symbol, coin.name) for coin in later.coins] == [
        ("XBT", "Bitcoin"),
        ("=X", "another"),
        ("=X", 'A "quoted" coin'),
    ]


async def test_the_newest_at_or_before_a_minute_is_given_and_which_there_are_is_told(top: TopWriter):
    assert (await top.read_snapshot(NOON), await top.read_range(), await top.find_next_minute(0)) == (None, None, None)
    for at in (NOON, NOON + 300):
        await top.write_snapshot(snapshot(at, prices=at))

    assert await top.read_snapshot(NOON + 299) == snapshot()
    assert await top.read_snapshot(NOON - 1) is None
    assert await top.read_range() == (NOON, NOON + 300)
    assert await top.find_next_minute(NOON) == NOON + 300
    assert await top.find_next_minute(NOON + 300) is None


async def test_what_is_older_than_a_day_and_an_hour_goes(top: TopWriter, redis: Redis):
    await top.write_snapshot(snapshot())

    await top.write_snapshot(snapshot(NOON + keys.KEEP, prices=NOON + DAY))

    assert await redis.zcard(keys.TOP) == 1


async def test_names_that_are_missing_are_told_and_nothing_is_made_up(top: TopWriter, redis: Redis):
    await top.write_snapshot(snapshot())
    await redis.hdel(keys.top_coins(NOON), "825")

    with pytest.raises(StoreError, match=f"names of the top list of minute {NOON} are missing"):
        await TopReader(redis).read_snapshot(NOON)


async def test_a_plan_is_charged_all_or_nothing_by_however_many(redis: Redis):
    plans = QuotaStore(redis)

    def charge(use: QuotaUsage) -> QuotaUsage | None:
        return use._replace(spent=use.spent + 1) if use.spent < 20 else None

    charged = await asyncio.gather(*[plans.update_usage("coinmarketcap", charge) for _ in range(30)])

    assert sorted(use.spent for use in charged if use) == list(range(1, 21))
    assert 0 < await redis.ttl(keys.budget("coinmarketcap")) <= keys.KEEP_BUDGET


async def test_how_roles_do_is_what_they_said_last(top: TopWriter):
    await top.write_role_state("pricing", {"state": "ok"})
    await top.write_role_state("pricing", {"state": "off", "settings": ["A"]})

    assert await top.read_role_states() == {"pricing": {"state": "off", "settings": ["A"]}}


def test_a_row_is_a_coin_with_its_rank():
    assert snapshot().coins[1] == TopCoin(
        2, 1, "BTC", "Bitcoin", "56507.38254720854", "68130148004.21379", NOON - 58, NOON
    )
