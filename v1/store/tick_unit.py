"""One tick as a unit of work: what it reads, what it needs to know, and its commit."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import Any, NamedTuple, Protocol, cast

from redis.asyncio.client import Pipeline

from ..market.kept_ranks import pack_ranks
from ..market.metric_state import NO_LOOKBACK, Lookback, PriorState, StateUpdate
from ..market.ranks import Rankings, collect_rank_inputs, rank_all
from ..model import DAY, Metric, find_hour
from ..rules import NO_EVALUATION, Acknowledged, Evaluation, SourceOutages
from . import commands, keys
from .acknowledged import read_acknowledged
from .alert_limits import AlertLimits
from .eviction import EvictionQuery
from .feeder import Feeder
from .homeward import HomewardLists, read_entry, take_over
from .lease import Lease
from .lookback import LookbackQuery
from .rank_history import put_ranks
from .repair import StateRepair
from .stored_json import read_alerts
from .writer_session import WriterSession


class TickStore(Protocol):
    """What a tick uses of the writer that opened it."""

    lease: Lease
    feeder: Feeder
    homeward: HomewardLists
    session: WriterSession
    repair: StateRepair
    limits: AlertLimits
    min_coverage: float

    def make_pipeline(self) -> Pipeline:
        """Return a pipeline without a transaction around it."""

    async def send(self, pipe: Pipeline) -> list[Any]:
        """Send a pipeline, and return the answers. Raises `StoreError`."""


class _Reading(NamedTuple):
    """One read of the states: what came, and the questions that brought it."""

    since: int
    """The oldest tick that a state was expected to be valid at."""
    evictions: EvictionQuery
    lookbacks: LookbackQuery
    prior: list[PriorState]

    def list_behind(self, at: int) -> list[int]:
        """Return the ticks of the states that are older than expected, and not so old that they count for nothing."""
        return [each.record.at for each in self.prior if each.record and at - DAY < each.record.at < self.since]

    def list_lost(self, known: AbstractSet[Metric]) -> list[Metric]:
        """Return the metrics that should have a state and have none, or none that can be read."""
        without = [
            metric for metric, each in zip(self.evictions.metrics, self.prior, strict=True) if each.record is None
        ]
        return [metric for metric in without if metric in known or metric in self.evictions.unreadable]


class TickUnit:
    """
    The tick `at`, from its first read to its commit. `Writer.open_tick` makes it, and holds the writer's lock.

    Each method raises `StoreError`, and `LeaseLost` where somebody else has the lease.
    """

    def __init__(self, at: int, store: TickStore) -> None:
        self._at = at
        self._store = store
        self._session = store.session
        self._changes = store.feeder.open_changes()
        self._is_begun = False
        """Whether some of the metrics are at the tick already: it was cut off before."""
        self._is_index_short = False
        """Whether the index lacks metrics that are known."""
        self.acknowledged: Acknowledged = {}
        """What nothing is sent about until it is over, once the states are read."""

    @property
    def known_metrics(self) -> AbstractSet[Metric]:
        """Every metric with a sample in the day: a tick advances all of them."""
        return self._session.known_metrics

    @property
    def outages(self) -> SourceOutages:
        """Where the rules stand at sources as a whole."""
        return self._session.outages

    @property
    def unranked(self) -> AbstractSet[Metric]:
        """The metrics that are not to be ranked."""
        return self._session.unranked

    @property
    def has_late_samples(self) -> bool:
        """Whether late samples were inserted since the tick before."""
        return self._session.has_late_samples

    async def read_states(
        self, metrics: Sequence[Metric], lookback: Callable[[Metric], Lookback] = lambda _: NO_LOOKBACK
    ) -> list[PriorState]:
        """
        Return what the store holds of each metric before the tick, in order, in one round trip.

        `lookback` says which samples before the tick the alert rules ask for. A second round trip is
        needed only where the tick was begun before, where the first of those samples was not where it
        should be, or where a state was repaired: one that is lost, older than expected, or counts samples that are gone.
        """
        reading = await self._read(metrics, lookback)
        while await self._repair(metrics, reading):
            reading = await self._read(metrics, lookback)
        self._session.forget_stateless(metrics, reading.prior)
        await self._add_lookbacks(reading)
        await self._add_written(metrics, reading.prior)
        return reading.prior

    async def count_messages(self) -> Mapping[str, int]:
        """Return how many messages each rule has at this tick already: some, where the tick was cut off before."""
        if not self._is_begun:
            return {}
        await self.take_over_alerts()
        pipe = self._store.make_pipeline()
        pipe.zrange(keys.ALERTS, self._at, self._at, byscore=True)
        (written,) = await self._store.send(pipe)
        alerts = read_alerts(cast("list[str]", written))
        return Counter(alert["rule"] for alert in alerts if alert["suppressed_by"] is None)

    async def commit(
        self, updates: Sequence[StateUpdate], rankings: Rankings | None = None, evaluation: Evaluation = NO_EVALUATION
    ) -> None:
        """
        Commit the tick in one round trip: calls of some metrics each, then what is derived from all of them.

        What the alert rules say of a metric is in one call with it: no alert without its sample, and
        no sample without its alert. Without `rankings`, they are made of the updates.

        Killed in between, some metrics are at the tick and the others before it; the same tick,
        committed again, completes it and changes nothing of what is there. Each call looks at the lease: from the
        moment on in which somebody else takes it nothing is written, and `LeaseLost` is raised.
        """
        changes, feeder = self._changes, self._store.feeder
        self._put_updates(updates, evaluation)
        if feeder.places.is_divided:
            for tag, count in self._store.homeward.list_done(self._at):
                changes.choose_partition(tag).execute_command("LTRIM", keys.homeward(tag), count, -1)
            await feeder.send_partitions(changes, self._at)
            await self.take_over_alerts()
        self._put_rest(updates, rankings or self.rank(updates), evaluation)
        await feeder.send_home(changes, self._at)
        self._session.advance(self._at, updates, evaluation)
        await feeder.forget_replicated(self._at)

    async def take_over_alerts(self) -> None:
        """Take over what alerts of a divided store have left in their partitions."""
        homeward, feeder = self._store.homeward, self._store.feeder
        new = await homeward.read_new()
        changes = feeder.open_changes()
        for written in chain.from_iterable(new.values()):
            entry = read_entry(written)
            if entry is not None:
                take_over(changes.derived, entry)
        await feeder.send_home(changes)
        homeward.note_taken(new, self._at)

    def rank(self, updates: Sequence[StateUpdate]) -> Rankings:
        """Return the rankings after the tick."""
        return rank_all(collect_rank_inputs(updates, self.unranked), self._store.min_coverage)

    async def _read(self, metrics: Sequence[Metric], lookback: Callable[[Metric], Lookback]) -> _Reading:
        since = self._session.find_oldest_state(self._at)
        evictions = EvictionQuery(self._at, since, metrics)
        lookbacks = LookbackQuery(self._at, metrics, lookback, self._session.ranges)
        pipe = self._store.make_pipeline()
        self._store.feeder.put_tick_reads(pipe)
        pipe.get(keys.LEASE)
        pipe.zcard(keys.METRICS)
        pipe.hgetall(keys.ACKNOWLEDGED)
        evictions.put_commands(pipe)
        lookbacks.put_commands(pipe)
        answers = iter(await self._store.send(pipe))
        self._store.feeder.check_ticks(answers)
        self._store.lease.check_holder(next(answers))
        self._is_index_short = next(answers) < len(self._session.known_metrics)
        self.acknowledged = read_acknowledged(next(answers))
        prior = evictions.read_answers(answers)
        lookbacks.read_answers(answers)
        return _Reading(since, evictions, lookbacks, prior)

    async def _repair(self, metrics: Sequence[Metric], reading: _Reading) -> bool:
        """Repair states that are not as expected; return whether any was, so that they must be read again."""
        behind = reading.list_behind(self._at)
        if behind:
            # Left there by a fill that began ticks ago, or by a worker that was cut off: read as far back as they are.
            self._session.note_older_states(min(behind))
            return True
        lost = reading.list_lost(self._session.known_metrics)
        if await self._store.repair.recount_lost(lost, reading.since):
            return True
        chosen = self._session.count_check.choose(max(0, self._at - reading.since), metrics, reading.prior)
        recounted = await self._store.repair.recount_miscounted(chosen)
        self._session.recounted += recounted
        return recounted > 0

    async def _add_lookbacks(self, reading: _Reading) -> None:
        """Add to the states what the rules look back on; read the rest of it where that is not all there."""
        states, lookbacks, prior = [each.record for each in reading.prior], reading.lookbacks, reading.prior
        if lookbacks.is_incomplete(states):
            pipe = self._store.make_pipeline()
            lookbacks.put_commands(pipe)
            lookbacks.read_answers(iter(await self._store.send(pipe)))
        for index, samples in lookbacks.list_samples():
            prior[index] = prior[index]._replace(recent=samples)
        for index, extremes in lookbacks.list_extremes(states):
            prior[index] = prior[index]._replace(extremes=extremes)

    async def _add_written(self, metrics: Sequence[Metric], prior: list[PriorState]) -> None:
        """Add the sample of this tick to the states that are at the tick already."""
        again = [index for index, each in enumerate(prior) if each.record and each.record.at == self._at]
        self._is_begun = bool(again)
        if not again:
            return
        pipe, hour = self._store.make_pipeline(), find_hour(self._at)
        for index in again:
            pipe.zrange(keys.samples(metrics[index], hour), self._at, self._at, byscore=True)
        for index, members in zip(again, await self._store.send(pipe), strict=True):
            written = next(iter(keys.parse_all(hour, members)), None)
            prior[index] = prior[index]._replace(written=written)

    def _put_updates(self, updates: Sequence[StateUpdate], evaluation: Evaluation) -> None:
        """Put all metrics, and what the rules say of them."""
        limits, places, changes = self._store.limits, self._store.feeder.places, self._changes
        if not places.is_divided:
            commands.put_updates(changes.home, self._at, updates, evaluation.metrics, limits)
            return
        by_tag: dict[str, list[StateUpdate]] = {tag: [] for tag in places.list_tags()}
        for update in updates:
            by_tag[places.find_tag(update.metric)].append(update)
        for tag, some in by_tag.items():
            commands.put_updates(changes.choose_partition(tag), self._at, some, evaluation.metrics, limits, tag=tag)

    def _put_rest(self, updates: Sequence[StateUpdate], rankings: Rankings, evaluation: Evaluation) -> None:
        """Put all sources and what the rules say of them, what follows from all metrics, and the tick."""
        limits, home, derived = self._store.limits, self._changes.home, self._changes.derived
        if evaluation.sources or self.outages.sources:
            is_divided = self._store.feeder.places.is_divided
            commands.put_source_states(home, self._at, evaluation.sources, limits, is_divided=is_divided)
        if any(evaluation.list_alerts()):
            commands.put_alert_trim(home, self._at, limits)
        newest = {each.metric: each.record.newest for each in updates if each.sample or self._is_index_short}
        commands.put_index(home, self._at, newest)
        commands.put_rankings(derived, rankings)
        if updates and self._session.should_keep_ranks(self._at):
            put_ranks(derived, self._at, pack_ranks(rankings))
        commands.put_market_notes(home, self._session.notes, self._session.written_notes)
        commands.put_feeds(home, self._session.feeds)
        commands.put_tick(home, self._at, self._store.feeder.places.partitions)
