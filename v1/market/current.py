"""
What a list shows of a measure of a metric now: its newest number, and what that is compared with. Pure.

Nothing is rounded but once: changes in percent as `metric_state` rounds them, ratios to the nearest double.
"""

from typing import NamedTuple

from ..model import MEASURES, Measure, Sample
from ..numbers.decimals import parse_decimal, power_of_ten
from ..numbers.moments import Moments, measure_dispersion, round_mean_of
from .metric_state import MetricState, compute_baseline, compute_change_percentage


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
    record: MetricState, newest: Sample | None, hour_ago: Sample | None, day_ago: Sample | None
) -> dict[Measure, CurrentMeasure]:
    """Return every measure of a metric."""
    baseline = compute_baseline(record, [newest] if newest else [])
    known = {}
    for measure, day, hour in zip(MEASURES, record.day, baseline, strict=True):
        value, moved = newest.value(measure) if newest else None, measure_dispersion(day)
        known[measure] = CurrentMeasure(
            value,
            _compare(value, hour_ago, measure),
            _compare(value, day_ago, measure),
            round_mean_of(hour),
            hour.n,
            None if value is None else divide_by_mean(value, hour),
            moved and moved.stddev,
            moved and moved.cv,
            day.n,
        )
    return known


def _compare(value: str | None, before: Sample | None, measure: Measure) -> PastValue | None:
    then = before.value(measure) if before else None
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
