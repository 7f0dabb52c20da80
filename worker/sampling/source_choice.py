"""
Which source serves a metric that several sources have: the first in the configured order that answers in time.

    first  ●  ●  ✗  ●  ●  ●  ●        ● answers, ✗ does not (or its reading stands still or cannot be so)
    second ●  ●  ●  ●  ●  ●  ●
    served 1  1  2  2  2  1  1        back at the third good tick in a row

A sample is the reading of one source alone: its price, its volumes, its time. Every source is asked at every tick, so
what it says was traded in an interval follows from its own counters at both ends, also at the tick of a switch.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import structlog

from worker.latest import Metric, Reading
from worker.latest.market import SourceReading

log = structlog.get_logger()

RETURN_TICKS = 3
"""So many good ticks in a row bring a metric back to a source that comes before the one that serves it."""

Answers = Mapping[str, Mapping[Metric, Reading]]
"""The readings of a tick by source, in the configured order."""


class SourceChoice:
    """Which source serves each metric that more than one has; remembered from tick to tick, not over a restart."""

    def __init__(self, return_ticks: int = RETURN_TICKS) -> None:
        self._return_ticks = return_ticks
        self._serving: dict[Metric, str] = {}
        self._good_ticks: dict[Metric, tuple[str, int]] = {}
        """The source that a metric may come back to, and its good ticks in a row."""

    def choose(
        self,
        answers: Answers,
        contested: set[Metric],
        is_usable: Callable[[str, Metric], bool] = lambda _source, _metric: True,
    ) -> dict[Metric, SourceReading]:
        """
        Return the reading that serves each metric; `contested` are those that more than one source lists.

        Where none of the answers of a metric `is_usable`, one that is not serves.
        """
        chosen: dict[Metric, SourceReading] = {}
        for source, answer in answers.items():
            chosen |= {
                metric: SourceReading(reading, source)
                for metric, reading in answer.items()
                if metric not in contested and metric not in chosen
            }
        before = {metric: self._serving.get(metric) for metric in contested}
        if len(answers) > 1:
            # Another source may list one of them later: it does not serve before it is good often enough.
            self._serving.update((metric, heard.source) for metric, heard in chosen.items())
        for metric in contested:
            able = [source for source, answer in answers.items() if metric in answer]
            if able:
                serving = self._pick(metric, [source for source in able if is_usable(source, metric)] or able)
                chosen[metric] = SourceReading(answers[serving][metric], serving)
        self._log_switches(before)
        return chosen

    def _log_switches(self, before: Mapping[Metric, str | None]) -> None:
        """Log from which source to which how many metrics went."""
        switched = Counter(
            (source, self._serving[metric])
            for metric, source in before.items()
            if source is not None and source != self._serving[metric]
        )
        for (source, now), number in switched.items():
            log.warning("another source serves", metrics=number, source=now, before=source)

    def choose_instead(self, metric: Metric, rejected: str, answers: Answers) -> SourceReading | None:
        """Return the reading of the next source in place of one that was `rejected`; `None` where there is none."""
        found = [source for source, answer in answers.items() if source != rejected and metric in answer]
        return SourceReading(answers[found[0]][metric], found[0]) if found else None

    def note_serving(self, metric: Metric, source: str) -> None:
        """Note that a source serves a metric although it was not chosen at first."""
        self._serving[metric] = source
        self._good_ticks.pop(metric, None)

    def _pick(self, metric: Metric, good: Sequence[str]) -> str:
        """Return which of the sources that can serves a metric from now on."""
        current, first = self._serving.get(metric), good[0]
        if current is not None and current in good and current != first:
            candidate, ticks = self._good_ticks.get(metric, (first, 0))
            ticks = ticks + 1 if candidate == first else 1
            if ticks < self._return_ticks:
                self._good_ticks[metric] = first, ticks
                return current
        self._serving[metric] = first
        self._good_ticks.pop(metric, None)
        return first


def find_contested(listed: Sequence[Sequence[Metric]]) -> set[Metric]:
    """Return the metrics that more than one source lists."""
    seen: set[Metric] = set()
    contested: set[Metric] = set()
    for metrics in listed:
        contested |= seen.intersection(metrics)
        seen.update(metrics)
    return contested
