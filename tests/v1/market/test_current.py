"""What a list shows of a measure now: compared with which number, rounded how."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.serving import HOUR, NOON, sample
from v1.market.current import ALL_PARTS, PastSamples, divide_by_mean, summarize_measures
from v1.market.metric_state import recount_state
from v1.model import Measure
from v1.numbers.decimals import parse_decimal
from v1.numbers.moments import NOTHING, count_moments

PRICE = Measure.PRICE


@given(
    st.decimals(0, 10**9, places=4, allow_nan=False).map(str),
    st.lists(st.decimals(0, 10**9, places=6, allow_nan=False).map(str), min_size=1, max_size=20),
)
def test_a_ratio_is_that_of_the_exact_numbers_rounded_once(value, before):
    total = sum(map(Fraction, before))
    exact = Fraction(value) * len(before) / total if total else None

    ratio = divide_by_mean(parse_decimal(value), count_moments(map(parse_decimal, before)))

    assert ratio == (None if exact is None else float(exact))


@pytest.mark.parametrize("before", [[], ["0"], ["-1"], ["-2", "1"]])
def test_there_is_no_ratio_to_a_mean_of_nothing_zero_or_below(before):
    assert divide_by_mean(parse_decimal("5"), count_moments(map(parse_decimal, before)) if before else NOTHING) is None


def test_a_measure_that_the_newest_sample_lacks_has_its_past_and_no_change():
    old, new = sample(NOON - HOUR, "4", volume="7.50"), sample(NOON, "5")
    record = recount_state(NOON, [old, new], None, "tests")
    assert record

    price, volume = summarize_measures(
        {PRICE: ALL_PARTS, Measure.VOLUME: ALL_PARTS}, record, new, PastSamples(old, None)
    )

    assert price.hour_ago == (NOON - HOUR, "4", "25.000")
    assert (volume.value, volume.hour_ago, volume.day_ago) == (None, (NOON - HOUR, "7.50", None), None)
    assert (volume.hour_mean, volume.hour_samples, volume.samples, volume.ratio) == (7.5, 1, 1, None)
