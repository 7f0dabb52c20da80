"""
Makes points out of samples: grouped into steps, and filled where wanted. Pure: no clock, no network, no Redis.

A step of the series is (end - step, end], named by its end, and ends are multiples of the step; so a
point speaks of the time before it, as a sample does. What a point says does not depend on the range
that was asked for: ranges side by side join without a seam. Numbers that were received keep their
digits; numbers that are computed here (means, interpolations) are computed exactly and rounded once,
to the nearest double.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from itertools import groupby, pairwise
from typing import NamedTuple

from .decimals import parse
from .model import DAY
from .moments import mean, of

Point = tuple[int, str | None]
"""(tick, number)"""
Known = tuple[int, str]


class Agg(StrEnum):
    """Which number stands for all samples of a step."""

    LAST = "last"
    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    FIRST = "first"


class Fill(StrEnum):
    """What stands where there is no sample."""

    NONE = "none"
    """Nothing: the point is missing."""
    NULL = "null"
    PREVIOUS = "previous"
    """The last number before; null where there is none."""
    LINEAR = "linear"
    """On the straight line between both neighbours; null at the ends."""


class Span(NamedTuple):
    """Which points a series has: every multiple of `step` from `first` to `last`, both included."""

    first: int
    last: int
    step: int

    @property
    def ticks(self) -> range:
        return range(self.first, self.last + 1, self.step)


def end_of(tick: int, step: int) -> int:
    """Give the end of the step that holds `tick`."""
    return -(-tick // step) * step


def kept(newest: int, step: int) -> Span:
    """Give the points of the kept day: from the first step that lies wholly in it to the one that holds `newest`."""
    return Span(end_of(newest - DAY, step) + step, end_of(newest, step), step)


def cut(span: Span, start: int, end: int) -> Span:
    """Give the points of `span` with start <= tick <= end."""
    return Span(max(span.first, end_of(start, span.step)), min(span.last, end // span.step * span.step), span.step)


def grouped(samples: Iterable[Known], step: int, agg: Agg) -> list[Point]:
    """Give one point for each step that holds a sample. The samples come oldest first."""
    return [
        (end, _AGGREGATES[agg]([value for _, value in group]))
        for end, group in groupby(samples, key=lambda sample: end_of(sample[0], step))
    ]


def _mean(values: Sequence[str]) -> str:
    return repr(mean(of([parse(value) for value in values])))


# Decimal compares exactly, whatever its context rounds to, and the winner's own text is the answer.
_AGGREGATES = {
    Agg.LAST: lambda values: values[-1],
    Agg.FIRST: lambda values: values[0],
    Agg.MIN: lambda values: min(values, key=Decimal),
    Agg.MAX: lambda values: max(values, key=Decimal),
    Agg.MEAN: _mean,
}


def filled(points: Sequence[Point], span: Span, fill: Fill) -> list[Point]:
    """Give a point for every tick of `span`; `points` lie on it, oldest first."""
    known = dict(points)
    if fill is Fill.LINEAR:
        known |= _between([(tick, value) for tick, value in points if value is not None], span.step)
    whole: list[Point] = []
    for tick in span.ticks:
        value = known.get(tick)
        if value is None and fill is Fill.PREVIOUS and whole:
            value = whole[-1][1]
        whole.append((tick, value))
    return whole


def _between(points: Sequence[Known], step: int) -> dict[int, str]:
    """Give the numbers on the straight lines between neighbours that are more than a step apart."""
    numbers = {}
    for (left, left_value), (right, right_value) in pairwise(points):
        if right - left <= step:
            continue
        low, high = Fraction(left_value), Fraction(right_value)
        for tick in range(left + step, right, step):
            numbers[tick] = repr(float(low + (high - low) * Fraction(tick - left, right - left)))
    return numbers
