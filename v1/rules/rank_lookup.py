"""Who is on top at one tick, for rules about ranks and for the text of alerts. Counted when first asked for."""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..market.ranks import Scores
from ..model import By, Measure
from .rule import Rule

Ranked = Callable[[Measure, By], Scores]
"""Returns the members of one rank, in no order."""


class _SortedRank(NamedTuple):
    """One rank."""

    values: Mapping[str, float]
    ascending: list[float]


class RankLookup:
    """The ranks of one tick, not yet in Redis."""

    def __init__(self, ranked: Ranked) -> None:
        self._ranked = ranked
        self._ranks: dict[tuple[Measure, By], _SortedRank] = {}

    def find_place(self, measure: Measure, metric: str, by: By = By.STDDEV) -> tuple[int | None, int | None]:
        """Return a metric's place, 1 for the largest, and of how many; neither where it is not ranked."""
        values, ascending = self._of(measure, by)
        value = values.get(metric)
        if value is None:
            return None, None
        return len(ascending) - bisect_right(ascending, value) + 1, len(ascending)

    def is_in_top(self, rule: Rule, metric: str) -> bool:
        """Return whether a metric is among the first of a rank rule."""
        values, ascending = self._of(rule.measure, rule.by)
        value = values.get(metric)
        return value is not None and (len(ascending) <= rule.top or value >= ascending[-rule.top])

    def _of(self, measure: Measure, by: By) -> _SortedRank:
        rank = self._ranks.get((measure, by))
        if rank is None:
            values: dict[str, float] = {metric: value for value, metric in self._ranked(measure, by)}
            rank = self._ranks[measure, by] = _SortedRank(values, sorted(values.values()))
        return rank
