from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.latest import DAY, MINUTE, Metric
from worker.sources.daily_counter import SETTLED, CounterReading, DailyCounters, compute_traded, read_counter

BTC = Metric("KRAKEN:BTCUSD")
NOON, MIDNIGHT = DAY // 2, DAY
Look = tuple[int, int, str]
"""(tick, as of, counter)"""


def volumes(*looks: Look, interval: int = MINUTE) -> list[str | None]:
    counters = DailyCounters(interval)
    return [counters.update(at, as_of, {BTC: counter})[BTC] for at, as_of, counter in looks]


def looks(start: int, *counters: str, late: int = 0) -> list[Look]:
    ticks = [start + MINUTE * number for number in range(len(counters))]
    return [(tick, tick + late, counter) for tick, counter in zip(ticks, counters, strict=True)]


def test_what_was_traded_is_the_exact_difference():
    assert volumes(*looks(NOON, "0.1", "0.30000001", "0.30000001", "1e2")) == [
        None,
        "0.20000001",
        "0.00000000",
        "99.69999999",
    ]


@pytest.mark.parametrize(
    "at_midnight, late, expected",
    [
        pytest.param("0.2", 0, [None, "2", None, "2.8", "1.0"], id="started again: the reset is seen"),
        pytest.param("812.9", 0, [None, "2", None, None, "1.0"], id="an answer of the old day, its age unknown"),
        pytest.param("812.9", -2, [None, "2", "0.9", None, "1.0"], id="an answer of the old day that says so"),
        pytest.param("0.2", SETTLED, [None, "2", None, "2.8", "1.0"], id="asked late"),
    ],
)
def test_the_interval_with_the_reset_has_no_volume(at_midnight: str, late: int, expected: list[str | None]):
    assert volumes(*looks(MIDNIGHT - 2 * MINUTE, "810", "812", at_midnight, "3.0", "4.0", late=late)) == expected


def test_a_thin_market_whose_counter_never_falls_is_not_believed_over_midnight():
    """0.3 may be all that was traded since midnight, or what it was before, and 0.2 more."""
    assert volumes(*looks(MIDNIGHT - 2 * MINUTE, "0.1", "0.1", "0.1", "0.3", "0.3")) == [
        None,
        "0.0",
        None,
        None,
        "0.0",
    ]


def test_an_older_answer_within_the_day_costs_two_intervals_and_counts_no_trade_twice():
    assert volumes(*looks(NOON, "100", "101", "100.5", "102", "103")) == [None, "1", None, None, "1"]


def test_a_metric_that_was_away_for_a_tick_starts_anew():
    counters = DailyCounters(MINUTE)
    counters.update(NOON, NOON, {BTC: "1"})
    counters.update(NOON + MINUTE, NOON + MINUTE, {})

    assert counters.update(NOON + 2 * MINUTE, NOON + 2 * MINUTE, {BTC: "3"}) == {BTC: None}


def test_ticks_closer_than_a_cache_is_old_are_sure_once_the_reset_was_seen():
    every_second = [(MIDNIGHT + second, MIDNIGHT + second, counter) for second, counter in enumerate(("9", "1", "2"))]

    assert volumes(*every_second, interval=1) == [None, None, "1"]


@given(
    trades=st.lists(st.tuples(st.integers(-400, 400), st.integers(1, 5)), max_size=40),
    ages=st.lists(st.integers(0, 4), min_size=2, max_size=12),
    interval=st.sampled_from([5, 30, MINUTE]),
    is_told=st.booleans(),
)
def test_a_volume_that_is_given_is_the_true_one(
    trades: list[tuple[int, int]], ages: list[int], interval: int, is_told: bool
):
    """Around a midnight, through a cache that keeps an answer up to four seconds, and may not say how old it is."""

    def ever(second: int) -> int:
        return sum(lots for at, lots in trades if at <= second)

    def counter(second: int) -> int:
        return ever(second) - (ever(-1) if second >= 0 else 0)

    before, seen = None, 0
    for number, age in enumerate(ages, start=-len(ages) // 2):
        tick = number * interval
        now = read_counter(before, MIDNIGHT + tick, MIDNIGHT + tick - (age if is_told else 0), str(counter(tick - age)))
        volume = compute_traded(before, now, interval)

        assert volume is None or Fraction(volume) == ever(tick - age) - ever(seen)
        before, seen = now, tick - age


def test_a_look_keeps_which_day_it_counts():
    assert read_counter(None, NOON, NOON, "1") == CounterReading(NOON, 0, "1")
    assert read_counter(None, MIDNIGHT, MIDNIGHT, "1") == CounterReading(MIDNIGHT, None, "1")
    assert read_counter(None, MIDNIGHT, MIDNIGHT + SETTLED, "1") == CounterReading(MIDNIGHT, 1, "1")
