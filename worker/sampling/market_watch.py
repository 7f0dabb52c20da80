"""What is known of the markets and of the sources' answers beside the samples: which source serves, and what stands still."""

from collections.abc import Callable, Collection, Mapping, Sequence

from worker.latest import Metric
from worker.latest.market import FeedAnswer, Freshness, MarketNote, SourceReading
from worker.sampling.feed_watch import FeedWatch
from worker.sampling.source_choice import RETURN_TICKS, Answers, SourceChoice, find_contested
from worker.sources.supervised import SupervisedSource

DELISTED_WORDS = ("delist", "settled")
"""What a provider's word for a market holds where it will not come back."""


class MarketWatch:
    """
    Follows the answers of all sources from tick to tick. `clock` returns unix seconds.

    A worker that starts again knows after two ticks what stands still.
    """

    def __init__(self, interval: int, clock: Callable[[], float], return_ticks: int = RETURN_TICKS) -> None:
        self.clock = clock
        self.choice = SourceChoice(return_ticks)
        self.feeds: dict[str, FeedAnswer] = {}
        """The newest answer of each source."""
        self._interval = interval
        self._watches: dict[str, FeedWatch] = {}
        self._stands: dict[Metric, MarketNote] = {}
        """How the readings that serve stand, by the newest tick; who is live is left out."""
        self._served: Mapping[Metric, str] = {}

    def choose(
        self, at: int, sources: Sequence[SupervisedSource], answers: Answers, received: Mapping[str, float]
    ) -> dict[Metric, SourceReading]:
        """Take in the answers of tick `at`, and return the reading that serves each metric."""
        for source, answer in answers.items():
            if answer:
                self.feeds[source] = FeedAnswer(at, received[source])
                self._watches.setdefault(source, FeedWatch(self._interval)).update(at, answer)
        contested = find_contested([source.metrics for source in sources])
        return self.choice.choose(answers, contested, lambda source, metric: not self._is_frozen(at, source, metric))

    def note_served(self, at: int, readings: Mapping[Metric, SourceReading]) -> None:
        """Note how the readings stand that become samples."""
        stands = {}
        for metric, heard in readings.items():
            note = self._watches[heard.source].judge(at, metric)
            if note is not None:
                stands[metric] = note
        self._stands = stands
        self._served = {metric: heard.source for metric, heard in readings.items()}

    def describe(
        self,
        at: int,
        sources: Sequence[SupervisedSource],
        delisted: Mapping[Metric, str],
        before: Mapping[Metric, MarketNote],
    ) -> dict[Metric, MarketNote]:
        """
        Return what is to be noted of markets that are not live; `before` is what was noted at the tick before.

        What a provider said of a market stays noted until every source has said what it has.
        """
        notes = dict(self._stands)
        if not all(source.is_known for source in sources):
            notes |= {
                metric: note
                for metric, note in before.items()
                if note.state in {Freshness.HALTED, Freshness.DELISTED} and metric not in self._served
            }
        for source in reversed(sources):
            for metric, word in source.closed.items():
                if self._served.get(metric, source.name) == source.name:
                    notes[metric] = _note_closed(at, source.name, word)
        notes |= {metric: MarketNote(Freshness.DELISTED, at, reason) for metric, reason in delisted.items()}
        return {metric: _keep_since(note, before.get(metric)) for metric, note in notes.items()}

    def count_states(self, notes: Mapping[Metric, MarketNote], metrics: Collection[Metric]) -> dict[str, int]:
        """Return how many metrics are in each state that can be noted."""
        counts = {state.value: 0 for state in Freshness if state not in {Freshness.DEAD, Freshness.STALE}}
        for note in notes.values():
            counts[note.state] += 1
        counts[Freshness.LIVE] = len(self._served.keys() - notes.keys())
        counts[Freshness.STALE] = len(set(metrics) - self._served.keys() - notes.keys())
        return counts

    def _is_frozen(self, at: int, source: str, metric: Metric) -> bool:
        note = self._watches[source].judge(at, metric)
        return note is not None and note.state is Freshness.FROZEN


def _note_closed(at: int, source: str, word: str) -> MarketNote:
    is_gone = any(each in word.lower() for each in DELISTED_WORDS)
    return MarketNote(Freshness.DELISTED if is_gone else Freshness.HALTED, at, f"{source} says {word}")


def _keep_since(note: MarketNote, before: MarketNote | None) -> MarketNote:
    """Return a note that is as old as what was noted before, where it says the same."""
    return note._replace(since=before.since) if before is not None and before.state is note.state else note


def list_fallbacks(
    rejected: Mapping[Metric, str], answers: Answers, choice: SourceChoice
) -> dict[Metric, SourceReading]:
    """Return the readings of the next sources in place of those that were rejected, by metric and source."""
    found = {metric: choice.choose_instead(metric, source, answers) for metric, source in rejected.items()}
    return {metric: heard for metric, heard in found.items() if heard is not None}
