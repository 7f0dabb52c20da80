"""Candles shorter than an hour: which samples make which, and what the first whole one of the day is."""

import pytest

from tests.support.serving import DAY, HOUR, MINUTE, NOON, every_minute, sample
from v1.market.candles import CandleLength, HourSlot, group_hours, make_hour_from_samples, make_row, start_sums
from v1.market.short_candles import find_first_start, make_short_candles
from v1.model import Metric

BTC = Metric("KRAKEN:BTCUSD")


def test_a_candle_is_made_of_the_samples_after_its_start_and_up_to_its_end():
    samples = every_minute(["5", "7.50", "6", "1e-1", "4", "9"], NOON + MINUTE, interval_volume="0.5")

    first, second = make_short_candles(BTC, CandleLength.FIVE_MINUTES, samples, MINUTE)

    assert first[:8] == (NOON - 300, "5", "7.50", "0.1", "4", "4.520000", "4", "2.5")
    assert (first.samples, first.covered, first.averaged, first.revision) == (5, 300, 300, 0)
    assert second[:5] == (NOON, "9", "9", "9", "9")
    assert (second.samples, second.covered) == (1, 60)


def test_a_sample_without_a_price_makes_no_candle():
    assert make_short_candles(BTC, CandleLength.MINUTE, [sample(NOON, volume="5")], MINUTE) == []


@pytest.mark.parametrize("interval", [5, 60, 300])
@pytest.mark.parametrize("length", [each for each in CandleLength if each.is_short])
def test_the_candles_of_an_hour_come_to_that_hour(length, interval):
    if length.seconds % interval:
        return
    ticks = range(NOON - HOUR + interval, NOON + 1, interval)
    samples = [sample(tick, f"{tick % 7919}.{tick % 89:02}", interval_volume="1.25") for tick in ticks]
    hour = make_hour_from_samples(HourSlot(BTC, NOON - HOUR, 0), samples, interval)

    rows = make_short_candles(BTC, length, samples, interval)

    assert hour
    (whole,) = group_hours([start_sums(hour)], CandleLength.HOUR)
    expected = make_row(whole)
    assert rows[0].open == expected.open
    assert rows[-1].close == expected.close
    assert max(rows, key=lambda row: float(row.high)).high == expected.high
    assert min(rows, key=lambda row: float(row.low)).low == expected.low
    assert sum(row.samples for row in rows) == expected.samples
    assert sum(row.covered for row in rows) == expected.covered == HOUR
    assert len(rows) == HOUR // length.seconds


def test_the_first_candle_lies_wholly_in_the_kept_day():
    assert find_first_start(NOON, CandleLength.HALF_HOUR) == NOON - DAY
    assert find_first_start(NOON + 60, CandleLength.HALF_HOUR) == NOON - DAY + 1800
    assert find_first_start(NOON + 60, CandleLength.MINUTE) == NOON - DAY + 60
