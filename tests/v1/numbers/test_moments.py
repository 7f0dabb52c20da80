"""Exact moments against fractions, over numbers that break the usual ways of computing them."""

import math
import random
from collections import deque
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from v1.numbers import moments
from v1.numbers.decimals import parse_decimal
from v1.numbers.moments import Moments

numbers: some.SearchStrategy[str] = some.one_of(
    some.decimals(-(10**12), 10**12, allow_nan=False, places=8).map(lambda number: f"{number:f}"),
    some.integers(-(10**30), 10**30).map(str),
    some.integers(-(10**30), 10**30).map(lambda units: f"{units}e-30"),
    some.integers(30_000_000_000 - 200, 30_000_000_000 + 200).map(str),
    some.sampled_from(
        ["0", "-0.0", "1e9", "-1e9", "1e-18", "1.000000000000000001", "1.0", "1", "1e60", "1e-60", "3.1e-9"]
    ),
)


def of(*texts: str) -> Moments:
    return moments.count_moments([parse_decimal(text) for text in texts])


def exact(held: Moments) -> tuple[int, Fraction, Fraction]:
    return held.n, Fraction(held.total, 10**held.places), Fraction(held.squares, 10 ** (2 * held.places))


def from_scratch(texts: list[str]) -> tuple[int, Fraction, Fraction]:
    fractions = [Fraction(text) for text in texts]
    return len(fractions), sum(fractions, Fraction(0)), sum((each * each for each in fractions), Fraction(0))


def is_nearest(rounded: float, distance: "Distance") -> bool:
    """Return whether no float is nearer than `rounded`, and of two as near the even one was taken."""
    below = (Fraction(math.nextafter(rounded, -math.inf)) + Fraction(rounded)) / 2
    above = (Fraction(rounded) + Fraction(math.nextafter(rounded, math.inf))) / 2
    is_even = int(math.ldexp(math.frexp(rounded)[0], 53)) % 2 == 0
    low, high = distance(below), distance(above)
    return (low > 0 or (low == 0 and is_even)) and (high < 0 or (high == 0 and is_even))


class Distance:
    """Says of a fraction on which side of the true value it lies: above 0 below it, below 0 above it."""

    def __init__(self, square: Fraction, *, is_negative: bool = False) -> None:
        self._square = -square if is_negative else square

    def __call__(self, tried: Fraction) -> Fraction:
        # tried < true exactly if tried * |tried| < true * |true|; so no root need be taken to compare with one
        return self._square - tried * abs(tried)


def see_that_all_is_correctly_rounded(held: Moments, texts: list[str]) -> None:
    n, total, squares = from_scratch(texts)
    spread, mean = moments.measure_dispersion(held), moments.round_mean_of(held)
    if not n:
        assert spread is None
        assert mean is None
        return
    assert spread is not None
    assert mean is not None
    true_mean = total / n
    variance = squares / n - true_mean * true_mean
    assert is_nearest(mean, Distance(true_mean * true_mean, is_negative=true_mean < 0))
    assert is_nearest(spread.stddev, Distance(variance))
    if true_mean == 0:
        assert spread.cv is None
    else:
        assert spread.cv is not None
        assert is_nearest(spread.cv, Distance(variance / (true_mean * true_mean)))


@given(some.lists(numbers, max_size=40))
def test_moments_of_any_numbers_are_exact_and_rounded_once(texts):
    held = of(*texts)

    assert exact(held) == from_scratch(texts)
    see_that_all_is_correctly_rounded(held, texts)


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(["46572.17"] * 1440, id="1440 equal values"),
        pytest.param(["0.1"] * 1440, id="1440 equal values that no float can hold"),
        pytest.param(["0"] * 1440, id="1440 times nothing"),
        pytest.param(["1", "1.0", "1e0", "10e-1", "0.00001e5"], id="one number in five spellings"),
    ],
)
def test_equal_values_have_no_deviation_at_all(texts):
    spread = moments.measure_dispersion(of(*texts))

    assert spread is not None
    assert spread.stddev == 0.0
    assert spread.cv == (None if texts[0] == "0" else 0.0)


def test_a_deviation_of_100_at_3e10_is_100():
    held = of(*["30000000100", "29999999900"] * 720)

    assert moments.round_mean_of(held) == 3e10
    assert moments.measure_dispersion(held) == (100.0, 100 / 3e10)


def test_a_deviation_in_the_eighteenth_place_is_found():
    held = of("1.000000000000000001", "1.000000000000000003")

    assert moments.round_mean_of(held) == 1.0
    assert moments.measure_dispersion(held) == (1e-18, 1e-18)


def test_a_deviation_in_the_thirtieth_digit_is_found():
    held = of("100000000000000000000000000001", "100000000000000000000000000003")

    assert moments.round_mean_of(held) == 1e29
    assert moments.measure_dispersion(held) == (1.0, 1e-29)


