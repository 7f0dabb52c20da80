"""
What a list shows of a measure of a metric now: its newest number, and what that is compared with. Pure.

Nothing is rounded but once: changes in percent as `metric_state` rounds them, ratios to the nearest double.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ..model import MEASURES, Measure, Sample
from ..numbers.decimals import Number, parse_decimal, power_of_ten
from ..numbers.moments import Moments, measure_dispersion, round_mean_of
from .metric_state import MetricState, compute_change_percentage


class PastSamples(NamedTuple):
    """What the newest sample of a metric is compared with."""

    hour_ago: Sample | None
    """The newest sample of the hour that ended an hour before the newest one."""
    day_ago: Sample | None
    """The oldest sample of the day, where it lies in the day's first hour."""


class PastValue(NamedTuple):
    """A number of the past, and the change since then."""

    tick: int
    value: str
    change: str | None
    """To the newest number, in percent of this one, rounded half to even at 3 places; `None` from zero or below."""


class CurrentParts(NamedTuple):
    """Which parts of `CurrentMeasure` are worked out; the fields of the others are `None`."""

    value: bool = False
    hour_ago: bool = False
    day_ago: bool = False
    mean: bool = False
    """`hour_mean`, `hour_samples` and `ratio`."""
    dispersion: bool = False
    """`stddev` and `cv`."""

    @property
    def has_newest(self) -> bool:
        """Whether the newest number is needed. A mean is of what was before it."""
        return self.value or self.hour_ago or self.day_ago or self.mean


ALL_PARTS = CurrentParts(value=True, hour_ago=True, day_ago=True, mean=True, dispersion=True)


class CurrentMeasure(NamedTuple):
    """One measure of one metric now."""

    value: str | None
    """In the newest sample."""
    hour_ago: PastValue | None
    day_ago: PastValue | None
    hour_mean: float | None
    """Over the hour before the newest tick."""
    hour_samples: int | None
    ratio: float | None
    """The newest number divided by the hour mean; `None` where that is zero or below."""
    stddev: float | None
    cv: float | None
    samples: int
    """How many numbers of the day are behind the deviation."""


def summarize_measures(
    asked: Mapping[Measure, CurrentParts], record: MetricState, newest: Sample | None, past: PastSamples
) -> list[CurrentMeasure]:
    """Return some measures of a metric, in order; `newest` is its newest sample."""
    known = []
    for measure, parts in asked.items():
        place = MEASURES.index(measure)
        value = newest.values[place] if newest and parts.has_newest else None
        number, day = None if value is None else parse_decimal(value), record.day[place]
        hour = _leave_newest_out(record, newest, place, number) if parts.mean else None
        moved = measure_dispersion(day) if parts.dispersion else None
        known.append(
            CurrentMeasure(
                value,
                _compare(number, past.hour_ago, place) if parts.hour_ago else None,
                _compare(number, past.day_ago, place) if parts.day_ago else None,
                hour and round_mean_of(hour),
                hour and hour.n,
                divide_by_mean(number, hour) if hour and number else None,
                moved and moved.stddev,
                moved and moved.cv,
                day.n,
            )
        )
    return known


def _leave_newest_out(record: MetricState, newest: Sample | None, place: int, number: Number | None) -> Moments:
    """Return the moments of [at - 1 h, at) of one measure, as `metric_state.compute_baseline` does of all."""
    hour = record.hour[place]
    return hour.update((), [number]) if number and newest and newest.tick == record.at else hour


def _compare(number: Number | None, before: Sample | None, place: int) -> PastValue | None:
    then = before.values[place] if before else None
    if before is None or then is None:
        return None
    base = parse_decimal(then)
    change = compute_change_percentage(number, base) if number and base[0] > 0 else None
    return PastValue(before.tick, then, change)


def divide_by_mean(number: Number, moments: Moments) -> float | None:
    """Return number / mean, rounded once, to the nearest double; `None` where the mean is zero, below, or of nothing."""
    places, n, total, _ = moments
    if n < 1 or total <= 0:
        return None
    units, number_places = number
    # Python divides two integers of any size with one correct rounding.
    return (units * n * power_of_ten(places)) / (total * power_of_ten(number_places))
