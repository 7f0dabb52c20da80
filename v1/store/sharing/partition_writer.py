"""Feeds the partitions that one of several workers has: opens their ticks, inserts their late samples."""

import json
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import structlog
from redis.asyncio import Redis

from ...market.metric_state import StateUpdate
from ...market.price_ranges import PriceRange
from ...market.ranks import Rankings, RankInput, collect_rank_inputs, rank_all
from ...market.slots import SlotReason
from ...model import Metric, Sample
from ...rules import NO_SOURCE_OUTAGES, Evaluation
from .. import commands, keys
from ..alert_limits import AlertLimits
from ..connection import Unreadable, translate_unreadable
from ..count_check import scan_metrics
from ..data_format import DataFormat
from ..feeder import Feeder
from ..homeward import KEPT_SECONDS, read_entry
from ..places import get_places
from ..repair import StateRepair
from ..tick_unit import TickUnit
from ..writer import Writer
from .gathering import Gathering
from .partition_leases import PartitionLeases
from .readings_log import ReadingsLog

log = structlog.get_logger()

LATE_AT_ONCE = 100
"""Metrics whose late samples are inserted between two looks at whether a tick is due."""


class PartitionTicks(NamedTuple):
    """Where the partitions of a worker stand."""

    committed: Mapping[str, int | None]
    """The newest tick of each, by tag."""

    def find_newest(self) -> int | None:
        """Return the newest of them."""
        return max((tick for tick in self.committed.values() if tick is not None), default=None)


class PartitionWriter(Writer):
    """
    A writer that has some partitions of a divided store, and nothing that lies home.

    Whenever another partition comes or goes, or the store was away, `open_partitions` is called before anything else.
    """

    def __init__(
        self,
        redis: Redis,
        leases: PartitionLeases,
        limits: AlertLimits = AlertLimits(),  # noqa: B008  # frozen
        min_coverage: float = 0,
    ) -> None:
        super().__init__(redis, limits, min_coverage=min_coverage)
        self.leases = self.lease = leases
        self.feeder = Feeder(redis, leases, self._run)
        self.repair = StateRepair(redis, self.feeder)
        self.gathering = Gathering(redis, self._run)
        self.readings = ReadingsLog(redis)

    async def open_partitions(self, tags: Collection[str]) -> PartitionTicks:
        """Learn what the partitions hold, and return where each stands."""
        await DataFormat(self._redis).ensure()
        self.leases.parts = tuple(sorted(tags))
        ticks = await self.read_partition_ticks(tags)
        places, wanted = get_places(self._redis), set(tags)
        metrics = set(await self.read_metrics()) or await scan_metrics(self._redis)
        ours = {metric for metric in metrics if places.find_tag(metric) in wanted}
        self.feeder.forget(ticks.committed)
        known = [tick for tick in ticks.committed.values() if tick is not None]
        oldest = min(known) if len(known) == len(ticks.committed) and known else None
        self.session.start(oldest, ours, NO_SOURCE_OUTAGES)
        return ticks

    async def read_partition_ticks(self, tags: Collection[str]) -> PartitionTicks:
        """Return the newest tick of each partition."""
        pipe = self._redis.pipeline(transaction=False)
        for tag in tags:
            pipe.get(keys.partition_tick(tag))
        found = await self._run(pipe) if tags else []
        return PartitionTicks({tag: None if tick is None else int(tick) for tag, tick in zip(tags, found, strict=True)})

    def list_known(self, tags: Collection[str]) -> set[Metric]:
        """Return the metrics of partitions that have a sample in the day."""
        places, wanted = get_places(self._redis), set(tags)
        return {metric for metric in self.session.known_metrics if places.find_tag(metric) in wanted}

    def divide(self, updates: Sequence[StateUpdate], tags: Iterable[str]) -> dict[str, list[StateUpdate]]:
        """Return the updates of each partition."""
        places = get_places(self._redis)
        by_tag: dict[str, list[StateUpdate]] = {tag: [] for tag in tags}
        for update in updates:
            by_tag[places.find_tag(update.metric)].append(update)
        return by_tag

    @asynccontextmanager
    async def open_partition_tick(self, at: int, tags: Collection[str]) -> AsyncIterator["PartitionUnit"]:
        """Open the tick `at` of some partitions, and hold `turn` until it is left."""
        async with self.turn:
            yield PartitionUnit(at, self, tags)

    async def insert_waiting(self, tags: Collection[str]) -> int:
        """Insert late samples that whoever asks the sources has left for partitions; return for how many metrics."""
        pipe = self._redis.pipeline(transaction=False)
        for tag in tags:
            pipe.lrange(keys.readings(tag), 0, LATE_AT_ONCE - 1)
        found = await self._run(pipe) if tags else []
        for tag, entries in zip(tags, found, strict=True):
            for written in entries:
                await self._insert_late(tag, written)
            if entries:
                changes = self.feeder.open_changes()
                changes.choose_partition(tag).execute_command("LTRIM", keys.readings(tag), len(entries), -1)
                await self.feeder.send(changes)
        return sum(map(len, found))

    async def _insert_late(self, tag: str, written: str) -> None:
        try:
            late = read_late(keys.readings(tag), written)
        except Unreadable as error:
            log.warning("late samples are left out", reason=str(error), partition=tag)
            return
        await self.insert_samples(
            late.metric,
            late.samples,
            late.source,
            late.at,
            replace=late.replace,
            reason=late.reason,
            ranges=late.ranges,
        )


