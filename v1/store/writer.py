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

from .. import keys, records
from ..extremes import Ranges
from ..model import DAY, Metric, Sample
from ..ranks import Scored, Scores, Standing, score, standings
from ..records import LOOKS_AT_NOTHING, Found, Look, Record, Step
from ..rules import NO_OUTAGES, NOTHING_SAID, SILENT, Judged, Outages, read_states
from . import commands
from .commands import AlertLimits
from .connection import translated
from .counting import Counting, put_counts, scan_metrics, take_wrong
from .kept_json import read_alerts, read_dict
from .lease import Feeder, awake_or_not
from .leaving import Leaving
from .recent import Recent


class Writer(Feeder):
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
        self.known: set[Metric] = set()
        """Every metric with a sample in the day: a tick moves all of them on."""
        self._since: int | None = None
        """Records are expected to be valid at this tick or a later one; `None` while there are none."""
        self._ranges = Ranges()
        """What rules look back on, kept between ticks."""
        self.limits = limits
        self.outages = NO_OUTAGES
        self.late: dict[int, set[Metric]] = {}
        """Which hours late samples were put into, of which metrics. Who looks after that takes them out."""
        self.recounted = 0
        """Records that were counted anew because samples were gone that they counted. Who tells of it sets it to 0."""
        self._counting = Counting()
        self._is_index_short = False
        """Whether the index lacks metrics that are known."""
        self.has_taken_in = False
        """Whether late samples were put in since the last tick that was committed."""

    async def open(self) -> int | None:
        """Learn what is there already, and give the newest committed tick. Call before anything else."""
        self._ranges.clear()
        self.known, tick = set(await self.metrics()), await self.tick()
        if tick is not None and not self.known:
            self.known = await scan_metrics(self._redis)  # the index is lost, or there is nothing indeed
        # Samples without a tick: a fill was cut off before the first tick. Look the whole day through.
        self._since = tick if tick is not None else (0 if self.known else None)
        with translated():
            outages = await self._redis.get(keys.OUTAGES)
        self.outages = _read_outages(outages)
        return tick

    async def found(
        self, at: int, metrics: Sequence[Metric], look: Callable[[Metric], Look] = lambda _: LOOKS_AT_NOTHING
    ) -> list[Found]:
        """
        Give what the store holds of each metric before tick `at`, in order, in one round trip.

        `look` says which samples before the tick the alert rules ask for. A second round trip is
        needed only where the tick was written before, where a record is older than expected, or where
        the first of those samples was not where it should be. Raises `StoreError` where somebody else
        has the lease.
        """
        # A record older than a day counts for nothing, so there is nothing to look for before it.
        since = at if self._since is None else min(max(self._since, at - DAY), at)
        leaving, recent = Leaving(at, since, metrics), Recent(at, metrics, look, self._ranges)
        pipe = self._pipe()
        pipe.get(keys.LEASE)
        pipe.zcard(keys.METRICS)
        leaving.put(pipe)
        recent.put(pipe)
        answers = iter(await self._run(pipe))
        self.see_that_nobody_else_feeds(next(answers))
        self._is_index_short = next(answers) < len(self.known)
        found = leaving.take(answers)
        if await self._looks_wrong(at, since, leaving, found) or await self._counts_wrong(at, since, metrics, found):
            return await self.found(at, metrics, look)
        # Without a record there is nothing to move, until the metric is heard of again.
        self.known -= {metric for metric, each in zip(metrics, found, strict=True) if each.record is None}
        recent.take(answers)
        found_records = [each.record for each in found]
        if recent.lacks(found_records):
            pipe = self._pipe()
            recent.put(pipe)
            recent.take(iter(await self._run(pipe)))
        for index, samples in recent.samples():
            found[index] = found[index]._replace(recent=samples)
        for index, extremes in recent.extremes(found_records):
            found[index] = found[index]._replace(extremes=extremes)
        return await self._with_written(at, metrics, found)

    async def _looks_wrong(self, at: int, since: int, leaving: Leaving, found: Sequence[Found]) -> bool:
        """Tell whether records are not what was expected, and mend that, so that the next look finds them so."""
        behind = [each.record.at for each in found if each.record and at - DAY < each.record.at < since]
        if behind:
            # Left there by a fill that began ticks ago, or by a worker that was cut off: look as far back as they are.
            self._since = min(behind)
            return True
        lost = [metric for metric, each in zip(leaving.metrics, found, strict=True) if each.record is None]
        return bool(
            await self._recounted([each for each in lost if each in self.known or each in leaving.unreadable], since)
        )

    async def _counts_wrong(self, at: int, since: int, metrics: Sequence[Metric], found: Sequence[Found]) -> bool:
        """Tell whether records count samples that are gone, and count those anew."""
        chosen = self._counting.choose(max(0, at - since), metrics, found)
        pipe, recounted = self._pipe(), 0
        put_counts(pipe, chosen)
        for metric, record in take_wrong(chosen, await self._run(pipe)):
            day = await self.samples(metric, record.at - DAY, record.at)
            right = records.recount(record.at, day, record, record.source)
            if not records.same(record, right):
                await self._put(metric, right)
                recounted += 1
        self.recounted += recounted
        return recounted > 0

    async def _put(self, metric: Metric, record: Record | None) -> None:
        """Put a record in place of the one that is there; `None`: take that away."""
        with translated():
            if record is None:
                await self._redis.delete(keys.moments(metric))
            else:
                await self._redis.set(keys.moments(metric), records.write(record), ex=keys.KEEP)

    async def _recounted(self, metrics: Sequence[Metric], at: int) -> int:
        """Make the records of metrics that lost theirs anew, out of their samples; give how many there were."""
        recounted = 0
        for metric in metrics:
            record = records.recount(at, await self.samples(metric, at - DAY, at), None, "")
            await self._put(metric, record)
            recounted += record is not None
        return recounted

    async def _with_written(self, at: int, metrics: Sequence[Metric], found: list[Found]) -> list[Found]:
        again = [index for index, each in enumerate(found) if each.record and each.record.at == at]
        if again:
            pipe, hour = self._pipe(), keys.hour_of(at)
            for index in again:
                pipe.zrange(keys.samples(metrics[index], hour), at, at, byscore=True)
            for index, members in zip(again, await self._run(pipe), strict=True):
                written = next(iter(keys.parse_all(hour, members)), None)
                found[index] = found[index]._replace(written=written)
        return found

    async def commit(
        self, at: int, steps: Sequence[Step], scored: Scored | None = None, judged: Judged = SILENT
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
            commands.move_on(pipe, at, step, judged.metrics.get(step.metric, NOTHING_SAID), self.limits)
        if judged.sources or self.outages.sources:
            commands.source_states(pipe, at, judged.sources, self.limits)
        if any(judged.alerts()):
            commands.trim_alerts(pipe, at, self.limits)
        newest = {step.metric: step.record.newest for step in steps if step.sample or self._is_index_short}
        self._index(pipe, at, newest)
        commands.derive(pipe, scored or score(standings(steps)))
        commands.announce(pipe, at)
        await self.see_that_it_lasts()
        commands.raise_inner(await self._run(pipe))
        self._move_ranges(at, steps)
        moved = {step.metric for step in steps}
        gone = {step.metric for step in steps if step.is_over}
        self._since, self.has_taken_in = at, False
        self.outages = Outages(at, {source: said.states for source, said in judged.sources.items() if said.states})
        self.known = (self.known | moved) - gone

    def _move_ranges(self, at: int, steps: Sequence[Step]) -> None:
        for step in steps:
            before = step.found.record
            self._ranges.advance(step.metric, before.at if before else None, at, step.sample)
            if step.is_over:
                self._ranges.forget(step.metric)

    async def told(self, at: int) -> Counter[str]:
        """Give how many messages each rule has at tick `at` already: some, where the tick was cut off."""
        with translated():
            written = await self._redis.zrange(keys.ALERTS, at, at, byscore=True)
        alerts = read_alerts(cast("list[str]", written))
        return Counter(alert["rule"] for alert in alerts if alert["quiet"] is None)

    async def insert(
        self, metric: Metric, samples: Iterable[Sample], source: str, at: int, *, replace: Container[int] = ()
    ) -> int:
        """
        Take in samples of the past day, and give how many were new.

        A sample that is there already stays, unless its tick is one of `replace`. What lies outside the day that ends
        at the metric's own tick (`at`, where it has none yet) is not taken. One transaction.
        """
        async with self.turn:
            self._ranges.forget(metric)
            (record,) = await self.records([metric])
            at = record.at if record else at
            held = {sample.tick: sample for sample in await self.samples(metric, at - DAY, at)}
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
            commands.take_in(pipe, metric, changed, held.keys(), records.recount(at, day, record, source))
            self._index(pipe, None, {metric: day[-1].tick})
            await self.see_that_it_lasts()
            commands.raise_inner(await self._run(pipe))
            self.known.add(metric)
            for sample in changed:
                self.late.setdefault(keys.hour_of(sample.tick), set()).add(metric)
            self.has_taken_in = True
            self._since = at if self._since is None else min(self._since, at)
            return len(changed)

    async def derive(self, at: int) -> None:
        """Rewrite ranks and means from the records, as of tick `at`, which becomes the newest if it is."""
        async with self.turn:
            metrics = sorted(self.known)
            each = []
            for metric, record in zip(metrics, await self.records(metrics), strict=True):
                if record is not None:
                    newest = await self.samples(metric, record.at - 1, record.at)
                    each.append(Standing(metric, record.day, records.baseline(record, newest)))
            tick = await self.tick()
            pipe = self._pipe()
            commands.derive(pipe, score(each))
            if tick is None or tick < at:
                commands.announce(pipe, at)
            await self.see_that_it_lasts()
            commands.raise_inner(await self._run(pipe))

    async def note_sources(
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

    async def note_archive(self, state: Mapping[str, Any]) -> None:
        """Say how the archive does, in place of what was said before."""
        with translated():
            await self._redis.set(keys.ARCHIVE, json.dumps(state))

    async def note_clock(self, fault: str | None) -> None:
        """Say what is wrong with our clock; `None` where nothing is."""
        with translated():
            if fault is None:
                await self._redis.delete(keys.CLOCK)
            else:
                await self._redis.set(keys.CLOCK, fault, ex=keys.KEEP_CLOCK)

    async def _rewrite(self, key: str, scores: Scores) -> None:
        pipe = self._pipe()
        commands.replace(pipe, key, scores)
        commands.raise_inner(await self._run(pipe))

    def _index(self, pipe: Pipeline, at: int | None, newest: Mapping[Metric, int]) -> None:
        if newest:
            # Late samples must not make a metric look older than it is.
            scores = chain.from_iterable((tick, metric) for metric, tick in newest.items())
            pipe.execute_command("ZADD", keys.METRICS, "GT", *scores)
        if at is not None:
            pipe.execute_command("ZREMRANGEBYSCORE", keys.METRICS, "-inf", at - DAY)
        pipe.execute_command("EXPIRE", keys.METRICS, keys.KEEP_DERIVED)


def _read_outages(written: str | bytes | None) -> Outages:
    """Read the alert states of silent sources; none where that is lost, or something else."""
    kept = read_dict(written) or {}
    try:
        return Outages(kept["at"], {source: read_states(states) for source, states in kept["sources"].items()})
    except (LookupError, TypeError, ValueError, AttributeError):
        return NO_OUTAGES
