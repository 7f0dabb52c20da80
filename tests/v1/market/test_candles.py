"""Hours made of samples and of candles, longer ones made of hours: recounted with fractions, digit for digit."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.support.serving import DAY, HOUR, MINUTE, NOON, sample
from v1.market import candles
from v1.market.candles import CandleLength, CandleRow, GapFill, HourCandle, HourSlot
from v1.model import Candle, Metric, Sample

BTC = Metric("KRAKEN:BTCUSD")
SLOT = HourSlot(BTC, NOON, NOON + HOUR + 90)
numbers = some.builds(
    lambda units, places, exponent: f"{Decimal(units).scaleb(-places):f}{exponent}",
    some.integers(0, 10**14),
    some.integers(0, 12),
    some.sampled_from(["", "", "", "e3", "e-05", "E+1"]),
)
hours = some.lists(some.tuples(numbers, some.none() | numbers), min_size=1, max_size=60)


def samples(known: Sequence[tuple[str | None, str | None]], start: int = NOON, interval: int = MINUTE) -> list[Sample]:
    """Make a sample an interval of prices and interval volumes."""
    return [
        Sample(start + place * interval, (price, None, None, None, volume, None))
        for place, (price, volume) in enumerate(known, 1)
    ]


def made(*prices: str, start: int = NOON, volume: str | None = "1.0", interval: int = MINUTE) -> HourCandle:
    hour = candles.make_hour_from_samples(
        HourSlot(BTC, start, start + HOUR + 90),
        samples([(price, volume) for price in prices], start, interval),
        interval,
    )
    assert hour
    return hour


def rounded(number: Fraction, places: int) -> str:
    """Round half to even, by way of integers; Python's own `round` of a fraction does."""
    digits = str(round(number * 10**places)).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}"


@given(hours)
def test_an_hour_is_what_a_recount_with_fractions_says(known):
    hour = candles.make_hour_from_samples(SLOT, samples(known), MINUTE)

    assert hour
    prices = [price for price, _ in known]
    places = max(max(0, -int(Decimal(price).as_tuple().exponent)) for price in prices)
    volumes = [volume for _, volume in known if volume is not None]
    assert (hour.open, hour.close) == (f"{Decimal(prices[0]):f}", f"{Decimal(prices[-1]):f}")
    assert Fraction(hour.high) == max(map(Fraction, prices))
    assert Fraction(hour.low) == min(map(Fraction, prices))
    assert {hour.high, hour.low} <= {f"{Decimal(price):f}" for price in prices}
    assert hour.total
    assert Fraction(hour.total) == sum(map(Fraction, prices))
    assert hour.mean == rounded(sum(map(Fraction, prices)) / Fraction(len(prices)), places + candles.MEAN_PLACES)
    assert (hour.volume is None) == (not volumes)
    assert Fraction(hour.volume or 0) == sum(map(Fraction, volumes))
    assert (hour.samples, hour.covered) == (len(known), len(known) * MINUTE)


def test_digits_stay_as_they_came_and_only_an_exponent_is_written_out():
    hour = made("1.50", "1.08e-05", "2.000", "1.5")

    assert (hour.open, hour.high, hour.low, hour.close) == ("1.50", "2.000", "0.0000108", "1.5")


def test_of_equal_prices_the_first_one_lends_its_digits():
    assert (made("7.0", "7.00", "7").high, made("7.0", "7.00", "7").low) == ("7.0", "7.0")


def test_volume_is_the_exact_sum_with_the_places_of_the_finest_number():
    volumes = ["0.1", "0.20", None, "1e-8", "3"]
    hour = candles.make_hour_from_samples(SLOT, samples([("1", volume) for volume in volumes]), MINUTE)

    assert hour
    assert hour.volume == "3.30000001"


def test_without_a_known_volume_there_is_none_and_without_a_price_there_is_no_hour():
    assert made("1", volume=None).volume is None
    assert candles.make_hour_from_samples(SLOT, samples([(None, "5")]), MINUTE) is None
    assert candles.make_hour_from_samples(SLOT, [], MINUTE) is None


