"""
The metrics that no rule watches, in a backtest: nothing is judged of them, but an alert of another metric tells its
rank among all. So they are not played tick by tick: their numbers are kept, and counted when a rank is asked for.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping

from ..market.metric_state import EMPTY, SourceReading
from ..market.ranks import RankInput
from ..model import DAY, MEASURES, Measure, Metric, Reading
from ..numbers.decimals import parse_decimal
from ..numbers.moments import NOTHING, Moments
from ..rules import Kind, Rule

_READ: Mapping[Measure, Callable[[Reading], str | None]] = {
    Measure.PRICE: lambda reading: reading.price,
    Measure.VOLUME: lambda reading: reading.volume,
    Measure.INTERVAL_VOLUME: lambda reading: reading.interval_volume,
}
"""The measures that a reading has as they are sampled; the others may follow from the samples before."""
_MOST_UNCOUNTED = 2000
"""Numbers of a series that may wait to be counted, so that a long recording does not fill the memory."""


def should_play_all(rules: Iterable[Rule]) -> bool:
    """
    Return whether what rules say depends on more than the metrics that they match and on ranks of plain measures.

    A rank rule judges all metrics together, and a stale rule asks whether a source is silent as a whole.
    """
    return any(rule.kind in (Kind.RANK, Kind.STALE) or rule.measure not in _READ for rule in rules)


class UnwatchedMarket:
    """The numbers of all metrics that no rule watches, for ranks by the measures of the rules."""

    def __init__(self, measures: Iterable[Measure]) -> None:
        self._series: dict[Measure, dict[Metric, _DaySeries]] = {measure: {} for measure in measures}

    def add(self, at: int, heard: Mapping[Metric, SourceReading]) -> None:
        """Keep what was read at tick `at`, later than any before."""
        for measure, series in self._series.items():
            read = _READ[measure]
            for metric, (reading, _) in heard.items():
                value = read(reading)
                if value is not None:
                    series.setdefault(metric, _DaySeries()).add(at, value)

    def collect_inputs(self, at: int, measure: Measure) -> list[RankInput]:
        """Return what each metric is ranked by at tick `at` by one measure, and by no other."""
        index = MEASURES.index(measure)
        return [
            RankInput(metric, (*EMPTY[:index], series.count(at), *EMPTY[index + 1 :]), EMPTY)
            for metric, series in self._series[measure].items()
        ]


class _DaySeries:
    """The numbers of one measure of one metric, and the moments of those that were counted."""

    def __init__(self) -> None:
        self._ticks: list[int] = []
        self._values: list[str] = []
        self._counted = 0
        """So many of the numbers are in the moments, the first ones."""
        self._moments = NOTHING

    def add(self, at: int, value: str) -> None:
        self._ticks.append(at)
        self._values.append(value)
        if len(self._ticks) - self._counted >= _MOST_UNCOUNTED:
            self.count(at)

    def count(self, at: int) -> Moments:
        """Return the moments of (at - 24 h, at], exact, and let go of what is older."""
        left = bisect_right(self._ticks, at - DAY)
        come = self._values[max(left, self._counted) :]
        gone = self._values[: min(left, self._counted)]
        self._moments = self._moments.update(map(parse_decimal, come), map(parse_decimal, gone))
        del self._ticks[:left], self._values[:left]
        self._counted = len(self._ticks)
        return self._moments
