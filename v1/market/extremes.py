"""
The lowest and the highest value of a window that slides, kept as samples come, so that nobody reads the window again.

A sample costs one comparison or two however long the window is: behind a higher value no lower one before it is
ever the highest again. Values of zero or below count for nothing, for no percentage is counted from them.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from ..model import Metric, Sample
from ..numbers.decimals import Number, parse_decimal, power_of_ten

Span = tuple[int, int]
"""Which measure, by its place in `MEASURES`, and over how many seconds before a tick."""


class Extreme(NamedTuple):
    """A value, and the newest tick at which it was reached."""

    tick: int
    text: str
    number: Number


class WindowRange(NamedTuple):
    """The extremes of a window."""

    lowest: Extreme
    highest: Extreme


NO_RANGES: Mapping[Span, WindowRange] = {}


class SlidingRange:
    """The extremes of one measure. Samples are added in the order of their ticks, and windows begin ever later."""

    __slots__ = ("_highs", "_lows")

    def __init__(self) -> None:
        self._lows: deque[Extreme] = deque()
        self._highs: deque[Extreme] = deque()

    def add(self, tick: int, text: str) -> None:
        new = Extreme(tick, text, parse_decimal(text))
        if new.number[0] > 0:
            _push(self._lows, new, _is_at_most)
            _push(self._highs, new, _is_at_least)

    def take_since(self, start: int) -> WindowRange | None:
        """Return the extremes from `start` on, and forget what was before; `None` where there is no value."""
        for extremes in (self._lows, self._highs):
            while extremes and extremes[0].tick < start:
                extremes.popleft()
        return WindowRange(self._lows[0], self._highs[0]) if self._lows else None


class _MetricRanges:
    """What is kept of one metric."""

    __slots__ = ("at", "looked_from", "spans")

    def __init__(self, at: int, spans: Mapping[Span, SlidingRange]) -> None:
        self.at = at
        """Every sample up to this tick is counted."""
        self.looked_from = 0
        """The last tick that somebody looked back from: nothing is known of windows before it."""
        self.spans = spans


class RangeCache:
    """
    The extremes of every metric that somebody looks back on.

    They follow from samples alone. Whoever changes samples of the past must `forget` the metric.
    """

    def __init__(self) -> None:
        self._kept: dict[Metric, _MetricRanges] = {}

    def is_known(self, metric: Metric, spans: Iterable[Span], before: int, at: int | None = None) -> bool:
        """Return whether the spans before a tick are known; of a metric whose record is valid `at`, where that is known."""
        kept = self._kept.get(metric)
        return (
            kept is not None
            and kept.looked_from <= before
            and (at is None or kept.at == at)
            and all(span in kept.spans for span in spans)
        )

    def fill(self, metric: Metric, spans: Iterable[Span], at: int, samples: Iterable[Sample]) -> None:
        """Begin anew with the samples of the longest span, oldest first; `at` is that of the metric's record."""
        made = {span: SlidingRange() for span in spans}
        for sample in samples:
            _add(made, sample)
        self._kept[metric] = _MetricRanges(at, made)

    def find_ranges(self, metric: Metric, spans: Iterable[Span], tick: int) -> dict[Span, WindowRange]:
        """Return the extremes of each span before a tick; of one without values nothing."""
        kept = self._kept[metric]
        kept.looked_from = tick
        found = {span: kept.spans[span].take_since(tick - span[1]) for span in spans}
        return {span: extremes for span, extremes in found.items() if extremes}

    def advance(self, metric: Metric, before: int | None, at: int, sample: Sample | None) -> None:
        """Take in what a tick made of a metric whose record was valid at `before`."""
        kept = self._kept.get(metric)
        if kept is None:
            return
        if kept.at != before or before == at:
            self.forget(metric)
            return
        kept.at = at
        if sample:
            _add(kept.spans, sample)

    def forget(self, metric: Metric) -> None:
        self._kept.pop(metric, None)

    def clear(self) -> None:
        self._kept.clear()


def _add(spans: Mapping[Span, SlidingRange], sample: Sample) -> None:
    for (measure, _), sliding in spans.items():
        value = sample.values[measure]
        if value is not None:
            sliding.add(sample.tick, value)


def _push(extremes: deque[Extreme], new: Extreme, outdoes: Callable[[Number, Number], bool]) -> None:
    while extremes and outdoes(new.number, extremes[-1].number):
        extremes.pop()
    extremes.append(new)


def _is_at_most(left: Number, right: Number) -> bool:
    if left[1] == right[1]:
        return left[0] <= right[0]
    return left[0] * power_of_ten(right[1]) <= right[0] * power_of_ten(left[1])


def _is_at_least(left: Number, right: Number) -> bool:
    return _is_at_most(right, left)