class PartitionUnit(TickUnit):
    """A tick of some partitions, from its first read to its commit. Raises as `TickUnit` does."""

    def __init__(self, at: int, store: PartitionWriter, tags: Collection[str]) -> None:
        super().__init__(at, store)
        self._writer = store
        self._tags = tags
        self._done_entries: dict[str, int] = {}

    def rank_part(self, updates: Sequence[StateUpdate], unranked: Collection[Metric], most: Sequence[int]) -> Rankings:
        """Return the scores of these metrics, where the most complete of all has so many numbers of each measure."""
        return rank_all(collect_rank_inputs(updates, unranked), self._writer.min_coverage, most)

    def collect_inputs(self, updates: Sequence[StateUpdate], unranked: Collection[Metric]) -> list[RankInput]:
        """Return what metrics are ranked by."""
        return collect_rank_inputs(updates, unranked)

    async def commit_part(self, updates: Sequence[StateUpdate], evaluation: Evaluation) -> None:
        """Commit the tick in the partitions, each by calls that look at its lease, with its newest tick in the last."""
        changes, limits = self._changes, self._store.limits
        for tag, some in self._writer.divide(updates, self._tags).items():
            calls = changes.choose_partition(tag)
            commands.put_updates(calls, self._at, some, evaluation.metrics, limits, tag=tag)
            if self._done_entries.get(tag):
                calls.execute_command("LTRIM", keys.homeward(tag), self._done_entries[tag], -1)
        await self._store.feeder.send_partitions(changes, self._at)
        # What a failover forgets is committed again by what was handed out, which the store keeps for that.
        self._store.feeder.forget(dict.fromkeys(self._tags, self._at))
        self._session.advance(self._at, updates, evaluation)

    async def find_done_entries(self, complete: int | None) -> None:
        """Find which entries of homeward lists need not stay any longer: old ones, of ticks that are complete."""
        pipe = self._store.make_pipeline()
        for tag in self._tags:
            pipe.lrange(keys.homeward(tag), 0, -1)
        limit = min(complete or 0, self._at - KEPT_SECONDS)
        for tag, entries in zip(self._tags, await self._store.send(pipe), strict=True):
            self._done_entries[tag] = _count_first(entries, lambda at: at <= limit)


class LateSamples(NamedTuple):
    """Samples of a metric's past, for whoever has its partition."""

    metric: Metric
    source: str
    at: int
    reason: SlotReason
    replace: Collection[int]
    """Ticks of those that take the place of what is there."""
    samples: Sequence[Sample]
    ranges: Mapping[int, PriceRange]
    """By tick, what the candles that they were made of say of their prices."""


def write_late(late: LateSamples) -> str:
    """Return late samples as an entry of a partition's list."""
    samples = [[each.tick, *each.values] for each in late.samples]
    ranges = [[tick, *each] for tick, each in late.ranges.items()]
    return json.dumps([*late[:4], sorted(late.replace), samples, ranges], separators=(",", ":"))


def read_late(key: str, written: str) -> LateSamples:
    """Return the late samples of an entry. Raises `Unreadable`, with the `key`, where it is something else."""
    with translate_unreadable(key):
        metric, source, at, reason, replace, samples, ranges = json.loads(written)
        read = [Sample(tick, tuple(values)) for tick, *values in samples]
        kept = {tick: PriceRange(*each) for tick, *each in ranges}
        return LateSamples(Metric(metric), source, at, SlotReason(reason), frozenset(replace), read, kept)


def _count_first(entries: Sequence[str], is_done: Callable[[int], bool]) -> int:
    count = 0
    for written in entries:
        entry: Any = read_entry(written)
        if entry is not None and not is_done(entry.at):
            break
        count += 1
    return count
