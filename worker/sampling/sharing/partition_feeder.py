"""Commits the ticks of the partitions that this worker has, as they are handed out."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from itertools import count
from time import monotonic
from typing import Any, NamedTuple

import structlog

from worker.latest import Metric
from worker.latest.market import StateUpdate, advance_all, mark_slots
from worker.latest.rules import Evaluation, RuleEngine, TickContext, attach_states
from worker.latest.sharing import (
    PUBLISHED,
    DueTicks,
    PartitionReport,
    PartitionResult,
    PartitionUnit,
    PartitionWriter,
    TickReadings,
    merge_reports,
    report_partition,
)
from worker.latest.store import StoreError
from worker.reporting.redis_retry import describe_trouble
from worker.sampling.rule_provider import RuleSource
from worker.sampling.tick import pause_collector

log = structlog.get_logger()

POLL_SECONDS = 0.05
"""Between two looks at whether a tick is due, or whether the other partitions are as far."""
LATE_SECONDS = 1.0
"""Between two looks at whether late samples are to be inserted."""
RETRY_SECONDS = 0.5

Sleep = Callable[[float], Awaitable[None]]


class SharesChanged(Exception):
    """The partitions of this worker are others than when the tick was begun."""


class _Missing(Exception):
    """A rule needs the ranks of all metrics, which were not read yet."""


class DueTick(NamedTuple):
    """The tick that is to be committed next, and in which partitions."""

    at: int
    tags: Sequence[str]


class PartitionFeeder:
    """
    Goes on for ever, whatever the store does: a tick that was begun and not committed is begun again.

    `newest` is the newest tick that was committed, and `behind` the partitions that are not at it.
    """

    def __init__(self, store: PartitionWriter, interval: int, rules: RuleSource, sleep: Sleep = asyncio.sleep) -> None:
        self._store = store
        self._interval = interval
        self._rules = rules
        self._sleep = sleep
        self._opened: frozenset[str] | None = None
        """The partitions that the writer knows; `None` where it must read them anew."""
        self._held: frozenset[str] = frozenset()
        """The partitions that were ours when the newest step was begun."""
        self._ticks: dict[str, int] = {}
        self._logged = ""
        self._look_at = 0.0
        """When it is looked next whether late samples are to be inserted."""

    @property
    def newest(self) -> int | None:
        """Return the newest tick that was committed."""
        return max([*self._ticks.values()], default=None)

    @property
    def behind(self) -> list[str]:
        """Return the partitions that are not at the newest tick."""
        return sorted(tag for tag in self._store.leases.held if self._ticks.get(tag) != self.newest)

    async def run(self) -> None:
        """Commit what is due, for ever."""
        while True:
            try:
                has_done = await self.process_next()
            except SharesChanged:
                has_done = True
            except StoreError as error:
                self._opened, has_done = None, self._store.leases.held != self._held
                if has_done:
                    continue  # what failed is somebody else's by now, or was not ours before
                if self._logged != (line := f"{describe_trouble(error)}, partitions wait"):
                    log.warning(line, reason=str(error))
                self._logged = line
                await self._sleep(RETRY_SECONDS)
            else:
                self._logged = ""
            if not has_done:
                await self._sleep(POLL_SECONDS)

    async def process_next(self) -> bool:
        """Do the next thing that is to be done, and return whether there was any."""
        held = self._held = self._store.leases.held
        if not held:
            self._opened = None
            return False
        if self._opened != held:
            found = await self._store.open_partitions(sorted(held))
            self._ticks = {tag: tick for tag, tick in found.committed.items() if tick is not None}
            self._opened = held
        due, ticks = await self._find_due(held)
        if due is not None:
            await self._commit(due, ticks)
            return True
        if monotonic() < self._look_at:
            return False
        has_inserted = await self._store.insert_waiting(sorted(held)) > 0
        if not has_inserted:
            self._look_at = monotonic() + LATE_SECONDS
        return has_inserted

    async def _find_due(self, held: Collection[str]) -> tuple[DueTick | None, DueTicks]:
        """
        Return the next tick of those partitions that are farthest behind, and which ticks there are.

        No partition goes beyond the tick that is to be completed next: what belongs to it can then be told again.
        """
        ticks = await self._store.readings.read_due()
        if ticks.next is None:
            last, done = ticks.complete, None
        else:
            last, done = ticks.next, await self._store.gathering.read_done(ticks.next)
        due: dict[int, list[str]] = {}
        for tag in sorted(held):
            at = self._ticks.get(tag, 0)
            following = next((tick for tick in ticks.kept if at < tick <= (last or 0)), None)
            if following is None and done is not None and at == last and tag not in done:
                following = last
            if following is not None:
                due.setdefault(following, []).append(tag)
        return (DueTick(min(due), due[min(due)]) if due else None), ticks

    async def _commit(self, due: DueTick, ticks: DueTicks) -> None:
        at, tags = due
        tick = await self._store.readings.read(at, tags)
        if tick is None:
            return
        await self._rules.refresh()
        async with self._store.open_partition_tick(at, tags) as unit:
            with pause_collector():
                await _PartitionTick(
                    self._store, self._interval, self._rules.engine, self._sleep, unit, tick, tags, ticks
                ).run()
        self._ticks |= dict.fromkeys(tags, at)


class _PartitionTick:
    """One tick of some partitions."""

    def __init__(  # noqa: PLR0913, PLR0917  # the parts of one tick
        self,
        store: PartitionWriter,
        interval: int,
        engine: RuleEngine,
        sleep: Sleep,
        unit: PartitionUnit,
        tick: TickReadings,
        tags: Sequence[str],
        ticks: DueTicks,
    ) -> None:
        self._store = store
        self._interval = interval
        self._engine = engine
        self._sleep = sleep
        self._unit = unit
        self._tick = tick
        self._tags = tags
        self._held = store.leases.held
        self._is_complete = ticks.complete is not None and tick.at <= ticks.complete
        """Whether the tick was completed before: a failover has forgotten it here."""
        self._is_published = self._is_complete
        """Whether its lists have taken the place of those before."""
        self._complete = ticks.complete

    async def run(self) -> None:
        at, store, tick = self._tick.at, self._store, self._tick.merge(self._tags)
        metrics = sorted(store.list_known(self._tags) | tick.readings.keys())
        states = await self._unit.read_states(metrics, self._engine.make_lookback)
        await self._unit.find_done_entries(self._complete)
        updates = advance_all(at, metrics, tick.readings, states)
        updates = mark_slots(at, updates, self._tick.make_evidence(self._interval, tick.absent))
        reports = self._make_reports(updates, tick.unranked)
        market = await self._gather(reports)
        rankings = self._unit.rank_part(updates, tick.unranked, market.most)
        if not self._is_complete:
            await store.gathering.put_scores(at, rankings, self._tags)
        evaluation = await self._evaluate(updates, market)
        await self._unit.commit_part(attach_states(updates, evaluation), evaluation)
        if not self._is_complete:
            newest = {each.metric: each.record.newest for each in updates if not each.is_over}
            await store.gathering.note_done(at, self._make_results(updates), newest)

    def _make_reports(self, updates: Sequence[StateUpdate], unranked: Collection[Metric]) -> dict[str, PartitionReport]:
        reports = {}
        for tag, some in self._store.divide(updates, self._tags).items():
            context = self._make_context(some, is_steady=True)
            reports[tag] = report_partition(
                self._unit.collect_inputs(some, unranked),
                len(some),
                self._engine.summarize_silence(context),
                is_late=self._unit.has_late_samples,
            )
        return reports

    async def _gather(self, reports: Mapping[str, PartitionReport]) -> PartitionReport:
        """Return what all partitions say together, once each has said it."""
        gathering, at = self._store.gathering, self._tick.at
        if not self._is_complete:
            await gathering.report(at, reports)
        while True:
            told = await gathering.read_reports(at)
            if self._is_complete or len(told) >= self._store.places.partitions:
                return merge_reports({**reports, **told}.values())
            await self._wait()

    async def _evaluate(self, updates: Sequence[StateUpdate], market: PartitionReport) -> Evaluation:
        """Return what the rules say; the ranks of all metrics are read where one asks for them."""
        ranks: dict[Any, Any] = {}
        context = self._make_context(updates, is_steady=market.is_steady)

        def find(measure: Any, by: Any) -> Any:
            if (measure, by) not in ranks:
                raise _Missing(measure, by)
            return ranks[measure, by]

        for tries in count():
            try:
                return self._engine.evaluate_part(context._replace(ranked=find), market.silence)
            except _Missing as missing:
                measure, by = missing.args
                if not tries:
                    await self._wait_until_staged()
                ranks[measure, by] = await self._store.gathering.read_scores(
                    self._tick.at, measure, by, is_complete=self._is_published
                )
        raise AssertionError

    async def _wait_until_staged(self) -> None:
        while not self._is_published:
            staged = await self._store.gathering.read_staged(self._tick.at)
            self._is_published = PUBLISHED in staged
            if len(staged) >= self._store.places.partitions:
                return
            await self._wait()

    async def _wait(self) -> None:
        """Wait for other partitions. Raises `SharesChanged` where one of them is ours meanwhile."""
        if self._store.leases.held != self._held:
            raise SharesChanged
        await self._sleep(POLL_SECONDS)

    def _make_context(self, updates: Sequence[StateUpdate], *, is_steady: bool) -> TickContext:
        asked_since = self._tick.common.asked_since
        return TickContext(
            self._tick.at,
            updates,
            lambda *_: [],
            asked_since=asked_since,
            is_steady=is_steady and self._tick.at > asked_since,
            acknowledged=self._unit.acknowledged,
        )

    def _make_results(self, updates: Sequence[StateUpdate]) -> dict[str, PartitionResult]:
        return {
            tag: PartitionResult(len(some), [each.metric for each in some if each.is_over])
            for tag, some in self._store.divide(updates, self._tags).items()
        }
