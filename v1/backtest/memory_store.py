"""
A store without Redis, for trying rules on history: it finds and commits what `store.Writer` does, in this
process and for as long as it lives. Ticks come in order, each once.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence

from ..market.extremes import NO_RANGES, RangeCache, Span, WindowRange
from ..market.metric_state import NO_LOOKBACK, Lookback, MetricState, PriorState, StateUpdate
from ..model import DAY, HOUR, Metric, Sample
from ..rules import NO_SOURCE_OUTAGES, Evaluation, SourceOutages

_TRIM = 1000
"""Samples that may have left the day before they are let go of, so that it is not done at each."""


class _MemorySeries:
    """The samples of one metric, and the record that follows from them."""

    def __init__(self) -> None:
        self.record: MetricState | None = None
        self._ticks: list[int] = []
        self._samples: list[Sample] = []
        self._left_day = 0
        """So many samples have left the day."""

    def read_state(self, metric: Metric, at: int, look: Lookback, ranges: RangeCache) -> PriorState:
        if self.record is None:
            return PriorState(None)
        leaving_day = self._samples[self._left_day : bisect_right(self._ticks, at - DAY)]
        leaving_hour = self._samples[
            bisect_left(self._ticks, self.record.at - HOUR) : bisect_left(self._ticks, at - HOUR)
        ]
        extremes = self._extremes(metric, at, look, self.record, ranges) if look.extremes_of else NO_RANGES
        return PriorState(self.record, leaving_day, leaving_hour, None, self._recent(at, look), extremes)

    def _extremes(
        self, metric: Metric, at: int, look: Lookback, record: MetricState, ranges: RangeCache
    ) -> Mapping[Span, WindowRange]:
        spans = look.extremes_of
        if not ranges.is_known(metric, spans, at, record.at):
            since = bisect_left(self._ticks, at - max(seconds for _, seconds in spans))
            ranges.fill(metric, spans, record.at, self._samples[since:])
        return ranges.find_ranges(metric, spans, at)

    def _recent(self, at: int, look: Lookback) -> Sequence[Sample]:
        if look is NO_LOOKBACK:
            return ()
        since = bisect_left(self._ticks, at - look.all_of)
        firsts = {bisect_left(self._ticks, at - seconds) for seconds in look.first_of}
        return [*[self._samples[first] for first in sorted(firsts) if first < since], *self._samples[since:]]

    def commit(self, step: StateUpdate) -> None:
        self.record = step.record
        if step.sample:
            self._ticks.append(step.sample.tick)
            self._samples.append(step.sample)
        self._left_day = bisect_right(self._ticks, step.record.at - DAY)
        if self._left_day > _TRIM:
            del self._ticks[: self._left_day], self._samples[: self._left_day]
            self._left_day = 0


class MemoryStore:
    """Everything of every metric."""

    def __init__(self) -> None:
        self.outages: SourceOutages = NO_SOURCE_OUTAGES
        self._series: dict[Metric, _MemorySeries] = {}
        self._ranges = RangeCache()

    @property
    def known_metrics(self) -> set[Metric]:
        """Every metric with a sample in the day."""
        return set(self._series)

    def read_states(self, at: int, metrics: Sequence[Metric], look: Callable[[Metric], Lookback]) -> list[PriorState]:
        """Return what is held of each metric before tick `at`, in order."""
        return [
            series.read_state(metric, at, look(metric), self._ranges)
            if (series := self._series.get(metric))
            else PriorState(None)
            for metric in metrics
        ]

    def commit(self, at: int, steps: Sequence[StateUpdate], judged: Evaluation) -> None:
        """Keep what the tick made; the steps have the states of the rules in their records."""
        for step in steps:
            before = step.found.record
            self._ranges.advance(step.metric, before.at if before else None, at, step.sample)
            if step.is_over:
                self._series.pop(step.metric, None)
                self._ranges.forget(step.metric)
            else:
                self._series.setdefault(step.metric, _MemorySeries()).commit(step)
        self.outages = SourceOutages(
            at, {source: said.states for source, said in judged.sources.items() if said.states}
        )
