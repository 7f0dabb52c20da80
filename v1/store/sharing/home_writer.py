"""
Feeds what lies home of a store that several workers share: hands ticks out to them, and completes each.

There is one such writer at a time, by the lease of the store. Late samples go to whoever has their partition.
"""

from collections import Counter
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from redis.asyncio import Redis

from ...market.kept_ranks import pack_ranks
from ...market.price_ranges import PriceRange
from ...market.ranks import Rankings, Scores
from ...market.slots import SlotReason
from ...model import DAY, MEASURES, By, Metric, Sample
from ...rules import Evaluation, RuleEngine, TickContext
from ...rules.engine import set_group_sizes
from .. import commands, keys
from ..acknowledged import read_acknowledged
from ..changes import ChangeKind, put_change
from ..fence import FencedCalls
from ..homeward import HomewardEntry, read_entry, take_over
from ..places import HOME, get_places
from ..rank_history import put_ranks
from ..writer import Writer
from .gathering import PUBLISHED, Gathering, PartitionResult, merge_reports
from .partition_writer import LateSamples, write_late
from .readings_log import ReadingsLog

KEEP_LATE = 3600
"""Seconds that late samples wait for whoever has their partition."""


class TickProgress(NamedTuple):
    """How far a tick is that was handed out."""

    is_there: bool
    """Whether its readings are still in the store."""
    missing: int
    """How many partitions are not committed."""