def test_a_bad_tick_that_has_passed_through_leaves_nothing_behind():
    flat = ["46572.17", "46572.18"] * 720
    bad = parse_decimal("1e9")
    held = of(*flat)

    after = held.update([bad]).update([], [bad])

    assert after == held
    assert moments.measure_dispersion(after) == moments.measure_dispersion(of(*flat))
    assert moments.measure_dispersion(after) == (0.005, 0.005 / 46572.175)


def test_a_finer_number_that_has_passed_through_leaves_the_same_moments_at_its_places():
    held = of("1.5", "2.5")

    after = held.update([parse_decimal("1e-18")]).update([], [parse_decimal("1e-18")])

    assert after.places == 18
    assert after != held
    assert moments.are_same_moments(after, held)
    assert moments.measure_dispersion(after) == moments.measure_dispersion(held)


def test_moments_of_different_numbers_are_not_the_same():
    assert not moments.are_same_moments(of("1.5"), of("1.50", "0"))
    assert not moments.are_same_moments(of("1.5"), of("1.51"))
    assert not moments.are_same_moments(of("-1"), of("1"))
    assert not moments.are_same_moments(of("1"), of("10"))


def test_nothing_has_no_mean_and_no_deviation():
    assert moments.count_moments([]) == moments.NOTHING
    assert moments.round_mean_of(moments.NOTHING) is None
    assert moments.measure_dispersion(moments.NOTHING) is None


def test_what_has_no_mean_to_speak_of_has_a_deviation_but_no_coefficient_of_variation():
    assert moments.measure_dispersion(of("-1", "1")) == (1.0, None)


def test_a_negative_mean_gives_a_coefficient_of_variation_above_zero():
    assert moments.measure_dispersion(of("-1", "-3")) == (1.0, 0.5)


# |a - b| / 2 is the deviation of two numbers, so it can be put wherever it is hardest to round.
TIE = 2**53 + 1


@pytest.mark.parametrize(
    "far, stddev",
    [
        pytest.param(f"{2 * TIE}", 2.0**53, id="in the middle of two floats: to the even one"),
        pytest.param(f"{2 * TIE + 4}", 2.0**53 + 4, id="in the middle of the next two: to the even one"),
        pytest.param(f"{2 * TIE}.{'0' * 39}1", 2.0**53 + 2, id="a hair above the middle: up"),
        pytest.param(f"{2 * TIE - 1}.{'9' * 40}", 2.0**53, id="a hair below the middle: down"),
        pytest.param(f"{2 * TIE + 3}.{'9' * 40}", 2.0**53 + 2, id="a hair below the next middle: down"),
    ],
)
def test_a_deviation_on_the_border_between_two_floats_goes_to_the_right_one(far, stddev):
    spread = moments.measure_dispersion(of("0", far))

    assert spread is not None
    assert spread.stddev == stddev
    assert spread.cv == 1.0


# The deviation of these four is sqrt(x * x + 1): irrational, and the more a hair above x the larger x is.
def around(x: int, mean: int = 0) -> Moments:
    return moments.count_moments([(mean + off, 0) for off in (x + 1, -x - 1, x - 1, -x + 1)])


@pytest.mark.parametrize("shift", [0, 1, 11, 40, 64])
@pytest.mark.parametrize("odd", [1, 3, 5, 2**52 + 1])
def test_a_root_that_ends_nowhere_goes_up_from_the_middle_of_two_floats_however_little_it_is_above(odd, shift):
    middle = (2**53 + odd) << shift

    assert moments.measure_dispersion(around(middle)) == (float(middle + 2**shift), None)


@pytest.mark.parametrize("odd", [1, 3, 5, 2**52 + 1])
def test_a_coefficient_of_variation_goes_up_from_the_middle_too(odd):
    middle, mean = 2**53 + odd, 2**60

    spread = moments.measure_dispersion(around(middle, mean))

    assert spread is not None
    assert spread.cv == float(middle + 1) / mean


@given(some.integers(2**52, 2**53 - 1), some.integers(-3, 3), some.integers(0, 40), some.integers(-20, 20))
def test_deviations_within_a_hair_of_every_border_are_correctly_rounded(mantissa, units, places, exponent):
    middle = Fraction(2 * mantissa + 1)
    near = middle + Fraction(units, 10**places)
    scaled = [f"{int(number * 10**places)}e{exponent - places}" for number in (middle, -middle, near, -near)]

    see_that_all_is_correctly_rounded(of(*scaled), scaled)


