"""Points out of samples, against the same said slowly in fractions."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as some

from v1.market.series import Aggregation, SeriesFill, StepGrid, clip_grid, fill_points, group_by_step, make_kept_grid

NOON = 1_621_252_800

numbers = some.decimals(min_value=-(10**9), max_value=10**9, allow_nan=False, places=6).map(lambda each: f"{each:f}")
gapped = some.dictionaries(some.integers(1, 60).map(lambda index: NOON + 60 * index), numbers, max_size=40).map(
    lambda held: sorted(held.items())
)


@given(gapped, some.sampled_from([60, 120, 300, 3600]))
def test_a_step_holds_the_samples_up_to_its_end_and_none_of_its_beginning(samples, step):
    steps = {
        end: [value for tick, value in samples if end - step < tick <= end] for end in range(NOON, NOON + 7200, step)
    }

    assert group_by_step(samples, step, Aggregation.LAST) == [(end, held[-1]) for end, held in steps.items() if held]
    assert group_by_step(samples, step, Aggregation.FIRST) == [(end, held[0]) for end, held in steps.items() if held]
    assert group_by_step(samples, step, Aggregation.MIN) == [
        (end, min(held, key=Fraction)) for end, held in steps.items() if held
    ]
    assert group_by_step(samples, step, Aggregation.MAX) == [
        (end, max(held, key=Fraction)) for end, held in steps.items() if held
    ]
    assert [(end, float(str(mean))) for end, mean in group_by_step(samples, step, Aggregation.MEAN)] == [
        (end, float(sum(map(Fraction, held)) / len(held))) for end, held in steps.items() if held
    ]


def test_the_smallest_of_a_step_keeps_the_digits_it_was_received_with():
    samples = [(NOON - 60, "1.50"), (NOON, "1.5e0")]

    assert group_by_step(samples, 120, Aggregation.MIN) == [(NOON, "1.50")]


def test_numbers_that_differ_in_their_thirtieth_digit_are_told_apart():
    low, high = "1." + "0" * 29 + "1", "1." + "0" * 29 + "2"

    assert group_by_step([(NOON - 60, high), (NOON, low)], 120, Aggregation.MIN) == [(NOON, low)]
    assert group_by_step([(NOON - 60, high), (NOON, low)], 120, Aggregation.MAX) == [(NOON, high)]


@pytest.mark.parametrize(
    "fill, expected",
    [
        (SeriesFill.NULL, [None, "1", None, None, "4.0", None]),
        (SeriesFill.PREVIOUS, [None, "1", "1", "1", "4.0", "4.0"]),
        (SeriesFill.LINEAR, [None, "1", "2.0", "3.0", "4.0", None]),
    ],
)
def test_a_gap_is_filled_as_wished_and_nothing_is_invented_beyond_the_ends(fill, expected):
    span = StepGrid(NOON - 300, NOON, 60)

    points = fill_points([(NOON - 240, "1"), (NOON - 60, "4.0")], span, fill)

    assert [value for _, value in points] == expected
    assert [tick for tick, _ in points] == [*range(NOON - 300, NOON + 1, 60)]


@given(gapped)
def test_a_number_between_two_others_lies_on_their_line_exactly_and_is_rounded_once(samples):
    span = StepGrid(NOON, NOON + 3600, 60)
    held = dict(samples)

    for tick, value in fill_points(samples, span, SeriesFill.LINEAR):
        left = max([each for each in held if each <= tick], default=None)
        right = min([each for each in held if each >= tick], default=None)
        if tick in held:
            assert value == held[tick]
        elif left is None or right is None:
            assert value is None
        else:
            share = Fraction(tick - left, right - left)
            line = Fraction(held[left]) + (Fraction(held[right]) - Fraction(held[left])) * share
            assert value == repr(float(line))


@given(gapped, some.sampled_from([60, 300, 900]), some.sampled_from([*SeriesFill]), some.integers(0, 3600))
def test_two_ranges_side_by_side_join_to_the_whole(samples, step, fill, middle):
    day = make_kept_grid(NOON + 3600, step)
    points = group_by_step(samples, step, Aggregation.MEAN)
    whole = points if fill is SeriesFill.NONE else fill_points(points, day, fill)
    left, right = clip_grid(day, NOON, NOON + middle), clip_grid(day, NOON + middle + 1, NOON + 3600)

    parts = [
        point for part in (left, right) for point in whole if part.list_ticks and part.first <= point[0] <= part.last
    ]

    assert parts == [point for point in whole if NOON <= point[0] <= NOON + 3600]


def test_the_kept_day_begins_with_the_first_step_that_lies_wholly_in_it():
    assert make_kept_grid(NOON, 3600) == StepGrid(NOON - 86400 + 3600, NOON, 3600)
    assert make_kept_grid(NOON + 60, 3600) == StepGrid(NOON - 86400 + 2 * 3600, NOON + 3600, 3600)
    assert make_kept_grid(NOON, 60) == StepGrid(NOON - 86400 + 60, NOON, 60)
