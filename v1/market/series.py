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

from ..model import DAY
from ..numbers.decimals import parse_decimal
from ..numbers.moments import count_moments, round_mean_of

Point = tuple[int, str | None]
"""(tick, number)"""
Known = tuple[int, str]


class Aggregation(StrEnum):
    """Which number stands for all samples of a step."""

    LAST = "last"
    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    FIRST = "first"


class SeriesFill(StrEnum):
    """What stands where there is no sample."""

    NONE = "none"
    """Nothing: the point is missing."""
    NULL = "null"
    PREVIOUS = "previous"
    """The last number before; null where there is none."""
    LINEAR = "linear"
    """On the straight line between both neighbours; null at the ends."""


class StepGrid(NamedTuple):
    """Which points a series has: every multiple of `step` from `first` to `last`, both included."""

    first: int
    last: int
    step: int

    @property
    def list_ticks(self) -> range:
        return range(self.first, self.last + 1, self.step)


def find_step_end(tick: int, step: int) -> int:
    """Return the end of the step that holds `tick`."""
    return -(-tick // step) * step


def make_kept_grid(newest: int, step: int) -> StepGrid:
    """Return the points of the kept day: from the first step that lies wholly in it to the one that holds `newest`."""
    return StepGrid(find_step_end(newest - DAY, step) + step, find_step_end(newest, step), step)


def clip_grid(span: StepGrid, start: int, end: int) -> StepGrid:
    """Return the points of `span` with start <= tick <= end."""
    return StepGrid(
        max(span.first, find_step_end(start, span.step)), min(span.last, end // span.step * span.step), span.step
    )


def group_by_step(samples: Iterable[Known], step: int, agg: Aggregation) -> list[Point]:
    """Return one point for each step that holds a sample. The samples come oldest first."""
    return [
        (end, _AGGREGATES[agg]([value for _, value in group]))
        for end, group in groupby(samples, key=lambda sample: find_step_end(sample[0], step))
    ]


def _mean(values: Sequence[str]) -> str:
    return repr(round_mean_of(count_moments([parse_decimal(value) for value in values])))


# Decimal compares exactly, whatever its context rounds to, and the winner's own text is the answer.
_AGGREGATES = {
    Aggregation.LAST: lambda values: values[-1],
    Aggregation.FIRST: lambda values: values[0],
    Aggregation.MIN: lambda values: min(values, key=Decimal),
    Aggregation.MAX: lambda values: max(values, key=Decimal),
    Aggregation.MEAN: _mean,
}


def fill_points(points: Sequence[Point], span: StepGrid, fill: SeriesFill) -> list[Point]:
    """Return a point for every tick of `span`; `points` lie on it, oldest first."""
    known = dict(points)
    if fill is SeriesFill.LINEAR:
        known |= _interpolate([(tick, value) for tick, value in points if value is not None], span.step)
    whole: list[Point] = []
    for tick in span.list_ticks:
        value = known.get(tick)
        if value is None and fill is SeriesFill.PREVIOUS and whole:
            value = whole[-1][1]
        whole.append((tick, value))
    return whole


def _interpolate(points: Sequence[Known], step: int) -> dict[int, str]:
    """Return the numbers on the straight lines between neighbours that are more than a step apart."""
    numbers = {}
    for (left, left_value), (right, right_value) in pairwise(points):
        if right - left <= step:
            continue
        low, high = Fraction(left_value), Fraction(right_value)
        for tick in range(left + step, right, step):
            numbers[tick] = repr(float(low + (high - low) * Fraction(tick - left, right - left)))
    return numbers