def test_a_sample_without_a_price_lends_its_volume_and_does_not_count():
    hour = candles.make_hour_from_samples(SLOT, samples([("4", "1"), (None, "2")]), MINUTE)

    assert hour
    assert (hour.samples, hour.volume) == (1, "3")


def test_latest_is_the_newest_price_known_when_the_hour_closed():
    known = samples([("1", None), ("2", None)])

    assert [hour and hour.latest for hour in (
        candles.make_hour_from_samples(SLOT, known, MINUTE), candles.make_hour_from_samples(SLOT, known, MINUTE, "3.10")
    )] == ["2", "3.10"]  # fmt: skip


@pytest.mark.parametrize(
    "count, interval, coverage",
    [(60, 60, 1.0), (45, 60, 0.75), (720, 5, 1.0), (60, 5, 60 / 720), (1, 3600, 1.0), (61, 60, 1.0)],
)
def test_coverage_is_samples_of_expected_ticks_and_never_more_than_all(count, interval, coverage):
    assert made(*["1"] * count, interval=interval).coverage == coverage


@pytest.mark.parametrize(
    "interval, ticks, covered",
    [
        pytest.param(5, range(60, 3601, 60), 3600, id="a minute each, of a provider's candles"),
        pytest.param(5, [*range(60, 1801, 60), *range(1805, 3601, 5)], 3600, id="filled, then live"),
        pytest.param(5, [5, 10, 1805], 15, id="what comes after a gap stands for itself"),
        pytest.param(5, [3600], 60, id="the end of the hour alone"),
        pytest.param(60, [60, 180, 240], 180, id="a minute as ever"),
        pytest.param(300, [300, 900], 600, id="an interval that is longer"),
        pytest.param(45, range(180, 3601, 180), 3600, id="filled where minutes and intervals meet"),
        pytest.param(45, range(45, 3601, 45), 3600, id="live at an interval that minutes do not divide"),
        pytest.param(45, [45, 90, 180, 360], 315, id="one sample is missing, and then three are filled in one"),
        pytest.param(16, [240, 480], 480, id="a short interval that minutes are no multiple of"),
        pytest.param(5, [*range(5, 3541, 5), 3600], 3600, id="the last minute is filled"),
        pytest.param(5, [*range(5, 3541, 5), 3595, 3600], 3550, id="most of the last minute is missing"),
    ],
)
def test_a_price_covers_the_time_since_the_one_before_up_to_an_interval_or_what_filled_it(interval, ticks, covered):
    hour = candles.make_hour_from_samples(SLOT, [sample(NOON + tick, "1") for tick in ticks], interval)

    assert hour
    assert (hour.samples, hour.covered) == (len(ticks), covered)


def test_a_sample_without_a_price_covers_nothing():
    known = [sample(NOON + 60, "1"), sample(NOON + 120), sample(NOON + 180, "1")]

    assert [
        hour and hour.covered for hour in (candles.make_hour_from_samples(SLOT, known, each) for each in (5, 60))
    ] == [120, 120]


def test_minutes_of_a_provider_make_an_hour_with_the_highs_and_lows_of_every_trade():
    minutes = [
        Candle(NOON, "10.0", "12.5", "9.0", "11.0", "1.50"),
        Candle(NOON + 120, "11.0", "11.0", "8.75", "10.00", "2"),
    ]

    hour = candles.make_hour_from_candles(SLOT, minutes, MINUTE, "kraken")

    assert hour == HourCandle(
        BTC, NOON, "10.0", "12.5", "8.75", "10.00", "21.00", "10.500000", "10.00", "3.50", 2, 120, "kraken", SLOT.at
    )  # fmt: skip


def test_an_hour_of_a_provider_is_one_sample_that_covers_it_and_has_no_mean():
    hour = candles.make_hour_from_candles(SLOT, [Candle(NOON, "10", "12", "9", "11", "5")], HOUR, "kraken")

    assert hour
    assert (hour.samples, hour.covered, hour.total, hour.mean, hour.close) == (1, HOUR, None, None, "11")
    assert candles.make_hour_from_candles(SLOT, [], HOUR, "kraken") is None


