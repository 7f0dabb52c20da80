"""Who is on top at one tick, for rules about ranks and for the text of alerts. Counted when first asked for."""

from bisect import bisect_right
from collections.abc import Mapping

from ..model import By, Measure
from ..ranks import Scored
from .conditions import Verdict
from .rule import Rule


class Places:
    """The ranks of one tick, not yet in Redis."""

    def __init__(self, scored: Scored) -> None:
        self._scored = scored
        self._values: dict[tuple[Measure, By], Mapping[str, float]] = {}
        self._sorted: dict[tuple[Measure, By], list[float]] = {}

    def place(self, measure: Measure | None, metric: str, by: By = By.STDDEV) -> tuple[int | None, int | None]:
        """Give a metric's place, 1 for the largest, and of how many; neither where it is not ranked."""
        if measure is None:
            return None, None
        value = self._of(measure, by).get(metric)
        if value is None:
            return None, None
        ascending = self._sorted[measure, by]
        return len(ascending) - bisect_right(ascending, value) + 1, len(ascending)

    def verdict(self, rule: Rule, metric: str) -> Verdict:
        """Judge a rank rule: it holds while the metric is among the first `top`."""
        rank, _ = self.place(rule.measure, metric, rule.by)
        return Verdict(rank is not None and rank <= rule.top, None if rank is None else str(rank))

    def _of(self, measure: Measure, by: By) -> Mapping[str, float]:
        values = self._values.get((measure, by))
        if values is None:
            values = {metric: value for value, metric in self._scored.ranks[measure, by]}
            self._values[measure, by] = values
            self._sorted[measure, by] = sorted(values.values())
        return values