def test_a_million_slides_equal_a_computation_from_scratch():
    dice = random.Random(1)
    shapes = ["{:.2f}", "{:.8f}", "{:.0f}", "{:.5e}"]
    drawn = [parse_decimal(dice.choice(shapes).format(dice.lognormvariate(3, 6))) for _ in range(9973)]
    drawn[17] = parse_decimal("1e9")
    window = deque(drawn[:1440])
    held = moments.count_moments(window)

    for index in range(1440, 1_001_440):
        come = drawn[index % 9973]
        held = held.update((come,), (window.popleft(),))
        window.append(come)

    assert moments.are_same_moments(held, moments.count_moments(window))
    assert moments.measure_dispersion(held) == moments.measure_dispersion(moments.count_moments(window))


@pytest.mark.parametrize(
    "value, factor, hour, expected",
    [
        pytest.param("3", "3", ["1"] * 60, False, id="exactly three times"),
        pytest.param("3.0000000000000000000000000001", "3", ["1"] * 60, True, id="a hair more"),
        pytest.param("2.9999999999999999999999999999", "3", ["1"] * 60, False, id="a hair less"),
        pytest.param("0.3", "3", ["0.1"] * 60, False, id="exactly three times what no float can hold"),
        pytest.param("1e1", "2.5", ["3.9", "4.10"], False, id="exactly, in mixed spellings"),
        pytest.param("10.0001", "2.5", ["3.9", "4.10"], True, id="more, in mixed spellings"),
        pytest.param("1", "3", [], False, id="no mean"),
        pytest.param("1", "3", ["0"] * 60, False, id="a mean of zero"),
        pytest.param("1", "3", ["-1"] * 60, False, id="a mean below zero"),
        pytest.param("0", "0", ["1"], False, id="a factor of zero, and zero"),
        pytest.param("1e-60", "0", ["1"], True, id="a factor of zero, and more than zero"),
    ],
)
def test_only_what_is_strictly_more_than_factor_times_the_mean_exceeds_it(value, factor, hour, expected):
    assert moments.is_exceeded(parse_decimal(value), parse_decimal(factor), of(*hour)) is expected


@given(numbers, numbers, some.lists(numbers, min_size=1, max_size=20))
def test_exceeding_is_decided_as_fractions_decide_it(value, factor, hour):
    mean = sum(map(Fraction, hour)) / len(hour)

    exceeds = moments.is_exceeded(parse_decimal(value), parse_decimal(factor), of(*hour))

    assert exceeds == (mean > 0 and Fraction(value) > Fraction(factor) * mean)


# A sum divided by one of these is a decimal number again, so that factor x mean can be sent by a provider.
hours = some.sampled_from([1, 2, 4, 5, 8, 10, 16, 20]).flatmap(lambda n: some.lists(numbers, min_size=n, max_size=n))


@given(some.sampled_from(["3", "2.5", "1.1", "0.07", "1e2"]), hours)
def test_exactly_factor_times_the_mean_never_exceeds_and_a_hair_more_does(factor, hour):
    mean = sum(map(Fraction, hour)) / len(hour)
    places = 80
    units = Fraction(factor) * mean * 10**places

    assert units.denominator == 1
    assert not moments.is_exceeded((units.numerator, places), parse_decimal(factor), of(*hour))
    assert moments.is_exceeded((units.numerator + 1, places), parse_decimal(factor), of(*hour)) == (mean > 0)


class Sliding(RuleBasedStateMachine):
    """Numbers come, go and are replaced in any order, and the moments stay those of what is there."""

    @initialize(texts=some.lists(numbers, max_size=5))
    def begin(self, texts: list[str]) -> None:
        self.texts = texts
        self.held = of(*texts)

    @rule(text=numbers)
    def comes(self, text: str) -> None:
        self.texts.append(text)
        self.held = self.held.update([parse_decimal(text)])

    @precondition(lambda self: self.texts)
    @rule(choice=some.data())
    def goes(self, choice: some.DataObject) -> None:
        gone = self.texts.pop(choice.draw(some.integers(0, len(self.texts) - 1)))
        self.held = self.held.update([], [parse_decimal(gone)])

    @precondition(lambda self: self.texts)
    @rule(choice=some.data(), text=numbers)
    def is_replaced(self, choice: some.DataObject, text: str) -> None:
        index = choice.draw(some.integers(0, len(self.texts) - 1))
        gone, self.texts[index] = self.texts[index], text
        self.held = self.held.update([parse_decimal(text)], [parse_decimal(gone)])

    @precondition(lambda self: self.texts)
    @rule()
    def all_go_at_once(self) -> None:
        self.held = self.held.update([], [parse_decimal(text) for text in self.texts])
        self.texts = []

    @invariant()
    def is_exact(self) -> None:
        assert exact(self.held) == from_scratch(self.texts)
        assert moments.are_same_moments(self.held, of(*self.texts))
        see_that_all_is_correctly_rounded(self.held, self.texts)


TestSliding = Sliding.TestCase
TestSliding.settings = settings(max_examples=40, stateful_step_count=25)