class HomeWriter(Writer):
    """The writer of a store whose partitions are fed by several workers."""

    def __init__(self, redis: Redis, *args: Any, **options: Any) -> None:
        super().__init__(redis, *args, **options)
        self.lease.has_partitions = False
        self.readings = ReadingsLog(redis)
        self.gathering = Gathering(redis, self._run)
        self._seen: dict[str, set[str]] = {}
        """Of each partition, the entries of its homeward list that were taken over."""

    async def open(self) -> int | None:
        self._seen = {}
        return await super().open()

    async def read_progress(self, at: int) -> TickProgress:
        """Return how far a tick is: numbers alone, for it is looked many times a tick."""
        pipe = self._pipe()
        pipe.exists(keys.tick_readings(HOME, at))
        pipe.hlen(keys.partition_results(at))
        is_there, done = await self._run(pipe)
        return TickProgress(bool(is_there), get_places(self._redis).partitions - done)

    async def finish(self, at: int, asked_since: int, engine: RuleEngine, done: Iterable[PartitionResult]) -> None:
        """
        Complete a tick that is committed in all partitions: publish its lists, its alerts, and the tick.

        Killed in between, the next who completes it changes nothing of what is there.
        """
        async with self.turn:
            new = await self._read_homeward()
            evaluation = await self._evaluate_silence(at, asked_since, engine, new)
            changes = self.feeder.open_changes()
            self._put_alerts(changes.derived, at, new, evaluation)
            ranks = await self._read_ranks(at) if self.session.should_keep_ranks(at) else None
            await self._put_lists(changes.derived, at)
            self._put_home(changes, at, evaluation, has_alerts=bool(new) or any(evaluation.list_alerts()))
            if ranks is not None:
                put_ranks(changes.derived, at, pack_ranks(ranks))
            await self.feeder.send_home(changes, at)
            for tag, entries in new.items():
                self._seen.setdefault(tag, set()).update(written for written, _ in entries)
            self.session.advance(at, (), evaluation)
            if ranks is not None:
                self.session.note_ranks_kept(at)
            self.session.known_metrics -= {metric for each in done for metric in each.over}

    async def insert_samples(  # noqa: PLR0913  # as the writer's
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
        """Leave samples of the past day for whoever has the partition, and return how many are new."""
        (record,) = await self.read_metric_states([metric])
        read_until, at = at, record.at if record else at
        held = {sample.tick: sample for sample in await self._read_day(metric, at, read_until, record, known)}
        changed = [
            sample
            for sample in {each.tick: each for each in samples}.values()
            if at - DAY < sample.tick <= at
            and held.get(sample.tick) != sample
            and (sample.tick in replace or sample.tick not in held)
        ]
        if changed:
            replaced = {sample.tick for sample in changed if sample.tick in replace}
            kept = {sample.tick: ranges[sample.tick] for sample in changed if sample.tick in ranges}
            key = keys.readings(get_places(self._redis).find_tag(metric))
            pipe = self._pipe()
            pipe.rpush(key, write_late(LateSamples(metric, source, at, reason, replaced, changed, kept)))
            pipe.expire(key, KEEP_LATE)
            await self._run(pipe)
            self.session.known_metrics.add(metric)
            self._note_late_samples(metric, [sample.tick for sample in changed])
        return len(changed)

    async def update_rankings(self, at: int) -> None:
        """Say that ranks are to change: the next tick makes them anew, of what was inserted by then."""
        del at
        pipe = self._pipe()
        put_change(pipe, ChangeKind.RANKS)
        await self._run(pipe)

    async def _evaluate_silence(
        self, at: int, asked_since: int, engine: RuleEngine, new: Mapping[str, Sequence["_NewEntry"]]
    ) -> Evaluation:
        """Return what the rules say of sources as a whole."""
        reports = await self.gathering.read_reports(at)
        if not reports:
            return Evaluation({}, {})
        pipe = self._pipe()
        pipe.hgetall(keys.ACKNOWLEDGED)
        (acknowledged,) = await self._run(pipe)
        context = TickContext(
            at,
            (),
            lambda *_: [],
            self.session.outages,
            asked_since=asked_since,
            acknowledged=read_acknowledged(acknowledged),
        )
        evaluation = engine.evaluate_silence(context, merge_reports(reports.values()).silence)
        return set_group_sizes(evaluation, _count_messages(at, new))

    async def _read_homeward(self) -> dict[str, list["_NewEntry"]]:
        """Return what partitions have left to be done here and was not taken over, by tag."""
        tags, pipe = get_places(self._redis).list_tags(), self._pipe()
        for tag in tags:
            pipe.lrange(keys.homeward(tag), 0, -1)
        new = {}
        for tag, entries in zip(tags, await self._run(pipe), strict=True):
            seen = self._seen[tag] = self._seen.get(tag, set()) & {*entries}
            found = [_NewEntry(each, entry) for each in entries if each not in seen and (entry := read_entry(each))]
            if found:
                new[tag] = found
        return new

    def _put_alerts(
        self, calls: FencedCalls, at: int, new: Mapping[str, Sequence["_NewEntry"]], evaluation: Evaluation
    ) -> None:
        """Put what takes alerts over, each with how many messages its rule has at its tick in all partitions."""
        told = [alert for alert in evaluation.list_alerts() if alert.suppressed_by is None]
        numbers = {at: _count_messages(at, new) + Counter(alert.rule for alert in told)}
        for _, entry in (each for entries in new.values() for each in entries):
            if entry.at not in numbers:
                numbers[entry.at] = _count_messages(entry.at, new)
            take_over(calls, entry.set_group_sizes(numbers[entry.at]))

    async def _put_lists(self, calls: FencedCalls, at: int) -> None:
        """Put what has the next lists of a tick take the place of those before, as one, unless they have."""
        if PUBLISHED in await self.gathering.read_staged(at):
            return
        lists = [*commands.list_rankings(_NO_RANKINGS)]
        pipe = self._pipe()
        for key in lists:
            pipe.zcard(keys.next_list(key, at))
        found = await self._run(pipe)
        with calls.put_together() as put:
            for key, count in zip(lists, found, strict=True):
                aside = keys.next_list(key, at)
                if count > 1:
                    put.execute_command("ZREM", aside, commands.NEVER_PACKED)
                    put.execute_command("EXPIRE", aside, keys.KEEP_DERIVED)
                    put.execute_command("RENAME", aside, key)
                else:
                    put.execute_command("DEL", key)
            put.execute_command("HSET", keys.score_parts(at), PUBLISHED, "")

    def _put_home(self, changes: Any, at: int, evaluation: Evaluation, *, has_alerts: bool) -> None:
        home, limits, session = changes.home, self.limits, self.session
        if evaluation.sources or session.outages.sources:
            commands.put_source_states(home, at, evaluation.sources, limits, is_divided=True)
        if has_alerts:
            commands.put_alert_trim(home, at, limits)
        commands.put_index(home, at, {})
        commands.put_market_notes(home, session.notes, session.written_notes)
        commands.put_feeds(home, session.feeds)
        commands.put_tick(home, at)

    async def _read_ranks(self, at: int) -> Rankings:
        """Return the ranks of a tick that is not complete yet."""
        ranks: dict[Any, Scores] = {}
        for measure in MEASURES:
            for by in By:
                ranks[measure, by] = await self.gathering.read_scores(at, measure, by, is_complete=False)
        return _NO_RANKINGS._replace(ranks=ranks)


class _NewEntry(NamedTuple):
    """An entry of a homeward list, as it is written and as it is read."""

    text: str
    entry: HomewardEntry


_NO_RANKINGS = Rankings(
    {(measure, by): [] for measure in MEASURES for by in By},
    {measure: [] for measure in MEASURES},
    {measure: [] for measure in MEASURES},
)


def _count_messages(at: int, new: Mapping[str, Collection[_NewEntry]]) -> Counter[str]:
    """Return how many messages each rule has at a tick in the partitions."""
    entries = [each.entry for entries in new.values() for each in entries if each.entry.at == at]
    return Counter(rule for entry in entries for rule in entry.list_told_rules())
