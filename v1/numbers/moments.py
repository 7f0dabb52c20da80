"""
Exact rolling moments: n, sum and sum of squares as integers at a power of ten. Numbers in, numbers
out: no clock, no network, no Redis.

Why integers. Sums of squares in binary floats cancel: on a flat day of BTC they are 96 % off, on
24 h volumes negative. Sliding Welford stays wrong for good once a single bad tick has passed
through. Integers cost O(1) per step like both, and after any sequence of steps they equal a
computation from scratch, to the last digit.

A series has one power of ten, `places`: its numbers are integers in units of 10 ** -places. When a
finer number arrives the sums are rescaled, which is exact too. Rounding happens once, in the
functions at the end, to the nearest float.
"""

from collections.abc import Iterable
from functools import partial
from math import isqrt
from typing import NamedTuple

from .decimals import Number, power_of_ten

# Bits kept of a square root before the one rounding: 53 for the answer, and the rest to tell on
# which side of a rounding boundary it lies. One root in 2 ** 17 needs a second, longer try.
_ROOT_BITS = 72


class Moments(NamedTuple):
    """n, sum and sum of squares of one series in one window, exact."""

    places: int
    n: int
    total: int
    """Sum, in units of 10 ** -places."""
    squares: int
    """Sum of squares, in units of 10 ** -(2 places)."""

    def update(self, come: Iterable[Number], gone: Iterable[Number] = ()) -> "Moments":
        """Add what came and take out what went. To replace a number, it goes and the new one comes."""
        places, n, total, squares = self
        for units, number_places in come:
            if number_places > places:
                total *= power_of_ten(number_places - places)
                squares *= power_of_ten(2 * (number_places - places))
                places = number_places
            scaled = units if number_places == places else units * power_of_ten(places - number_places)
            n += 1
            total += scaled
            squares += scaled * scaled
        for units, number_places in gone:
            # What leaves once came, so it is never finer than the series.
            scaled = units if number_places == places else units * power_of_ten(places - number_places)
            n -= 1
            total -= scaled
            squares -= scaled * scaled
        return of_four((places, n, total, squares))


# Makes moments of their four numbers. A tuple is all they are, and a tick makes thirty for each metric: so made it
# takes half the time of a call.
of_four = partial(tuple.__new__, Moments)

NOTHING = Moments(0, 0, 0, 0)


def count_moments(numbers: Iterable[Number]) -> Moments:
    """Return the moments of some numbers, from scratch."""
    return NOTHING.update(numbers)


def are_same_moments(left: Moments, right: Moments) -> bool:
    """Return whether both hold the same numbers' moments, be it at different powers of ten."""
    places = max(left.places, right.places)
    return _at(left, places) == _at(right, places)


def _at(moments: Moments, places: int) -> Moments:
    finer = places - moments.places
    return Moments(places, moments.n, moments.total * power_of_ten(finer), moments.squares * power_of_ten(2 * finer))


def round_mean_of(moments: Moments) -> float | None:
    """Return total / n, correctly rounded; `None` of nothing."""
    if not moments.n:
        return None
    # Python divides two integers of any size with one correct rounding.
    return moments.total / (moments.n * power_of_ten(moments.places))


class Dispersion(NamedTuple):
    """How much a series moves, two ways."""

    stddev: float
    """Population standard deviation: sqrt(n x squares - total ** 2) / n."""
    cv: float | None
    """Coefficient of variation: deviation / |mean|; `None` where the mean is zero."""


def measure_dispersion(moments: Moments) -> Dispersion | None:
    """Return deviation and coefficient of variation, each correctly rounded; `None` of nothing."""
    places, n, total, squares = moments
    if not n:
        return None
    variance = n * squares - total * total  # in units of (10 ** -places / n) ** 2
    if not variance:
        return Dispersion(0.0, 0.0 if total else None)
    return _roots_over(variance, n * power_of_ten(places), abs(total))


def _roots_over(square: int, first: int, second: int, bits: int = _ROOT_BITS) -> Dispersion:
    """
    Return sqrt(square) / first and sqrt(square) / second, correctly rounded; `None` for second = 0.

    The root is cut to an integer of at least `bits` bits, so the true one lies between root and
    root + 1. Where both ends round to the same float, that float is right, because rounding keeps
    order. Where they do not, the root either came out even, or more bits tell.
    """
    shift = max(0, bits - square.bit_length() // 2)
    shifted = square << 2 * shift
    root = isqrt(shifted)
    first_scale, second_scale = first << shift, second << shift
    one: float = root / first_scale
    other: float | None = root / second_scale if second else None
    if one == (root + 1) / first_scale and (other is None or other == (root + 1) / second_scale):
        return Dispersion(one, other)
    if root * root == shifted:
        return Dispersion(one, other)
    return _roots_over(square, first, second, 2 * bits)


def is_exceeded(value: Number, factor: Number, baseline: Moments) -> bool:
    """
    Return whether value > factor x mean of the baseline, in integers: exactly `factor` x does not exceed.

    A mean of zero or below, or of nothing, is exceeded by nothing: there "three times as much" means nothing.
    """
    places, n, total, _ = baseline
    if n < 1 or total <= 0:
        return False
    value_units, value_places = value
    factor_units, factor_places = factor
    # value * n > factor * total, both sides brought to units of 10 ** -(all places).
    return value_units * n * power_of_ten(places + factor_places) > factor_units * total * power_of_ten(value_places)
