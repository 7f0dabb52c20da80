"""The ranges of minutes that were filled in: how they are kept, and what they make of a candle."""

import zlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.support.serving import HOUR, MINUTE, NOON, every_minute, sample
from v1.market.candles import MIXED, CandleKind, CandleLength, HourSlot, make_hour_from_samples, start_sums
from v1.market.price_ranges import PriceRange, add_ranges, make_range, read_ranges, write_ranges
from v1.market.short_candles import make_short_candles
from v1.model import Candle, Metric

BTC = Metric("KRAKEN:BTCUSD")

numbers = some.decimals("0.00000001", 10**9, places=8).map(str) | some.just("1.08e-05")
some_ranges = some.dictionaries(
    some.integers(NOON + 1, NOON + HOUR), some.builds(PriceRange, numbers, numbers, numbers), min_size=1, max_size=60
)


@given(some_ranges)
def test_ranges_are_read_as_they_were_written(ranges):
    assert read_ranges(NOON, write_ranges(NOON, ranges)) == ranges


@pytest.mark.parametrize("written", [None, b"", b"nonsense", write_ranges(NOON, {})])
def test_what_is_no_range_is_none(written):
    assert read_ranges(NOON, written) == {}


@given(some.binary(max_size=60))
def test_whatever_a_key_holds_breaks_nothing(written):
    assert read_ranges(NOON, written) == {}


@pytest.mark.parametrize("line", ["60 1 2", "60 1 2 x", "-60 1 2 3", "60 1 2 3 4", "60 1 2 NaN"])
def test_a_line_of_another_form_is_no_range(line):
    assert read_ranges(NOON, zlib.compress(line.encode())) == {}


def test_the_range_of_candles_is_that_of_all_of_them():
    candles = [Candle(NOON, "5.0", "9.10", "4", "6", "1"), Candle(NOON + 60, "6", "9.1", "3.5", "7", "1")]

    assert make_range(candles) == PriceRange("5.0", "9.10", "3.5")


def filled(*, first: int, count: int) -> dict[int, PriceRange]:
    """Return the ranges of `count` minutes from the `first` of the hour on: opens of 0.5, highs of 100 and more, lows of 0.1."""
    return {NOON + (first + minute) * MINUTE: PriceRange("0.5", f"{100 + minute}.50", "0.1") for minute in range(count)}


@pytest.mark.parametrize(
    "ranges, kind, prices",
    [
        ({}, CandleKind.SAMPLED, ("1", "60", "1")),
        (filled(first=1, count=60), CandleKind.EXCHANGE, ("0.5", "159.50", "0.1")),
        (filled(first=1, count=30), MIXED, ("0.5", "129.50", "0.1")),
        (filled(first=2, count=1), MIXED, ("1", "100.50", "0.1")),
        (filled(first=61, count=3), CandleKind.SAMPLED, ("1", "60", "1")),
    ],
)
def test_an_hour_has_the_ranges_of_its_filled_minutes_and_says_so(ranges, kind, prices):
    samples = every_minute([str(minute) for minute in range(1, 61)], NOON + HOUR)
    made = make_hour_from_samples(HourSlot(BTC, NOON, 0), samples, MINUTE)
    assert made

    hour = add_ranges(made, HOUR, [each.tick for each in samples], ranges, MINUTE)

    sums = start_sums(hour)
    assert (sums.open, sums.high, sums.low) == prices
    assert (sums.close, sums.kind) == ("60", kind)
    assert start_sums(hour, kind=CandleKind.SAMPLED) == start_sums(made)


def test_a_high_of_a_sample_beyond_the_ranges_stays():
    samples = every_minute(["7", "500"], NOON + 2 * MINUTE)
    made = make_hour_from_samples(HourSlot(BTC, NOON, 0), samples, MINUTE)
    assert made

    hour = add_ranges(made, HOUR, [NOON + 60, NOON + 120], filled(first=1, count=1), MINUTE)

    assert (hour.ranged_high, hour.ranged_low, hour.ranged) == ("500", "0.1", MINUTE)


@pytest.mark.parametrize("interval, span", [(5, 60), (60, 60), (90, 180), (300, 300)])
def test_a_filled_sample_speaks_of_whole_minutes_and_whole_intervals(interval, span):
    ticks = range(NOON + span, NOON + 1801, span)
    ranges = {tick: PriceRange("1", "3", "1") for tick in ticks}
    samples = [sample(tick, "2") for tick in ticks]

    (row,) = make_short_candles(BTC, CandleLength.HALF_HOUR, samples, interval, ranges)

    assert (row.high, row.covered, row.kind) == ("3", 1800, CandleKind.EXCHANGE)


def test_a_short_candle_of_both_is_mixed_and_one_with_a_gap_is_not_the_exchanges():
    samples = every_minute(["2"] * 15, NOON + 15 * MINUTE)
    ranges = filled(first=1, count=5) | filled(first=7, count=4)

    first, second, third = make_short_candles(BTC, CandleLength.FIVE_MINUTES, samples, MINUTE, ranges)
    (gap,) = make_short_candles(BTC, CandleLength.FIVE_MINUTES, samples[1:5], MINUTE, ranges)

    assert [row.kind for row in (first, second, third, gap)] == [CandleKind.EXCHANGE, MIXED, CandleKind.SAMPLED, MIXED]
    assert [Decimal(str(row.high)) for row in (first, second, third)] == [Decimal("104.5"), Decimal("103.5"), 2]
