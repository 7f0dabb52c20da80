"""How a tick moves what is known of a metric, against the same recounted slowly from the list of all samples."""

import json
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.support import naive
from tests.support.serving import MINUTE, NOON
from v1.market import metric_state
from v1.market.metric_state import MetricState, PriorState, SourceReading, StateUpdate, advance
from v1.model import DAY, HOUR, MEASURES, Measure, Metric, Reading, Sample
from v1.numbers import decimals

BTC = Metric("KRAKEN:BTCUSD")

prices = some.sampled_from(["46572.17", "46572.170", "1e9", "-3.5", "0", "30000000100", "0.000000000000000001", "7e-9"])
unsure = some.one_of(some.none(), prices)
readings = some.builds(Reading, prices, unsure, unsure, unsure, unsure, some.none() | some.just(NOON - 3))


class Shelf:
    """One metric's record and samples, kept in plain sight: what the store does, without a store."""

    def __init__(self) -> None:
        self.record: MetricState | None = None
        self.days: dict[int, Sample] = {}

    def found(self, at: int) -> PriorState:
        record = self.record
        if record is None:
            return PriorState(None)
        return PriorState(
            record,
            [self.days[tick] for tick in sorted(self.days) if tick <= at - DAY],
            [self.days[tick] for tick in sorted(self.days) if record.at - HOUR <= tick < at - HOUR],
            self.days.get(at) if record.at == at else None,
        )

    def tick(self, at: int, reading: Reading | None) -> StateUpdate | None:
        step = advance(BTC, at, SourceReading(reading, "tests") if reading else None, self.found(at))
        if step:
            self.record = None if step.is_over else step.record
            self.days = {tick: sample for tick, sample in self.days.items() if tick > at - DAY}
            if step.sample:
                self.days[at] = step.sample
        return step

    def play(self, heard: Mapping[int, Reading | str | None]) -> StateUpdate | None:
        step = None
        for at, each in heard.items():
            step = self.tick(at, Reading(each) if isinstance(each, str) else each)
        return step


def value(step: StateUpdate | None, measure: Measure) -> str | None:
    assert step
    assert step.sample
    return step.sample.value(measure)


def minutes(prices: Sequence[str | None], until: int = NOON) -> dict[int, str | None]:
    first = until - (len(prices) - 1) * MINUTE
    return {first + index * MINUTE: price for index, price in enumerate(prices)}


def test_the_first_reading_of_a_metric_is_a_sample_compared_with_nothing():
    step = advance(BTC, NOON, SourceReading(Reading("1.50", "7"), "kraken"), PriorState(None))

    assert step
    assert step.sample == Sample(NOON, ("1.50", "7", None, None, None, None))
    assert step.baseline == metric_state.EMPTY
    assert naive.held(step.record.day) == naive.sums([step.sample])
    assert step.record.source == "kraken"
    assert not step.is_over


def test_who_was_never_heard_of_is_not_moved():
    assert advance(BTC, NOON, None, PriorState(None)) is None


def test_who_is_past_the_tick_already_is_not_moved_back():
    shelf = Shelf()
    shelf.play({NOON: "1"})

    assert shelf.tick(NOON - MINUTE, Reading("2")) is None
    assert shelf.tick(NOON - MINUTE, None) is None


def test_digits_and_nulls_of_a_reading_are_kept_as_they_came():
    step = Shelf().tick(NOON, Reading("46572.17000", None, "-0.10", "-46.6000", "0", NOON - 2))

    assert step
    assert step.sample == Sample(NOON, ("46572.17000", None, "-0.10", "-46.6000", "0", None))
    assert step.record.provider_time == NOON - 2


@pytest.mark.parametrize(
    "before, now, percent",
    [
        pytest.param("100", "103", "3.0000", id="up"),
        pytest.param("100", "97.5", "-2.5000", id="down"),
        pytest.param("100", "100.00", "0.0000", id="not at all"),
        pytest.param("3", "4", "33.3333", id="rounded down"),
        pytest.param("3", "5", "66.6667", id="rounded up"),
        pytest.param("8", "8.000004", "0.0000", id="half of the last place goes to the even side"),
        pytest.param("8", "8.000012", "0.0002", id="and from the odd one too"),
        pytest.param("-2", "-1", "-50.0000", id="from below zero"),
        pytest.param("0", "1", None, id="from zero"),
        pytest.param("0.000", "1", None, id="from zero in more digits"),
    ],
)
def test_the_interval_return_is_the_percent_since_the_previous_sample(before, now, percent):
    step = Shelf().play({NOON - MINUTE: before, NOON: now})

    assert value(step, Measure.INTERVAL_RETURN) == percent


