"""
The series of one measure: points made of samples, grouped into steps, and filled on request.

Samples are read through a `ColumnReader`; everything else is pure.

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
from itertools import chain, groupby, pairwise
from typing import NamedTuple, Protocol

from ..model import DAY, Measure, Metric
from ..numbers.decimals import parse_decimal
from ..numbers.moments import count_moments, round_mean_of
from .downsampling import pick_extremes, select_triangles

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
    MINMAX = "minmax"
    """Two: the lowest and the highest, each at its own tick."""
    LTTB = "lttb"
    """Of no step: so many samples of the whole range as look like all of them, see `downsampling`."""

    @property
    def is_choice(self) -> bool:
        """Whether samples are chosen, which keep their ticks, where others make a point at the end of each step."""
        return self in (Aggregation.MINMAX, Aggregation.LTTB)


class SeriesFill(StrEnum):
    """What stands where there is no sample."""

    NONE = "none"
    """Nothing: the point is missing."""
    NULL = "null"
    PREVIOUS = "previous"
    """The last number before; null where there is none."""
    LINEAR = "linear"
    """On the straight line between both neighbours; null at the ends."""


class SampleColumn(NamedTuple):
    """The known numbers of one measure in some stretch of time."""

    samples: Sequence[Known]
    """Oldest first."""
    hourly: Sequence[int]
    """The ticks of the samples that are all that is known of their hour: the archive gave them."""


class ColumnReader(Protocol):
    """Where samples are read."""

    async def read_column(self, metric: Metric, measure: Measure, after: int, until: int) -> SampleColumn:
        """Return what is known of after < tick <= until."""


class SeriesQuery(NamedTuple):
    """Which series is asked for. Times are in unix seconds."""

    metric: Metric
    measure: Measure
    start: int
    """The first tick."""
    end: int
    """The last tick."""
    newest: int
    """The newest tick that is committed."""
    interval: int
    """Seconds between two samples."""
    step: int | None = None
    """Seconds between two points; without it, every sample is one."""
    agg: Aggregation = Aggregation.LAST
    fill: SeriesFill = SeriesFill.NONE
    most: int = 0
    """How many points `Aggregation.LTTB` leaves."""

    @property
    def grid_step(self) -> int:
        """Seconds between two points, or two samples."""
        return self.step or self.interval


class Series(NamedTuple):
    """What a query came to."""

    points: Sequence[Point]
    """Oldest first."""
    hourly: Sequence[int]
    """The ticks of the range that are all that is known of their hour."""


class StepGrid(NamedTuple):
    """Which points a series has: every multiple of `step` from `first` to `last`, both included."""

    first: int
    last: int
    step: int

    @property
    def list_ticks(self) -> range:
        return range(self.first, self.last + 1, self.step)


async def query_series(reader: ColumnReader, query: SeriesQuery) -> Series:
    """Return the points of a series: those of the kept day whose tick lies in the range."""
    after, until = find_read_span(query)
    if after >= until:
        return Series((), ())
    return make_series(query, await reader.read_column(query.metric, query.measure, after, until))


def find_read_span(query: SeriesQuery) -> tuple[int, int]:
    """Return which samples a series is made of: after < tick <= until; of none, the first is not below the second."""
    if query.step is None and query.fill is SeriesFill.NONE:
        return max(query.start - 1, query.newest - DAY), min(query.end, query.newest)
    grid = _find_grid(query)
    return grid.first - grid.step, min(grid.last, query.newest)


def make_series(query: SeriesQuery, column: SampleColumn) -> Series:
    """Return the points of a series, of all samples that lie in its `find_read_span`."""
    if query.agg is Aggregation.LTTB:
        return Series(select_triangles(column.samples, query.most), column.hourly)
    if query.step is None and query.fill is SeriesFill.NONE:
        return Series(*column)
    if query.agg is Aggregation.MINMAX:
        return Series(pick_extremes(column.samples, query.grid_step), column.hourly)
    grid, part = _find_grid(query), _find_part(query)
    points = group_by_step(column.samples, grid.step, query.agg if query.step else Aggregation.LAST)
    if query.fill is not SeriesFill.NONE:
        points = fill_points(points, grid, query.fill)
    return Series(
        [point for point in points if part.first <= point[0] <= part.last],
        [tick for tick in column.hourly if part.first <= tick <= part.last],
    )


def _find_part(query: SeriesQuery) -> StepGrid:
    """Return the points that are asked for."""
    return clip_grid(make_kept_grid(query.newest, query.grid_step), query.start, query.end)


def _find_grid(query: SeriesQuery) -> StepGrid:
    """Return the points that those asked for follow from: a gap is filled from both its sides, which may lie outside."""
    part = _find_part(query)
    if not part.list_ticks or query.fill in (SeriesFill.NONE, SeriesFill.NULL):
        return part
    return make_kept_grid(query.newest, query.grid_step)


def join_series(parts: Sequence[Sequence[Point]]) -> list[tuple[int | str | None, ...]]:
    """Return series side by side: each tick that one of them has, and a number of each, `None` where it has none."""
    known = [dict(part) for part in parts]
    ticks = sorted({*chain.from_iterable(known)})
    return [(tick, *[part.get(tick) for part in known]) for tick in ticks]


def make_table(query: SeriesQuery, columns: Sequence[SampleColumn]) -> list[tuple[int | str | None, ...]]:
    """
    Return the rows of several measures of one metric, each a tick and a number of every measure; `query` is of any.

    Where samples are chosen (`Aggregation.is_choice`), they are by each measure, and the others are answered at the
    same ticks.
    """
    parts = [make_series(query, column).points for column in columns]
    if query.agg.is_choice and len(columns) > 1:
        ticks = {tick for part in parts for tick, _ in part}
        parts = [[point for point in column.samples if point[0] in ticks] for column in columns]
    return join_series(parts) if len(columns) > 1 else [*parts[0]]


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
