"""What was traded in an interval is exact, or unknown."""

from collections.abc import Sequence
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.latest import HOUR
from worker.sources.streams.events import StreamTrade
from worker.sources.streams.trade_sums import TradeSums

NOON = 1_762_862_400


def trade(number: int, amount: str = "1", second: float = 0.5) -> StreamTrade:
    return StreamTrade("BTC/USD", number, "100", amount, int((NOON + second) * 1000))


def begun(interval: int = 1) -> TradeSums:
    sums = TradeSums(interval)
    sums.begin(NOON * 1000)
    return sums


def test_trades_of_an_interval_are_added_exactly():
    sums = begun()
    for number, amount in enumerate(("0.1", "0.20000000", "1e-8"), 7):
        sums.add(trade(number, amount))

    assert sums.sum_interval(NOON + 1) == "0.30000001"


def test_an_interval_without_trades_has_a_sum_of_zero():
    assert begun().sum_interval(NOON + 1) == "0"


@pytest.mark.parametrize("second, tick", [(0, 1), (0.999, 1), (1, 2), (1.001, 2)])
def test_a_trade_at_the_very_tick_belongs_to_the_interval_after_it(second: float, tick: int):
    sums = begun()
    sums.add(trade(1, "5", second))

    assert [sums.sum_interval(NOON + at) for at in (1, 2)] == ["5" if at == tick else "0" for at in (1, 2)]


def test_an_interval_that_began_before_the_subscription_is_unknown():
    sums = TradeSums(60)
    sums.begin((NOON + 1) * 1000)

    assert sums.sum_interval(NOON + 60) is None
    assert sums.sum_interval(NOON + 120) == "0"


def test_trades_of_before_the_subscription_make_the_first_interval_known():
    sums = TradeSums(60)
    sums.begin((NOON + 30) * 1000)
    sums.add_list([trade(3, "2", 10), trade(2, "1", -5), trade(4, "4", 20)])

    assert sums.sum_interval(NOON + 60) == "6"


def test_a_trade_that_comes_twice_counts_once():
    sums = begun()
    for number in (1, 2, 2, 1, 3, 3):
        sums.add(trade(number))

    assert sums.sum_interval(NOON + 1) == "3"


def test_a_sum_is_unknown_while_a_trade_is_missing_and_known_when_it_comes():
    sums = begun()
    for number in (1, 3):
        sums.add(trade(number))

    assert sums.sum_interval(NOON + 1) is None
    sums.add(trade(2))
    assert sums.sum_interval(NOON + 1) == "3"
    assert sums.counts.lost == 0


def test_a_trade_that_never_comes_is_counted_as_lost_and_sums_are_known_again_after_it():
    sums = begun()
    for number in (1, 3):
        sums.add(trade(number))

    assert [sums.sum_interval(NOON + at) for at in (1, 2, 3)] == [None, "0", "0"]
    assert sums.counts.lost == 1


def test_a_cut_in_which_nothing_was_traded_costs_nothing():
    sums = begun()
    sums.add(trade(1))
    sums.end()
    assert sums.sum_interval(NOON + 1) is None
    sums.begin((NOON + 2) * 1000)
    assert sums.sum_interval(NOON + 1) is None
    sums.add(trade(2, "3", 2.5))

    assert [sums.sum_interval(NOON + at) for at in (1, 3)] == ["1", "3"]


def test_a_cut_in_which_something_was_traded_leaves_its_intervals_unknown():
    sums = begun()
    sums.add(trade(1))
    sums.end()
    sums.begin(int((NOON + 2.2) * 1000))
    sums.add(trade(5, "3", 2.5))

    assert [sums.sum_interval(NOON + at) for at in (1, 2, 3, 4)] == [None, None, None, "0"]


def test_a_cut_is_bridged_by_the_list_of_trades_that_a_new_subscription_begins_with():
    sums = begun()
    sums.add(trade(1))
    sums.end()
    sums.begin(int((NOON + 2.2) * 1000))
    sums.add_list([trade(1), trade(2, "2", 1.5), trade(3, "4", 2.1)])

    assert [sums.sum_interval(NOON + at) for at in (1, 2, 3)] == ["1", "2", "4"]


def test_a_trade_that_comes_after_its_tick_was_answered_is_counted_as_late():
    sums = begun()
    assert sums.sum_interval(NOON + 1) == "0"
    sums.add(trade(1))

    assert sums.counts.late == 1
    assert sums.sum_interval(NOON + 2) == "0"


def make_trades(made: Sequence[tuple[int, int]]) -> list[StreamTrade]:
    times = sorted(time for _, time in made)
    return [
        StreamTrade("S", number, "1", f"{units}e-8", NOON * 1000 + time)
        for number, ((units, _), time) in enumerate(zip(made, times, strict=True), 1)
    ]


def true_sum(trades: Sequence[StreamTrade], tick: int) -> Decimal:
    return sum((Decimal(each.amount) for each in trades if tick - 1 <= each.time / 1000 < tick), Decimal(0))


MADE = st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 4_999)), min_size=1, max_size=40)


@given(MADE, st.sets(st.integers(1, 40)), st.sets(st.integers(1, 40)))
def test_whichever_trades_are_lost_a_sum_is_right_or_unknown(
    made: list[tuple[int, int]], lost: set[int], cut_before: set[int]
):
    trades = make_trades(made)
    sums = begun()
    sums.add(StreamTrade("S", 0, "1", "0", NOON * 1000))
    for each in trades:
        # The newest one comes: of what is lost after it nothing could tell.
        if each.number in lost and each is not trades[-1]:
            continue
        if each.number in cut_before:
            sums.end()
            sums.begin(each.time + 1)
        sums.add(each)

    for tick in range(NOON + 1, NOON + 6):
        answer = sums.sum_interval(tick)
        assert answer is None or Decimal(answer) == true_sum(trades, tick)


@given(MADE, st.randoms())
def test_every_order_of_the_same_trades_gives_the_exact_sums(made: list[tuple[int, int]], chance: Random):
    trades = make_trades(made)
    sums = begun()
    sums.add(StreamTrade("S", 0, "1", "0", NOON * 1000))
    shuffled = [*trades, *trades[::2]]
    chance.shuffle(shuffled)
    for each in shuffled:
        sums.add(each)

    for tick in range(NOON + 1, NOON + 6):
        assert Decimal(sums.sum_interval(tick) or "NaN") == true_sum(trades, tick)


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 10**4), st.integers(0, 3 * HOUR - 1)), min_size=1))
def test_the_candle_of_an_hour_is_that_of_its_trades(rows: list[tuple[int, int, int]]):
    rows = sorted(rows, key=lambda row: row[2])
    sums = begun(60)
    for number, (price, amount, second) in enumerate(rows, 1):
        sums.add(StreamTrade("BTC/USD", number, f"{price}e-3", f"0.{amount:04}", (NOON + second) * 1000))

    for hour in range(NOON, NOON + 3 * HOUR, HOUR):
        inside = [row for row in rows if hour <= NOON + row[2] < hour + HOUR]
        found = sums.make_hour(hour)
        if not inside:
            assert found is None
        else:
            assert found is not None
            prices = [Decimal(price) / 1000 for price, _, _ in inside]
            numbers = [Decimal(text) for text in found[1:]]
            volume = sum(Decimal(f"0.{amount:04}") for _, amount, _ in inside)
            assert numbers == [prices[0], max(prices), min(prices), prices[-1], volume]