def test_the_previous_sample_may_be_hours_ago():
    step = Shelf().play({NOON - 5 * HOUR: "100", NOON - 2 * HOUR: None, NOON: "110"})

    assert value(step, Measure.INTERVAL_RETURN) == "10.0000"


@pytest.mark.parametrize("ticks_between", [0, 5])
def test_a_sample_of_more_than_a_day_ago_is_not_a_previous_one(ticks_between):
    between = {NOON + minute * MINUTE: None for minute in range(1, ticks_between + 1)}

    step = Shelf().play({NOON: "100", **between, NOON + DAY: "110"})

    assert value(step, Measure.INTERVAL_RETURN) is None


def test_a_change_that_the_provider_says_is_kept():
    said = Reading("110", change_percentage="7.5")

    step = Shelf().play({NOON - DAY: "100", NOON - MINUTE: "100", NOON: said})

    assert value(step, Measure.CHANGE_PERCENTAGE) == "7.5"
    assert value(step, Measure.CHANGE_ABSOLUTE) is None


@pytest.mark.parametrize(
    "now, percent",
    [
        pytest.param("30", "-57.143", id="down"),
        pytest.param("770", "1000.000", id="up tenfold"),
        pytest.param("70.00035", "0.000", id="half of the last place goes to the even side"),
        pytest.param("70.00105", "0.002", id="and from the odd one too"),
    ],
)
def test_a_change_over_24_hours_is_rounded_at_three_places_as_exchanges_write_it(now, percent):
    step = Shelf().play({NOON - DAY: "70", NOON - MINUTE: "75", NOON: now})

    assert value(step, Measure.CHANGE_PERCENTAGE) == percent


def test_a_change_that_nobody_says_follows_from_the_sample_24_hours_before():
    step = Shelf().play({NOON - DAY: "100.0", NOON - MINUTE: "100", NOON: "110.25"})

    assert value(step, Measure.CHANGE_PERCENTAGE) == "10.250"
    assert value(step, Measure.CHANGE_ABSOLUTE) == "10.25"


@pytest.mark.parametrize("off", [-MINUTE, MINUTE])
def test_no_other_sample_stands_in_for_the_one_24_hours_before(off):
    step = Shelf().play({NOON - DAY + off: "100", NOON - HOUR: "100", NOON: "110"})

    assert value(step, Measure.CHANGE_PERCENTAGE) is None
    assert value(step, Measure.CHANGE_ABSOLUTE) is None


def test_a_change_in_percent_from_zero_is_not_known_but_the_difference_is():
    step = Shelf().play({NOON - DAY: "0", NOON - MINUTE: "1", NOON: "2"})

    assert value(step, Measure.CHANGE_PERCENTAGE) is None
    assert value(step, Measure.CHANGE_ABSOLUTE) == "2"


def test_the_hour_mean_is_of_the_60_samples_before_this_one():
    step = Shelf().play(minutes(["1000"] * 30 + [str(minute) for minute in range(60)] + ["1e9"]))

    assert step
    assert naive.held(step.baseline)[0] == naive.Sums(60, sum(range(60)), sum(minute**2 for minute in range(60)))


def test_a_sample_an_hour_before_is_in_the_hour_and_none_older():
    step = Shelf().play({NOON - HOUR - 1: "5", NOON - HOUR: "7", NOON: "9"})

    assert step
    assert naive.held(step.baseline)[0] == naive.Sums(1, 7, 49)


def test_the_day_is_open_at_its_start():
    step = Shelf().play({NOON - DAY: "5", NOON - DAY + 1: "7", NOON: "9"})

    assert step
    assert naive.held(step.record.day)[0] == naive.Sums(2, 16, 130)


