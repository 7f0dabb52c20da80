"""The top list's rules: ranks, ids, duplicates, ages; and how lists and snapshots are written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from v1.toplist import codec, quota
from v1.toplist.model import (
    ListOrigin,
    PricedCoin,
    ProviderList,
    RankedCoin,
    TopCoin,
    TopList,
    find_reach,
    is_late_list,
    is_list_due,
    merge_lists,
)
from v1.toplist.quota import QuotaUsage

NOON = 1_621_252_800

numbers = some.from_regex(r"(0|[1-9][0-9]{0,11})(\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
times = some.integers(NOON - 10**6, NOON + 60)
texts = some.text(some.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
ids = some.integers(1, 10**8)
priced = some.lists(some.builds(PricedCoin, ids, numbers, some.none() | times), max_size=20)
ranked = some.lists(some.builds(RankedCoin, some.none() | ids, texts, texts, numbers), max_size=20)
abouts = some.builds(
    ListOrigin,
    texts,
    times,
    some.none() | times,
    some.integers(60, 86400),
    some.dictionaries(texts, some.integers(1, 99)),
)


def prices(*coins: PricedCoin, at: int = NOON, interval: int = 300) -> ProviderList[PricedCoin]:
    return ProviderList(ListOrigin("coinmarketcap", at, at - 2, interval, {"dead market": 1}), coins)


def ranks(*coins: RankedCoin, at: int = NOON, interval: int = 540) -> ProviderList[RankedCoin]:
    return ProviderList(ListOrigin("cryptocompare", at, None, interval, {}), coins)


def test_the_rank_is_the_place_in_the_list_and_the_price_that_of_the_id_whatever_the_symbol():
    merged = merge_lists(
        NOON,
        prices(PricedCoin(1, "56507.38254720854", NOON - 58), PricedCoin(2, "1.1e-05", None)),
        ranks(RankedCoin(2, "BTC", "Not Bitcoin", "99"), RankedCoin(1, "XBT", "Bitcoin", "98.5"), at=NOON - 60),
        60,
    )

    assert merged.coins == [
        TopCoin(1, 2, "BTC", "Not Bitcoin", "1.1e-05", "99", NOON, NOON - 60),
        TopCoin(2, 1, "XBT", "Bitcoin", "56507.38254720854", "98.5", NOON - 58, NOON - 60),
    ]


def test_a_coin_without_a_price_or_an_id_stays_in_its_place_and_is_counted():
    merged = merge_lists(
        NOON,
        prices(PricedCoin(1, "2", NOON)),
        ranks(RankedCoin(None, "A", "A", "9"), RankedCoin(7, "B", "B", "8"), RankedCoin(1, "C", "C", "7")),
        60,
    )

    assert [(coin.rank, coin.symbol, coin.price_usd, coin.price_time) for coin in merged.coins] == [
        (1, "A", None, None),
        (2, "B", None, None),
        (3, "C", "2", NOON),
    ]
    assert merged.count_unpriced == 2


def test_of_two_coins_with_one_id_the_better_placed_stays_and_ranks_have_no_holes():
    merged = merge_lists(
        NOON,
        prices(PricedCoin(1, "2", NOON)),
        ranks(RankedCoin(1, "A", "A", "9"), RankedCoin(1, "WRAPPED", "A", "8"), RankedCoin(3, "C", "C", "7")),
        60,
    )

    assert [(coin.rank, coin.symbol) for coin in merged.coins] == [(1, "A"), (2, "C")]
    assert merged.ranks.left_out == {"id twice": 1}
    assert merged.prices.left_out == {"dead market": 1}


@pytest.mark.parametrize(
    "two, kept",
    [
        pytest.param((PricedCoin(1, "old", NOON - 9), PricedCoin(1, "new", NOON - 8)), "new", id="the newer one"),
        pytest.param((PricedCoin(1, "new", NOON - 8), PricedCoin(1, "old", NOON - 9)), "new", id="whatever the order"),
        pytest.param((PricedCoin(1, "first", NOON), PricedCoin(1, "second", NOON)), "first", id="of equals the first"),
        pytest.param((PricedCoin(1, "undated", None), PricedCoin(1, "dated", NOON)), "dated", id="one with a date"),
    ],
)
def test_of_two_prices_for_one_id_the_newer_counts(two: tuple[PricedCoin, PricedCoin], kept: str):
    merged = merge_lists(NOON, prices(*two), ranks(RankedCoin(1, "A", "A", "9")), 60)

    assert merged.coins[0].price_usd == kept
    assert merged.prices.left_out == {"dead market": 1, "id twice": 1}


@given(priced, ranked)
def test_every_coin_has_the_price_of_its_id_and_no_id_is_there_twice(priced, ranked):
    merged = merge_lists(NOON, prices(*priced), ranks(*ranked), 60)

    known = {coin.id: {each.price for each in priced if each.id == coin.id} for coin in priced}
    assert [coin.rank for coin in merged.coins] == list(range(1, len(merged.coins) + 1))
    with_ids = [coin.id for coin in merged.coins if coin.id is not None]
    assert len(with_ids) == len(set(with_ids)) == len({coin.id for coin in ranked if coin.id is not None})
    for coin in merged.coins:
        assert coin.price_usd in known.get(coin.id, {None})


def test_a_list_is_due_when_its_interval_is_over_and_late_when_the_margin_is_too():
    about = prices().about

    assert [is_list_due(about, NOON + seconds) for seconds in (299, 300)] == [False, True]
    assert is_list_due(None, NOON)
    assert [is_late_list(about, NOON + seconds, 60) for seconds in (360, 361)] == [False, True]


def test_a_snapshot_stands_for_minutes_without_one_as_long_as_its_slower_list_is_good_for():
    assert find_reach(merge_lists(NOON, prices(), ranks(), 60)) == 600


@given(priced, some.integers(NOON, NOON + 10**6))
def test_prices_are_read_as_they_were_written(coins, at):
    assert codec.read_prices(codec.write_prices(coins, at), at) == coins


@given(ranked)
def test_ranks_are_read_as_they_were_written(coins):
    assert codec.read_ranks(codec.write_ranks(coins), NOON) == coins


@given(abouts)
def test_where_a_list_is_from_is_read_as_it_was_written(about):
    assert codec.read_about(codec.write_about(about)) == about


@given(ranked, priced, abouts, abouts)
def test_a_snapshot_is_read_as_it_was_written(ranked, priced, one, other):
    merged = merge_lists(NOON, ProviderList(one, priced), ProviderList(other, ranked), 60)
    references = [f"{codec.make_reference(coin)}~{coin.rank}" for coin in merged.coins]

    packed = codec.unpack_snapshot(codec.pack_snapshot(merged, references))

    names = {name: codec.write_name(coin) for name, coin in zip(references, merged.coins, strict=True)}
    assert codec.restore_snapshot(packed, names) == merged._replace(prices=packed.prices, ranks=packed.ranks)
    assert (packed.prices, packed.ranks) == (merged.prices, merged.ranks)


def test_the_head_of_a_snapshot_can_be_read_by_a_person():
    merged = merge_lists(NOON, prices(PricedCoin(1, "2", NOON)), ranks(RankedCoin(1, "A", "A", "9")), 60)

    head = codec.pack_snapshot(merged, ["1"]).partition(b"\n")[0]

    at, one, other, margin = json.loads(head)
    assert (at, one["source"], other["source"], margin) == (NOON, "coinmarketcap", "cryptocompare", 60)


def test_a_minute_that_says_the_same_names_the_one_that_says_it():
    assert codec.pack_repeat(NOON, NOON - 120) == b"[1621252800,1621252680]"
    assert codec.read_repeated_minute(codec.pack_repeat(NOON, NOON - 120)) == NOON - 120
    assert (
        codec.read_repeated_minute(codec.pack_snapshot(TopList(NOON, (), prices().about, ranks().about, 60), ()))
        is None
    )


def test_what_of_a_plan_is_used_is_read_as_it_was_written():
    use = QuotaUsage("2021-05", 17, NOON, 1, 2, NOON, NOON - 60, 3, NOON + 60, 'it said "no"', {"no answer": 3})

    assert quota.read_usage(quota.write_usage(use)) == use
    assert quota.read_usage(None) == QuotaUsage()


@pytest.mark.parametrize(
    "at, month, end",
    [
        (1_621_252_800, "2021-05", 1_622_505_600),
        (1_640_995_199, "2021-12", 1_640_995_200),
        (1_640_995_200, "2022-01", 1_643_673_600),
        (1_582_934_400, "2020-02", 1_583_020_800),
    ],
)
def test_months_are_calendar_months(at: int, month: str, end: int):
    assert (quota.name_month(at), quota.find_month_end(at)) == (month, end)