@given(some.lists(hours, min_size=1, max_size=8))
def test_hours_put_together_are_what_all_their_samples_make(days):
    start = CandleLength.DAY.find_start(NOON)
    known = [made(*[price for price, _ in hour], start=start + place * HOUR) for place, hour in enumerate(days)]

    (whole,) = candles.group_hours([candles.start_sums(hour) for hour in known], CandleLength.DAY)
    bar = candles.make_row(whole)

    prices = [price for hour in days for price, _ in hour]
    places = max(max(0, -int(Decimal(price).as_tuple().exponent)) for price in prices)
    assert bar.open == known[0].open
    assert bar.close == known[-1].close
    assert Fraction(bar.high or 0) == max(map(Fraction, prices))
    assert Fraction(bar.low or 0) == min(map(Fraction, prices))
    assert bar.mean == rounded(sum(map(Fraction, prices)) / Fraction(len(prices)), places + candles.MEAN_PLACES)
    assert (bar.samples, bar.volume) == (len(prices), f"{len(prices)}.0")


def test_an_hour_without_a_mean_is_left_out_of_the_longer_candles_mean_alone():
    known = made("10", "20")
    told = candles.make_hour_from_candles(
        SLOT._replace(start=NOON + HOUR), [Candle(NOON, "1", "90", "1", "5", "2")], HOUR, "kraken"
    )
    assert told

    (day,) = candles.group_hours([candles.start_sums(known), candles.start_sums(told)], CandleLength.DAY)

    assert candles.make_row(day) == CandleRow(
        CandleLength.DAY.find_start(NOON), "10", "90", "1", "5", "15.0000", "5", "4.0", 3, 2 * MINUTE + HOUR, 2 * MINUTE, 2
    )  # fmt: skip


@pytest.mark.parametrize(
    "length, start",
    [
        (CandleLength.HOUR, "2021-05-19T13:00"),
        (CandleLength.FOUR_HOURS, "2021-05-19T12:00"),
        (CandleLength.DAY, "2021-05-19T00:00"),
        (CandleLength.WEEK, "2021-05-17T00:00"),
    ],
)
def test_candles_start_at_whole_hours_days_and_mondays_of_utc(length, start):
    at = int(datetime(2021, 5, 19, 13, 59, 59, tzinfo=UTC).timestamp())

    assert datetime.fromtimestamp(length.find_start(at), UTC).isoformat()[:16] == start
    assert length.find_start(length.find_start(at)) == length.find_start(at)


def test_no_candle_is_before_its_time_even_in_the_first_days_of_1970():
    assert [length.find_start(0) for length in CandleLength] == [*[0] * 7, -3 * DAY]


def test_gaps_are_filled_with_nulls_or_flat_at_the_last_close():
    bars = [candles.make_row(candles.start_sums(made("5", "6", start=NOON + HOUR)))]
    starts = range(NOON, NOON + 3 * HOUR, HOUR)

    nulls = candles.fill_gaps(bars, starts, GapFill.NULL, "4")
    flat = candles.fill_gaps(bars, starts, GapFill.PREVIOUS, "4")

    assert [bar.close for bar in nulls] == [None, "6", None]
    assert [bar[1:5] for bar in flat] == [("4",) * 4, ("5", "6", "5", "6"), ("6",) * 4]
    assert [bar.samples for bar in flat] == [0, 2, 0]
    assert [bar[1:] for bar in candles.fill_gaps([], starts[:1], GapFill.PREVIOUS)] == [(*[None] * 7, 0, 0, 0, 0, None)]


def test_samples_of_serving_and_of_this_module_agree():
    assert candles.make_hour_from_samples(SLOT, [sample(NOON + 60, "1.5", interval_volume="2")], MINUTE) == made(
        "1.5", volume="2"
    )
