"""
What a tick says of all metrics together: how much each moves, and its hour mean. Pure: the order itself is left to
the sorted sets, which keep it, and the place of one metric is read from them (`store.ranks`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import ceil
from typing import NamedTuple

from ..model import MEASURES, By, Measure, Metric
from ..numbers.moments import measure_dispersion, round_mean_of
from .metric_state import StateUpdate, Window

Scores = list[tuple[float, Metric]]
_NONE = (0,) * len(MEASURES)


class RankInput(NamedTuple):
    """What a metric is judged by: the moments of its day, and of the hour before the tick."""

    metric: Metric
    day: Window
    baseline: Window


class Rankings(NamedTuple):
    """The members of every rank and of every list of means, in no order."""

    ranks: dict[tuple[Measure, By], Scores]
    means: dict[Measure, Scores]
    unranked: Mapping[Measure, Scores] = {}
    """Who has too few numbers of a measure to be ranked by it, each with how many."""

    def list_scores(self, measure: Measure, by: By) -> Scores:
        return self.ranks[measure, by]


def rank_all(standings: Iterable[RankInput], min_coverage: float = 0, most: Sequence[int] | None = None) -> Rankings:
    """
    Judge every metric by every measure. Who has no number of a measure is not in its lists.

    Who has less than `min_coverage` (0 to 1) of as many numbers as the metric with most of them has no rank: its deviation
    is one of another time than that of the others. How many the most complete metric has is counted, unless `most` says
    it of each measure: then these are some of all metrics.
    """
    inputs = [*standings]
    fewest = [ceil(min_coverage * count) for count in most or count_most(inputs)] if min_coverage else _NONE
    unranked: dict[Measure, Scores] = {measure: [] for measure in MEASURES}
    ranks: dict[tuple[Measure, By], Scores] = {(measure, by): [] for measure in MEASURES for by in By}
    means: dict[Measure, Scores] = {measure: [] for measure in MEASURES}
    columns = [
        (ranks[measure, By.STDDEV], ranks[measure, By.CV], means[measure], few, unranked[measure])
        for measure, few in zip(MEASURES, fewest, strict=True)
    ]
    for metric, day, baseline in inputs:
        for (stddevs, cvs, hour_means, few, left_out), day_moments, hour_moments in zip(
            columns, day, baseline, strict=True
        ):
            moved = measure_dispersion(day_moments)
            if moved is not None and day_moments.n < few:
                left_out.append((day_moments.n, metric))
            elif moved is not None:
                stddevs.append((moved.stddev, metric))
                if moved.cv is not None:
                    cvs.append((moved.cv, metric))
            average = round_mean_of(hour_moments)
            if average is not None:
                hour_means.append((average, metric))
    return Rankings(ranks, means, unranked)


def count_most(inputs: Sequence[RankInput]) -> list[int]:
    """Return how many numbers of each measure the metric with most of them has."""
    return [max((each.day[place].n for each in inputs), default=0) for place in range(len(MEASURES))]


def _find_fewest(inputs: Iterable[RankInput], place: int, min_coverage: float) -> int:
    """Return how many numbers of a measure a metric must have to be ranked by it."""
    return ceil(min_coverage * max((each.day[place].n for each in inputs), default=0))


def rank_one(standings: Iterable[RankInput], measure: Measure, by: By, min_coverage: float = 0) -> Scores:
    """Return the members of one rank alone, in no order: those that `list_scores` gives."""
    index, inputs = MEASURES.index(measure), [*standings]
    few = _find_fewest(inputs, index, min_coverage)
    scores = []
    for metric, day, _ in inputs:
        if day[index].n < few:
            continue
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
