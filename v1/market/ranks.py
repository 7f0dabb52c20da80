"""
What a tick says of all metrics together: how much each moves, and its hour mean. Pure: the order itself is left to
the sorted sets, which keep it, and the place of one metric is read from them (`store.ranks`).
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from ..model import MEASURES, By, Measure, Metric
from ..numbers.moments import measure_dispersion, round_mean_of
from .metric_state import StateUpdate, Window

Scores = list[tuple[float, Metric]]


class RankInput(NamedTuple):
    """What a metric is judged by: the moments of its day, and of the hour before the tick."""

    metric: Metric
    day: Window
    baseline: Window


class Rankings(NamedTuple):
    """The members of every rank and of every list of means, in no order."""

    ranks: dict[tuple[Measure, By], Scores]
    means: dict[Measure, Scores]

    def list_scores(self, measure: Measure, by: By) -> Scores:
        return self.ranks[measure, by]


def rank_all(standings: Iterable[RankInput]) -> Rankings:
    """Judge every metric by every measure. Who has no number of a measure is not in its lists."""
    ranks: dict[tuple[Measure, By], Scores] = {(measure, by): [] for measure in MEASURES for by in By}
    means: dict[Measure, Scores] = {measure: [] for measure in MEASURES}
    columns = [(ranks[measure, By.STDDEV], ranks[measure, By.CV], means[measure]) for measure in MEASURES]
    for metric, day, baseline in standings:
        for (stddevs, cvs, hour_means), day_moments, hour_moments in zip(columns, day, baseline, strict=True):
            moved = measure_dispersion(day_moments)
            if moved is not None:
                stddevs.append((moved.stddev, metric))
                if moved.cv is not None:
                    cvs.append((moved.cv, metric))
            average = round_mean_of(hour_moments)
            if average is not None:
                hour_means.append((average, metric))
    return Rankings(ranks, means)


def rank_one(standings: Iterable[RankInput], measure: Measure, by: By) -> Scores:
    """Return the members of one rank alone, in no order: those that `list_scores` gives."""
    index = MEASURES.index(measure)
    scores = []
    for metric, day, _ in standings:
        moved = measure_dispersion(day[index])
        value = moved and (moved.stddev if by is By.STDDEV else moved.cv)
        if value is not None:
            scores.append((value, metric))
    return scores


def collect_rank_inputs(steps: Sequence[StateUpdate], unranked: Collection[Metric] = ()) -> list[RankInput]:
    """Return what each metric is judged by after a tick; who has no sample left in the day, or is `unranked`, is left out."""
    return [
        RankInput(step.metric, step.record.day, step.baseline)
        for step in steps
        if not step.is_over and step.metric not in unranked
    ]
