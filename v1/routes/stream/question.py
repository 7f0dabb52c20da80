"""What a client of a stream asks for: which metrics, which events, and by what they are ranked."""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from fnmatch import translate
from typing import NamedTuple

from ...model import By, Measure, Metric

EVERYTHING = "*"
_WILD = frozenset("*?")


class EventName(StrEnum):
    """The events that can be asked for; others tell how the stream does, and always come."""

    TICK = "tick"
    RANK = "rank"
    ALERT = "alert"


class StreamQuestion(NamedTuple):
    """What is asked for; who asks the same gets the same bytes."""

    metrics: tuple[str, ...] = (EVERYTHING,)
    """Names and patterns, in upper case, in order, each once."""
    events: frozenset[EventName] = frozenset(EventName)
    measure: Measure = Measure.PRICE
    by: By = By.STDDEV


class MetricMatcher:
    """Finds the metrics that a question is about."""

    def __init__(self, metrics: Sequence[str]) -> None:
        self._names = [name for name in metrics if not _WILD & set(name)]
        self._patterns = {name: re.compile(translate(name)) for name in metrics if _WILD & set(name)}
        self._known: Sequence[Metric] = ()
        self.matches: Sequence[Metric] = ()
        """The metrics of the last `match`, by name."""
        self.missing: Sequence[str] = ()
        """The names and patterns that matched none."""

    def match(self, known: Sequence[Metric]) -> None:
        """Find the metrics among all, which are ordered by name. The same list again costs nothing."""
        if known is self._known:
            return
        self._known, there = known, set(known)
        found = {Metric(name) for name in self._names if name in there}
        self.missing = [name for name in self._names if name not in there]
        for name, pattern in self._patterns.items():
            of_pattern = known if name == EVERYTHING else [metric for metric in known if pattern.match(metric)]
            found.update(of_pattern)
            if not of_pattern:
                self.missing.append(name)
        self.matches = sorted(found)

    def is_match(self, metric: str) -> bool:
        """Return whether a metric, or a source as a whole (`kraken:*`), is one of those that are asked for."""
        name = metric.upper()
        return name in self._names or any(pattern.match(name) for pattern in self._patterns.values())


def sort_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return names in order, each once: two questions that mean the same are the same."""
    return tuple(sorted(set(names)))
