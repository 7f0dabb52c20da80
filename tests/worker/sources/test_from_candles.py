from bisect import bisect_right
from fractions import Fraction
from itertools import accumulate
from math import lcm

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.shared import shared
from worker.latest import DAY, MINUTE, Candle, Measure, Metric, Reading
from worker.sampling.recording import read_candles
from worker.sources import from_candles

NOON = 1621252800
SETS = ["binance-spot-20210517", "binance-spot-20230322", "bittrex-20180201", "kucoin-spot-20230322"]


def candle(start: int, close: str = "2", volume: str = "1") -> Candle:
    return Candle(start, close, close, close, close, volume)


def recorded(folder: str, pair: str) -> list[Candle]:
    return list(read_candles(shared("market-data", folder, f"{pair}.csv.gz")))


def places(number: str) -> int:
    return len(number.partition(".")[2])


def whole(number: str, scale: int) -> int:
    """Return a decimal number times a power of ten that makes it a whole one."""
    head, _, tail = number.partition(".")
    assert len(tail) <= scale, number
    return int(f"{head}{tail:0<{scale}}")


def thousandths_of_percent(now: int, then: int) -> int:
    """Return the change as thousandths of a percent, a half to the even one."""
    quotient, rest = divmod((now - then) * 100 * 1000, then)
    is_up = 2 * rest > then or (2 * rest == then and quotient % 2 == 1)
    return quotient + is_up


