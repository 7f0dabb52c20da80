"""
What version 1 says of a day, said slowly: every number recounted in fractions from the list of all samples.

Shares nothing with the code under test but the names of the measures and the shape of a sample.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Context, Decimal
from fractions import Fraction
from typing import NamedTuple

from v1.market.metric_state import Window
from v1.model import DAY, HOUR, MEASURES, Measure, Metric, Reading, Sample

Days = Mapping[int, Sample]
"""Samples of one metric, by tick."""

CHANGE_PLACES, RETURN_PLACES = 3, 4
"""Places of the percentages that nobody says."""

_EXACT = Context(prec=400)


class Sums(NamedTuple):
    """n, sum and sum of squares of one measure."""

    n: int
    total: Fraction
    squares: Fraction


def within(samples: Iterable[Sample], after: int, until: int) -> list[Sample]:
    """Return the samples with after < tick <= until, oldest first."""
    return sorted(sample for sample in samples if after < sample.tick <= until)


def sums(samples: Sequence[Sample]) -> list[Sums]:
    """Return the sums of every measure, in their order."""
    counted = []
    for index, _ in enumerate(MEASURES):
        numbers = [Fraction(value) for sample in samples if (value := sample.values[index]) is not None]
        counted.append(
            Sums(len(numbers), sum(numbers, Fraction(0)), sum((each * each for each in numbers), Fraction(0)))
        )
    return counted


def held(window: Window) -> list[Sums]:
    """Return what the code under test counted, in the same terms."""
    return [
        Sums(n, Fraction(total, 10**places), Fraction(squares, 100**places)) for places, n, total, squares in window
    ]


def mean(counted: Sums) -> float | None:
    return float(counted.total / counted.n) if counted.n else None


def stddev(counted: Sums) -> float | None:
    if not counted.n:
        return None
    average = counted.total / counted.n
    return root(counted.squares / counted.n - average * average)


def cv(counted: Sums) -> float | None:
    if not counted.n or not counted.total:
        return None
    average = counted.total / counted.n
    return root((counted.squares / counted.n - average * average) / (average * average))


def root(square: Fraction) -> float:
    """Return the nearest float to a square root, by way of one with 400 digits."""
    return float(_EXACT.sqrt(_EXACT.divide(Decimal(square.numerator), Decimal(square.denominator))))


def ranked(values: Mapping[Metric, float]) -> list[tuple[Metric, int, float]]:
    """Return (metric, rank, value), largest first, where equal values share a place."""
    order = sorted(values, key=lambda metric: (values[metric], metric), reverse=True)
    return [(metric, 1 + sum(other > values[metric] for other in values.values()), values[metric]) for metric in order]


def sampled(at: int, reading: Reading, days: Days) -> Sample:
    """Return the sample that a reading becomes at tick `at`, when `days` holds what came before."""
    percentage, absolute = reading.change_percentage, reading.change_absolute
    yesterday = _price(days.get(at - DAY))
    if percentage is None and absolute is None and yesterday is not None:
        percentage = percent(reading.price, yesterday, CHANGE_PLACES)
        absolute = difference(reading.price, yesterday)
    before = within(days.values(), at - DAY, at - 1)
    since = _price(before[-1]) if before else None
    since_before = None if since is None else percent(reading.price, since, RETURN_PLACES)
    return Sample(at, (reading.price, reading.volume, percentage, absolute, reading.interval_volume, since_before))


def percent(now: str, then: str, places: int) -> str | None:
    """Return the change in percent, half to even; nothing from zero."""
    if Fraction(then) == 0:
        return None
    units = round((Fraction(now) - Fraction(then)) / Fraction(then) * 100 * 10**places)
    return f"{_EXACT.scaleb(Decimal(units), -places):f}" if units else f"{0:.{places}f}"


def difference(now: str, then: str) -> str:
    """Return now - then with as many places as the longer of both has."""
    places = max(_places(now), _places(then))
    units = (Fraction(now) - Fraction(then)) * 10**places
    return f"{_EXACT.scaleb(Decimal(units.numerator), -places):f}" if units else f"{0:.{places}f}"


def _places(text: str) -> int:
    exponent = Decimal(text).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _price(sample: Sample | None) -> str | None:
    return sample.value(Measure.PRICE) if sample else None


def hour_before(samples: Iterable[Sample], at: int) -> list[Sample]:
    """Return the samples in [at - 1 h, at)."""
    return within(samples, at - HOUR - 1, at - 1)


def day_until(samples: Iterable[Sample], at: int) -> list[Sample]:
    """Return the samples in (at - 24 h, at]."""
    return within(samples, at - DAY, at)
