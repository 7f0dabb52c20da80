"""What a clock that was ahead has left in the future is dropped, and all that follows is as if it had not been."""

import json
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support.serving import HOUR, MINUTE, NOON
from v1.market.metric_state import SourceReading
from v1.market.price_ranges import PriceRange
from v1.model import DAY, Metric, Reading, Sample
from v1.rules import RuleEngine, parse_rule
from v1.store import FutureLists, FutureRemover, ListStore, TopReader, TopWriter, Verifier, Writer, keys
from v1.toplist.model import ListOrigin, PricedCoin, ProviderList, RankedCoin, merge_lists
from worker.sampling.tick import commit_tick

BTC, ETH, GONE = Metric("KRAKEN:BTCUSD"), Metric("KRAKEN:ETHUSD"), Metric("KRAKEN:NEWUSD")
RULES = RuleEngine([parse_rule({"id": "above", "kind": "threshold", "above": 5, "cooldown": 0})], (), MINUTE)


def heard(**prices: str) -> dict[Metric, SourceReading]:
    return {Metric(f"KRAKEN:{coin}USD"): SourceReading(Reading(price, "7"), "kraken") for coin, price in prices.items()}


async def play(store: Writer, at: int, **prices: str) -> None:
    await commit_tick(at, heard(**prices), store, RULES)


@pytest.mark.parametrize("ahead", [HOUR, 47 * HOUR + 54 * MINUTE])
async def test_dropping_the_future_leaves_the_past_and_what_follows_from_it(redis: Redis, ahead: int):
    store = Writer(redis)
    await store.open()
    for minute in range(5):
        await play(store, NOON - (4 - minute) * MINUTE, BTC=f"{1 + minute % 2}", ETH="2")
    await play(store, NOON + MINUTE, BTC="9", ETH="2")
    await redis.xgroup_create(keys.OUTBOX, "pushover", "0")
    kept = await redis.zrange(keys.ALERTS, 0, -1)
    await play(store, NOON + ahead, BTC="8", ETH="9", NEW="9")

    dropped = await FutureRemover(redis).drop_future(NOON + MINUTE + 30)

    assert dropped.samples == 3
    assert dropped.alerts == 3
    reader = Writer(redis)
    # Two days ahead, the whole day was let go of: a fill brings it.
    is_left = ahead < DAY
    assert await reader.open() == (NOON + MINUTE if is_left else None)
    assert await reader.read_metrics() == ({BTC: NOON + MINUTE, ETH: NOON + MINUTE} if is_left else {})
    assert (await Verifier(redis).verify(repair=False)).is_clean
    assert await redis.zrange(keys.ALERTS, 0, -1) == kept
    sent: Any = await redis.xrange(keys.OUTBOX)
    assert [json.loads(fields["alert"])["at"] for _, fields in sent] == [NOON + MINUTE]
    assert await reader.read_samples(BTC, NOON + MINUTE, NOON + 72 * HOUR) == []
    records = [record for record in await reader.read_metric_states([BTC, ETH, GONE]) if record]
    assert all(record.at == NOON + MINUTE for record in records)


async def test_the_next_tick_after_that_is_as_if_there_had_been_no_future(redis: Redis):
    store = Writer(redis)
    await store.open()
    for at in (NOON, NOON + MINUTE):
        await play(store, at, BTC="1", ETH="2")
    await play(store, NOON + HOUR, BTC="9", ETH="9")
    await FutureRemover(redis).drop_future(NOON + MINUTE)

    again = Writer(redis)
    await again.open()
    await play(again, NOON + 2 * MINUTE, BTC="3", ETH="4")

    assert [each.tick for each in await again.read_samples(BTC, NOON - HOUR, NOON + 2 * HOUR)] == [
        NOON,
        NOON + MINUTE,
        NOON + 2 * MINUTE,
    ]
    assert (await Verifier(redis).verify(repair=False)).is_clean


async def test_ranges_of_filled_samples_are_dropped_with_the_samples_and_others_stay(redis: Redis):
    store = Writer(redis)
    await store.open()
    await play(store, NOON + HOUR, BTC="9")
    ticks = [NOON - MINUTE, NOON + MINUTE, NOON + 3 * MINUTE]
    filled = [Sample(tick, ("1", *[None] * 5)) for tick in ticks]
    ranges = {tick: PriceRange("1", "2", "0.5") for tick in ticks}
    await store.insert_samples(BTC, filled, "kraken", NOON + HOUR, ranges=ranges)

    await FutureRemover(redis).drop_future(NOON + 2 * MINUTE)
    lives = await redis.ttl(keys.ranges(BTC, NOON))
    await FutureRemover(redis).drop_future(NOON + 2 * MINUTE)

    assert await store.read_ranges(BTC, NOON - DAY, NOON + DAY) == {tick: ranges[tick] for tick in ticks[:2]}
    assert 0 < lives <= keys.KEEP_SAMPLES
    await FutureRemover(redis).drop_future(NOON)
    assert await redis.exists(keys.ranges(BTC, NOON)) == 0


async def test_a_store_that_is_all_future_is_empty_then(redis: Redis):
    store = Writer(redis)
    await store.open()
    await play(store, NOON + HOUR, BTC="9")

    await FutureRemover(redis).drop_future(NOON)

    assert await store.read_tick() is None
    assert await store.read_metrics() == {}
    assert [key async for key in redis.scan_iter("v1:samples:*")] == []


async def test_where_nothing_lies_ahead_nothing_is_dropped_or_changed(redis: Redis):
    store = Writer(redis)
    await store.open()
    await play(store, NOON, BTC="9", ETH="2")
    before = {key: await redis.dump(key) for key in ("v1:tick", "v1:alerts", "v1:moments:{KRAKEN:BTCUSD}")}

    dropped = await FutureRemover(redis).drop_future(NOON)

    assert not dropped
    assert {key: await redis.dump(key) for key in before} == before


async def test_top_lists_of_the_future_make_room_for_those_of_now(redis: Redis):
    listings, top, lists = ListStore(redis), TopWriter(redis), FutureLists(redis)

    async def make(at: int) -> bool:
        prices = ProviderList(ListOrigin("prices", at, None, 300, {}), [PricedCoin(1, f"{at}", at)])
        ranks = ProviderList(ListOrigin("ranks", at, None, 300, {}), [RankedCoin(1, "BTC", "Bitcoin", "7")])
        are_new = await listings.add_prices(prices) and await listings.add_ranks(ranks)
        await top.write_snapshot(merge_lists(at, prices, ranks, 60))
        await top.write_role_state("merging", {"state": "ok", "at": at})
        return are_new

    await make(NOON)
    await make(NOON + 47 * HOUR)
    assert await lists.find_newest() == NOON + 47 * HOUR

    assert await lists.drop_future(NOON + MINUTE) == 3

    assert await lists.find_newest() == NOON
    assert await TopReader(redis).read_role_states() == {}
    kept = await listings.read_prices(NOON + HOUR)
    assert kept
    assert kept.coins == [PricedCoin(1, f"{NOON}", NOON)]
    assert await make(NOON + 5 * MINUTE)
    newest = await top.read_snapshot(NOON + HOUR)
    assert newest
    assert newest.at == NOON + 5 * MINUTE