class Recount:
    """What candles say of a tick by the definition alone, in whole numbers: fractions take 20 times as long."""

    def __init__(self, told: list[Candle], step: int = MINUTE) -> None:
        self.scale = max([0, *[places(number) for each in told for number in (each.close, each.volume)]])
        self.closes = [whole(each.close, self.scale) for each in told]
        self.ticks = [-(-(each.start + MINUTE) // step) * step for each in told]
        self.sums = list(accumulate([whole(each.volume, self.scale) for each in told], initial=0))

    def traded(self, after: int, until: int) -> int:
        return self.sums[bisect_right(self.ticks, until)] - self.sums[bisect_right(self.ticks, after)]

    def close(self, at: int) -> int | None:
        known = bisect_right(self.ticks, at)
        return self.closes[known - 1] if known else None

    def agrees(self, tick: int, reading: Reading) -> bool:
        now, before = self.close(tick), self.close(tick - DAY)
        assert now is not None
        if before is None:
            return (reading.volume, reading.change_absolute, reading.change_percentage) == (None, None, None)
        return (
            whole(str(reading.volume), self.scale) == self.traded(tick - DAY, tick)
            and whole(str(reading.change_absolute), self.scale) == now - before
            and whole(str(reading.change_percentage), 3) == thousandths_of_percent(now, before)
        )


@pytest.mark.parametrize("folder", SETS)
def test_every_derived_number_of_the_recorded_sets_equals_a_recount(folder):
    for path in sorted(shared("market-data", folder).glob("*.csv.gz")):
        told = list(read_candles(path))

        recount = Recount(told)
        wrong = [tick for tick, reading in from_candles.derive_readings(told) if not recount.agrees(tick, reading)]

        assert not wrong, path.name


def test_price_and_interval_volume_are_the_candles_digit_for_digit():
    told = recorded("kucoin-spot-20230322", "SHIB_USDT")

    made = [
        (tick, reading.price, reading.interval_volume, reading.provider_time)
        for tick, reading in from_candles.derive_readings(told)
    ]

    assert made == [(each.start + 60, each.close, each.volume, each.start + 60) for each in told]


@pytest.mark.parametrize(
    "folder, pair",
    [
        pytest.param("binance-spot-20210517", "NXS_BTC", id="a thin market"),
        pytest.param("kucoin-spot-20230322", "ARB_USDT", id="a market listed on the second day"),
        pytest.param("bittrex-20180201", "2GIVE_BTC", id="a market with more holes than minutes"),
    ],
)
def test_volume_and_changes_are_unknown_until_a_whole_day_precedes(folder, pair):
    told = recorded(folder, pair)
    first = told[0].start + MINUTE

    known = {
        tick: None not in (reading.volume, reading.change_absolute, reading.change_percentage)
        for tick, reading in from_candles.derive_readings(told)
    }

    assert known == {tick: tick >= first + DAY for tick in known}
    assert sum(known.values()) > 100


def test_a_thin_day_of_nexus_has_the_sum_of_its_minutes():
    told = recorded("binance-spot-20210517", "NXS_BTC")
    day = [each.volume for each in told[-1440:]]

    last = from_candles.derive_samples(told)[-1]

    assert day.count("0.0") > 500
    assert last.value(Measure.VOLUME) == f"{sum(int(volume.removesuffix('.0')) for volume in day)}.0"


def test_after_a_hole_the_change_is_against_the_newest_price_before_it():
    told = [candle(NOON, "10"), candle(NOON + 60, "20"), candle(NOON + 660, "30"), candle(NOON + DAY + 300, "40")]

    (*_, (_, reading)) = from_candles.derive_readings(told)

    assert (reading.change_absolute, reading.change_percentage) == ("20", "100.000")


def test_an_outage_of_80_minutes_has_ticks_and_no_readings():
    told = recorded("binance-spot-20230322", "BTC_USDT")
    by_tick = {each.start + MINUTE: {Metric("BINANCE:BTCUSDT"): each} for each in told}
    clock = range(min(by_tick), max(by_tick) + 1, MINUTE)

    silent = [
        tick for tick, heard in from_candles.derive_market((tick, by_tick.get(tick, {})) for tick in clock) if not heard
    ]

    assert silent == list(range(1679661660, 1679661660 + 80 * 60, 60))


def test_a_sum_has_the_places_of_the_finest_number_in_it_and_no_more():
    fine, coarse = candle(NOON, volume="2.50"), [candle(NOON + 60 * minute, volume="1.0") for minute in (1, 1440, 1441)]

    made = [reading.volume for _, reading in from_candles.derive_readings([fine, *coarse])]

    assert made == [None, None, "2.0", "2.0"]


def test_a_price_of_zero_a_day_ago_has_no_change_in_percent():
    told = [candle(NOON, "0"), candle(NOON + DAY, "5")]

    (_, (_, reading)) = from_candles.derive_readings(told)

    assert (reading.change_absolute, reading.change_percentage) == ("5", None)


def test_five_candles_make_a_reading_at_300_seconds():
    told = [candle(NOON + 60 * minute, str(minute), f"0.{minute}") for minute in (0, 1, 2, 4, 5)]

    made = [
        (tick, reading.price, reading.interval_volume, reading.provider_time)
        for tick, reading in from_candles.derive_readings(told, 300)
    ]

    assert made == [(NOON + 300, "4", "0.7", NOON + 300), (NOON + 600, "5", "0.5", NOON + 360)]


@pytest.mark.parametrize("interval", [1, 5, 30, 60])
def test_below_a_minute_a_candle_is_the_sample_at_its_end(interval):
    told = recorded("bittrex-20180201", "BITB_BTC")[:100]

    made = list(from_candles.derive_readings(told, interval))

    assert made == list(from_candles.derive_readings(told))


def test_an_interval_that_does_not_fit_minutes_has_samples_where_both_meet():
    told = [candle(NOON + 60 * minute) for minute in range(6)]

    made = [(tick, reading.interval_volume) for tick, reading in from_candles.derive_readings(told, 90)]

    assert made == [(NOON + 180, "3"), (NOON + 360, "3")]


@pytest.mark.parametrize("late", [NOON, NOON - 60])
def test_a_candle_that_is_not_newer_is_refused_because_it_would_count_twice(late):
    told = [candle(NOON), candle(late)]

    with pytest.raises(ValueError, match=f"the candle of {late} is not newer than one that ended at {NOON + 60}"):
        list(from_candles.derive_readings(told))


def test_a_market_gives_what_each_of_its_metrics_would_give_alone():
    pairs = {Metric(f"BITTREX:{pair}"): recorded("bittrex-20180201", pair) for pair in ("BITB_BTC", "2GIVE_BTC")}
    clock = range(1517443260, 1517702400 + 1, MINUTE)
    starts = {metric: {each.start: each for each in told} for metric, told in pairs.items()}
    minutes = [
        (tick, {metric: told[tick - MINUTE] for metric, told in starts.items() if tick - MINUTE in told})
        for tick in clock
    ]

    together = list(from_candles.derive_market(minutes, 300))

    for metric, told in pairs.items():
        assert [(tick, heard[metric]) for tick, heard in together if metric in heard] == [
            *from_candles.derive_readings(told, 300)
        ]
    assert [tick for tick, _ in together] == list(range(1517443500, 1517702400 + 1, 300))


def test_samples_hold_every_measure_in_order_and_the_return_since_the_sample_before():
    told = [candle(NOON, "8", "0.5"), candle(NOON + DAY, "10", "0.25"), candle(NOON + DAY + 60, "9", "0.250")]

    made = from_candles.derive_samples(told)

    assert made == [
        (NOON + 60, ("8", None, None, None, "0.5", None)),
        (NOON + DAY + 60, ("10", "0.25", "25.000", "2", "0.25", "25.0000")),
        (NOON + DAY + 120, ("9", "0.500", "12.500", "1", "0.250", "-10.0000")),
    ]


def test_the_first_sample_returns_against_the_price_that_it_is_given():
    (sample,) = from_candles.derive_samples([candle(NOON, "3")], before_price="9")

    assert sample.value(Measure.INTERVAL_RETURN) == "-66.6667"


def test_no_candles_are_no_samples():
    made = from_candles.derive_samples([])

    assert made == []


numbers = st.builds(
    lambda units, decimals: f"{units}" if not decimals else f"{units}.{'5'.rjust(decimals, '0')}",
    st.integers(0, 10**9),
    st.integers(0, 18),
)
histories = st.lists(
    st.tuples(st.sampled_from([1, 1, 1, 2, 30, 700, 1439, 1440, 1441, 3000]), numbers, numbers), max_size=40
)


@given(histories, st.sampled_from([5, 60, 90, 300, 3600]))
def test_rolling_equals_counting_anew_whatever_the_holes_and_digits(history, interval):
    minutes = accumulate(gap for gap, _, _ in history)
    told = [
        candle(NOON + 60 * minute, close, volume)
        for minute, (_, close, volume) in zip(minutes, history, strict=True)
        if Fraction(close)
    ]
    recount = Recount(told, lcm(interval, MINUTE))

    made = list(from_candles.derive_readings(told, interval))

    assert [tick for tick, _ in made] == sorted(set(recount.ticks))
    for tick, reading in made:
        assert recount.agrees(tick, reading)
        if reading.volume is not None:
            inside = [each.volume for each, at in zip(told, recount.ticks, strict=True) if tick - DAY < at <= tick]
            assert places(reading.volume) == max(map(places, inside))
