"""Why metrics have no reading at a tick, and why ticks were left out: what the marks of slots are made of."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from worker.latest import DAY, Metric
from worker.latest.market import SlotMark, SlotReason, SourceReading, TickEvidence
from worker.sources.supervised import SupervisedSource


class SourceAbsence(NamedTuple):
    """How a source did at a tick."""

    name: str
    metrics: frozenset[Metric]
    """Those that it gives as long as it answers."""
    reason: SlotReason
    """Why it has no reading of one of them."""
    listed: frozenset[Metric] = frozenset()
    """All that it has; of some, another source comes before it."""


class TickAbsences(NamedTuple):
    """Why any metric that has no reading at a tick has none."""

    sources: Sequence[SourceAbsence] = ()
    rejected: frozenset[Metric] = frozenset()
    """Metrics of which a reading was left out."""
    otherwise: SlotReason = SlotReason.NOT_ASKED
    """The reason of a metric that belongs to none of the sources."""

    def explain(self, metric: Metric, source: str) -> SlotReason:
        """
        Return why a metric has no reading; `source` gave its newest sample, and should have given this one.

        Where it has the metric no more, the first that has it should have.
        """
        if metric in self.rejected:
            return SlotReason.REJECTED
        for each in self.sources:
            if each.name == source and metric in each.listed:
                return each.reason
        for each in self.sources:
            if metric in each.metrics:
                return each.reason
        # A source that has not answered since the start has not said yet what it has.
        names = source, metric.partition(":")[0].lower()
        return next((each.reason for each in self.sources if each.name in names), self.otherwise)


def note_absences(sources: Iterable[SupervisedSource]) -> TickAbsences:
    """Return how sources did at the tick that they were just asked for."""
    return TickAbsences(
        [
            SourceAbsence(
                source.name,
                source.owned or frozenset(),
                source.absence or SlotReason.NOT_GIVEN,
                frozenset(source.metrics),
            )
            for source in sources
        ],
        frozenset().union(*[source.list_rejected() for source in sources if source.absence is None]),
    )


class AbsenceLog:
    """
    What is known of the ticks of a day: those that wait, those that were committed, for a store may lose them again, and
    those that never will be.

    It is kept in memory alone: of ticks that a worker before this one left in its files, nothing is known.
    """

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._most = DAY // interval
        self._absences: dict[int, TickAbsences] = {}
        self._skipped: dict[int, SlotReason] = {}
        self._given: AbstractSet[Metric] = frozenset()
        """The metrics of the newest tick that had any."""

    def note_tick(self, at: int, absences: TickAbsences) -> None:
        """Note how the sources did at a tick that is to be committed."""
        last = next(reversed(self._absences.values()), None)
        # What is the same from tick to tick is kept once: it names every metric.
        self._absences[at] = last if last is not None and absences == last else absences
        if len(self._absences) > self._most:
            del self._absences[next(iter(self._absences))]

    def note_skipped(self, at: int, reason: SlotReason) -> None:
        """Note that a tick will not be committed, and why."""
        self._absences.pop(at, None)
        self._skipped[at] = reason
        if len(self._skipped) > self._most:
            del self._skipped[next(iter(self._skipped))]

    def describe_tick(self, at: int, previous: int, is_late: Callable[[], bool]) -> TickEvidence:
        """Return what is known of tick `at` and of the slots since the tick `previous`, which is 0 before the first."""
        return TickEvidence(
            self._interval, previous or None, self.find_absences(at).explain, self._list_skipped(previous, at), is_late
        )

    def find_absences(self, at: int) -> TickAbsences:
        """Return how the sources did at a tick."""
        return self._absences.get(at) or TickAbsences(otherwise=SlotReason.NOT_RECORDED)

    def find_returned(self, readings: Mapping[Metric, SourceReading]) -> dict[str, list[Metric]]:
        """Return the metrics that a tick has and the tick before it had not, by source; none at the first tick."""
        returned: dict[str, list[Metric]] = {}
        for metric in readings.keys() - self._given if self._given else ():
            returned.setdefault(readings[metric].source, []).append(metric)
        self._given = readings.keys() or self._given
        return returned

    def _list_skipped(self, previous: int, at: int) -> list[SlotMark]:
        """Return the slots between two ticks, in runs: those of which no reason was noted had no worker."""
        if not previous:
            return []
        # What was read and is not in the store was pushed out of the buffer, or lost by the store.
        noted: Mapping[int, SlotReason] = self._skipped | dict.fromkeys(self._absences, SlotReason.DROPPED)
        first = max(previous, at - DAY) // self._interval * self._interval + self._interval
        joined: list[SlotMark] = []
        for tick in range(first, at, self._interval):
            reason = noted.get(tick, SlotReason.NOT_RUNNING)
            if joined and joined[-1].reason is reason:
                joined[-1] = joined[-1]._replace(last=tick)
            else:
                joined.append(SlotMark(tick, tick, reason))
        return joined
