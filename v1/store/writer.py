"""
Feeds a Redis: opens ticks, inserts late samples, rewrites rankings, and writes how the worker does.

One tick is a `TickUnit`; what is remembered between two of them is a `WriterSession`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Container, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from ..market import metric_state
from ..market.metric_state import MetricState
from ..market.price_ranges import PriceRange
from ..market.ranks import RankInput, rank_all
from ..market.slots import SlotReason, begin_marks, mark_samples, trim_marks
from ..model import DAY, Metric, Sample, find_hour
from ..rules import NO_SOURCE_OUTAGES, SourceOutages, read_states
from . import commands, keys
from .alert_limits import AlertLimits
from .changes import ChangeKind, put_change, put_sample_changes
from .connection import translate_errors
from .count_check import scan_metrics
from .data_format import DataFormat
from .feeder import Feeder
from .homeward import HomewardLists
from .lease import Lease
from .places import HOME, Places
from .rank_history import read_newest_kept
from .reader import Reader
from .repair import StateRepair
from .replays import ReplayStore
from .stored_json import read_dict
from .tick_unit import TickUnit
from .writer_session import WriterSession


class Writer(Reader):
    """
    Feeds one Redis. There is one writer at a time; its `lease` sees to it.

    Reading what a tick moves out and committing the tick belong together, and so do reading a day
    and writing it back with late samples in it: `turn` is held from the one to the other.
    """

    def __init__(
        self,
        redis: Redis,
        limits: AlertLimits = AlertLimits(),  # noqa: B008  # frozen
        note_late_samples: Callable[[Metric, Sequence[int]], None] = lambda _metric, _ticks: None,
        min_coverage: float = 0,
    ) -> None:
        super().__init__(redis)
        self.limits = limits
        self.min_coverage = min_coverage
        """What part of the numbers of the most complete metric a metric must have to be ranked."""
        self.lease = Lease(redis)
        self.turn = asyncio.Lock()
        self.session = WriterSession()
        self.feeder = Feeder(redis, self.lease, self._run)
        self.homeward = HomewardLists(redis, self._run)
        self.repair = StateRepair(redis, self.feeder)
        self.replays = ReplayStore(redis)
        self._note_late_samples = note_late_samples
        """Called with the metric and the ticks of late samples that were inserted."""

    @property
    def places(self) -> Places:
        """Return how the store is divided."""
        return self.feeder.places

    @property
    def recounted(self) -> int:
        """States that were recounted because they counted samples that are gone; whoever reports it sets it to 0."""
        return self.session.recounted

    @recounted.setter
    def recounted(self, count: int) -> None:
        self.session.recounted = count

    async def open(self) -> int | None:
        """
        Learn what the store holds, and return its newest committed tick. Call before anything else.

        Raises `OtherFormat` where the data has another format.
        """
        await DataFormat(self._redis).ensure()
        restored = await self.feeder.restore_forgotten()
        self.homeward.forget()
        self.session.recommitted += len(restored)
        metrics, tick = set(await self.read_metrics()), await self.read_tick()
        if tick is not None and not metrics:
            metrics = await scan_metrics(self._redis)  # the index is lost, or there is nothing indeed
        kept = await read_newest_kept(self._redis)
        self.session.start(tick, metrics, await read_outages(self._redis), kept)
        self.session.notes = self.session.notes or await self.read_market_notes()
        if HOME in restored and tick is not None:
            await self._update_rankings(tick)
        return tick

    @asynccontextmanager
    async def open_tick(self, at: int) -> AsyncIterator[TickUnit]:
        """Open the tick `at`, and hold `turn` until it is left. What was not committed by then changes nothing."""
        async with self.turn:
            yield TickUnit(at, self)

    def make_pipeline(self) -> Pipeline:
        """Return a pipeline without a transaction around it."""
        return self._pipe()

    async def send(self, pipe: Pipeline) -> list[Any]:
        """Send a pipeline, and return the answers. Raises `StoreError`."""
        return await self._run(pipe)

    async def insert_samples(  # noqa: PLR0913  # the last two are for whoever has read the day
        self,
        metric: Metric,
        samples: Iterable[Sample],
        source: str,
        at: int,
        *,
        replace: Container[int] = (),
        known: Sequence[Sample] | None = None,
        reason: SlotReason = SlotReason.CANDLES,
        ranges: Mapping[int, PriceRange] = MappingProxyType({}),
    ) -> int:
        """
        Insert samples of the past day, and return how many were new.

        A sample that is there already stays, unless its tick is one of `replace`. What lies outside the day that ends
        at the metric's own tick (`at`, where it has none yet) is left out. One transaction.

        `known` are the samples of the day that ends at `at`, where the caller has read them already and replaces none:
        the day is then not read again, unless other samples were inserted since. Their slots are marked as filled for
        the `reason`. `ranges` are, by tick, what the candles that they were made of say of their prices.
        """
        async with self.turn:
            changes = self.feeder.open_changes()
            self.session.ranges.forget(metric)
            (record,) = await self.read_metric_states([metric])
            read_until, at = at, record.at if record else at
            held = {sample.tick: sample for sample in await self._read_day(metric, at, read_until, record, known)}
            day = [sample for sample in samples if at - DAY < sample.tick <= at]
            come = {sample.tick: sample for sample in day if sample.tick in replace or sample.tick not in held}
            changed = [sample for tick, sample in come.items() if held.get(tick) != sample]
            if not changed:
                return 0
            day = [sample for _, sample in sorted((held | come).items())]
            ticks = [sample.tick for sample in changed]
            state = _mark_filled(metric_state.recount_state(at, day, record, source), record, ticks, held, reason)
            kept = await self._join_ranges(metric, ticks, ranges)
            commands.put_late_samples(changes.choose(metric), metric, changed, held.keys(), state, kept)
            commands.put_index(changes.home, None, {metric: day[-1].tick})
            put_sample_changes(changes.home, metric, sorted({find_hour(sample.tick) for sample in changed}))
            await self.feeder.send(changes)
            self.session.note_late_samples(metric, at)
            self._note_late_samples(metric, ticks)
            return len(changed)

    async def _join_ranges(
        self, metric: Metric, ticks: Iterable[int], ranges: Mapping[int, PriceRange]
    ) -> Mapping[int, Mapping[int, PriceRange]]:
        """Return the ranges, by tick, of each hour that any come of with `ticks`: these, and those that are kept of it."""
        come = {tick: ranges[tick] for tick in ticks if tick in ranges}
        hours = sorted({find_hour(tick) for tick in come})
        kept = await self.read_hour_ranges([(metric, hour) for hour in hours]) if hours else []
        return {
            hour: known | {tick: each for tick, each in come.items() if find_hour(tick) == hour}
            for hour, known in zip(hours, kept, strict=True)
        }

    async def _read_day(
        self, metric: Metric, at: int, read_until: int, record: MetricState | None, known: Sequence[Sample] | None
    ) -> Sequence[Sample]:
        """Return the samples of the day that ends at `at`; only those after `read_until` are read where the rest is `known`."""
        if known is not None:
            since = await self.read_samples(metric, read_until, at) if read_until < at else []
            day = [sample for sample in known if at - DAY < sample.tick <= at] + since
            # The record counts every sample: where it counts as many, no others were inserted.
            if len(day) == (record.day[0].n if record else 0):
                return day
        return await self.read_samples(metric, at - DAY, at)

    async def update_rankings(self, at: int) -> None:
        """Rewrite ranks and means from the states, as of tick `at`, which becomes the newest if it is later."""
        async with self.turn:
            await self._update_rankings(at)

    async def _update_rankings(self, at: int) -> None:
        changes = self.feeder.open_changes()
        metrics = sorted(self.session.known_metrics)
        each = []
        for metric, record in zip(metrics, await self.read_metric_states(metrics), strict=True):
            if record is not None and metric not in self.session.unranked:
                newest = await self.read_samples(metric, record.at - 1, record.at)
                each.append(RankInput(metric, record.day, metric_state.compute_baseline(record, newest)))
        tick = await self.read_tick()
        commands.put_rankings(changes.derived, rank_all(each, self.min_coverage))
        is_later = tick is None or tick < at
        if is_later:
            commands.put_tick(changes.home, at, self.feeder.places.partitions)
        put_change(changes.home, ChangeKind.RANKS)
        await self.feeder.send(changes, at if is_later else None)

    async def write_source_states(
        self,
        states: Mapping[str, Mapping[str, Any]],
        unmet: Mapping[str, str] = MappingProxyType({}),
        *,
        only_budgets: bool = False,
    ) -> None:
        """
        Write the state of each source, and the wishes that none fulfils, in place of those before.

        `only_budgets` says that they are those before but for what is used of budgets, which no answer about samples has.
        """
        changes = self.feeder.open_changes()
        with changes.derived.put_together() as put:
            put.execute_command("DEL", keys.SOURCES)
            put.execute_command("DEL", keys.WISHES)
            for wish, reason in unmet.items():
                put.execute_command("HSET", keys.WISHES, wish, reason)
            for name, state in states.items():
                put.execute_command("HSET", keys.SOURCES, name, json.dumps(state))
            put_change(put, ChangeKind.BUDGETS if only_budgets else ChangeKind.SOURCES)
        await self.feeder.send(changes)

    async def write_archive_state(self, state: Mapping[str, Any]) -> None:
        """Write the state of the archive in place of the one before."""
        with translate_errors():
            await self._redis.set(keys.ARCHIVE, json.dumps(state))

    async def note_clock(self, fault: str | None) -> None:
        """Write what is wrong with the clock of this machine; `None` where nothing is."""
        with translate_errors():
            if fault is None:
                await self._redis.delete(keys.CLOCK)
            else:
                await self._redis.set(keys.CLOCK, fault, ex=keys.KEEP_CLOCK)


def _mark_filled(
    state: MetricState | None,
    before: MetricState | None,
    ticks: Collection[int],
    held: Collection[int],
    reason: SlotReason,
) -> MetricState | None:
    """Return a state with the marks of samples that were put in at `ticks`, beside those that were `held` before."""
    if state is None:
        return None
    marks = begin_marks(state.at) if before is None and not held else state.marks
    return state._replace(marks=trim_marks(mark_samples(marks, ticks, held, reason), state.at))


async def read_outages(redis: Redis) -> SourceOutages:
    """Return where the rules stand at sources as a whole; nowhere, where that is lost or cannot be read."""
    with translate_errors():
        written = await redis.get(keys.OUTAGES)
    kept = read_dict(written) or {}
    try:
        return SourceOutages(kept["at"], {source: read_states(states) for source, states in kept["sources"].items()})
    except (LookupError, TypeError, ValueError, AttributeError):
        return NO_SOURCE_OUTAGES
