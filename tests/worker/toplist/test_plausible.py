"""Which lists are refused although they can be read: of another time, or of other coins."""

from collections.abc import Sequence

import pytest

from tests.support.top_hours import NOON
from worker.latest import DAY, HOUR
from worker.latest.toplist import ListOrigin, PricedCoin, ProviderList, RankedCoin
from worker.toplist.plausible import AHEAD_SECONDS, find_fault

IDS = range(1, 201)


def prices(
    ids: Sequence[int] = IDS, at: int = NOON, made: int | None = None, price_time: int | None = None
) -> ProviderList[PricedCoin]:
    about = ListOrigin("coinmarketcap", at, at if made is None else made, 300, {})
    return ProviderList(about, [PricedCoin(each, "1.5", price_time) for each in ids])


def ranks(ids: Sequence[int | None] = IDS, at: int = NOON, made: int | None = None) -> ProviderList[RankedCoin]:
    about = ListOrigin("cryptocompare", at, at if made is None else made, 540, {})
    return ProviderList(about, [RankedCoin(each, f"C{place}", f"Coin {place}", "1") for place, each in enumerate(ids)])


@pytest.mark.parametrize(
    "made, reason",
    [
        pytest.param(NOON, None, id="now"),
        pytest.param(NOON + AHEAD_SECONDS, None, id="clocks differ"),
        pytest.param(NOON + 2 * DAY, f"its list is dated {2 * DAY} s in the future", id="in the future"),
        pytest.param(NOON - HOUR, None, id="an hour ago"),
        pytest.param(NOON - 7 * DAY, f"its list is dated {7 * DAY} s ago, and 3600 s are the most", id="a week ago"),
    ],
)
def test_a_list_is_dated_about_now(made, reason):
    assert find_fault(prices(made=made), None, None, is_dated=True) == reason


def test_a_list_that_is_older_than_the_one_before_it_is_refused():
    kept = prices(at=NOON - 300, made=NOON - 300)

    assert find_fault(prices(made=NOON - 300), kept, None, is_dated=True) is None, "the same once more"
    assert (
        find_fault(prices(made=NOON - 301), kept, None, is_dated=True) == "its list is 1 s older than the one before it"
    )


def test_prices_that_are_older_than_those_before_them_are_refused_whatever_the_list_says_of_itself():
    kept = prices(at=NOON - 300, price_time=NOON - 330)

    said = find_fault(prices(price_time=NOON - 7 * DAY), kept, None, is_dated=True)

    assert said == f"its list is {7 * DAY - 330} s older than the one before it"


def test_where_coins_give_the_date_a_little_older_is_not_older():
    kept = ranks(at=NOON - 540)

    assert find_fault(ranks(made=NOON - 600), kept, None, is_dated=False) is None
    said = find_fault(ranks(made=NOON - 7 * DAY), kept, None, is_dated=False)
    assert said == f"its list is {7 * DAY - 540} s older than the one before it"


def test_a_date_of_the_future_keeps_no_later_list_out():
    kept = ranks(at=NOON - 540, made=NOON + 30 * DAY)

    assert find_fault(ranks(), kept, None, is_dated=False) is None


@pytest.mark.parametrize("other, whose", [(ranks(), "other provider"), (None, "list before it")])
def test_a_list_of_other_coins_is_refused(other, whose):
    said = find_fault(prices(range(150, 350)), prices(at=NOON - 300), other, is_dated=True)

    assert said == f"its list shares 51 of 200 coins with the {whose}"


def test_coins_come_and_go():
    assert find_fault(prices(range(51, 251)), prices(at=NOON - 300), ranks(), is_dated=True) is None


def test_more_or_fewer_coins_are_no_others():
    assert find_fault(prices(range(1, 5001)), prices(at=NOON - 300), ranks(), is_dated=True) is None
    assert find_fault(prices(range(1, 51)), prices(at=NOON - 300), ranks(), is_dated=True) is None


def test_a_list_of_other_coins_that_was_taken_at_first_does_not_keep_the_good_ones_out():
    bad = prices(range(1000, 1200), at=NOON - 300)

    assert find_fault(bad, None, ranks(), is_dated=True) is None, "there is no better one"
    assert find_fault(prices(), bad, ranks(), is_dated=True) is None


def test_ranks_are_held_against_prices_as_prices_are_against_ranks():
    others = ranks([*range(1000, 1190), *[None] * 10])

    assert find_fault(others, ranks(at=NOON - 540), prices(), is_dated=False) == (
        "its list shares 0 of 190 coins with the other provider"
    )


def test_ids_that_nobody_gives_are_no_fault():
    assert find_fault(ranks([None] * 200), ranks([None] * 200, at=NOON - 540), prices(), is_dated=False) is None
