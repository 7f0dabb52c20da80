"""What the worker does to the store: moves metrics on a tick, takes in late samples, says who feeds it."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from .. import keys
from ..market import metric_state
from ..market.extremes import RangeCache
from ..market.metric_state import NO_LOOKBACK, Lookback, MetricState, PriorState, StateUpdate
from ..market.ranks import Rankings, RankInput, Scores, collect_rank_inputs, rank_all
from ..model import DAY, Metric, Sample
from ..rules import NO_EVALUATION, NO_SOURCE_OUTAGES, NOTHING_SAID, Evaluation, SourceOutages, read_states
from . import commands
from .commands import AlertLimits
from .connection import translate_errors
from .count_check import CountCheck, list_wrong, put_counts, scan_metrics
from .data_format import DataFormat
from .eviction import EvictionQuery
from .lease import LeaseHolder, awake_or_not
from .lookback import LookbackQuery
from .stored_json import read_alerts, read_dict


class Writer(LeaseHolder):
    """
    Feeds one Redis. There is one writer at a time; `lease` sees to it.

    Reading what a tick moves out and committing the tick belong together, and so do reading a day
    and writing it back with late samples in it: hold `turn` from the one to the other.
    """

    def __init__(
        self,
        redis: Redis,
        limits: AlertLimits = AlertLimits(),  # noqa: B008  # frozen
        clock: Callable[[], float] = awake_or_not,
    ) -> None:
        super().__init__(redis, clock)
        self.turn = asyncio.Lock()
        self.known_metrics: set[Metric] = set()
        """Every metric with a sample in the day: a tick moves all of them on."""
        self._since: int | None = None
        """Records are expected to be valid at this tick or a later one; `None` while there are none."""
        self._ranges = RangeCache()
        """What rules look back on, kept between ticks."""
        self.limits = limits
        self.outages = NO_SOURCE_OUTAGES
        self.late_hours: dict[int, set[Metric]] = {}
        """Which hours late samples were put into, of which metrics. Who looks after that takes them out."""
        self.recounted = 0
        """Records that were counted anew because samples were gone that they counted. Who tells of it sets it to 0."""
        self._counting = CountCheck()
        self._is_index_short = False
        """Whether the index lacks metrics that are known."""
        self.has_late_samples = False
        """Whether late samples were put in since the last tick that was committed."""

    async def open(self) -> int | None:
        """
        Learn what is there already, and return the newest committed tick. Call before anything else.

        Raises `OtherFormat` where the data has another format.
        """
        await DataFormat(self._redis).ensure()
        self._ranges.clear()
        self.known_metrics, tick = set(await self.read_metrics()), await self.read_tick()
        if tick is not None and not self.known_metrics:
            self.known_metrics = await scan_metrics(self._redis)  # the index is lost, or there is nothing indeed
        # Samples without a tick: a fill was cut off before the first tick. Look the whole day through.
        self._since = tick if tick is not None else (0 if self.known_metrics else None)
        with translate_errors():
            outages = await self._redis.get(keys.OUTAGES)
        self.outages = _read_outages(outages)
        return tick

    async def read_states(
        self, at: int, metrics: Sequence[Metric], look: Callable[[Metric], Lookback] = lambda _: NO_LOOKBACK
    ) -> list[PriorState]:
        """
        Return what the store holds of each metric before tick `at`, in order, in one round trip.

        `look` says which samples before the tick the alert rules ask for. A second round trip is
        needed only where the tick was written before, where a record is older than expected, or where
        the first of those samples was not where it should be. Raises `StoreError` where somebody else
        has the lease.
        """
        # A record older than a day counts for nothing, so there is nothing to look for before it.
        since = at if self._since is None else min(max(self._since, at - DAY), at)
        leaving, recent = EvictionQuery(at, since, metrics), LookbackQuery(at, metrics, look, self._ranges)
        pipe = self._pipe()
        pipe.get(keys.LEASE)
        pipe.zcard(keys.METRICS)
        leaving.put_commands(pipe)
        recent.put_commands(pipe)
        answers = iter(await self._run(pipe))
        self.check_holder(next(answers))
        self._is_index_short = next(answers) < len(self.known_metrics)
        found = leaving.read_answers(answers)
        if await self._repair_states(at, since, leaving, found) or await self._counts_wrong(at, since, metrics, found):
            return await self.read_states(at, metrics, look)
        # Without a record there is nothing to move, until the metric is heard of again.
        self.known_metrics -= {metric for metric, each in zip(metrics, found, strict=True) if each.record is None}
        recent.read_answers(answers)
        found_records = [each.record for each in found]
        if recent.is_incomplete(found_records):
            pipe = self._pipe()
            recent.put_commands(pipe)
            recent.read_answers(iter(await self._run(pipe)))
        for index, samples in recent.list_samples():
            found[index] = found[index]._replace(recent=samples)
        for index, extremes in recent.extremes(found_records):
            found[index] = found[index]._replace(extremes=extremes)
        return await self._with_written(at, metrics, found)

    async def _repair_states(self, at: int, since: int, leaving: EvictionQuery, found: Sequence[PriorState]) -> bool:
        """Return whether records are not what was expected, and mend that, so that the next look finds them so."""
        behind = [each.record.at for each in found if each.record and at - DAY < each.record.at < since]
        if behind:
            # Left there by a fill that began ticks ago, or by a worker that was cut off: look as far back as they are.
            self._since = min(behind)
            return True
        lost = [metric for metric, each in zip(leaving.metrics, found, strict=True) if each.record is None]
        return bool(
            await self._recount_states(
                [each for each in lost if each in self.known_metrics or each in leaving.unreadable], since
            )
        )

    async def _counts_wrong(self, at: int, since: int, metrics: Sequence[Metric], found: Sequence[PriorState]) -> bool:
        """Return whether records count samples that are gone, and count those anew."""
        chosen = self._counting.choose(max(0, at - since), metrics, found)
        pipe, recounted = self._pipe(), 0
        put_counts(pipe, chosen)
        for metric, record in list_wrong(chosen, await self._run(pipe)):
            day = await self.read_samples(metric, record.at - DAY, record.at)
            right = metric_state.recount_state(record.at, day, record, record.source)
            if not metric_state.are_same_states(record, right):
                await self._put(metric, right)
                recounted += 1
        self.recounted += recounted
        return recounted > 0

    async def _put(self, metric: Metric, record: MetricState | None) -> None:
        """Put a record in place of the one that is there; `None`: take that away."""
        with translate_errors():
            if record is None:
                await self._redis.delete(keys.moments(metric))
            else:
                await self._redis.set(keys.moments(metric), metric_state.write_state(record), ex=keys.KEEP)

    async def _recount_states(self, metrics: Sequence[Metric], at: int) -> int:
        """Make the records of metrics that lost theirs anew, out of their samples; return how many there were."""
        recounted = 0
        for metric in metrics:
            record = metric_state.recount_state(at, await self.read_samples(metric, at - DAY, at), None, "")
            await self._put(metric, record)
            recounted += record is not None
        return recounted

    async def _with_written(self, at: int, metrics: Sequence[Metric], found: list[PriorState]) -> list[PriorState]:
        again = [index for index, each in enumerate(found) if each.record and each.record.at == at]
        if again:
            pipe, hour = self._pipe(), keys.find_hour(at)
            for index in again:
                pipe.zrange(keys.samples(metrics[index], hour), at, at, byscore=True)
            for index, members in zip(again, await self._run(pipe), strict=True):
                written = next(iter(keys.parse_all(hour, members)), None)
                found[index] = found[index]._replace(written=written)
        return found

    async def commit(
        self, at: int, steps: Sequence[StateUpdate], scored: Rankings | None = None, judged: Evaluation = NO_EVALUATION
    ) -> None:
        """
        Commit a tick in one round trip: one transaction a metric, then what is derived from all of them.

        What the alert rules say of a metric is in its transaction: no alert without its sample, and
        no sample without its alert.

        Killed in between, some metrics are at the tick and the others before it; the same tick,
        committed again, completes it and changes nothing of what is there. Raises `StoreError`, and writes
        nothing, where somebody else has the lease by now.
        """
        pipe = self._pipe()
        for step in steps:
            commands.put_update(pipe, at, step, judged.metrics.get(step.metric, NOTHING_SAID), self.limits)
        if judged.sources or self.outages.sources:
            commands.put_source_states(pipe, at, judged.sources, self.limits)
        if any(judged.list_alerts()):
            commands.put_alert_trim(pipe, at, self.limits)
        newest = {step.metric: step.record.newest for step in steps if step.sample or self._is_index_short}
        self._index(pipe, at, newest)
        commands.put_rankings(pipe, scored or rank_all(collect_rank_inputs(steps)))
        commands.put_tick(pipe, at)
        await self.check_lease()
        commands.raise_inner_error(await self._run(pipe))
        self._move_ranges(at, steps)
        moved = {step.metric for step in steps}
        gone = {step.metric for step in steps if step.is_over}
        self._since, self.has_late_samples = at, False
        self.outages = SourceOutages(
            at, {source: said.states for source, said in judged.sources.items() if said.states}
        )
        self.known_metrics = (self.known_metrics | moved) - gone

    def _move_ranges(self, at: int, steps: Sequence[StateUpdate]) -> None:
        for step in steps:
            before = step.found.record
            self._ranges.advance(step.metric, before.at if before else None, at, step.sample)
            if step.is_over:
                self._ranges.forget(step.metric)

    async def count_messages(self, at: int) -> Counter[str]:
        """Return how many messages each rule has at tick `at` already: some, where the tick was cut off."""
        with translate_errors():
            written = await self._redis.zrange(keys.ALERTS, at, at, byscore=True)
        alerts = read_alerts(cast("list[str]", written))
        return Counter(alert["rule"] for alert in alerts if alert["suppressed_by"] is None)

    async def insert_samples(
        self, metric: Metric, samples: Iterable[Sample], source: str, at: int, *, replace: Container[int] = ()
    ) -> int:
        """
        Take in samples of the past day, and return how many were new.

        A sample that is there already stays, unless its tick is one of `replace`. What lies outside the day that ends
        at the metric's own tick (`at`, where it has none yet) is not taken. One transaction.
        """
        async with self.turn:
            self._ranges.forget(metric)
            (record,) = await self.read_metric_states([metric])
            at = record.at if record else at
            held = {sample.tick: sample for sample in await self.read_samples(metric, at - DAY, at)}
            come = {
                sample.tick: sample
                for sample in samples
                if at - DAY < sample.tick <= at and (sample.tick in replace or sample.tick not in held)
            }
            changed = [sample for tick, sample in come.items() if held.get(tick) != sample]
            if not changed:
                return 0
            day = [sample for _, sample in sorted((held | come).items())]
            pipe = self._pipe()
            commands.put_late_samples(
                pipe, metric, changed, held.keys(), metric_state.recount_state(at, day, record, source)
            )
            self._index(pipe, None, {metric: day[-1].tick})
            await self.check_lease()
            commands.raise_inner_error(await self._run(pipe))
            self.known_metrics.add(metric)
            for sample in changed:
                self.late_hours.setdefault(keys.find_hour(sample.tick), set()).add(metric)
            self.has_late_samples = True
            self._since = at if self._since is None else min(self._since, at)
            return len(changed)

    async def update_rankings(self, at: int) -> None:
        """Rewrite ranks and means from the records, as of tick `at`, which becomes the newest if it is."""
        async with self.turn:
            metrics = sorted(self.known_metrics)
            each = []
            for metric, record in zip(metrics, await self.read_metric_states(metrics), strict=True):
                if record is not None:
                    newest = await self.read_samples(metric, record.at - 1, record.at)
                    each.append(RankInput(metric, record.day, metric_state.compute_baseline(record, newest)))
            tick = await self.read_tick()
            pipe = self._pipe()
            commands.put_rankings(pipe, rank_all(each))
            if tick is None or tick < at:
                commands.put_tick(pipe, at)
            await self.check_lease()
            commands.raise_inner_error(await self._run(pipe))

    async def write_source_states(
        self, states: Mapping[str, Mapping[str, Any]], unmet: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Note how each source does, and which wishes none fulfils, in place of what was noted before."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.delete(keys.SOURCES, keys.WISHES)
        for wish, reason in unmet.items():
            pipe.hset(keys.WISHES, wish, reason)
        if states:
            pipe.hset(keys.SOURCES, mapping={name: json.dumps(state) for name, state in states.items()})
        await self._run(pipe)

    async def write_archive_state(self, state: Mapping[str, Any]) -> None:
        """Say how the archive does, in place of what was said before."""
        with translate_errors():
            await self._redis.set(keys.ARCHIVE, json.dumps(state))

    async def note_clock(self, fault: str | None) -> None:
        """Say what is wrong with our clock; `None` where nothing is."""
        with translate_errors():
            if fault is None:
                await self._redis.delete(keys.CLOCK)
            else:
                await self._redis.set(keys.CLOCK, fault, ex=keys.KEEP_CLOCK)

    async def _rewrite(self, key: str, scores: Scores) -> None:
        pipe = self._pipe()
        commands.put_list(pipe, key, scores)
        commands.raise_inner_error(await self._run(pipe))

    def _index(self, pipe: Pipeline, at: int | None, newest: Mapping[Metric, int]) -> None:
        if newest:
            # Late samples must not make a metric look older than it is.
            scores = chain.from_iterable((tick, metric) for metric, tick in newest.items())
            pipe.execute_command("ZADD", keys.METRICS, "GT", *scores)
        if at is not None:
            pipe.execute_command("ZREMRANGEBYSCORE", keys.METRICS, "-inf", at - DAY)
        pipe.execute_command("EXPIRE", keys.METRICS, keys.KEEP_DERIVED)


def _read_outages(written: str | bytes | None) -> SourceOutages:
    """Read the alert states of silent sources; none where that is lost, or something else."""
    kept = read_dict(written) or {}
    try:
        return SourceOutages(kept["at"], {source: read_states(states) for source, states in kept["sources"].items()})
    except (LookupError, TypeError, ValueError, AttributeError):
        return NO_SOURCE_OUTAGES