def test_a_tick_without_a_reading_moves_the_windows_and_keeps_the_newest_sample():
    shelf = Shelf()
    shelf.play({NOON - DAY: "5", NOON - HOUR: "7", NOON - MINUTE: Reading("9", provider_time=NOON - 70)})

    step = shelf.tick(NOON, None)

    assert step
    assert step.sample is None
    assert step.record[:6] == (NOON, NOON - MINUTE, "9", "7", "tests", NOON - 70)
    assert naive.held(step.record.day)[0].n == 2
    assert naive.held(step.baseline)[0].n == 2


def test_a_metric_is_over_when_its_newest_sample_leaves_the_day_and_not_before():
    shelf = Shelf()
    shelf.play({NOON: "5", NOON + HOUR: None})

    last, over = shelf.tick(NOON + DAY - 1, None), shelf.tick(NOON + DAY, None)

    assert last
    assert not last.is_over
    assert over
    assert over.is_over
    assert naive.held(over.record.day)[0].n == 0


def test_a_record_of_more_than_a_day_ago_counts_for_nothing():
    shelf = Shelf()
    shelf.play(minutes(["5", "6", "7"]))

    step = shelf.tick(NOON + 30 * HOUR, Reading("9"))

    assert step
    assert naive.held(step.record.day)[0] == naive.held(step.record.hour)[0] == naive.Sums(1, 9, 81)
    assert step.baseline == metric_state.EMPTY


def test_a_tick_repeated_is_the_same_step_to_the_byte():
    shelf = Shelf()
    first = shelf.play({NOON - DAY: "100", NOON - MINUTE: "104.5", NOON: "110"})

    again = shelf.tick(NOON, Reading("110"))

    assert first
    assert again
    assert again.sample == first.sample
    assert naive.held(again.baseline) == naive.held(first.baseline)
    assert metric_state.write_state(again.record) == metric_state.write_state(first.record)


def test_a_tick_repeated_without_its_reading_keeps_the_sample():
    shelf = Shelf()
    first = shelf.play({NOON - MINUTE: "104.5", NOON: "110"})

    again = shelf.tick(NOON, None)

    assert first
    assert again
    assert again.record == first.record
    assert naive.held(again.baseline) == naive.held(first.baseline)
    assert shelf.days[NOON] == first.sample


def test_a_corrected_reading_takes_the_place_of_the_first_in_the_moments_too():
    shelf = Shelf()
    shelf.play({NOON - DAY: "100", NOON - MINUTE: "50", NOON: "1e9"})

    step = shelf.tick(NOON, Reading("55"))

    assert step
    assert step.sample == Sample(NOON, ("55", None, "-45.000", "-45", None, "10.0000"))
    assert naive.held(step.record.day)[0] == naive.Sums(2, 105, 55 * 55 + 2500)
    assert naive.held(step.baseline)[0] == naive.Sums(1, 50, 2500)


def test_a_sample_that_comes_at_the_second_writing_of_a_tick_is_taken_in():
    shelf = Shelf()
    shelf.play({NOON - MINUTE: "50", NOON: None})

    step = shelf.tick(NOON, Reading("55"))

    assert step
    assert value(step, Measure.INTERVAL_RETURN) == "10.0000"
    assert naive.held(step.record.day)[0] == naive.Sums(2, 105, 55 * 55 + 2500)
    assert naive.held(step.baseline)[0].n == 1


def test_a_record_is_kept_as_the_array_that_the_module_describes():
    shelf = Shelf()
    shelf.play({NOON: Reading("1.50", "3", provider_time=NOON - 1)})

    assert shelf.record
    at, newest, price, before, source, provider_time, day, hour = json.loads(metric_state.write_state(shelf.record))
    assert (at, newest, price, before, source, provider_time) == (NOON, NOON, "1.50", None, "tests", NOON - 1)
    assert day == hour == [2, 1, 150, 22500, 0, 1, 3, 9, *[0, 0, 0, 0] * 4]


gaps = some.sampled_from(
    [MINUTE, 15 * MINUTE, 15 * MINUTE, HOUR - 1, HOUR, HOUR + 1, 5 * HOUR, DAY - 1, DAY, 30 * HOUR]
)


