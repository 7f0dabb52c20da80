"""What a writer remembers of the store between two ticks, so that no tick has to ask for it again. No Redis here."""

from collections.abc import Mapping, Sequence

from ..market.extremes import RangeCache
from ..market.kept_ranks import find_quarter
from ..market.market_note import NO_NOTES, FeedAnswer, MarketNote, list_unranked
from ..market.metric_state import PriorState, StateUpdate
from ..model import DAY, Metric
from ..rules import NO_SOURCE_OUTAGES, Evaluation, SourceOutages
from .count_check import CountCheck


class WriterSession:
    """The memory of one writer. It holds as long as nobody else feeds the Redis, which the lease sees to."""

    def __init__(self) -> None:
        self.known_metrics: set[Metric] = set()
        """Every metric with a sample in the day: a tick advances all of them."""
        self.outages = NO_SOURCE_OUTAGES
        """Where the rules stand at sources as a whole."""
        self.has_late_samples = False
        """Whether late samples were inserted since the last tick that was committed."""
        self.ranges = RangeCache()
        """The extremes that rules look back on."""
        self.count_check = CountCheck()
        self.recounted = 0
        """States that were recounted because they counted samples that are gone; whoever reports it sets it to 0."""
        self.recommitted = 0
        """Parts of a divided store that had forgotten ticks, which were committed again; whoever reports it sets it to 0."""
        self._ranks_kept = -1
        """The quarter of an hour of the newest tick whose places are kept."""
        self.notes: Mapping[Metric, MarketNote] = NO_NOTES
        """The markets that are not simply live; the next commit writes them."""
        self.feeds: Mapping[str, FeedAnswer] = {}
        """The newest answer of each source; the next commit writes them."""
        self.written_notes: Mapping[Metric, MarketNote] | None = None
        """The notes that the store holds; `None` while that is not known."""
        self._valid_since: int | None = None
        """States are expected to be valid at this tick or a later one; `None` while there are none."""

    def start(self, tick: int | None, metrics: set[Metric], outages: SourceOutages, ranked: int | None = None) -> None:
        """
        Begin with what the store holds: its newest tick, its metrics, where the rules stand at sources, and the newest
        tick whose places are kept.
        """
        self.ranges.clear()
        self.written_notes = None
        self.known_metrics, self.outages = metrics, outages
        self._ranks_kept = -1 if ranked is None else find_quarter(ranked)
        # Samples without a tick: a fill was cut off before the first tick. Look the whole day through.
        self._valid_since = tick if tick is not None else (0 if metrics else None)

    @property
    def unranked(self) -> frozenset[Metric]:
        """Return the metrics that are not to be ranked."""
        return list_unranked(self.notes)

    def find_oldest_state(self, at: int) -> int:
        """Return the oldest tick, up to `at`, that a state is expected to be valid at."""
        # A state older than a day counts for nothing, so there is nothing to look for before it.
        return at if self._valid_since is None else min(max(self._valid_since, at - DAY), at)

    def should_keep_ranks(self, at: int) -> bool:
        """Return whether the places of a tick are to be kept: of the first of each quarter of an hour."""
        return find_quarter(at) != self._ranks_kept

    def note_ranks_kept(self, at: int) -> None:
        """Note that the places of a tick are kept."""
        self._ranks_kept = find_quarter(at)

    def note_older_states(self, tick: int) -> None:
        """Note that there are states as old as a tick: the reads until the next commit look for them."""
        self._valid_since = tick if self._valid_since is None else min(self._valid_since, tick)

    def forget_stateless(self, metrics: Sequence[Metric], prior: Sequence[PriorState]) -> None:
        """Forget the metrics without a state: there is nothing to advance until they are heard of again."""
        self.known_metrics -= {metric for metric, each in zip(metrics, prior, strict=True) if each.record is None}

    def note_late_samples(self, metric: Metric, at: int) -> None:
        """Note that samples were inserted into the past of a metric whose state is valid at `at`."""
        self.known_metrics.add(metric)
        self.has_late_samples = True
        self.note_older_states(at)

    def advance(self, at: int, updates: Sequence[StateUpdate], evaluation: Evaluation) -> None:
        """Note that a tick was committed."""
        for update in updates:
            before = update.found.record
            self.ranges.advance(update.metric, before.at if before else None, at, update.sample)
            if update.is_over:
                self.ranges.forget(update.metric)
        advanced = {update.metric for update in updates}
        over = {update.metric for update in updates if update.is_over}
        self.known_metrics = (self.known_metrics | advanced) - over
        self.outages = SourceOutages(
            at, {source: result.states for source, result in evaluation.sources.items() if result.states}
        )
        self.written_notes = self.notes
        self._valid_since, self.has_late_samples = at, False
        if updates:
            self._ranks_kept = find_quarter(at)
