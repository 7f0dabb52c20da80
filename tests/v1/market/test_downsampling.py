"""Samples that are chosen: extremes stay, order stays, and nothing is there that was not received."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v1.market.downsampling import FEWEST_POINTS, pick_extremes, select_triangles

NUMBERS = st.decimals(-(10**12), 10**12, allow_nan=False, places=3).map(str)
SERIES = st.dictionaries(st.integers(1, 5000), NUMBERS, max_size=200).map(lambda known: sorted(known.items()))


def order(sample):
    return Decimal(sample[1])


@given(SERIES, st.integers(FEWEST_POINTS, 60))
def test_triangles_are_a_subset_in_order_with_both_ends_and_both_extremes(samples, count):
    chosen = select_triangles(samples, count)

    assert {*chosen} <= {*samples}
    assert chosen == sorted(chosen)
    assert len(chosen) == len({*chosen})
    assert min(count, len(samples)) - 1 <= len(chosen) <= count
    if samples:
        assert {samples[0], samples[-1]} <= {*chosen}
        assert min(chosen, key=order)[1] == min(samples, key=order)[1]
        assert max(chosen, key=order)[1] == max(samples, key=order)[1]


@given(SERIES, st.integers(1, 600))
def test_extremes_are_the_first_lowest_and_highest_of_each_step_in_order(samples, step):
    chosen = pick_extremes(samples, step)

    expected = set()
    for end in {-(-tick // step) * step for tick, _ in samples}:
        inside = [sample for sample in samples if end - step < sample[0] <= end]
        expected |= {min(inside, key=order), max(inside, key=order)}
    assert chosen == sorted(expected)


def test_a_single_peak_among_thousands_is_among_ten_points():
    samples = [(tick, "100.50" if tick == 3333 else "7.0" if tick % 2 else "7.1") for tick in range(10_000)]

    chosen = select_triangles(samples, 10)

    assert len(chosen) == 10
    assert (3333, "100.50") in chosen


def test_both_extremes_side_by_side_cost_no_point_more():
    samples = [(tick, {50: "9", 51: "-9"}.get(tick, "0")) for tick in range(100)]

    assert [len(select_triangles(samples, count)) for count in (4, 5, 50)] == [4, 5, 49]
    assert {(50, "9"), (51, "-9")} < {*select_triangles(samples, 4)}


def test_on_a_straight_line_points_are_spread_over_all_of_it():
    chosen = [tick for tick, _ in select_triangles([(tick, str(2 * tick)) for tick in range(1000)], 50)]

    assert max(right - left for left, right in pairwise(chosen)) <= 2 * 1000 / 48


@pytest.mark.parametrize("count", [4, 10, 100])
def test_triangles_are_those_of_the_algorithm_as_it_is_published(count):
    """By the formula of the thesis, with the area in full, for a series whose extremes are its ends."""
    samples = [(tick, str(tick * 1000 + tick * tick * 7919 % 999)) for tick in range(300)]

    chosen = [samples[0]]
    size = (len(samples) - 2) / (count - 2)
    edges = [1 + int(part * size + 1e-9) for part in range(count - 1)]
    for place in range(count - 2):
        bucket = samples[edges[place] : edges[place + 1]]
        following = samples[edges[place + 1] : edges[place + 2]] if place < count - 3 else samples[-1:]
        mean = (
            sum(tick for tick, _ in following) / len(following),
            sum(float(number) for _, number in following) / len(following),
        )
        left = chosen[-1]
        areas = [
            abs((left[0] - mean[0]) * (float(number) - float(left[1])) - (left[0] - tick) * (mean[1] - float(left[1])))
            / 2
            for tick, number in bucket
        ]
        chosen.append(bucket[areas.index(max(areas))])

    assert select_triangles(samples, count) == [*chosen, samples[-1]]