def is_alike(corrected: Reading, reading: Reading) -> bool:
    """Return whether the same follows from a correction as if it had been the first: else the first has left its digits."""
    return (
        (corrected.change_percentage is None) == (reading.change_percentage is None)
        and corrected.change_absolute == reading.change_absolute
        and decimals.parse_decimal(corrected.price)[1] >= decimals.parse_decimal(reading.price)[1]
    )


def test_a_correction_in_fewer_digits_leaves_the_change_of_24_hours_in_those_of_the_first():
    shelf = Shelf()
    shelf.play({NOON - DAY: "1e9", NOON - MINUTE: "1", NOON: "1.25"})

    step = shelf.tick(NOON, Reading("1e9"))

    assert value(step, Measure.CHANGE_ABSOLUTE) == "0.00"


@settings(max_examples=120)
@given(some.lists(some.tuples(gaps, some.none() | readings, some.none() | readings), max_size=40))
def test_any_sequence_of_ticks_gaps_silences_and_corrections_says_what_a_recount_says(ticks):
    shelf, at, everything = Shelf(), NOON, dict[int, Sample]()
    for gap, reading, corrected in ticks:
        at += gap
        step = shelf.tick(at, reading)
        if reading:
            everything[at] = naive.sampled(at, reading, everything)
        if reading and corrected and is_alike(corrected, reading):
            step = shelf.tick(at, corrected)
            everything[at] = naive.sampled(at, corrected, {tick: everything[tick] for tick in everything if tick != at})
        day = naive.day_until(everything.values(), at)

        assert sorted(shelf.days.values()) == day
        if not day:
            assert shelf.record is None
        if step:
            assert naive.held(step.record.day) == naive.sums(day)
            assert naive.held(step.baseline) == naive.sums(naive.hour_before(everything.values(), at))
            assert step.is_over == (not day)
        if shelf.record:
            assert metric_state.read_state(metric_state.write_state(shelf.record)) == shelf.record
            recounted = metric_state.recount_state(at, day, shelf.record, "somebody")
            assert metric_state.are_same_states(shelf.record, recounted)
            assert naive.held(metric_state.compute_baseline(shelf.record, day[-1:])) == naive.sums(
                naive.hour_before(day, at)
            )


def test_a_recount_of_nothing_is_nothing():
    assert metric_state.recount_state(NOON, [], None, "tests") is None


def test_a_recount_takes_over_what_samples_do_not_tell():
    shelf = Shelf()
    shelf.play({NOON - MINUTE: "1", NOON: Reading("2", provider_time=NOON - 9)})

    recounted = metric_state.recount_state(NOON, sorted(shelf.days.values()), shelf.record, "somebody")

    assert recounted == shelf.record


def test_a_recount_knows_nothing_of_the_provider_where_the_newest_sample_is_another():
    shelf = Shelf()
    shelf.play({NOON - MINUTE: Reading("1", provider_time=NOON - 70), NOON: None})
    late = Sample(NOON - 1, ("2", None, None, None, None, None))

    recounted = metric_state.recount_state(NOON, [*shelf.days.values(), late], shelf.record, "candles")

    assert recounted
    assert recounted[:6] == (NOON, NOON - 1, "2", "1", "candles", None)


def test_records_that_differ_anywhere_are_not_the_same():
    shelf = Shelf()
    shelf.play({NOON - MINUTE: "1", NOON: Reading("2.5", "3", provider_time=NOON - 9)})
    record = shelf.record
    assert record

    others = [
        record._replace(at=NOON - 1),
        record._replace(newest=NOON - 1),
        record._replace(price="2.50"),
        record._replace(before=None),
        record._replace(source="somebody"),
        record._replace(provider_time=None),
        record._replace(day=record.hour[:1] + metric_state.EMPTY[1:]),
        record._replace(hour=metric_state.EMPTY),
    ]

    assert metric_state.are_same_states(record, record)
    assert metric_state.are_same_states(None, None)
    assert not any(metric_state.are_same_states(record, other) for other in [*others, None])


def test_a_window_has_one_column_for_every_measure():
    assert len(metric_state.EMPTY) == len(MEASURES)
