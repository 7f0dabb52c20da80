"""
What a list shows of a measure of a metric now: its newest number, and what that is compared with. Pure.

Nothing is rounded but once: changes in percent as `metric_state` rounds them, ratios to the nearest double.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ..model import MEASURES, Measure, Sample
from ..numbers.decimals import parse_decimal, power_of_ten
from ..numbers.moments import Moments, measure_dispersion, round_mean_of
from .metric_state import MetricState, compute_baseline, compute_change_percentage


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


class CurrentMeasure(NamedTuple):
    """One measure of one metric now."""

    value: str | None
    """In the newest sample."""
    hour_ago: PastValue | None
    day_ago: PastValue | None
    hour_mean: float | None
    """Over the hour before the newest tick."""
    hour_samples: int
    ratio: float | None
    """The newest number divided by the hour mean; `None` where that is zero or below."""
    stddev: float | None
    cv: float | None
    samples: int
    """How many numbers of the day are behind the deviation."""


def summarize_measures(
    measures: Sequence[Measure], record: MetricState, newest: Sample | None, past: PastSamples
) -> list[CurrentMeasure]:
    """Return some measures of a metric, in order; `newest` is its newest sample."""
    baseline = compute_baseline(record, [newest] if newest else [])
    known = []
    for measure in measures:
        place = MEASURES.index(measure)
        value, day, hour = newest.values[place] if newest else None, record.day[place], baseline[place]
        moved = measure_dispersion(day)
        known.append(
            CurrentMeasure(
                value,
                _compare(value, past.hour_ago, place),
                _compare(value, past.day_ago, place),
                round_mean_of(hour),
                hour.n,
                None if value is None else divide_by_mean(value, hour),
                moved and moved.stddev,
                moved and moved.cv,
                day.n,
            )
        )
    return known


def _compare(value: str | None, before: Sample | None, place: int) -> PastValue | None:
    then = before.values[place] if before else None
    if before is None or then is None:
        return None
    base = parse_decimal(then)
    is_comparable = value is not None and base[0] > 0
    return PastValue(
        before.tick, then, compute_change_percentage(parse_decimal(value or ""), base) if is_comparable else None
    )


def divide_by_mean(value: str, moments: Moments) -> float | None:
    """Return value / mean, rounded once, to the nearest double; `None` where the mean is zero, below, or of nothing."""
    places, n, total, _ = moments
    if n < 1 or total <= 0:
        return None
    units, value_places = parse_decimal(value)
    # Python divides two integers of any size with one correct rounding.
    return (units * n * power_of_ten(places)) / (total * power_of_ten(value_places))
