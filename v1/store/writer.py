"""What the worker does to the store: moves metrics on a tick, takes in late samples, says who feeds it."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from .. import keys, records
from ..model import DAY, HOUR, Metric, Sample
from ..ranks import Scores, Standing, score
from ..records import Found, Record, Step
from .connection import translated
from .reader import Reader

_BATCH = 500
"""Metrics per MGET: few commands for the client, and none that keeps Redis from answering others."""


class Writer(Reader):
    """
    Feeds one Redis. There is one writer at a time; `lease` sees to it.

    Reading what a tick moves out and committing the tick belong together, and so do reading a day
    and writing it back with late samples in it: hold `turn` from the one to the other.
    """

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self.turn = asyncio.Lock()
        self.known: set[Metric] = set()
        """Every metric with a sample in the day: a tick moves all of them on."""
        self._since: int | None = None
        """Every record is valid at this tick or a later one; `None` while there are no records."""

    async def open(self) -> int | None:
        """Learn what is there already, and give the newest committed tick. Call before anything else."""
        self.known = set(await self.metrics())
        tick = await self.tick()
        # Samples without a tick: a fill was cut off before the first tick. Look the whole day through.
        self._since = tick if tick is not None else (0 if self.known else None)
        return tick

    async def lease(self, who: str) -> str | None:
        """Take or keep the right to feed this Redis; where somebody else has it, give that name."""
        with translated():
            if await self._redis.set(keys.LEASE, who, nx=True, ex=keys.LEASE_SECONDS):
                return None
            holder = await self._redis.get(keys.LEASE)
            if holder is not None and holder != who:
                return str(holder)
            await self._redis.set(keys.LEASE, who, ex=keys.LEASE_SECONDS)
        return None

    async def take_over(self, who: str) -> None:
        """Take the right to feed this Redis from a holder that is known to be gone."""
        with translated():
            await self._redis.set(keys.LEASE, who, ex=keys.LEASE_SECONDS)

    async def release(self, who: str) -> None:
        """Give the right back, if it is still ours."""
        with translated():
            if await self._redis.get(keys.LEASE) == who:
                await self._redis.delete(keys.LEASE)

    async def found(self, at: int, metrics: Sequence[Metric]) -> list[Found]:
        """
        Give what the store holds of each metric before tick `at`, in order, in one round trip.

        A second one is needed only where the tick was written before.
        """
        # A record older than a day counts for nothing, so there is nothing to look for before it.
        since = at if self._since is None else min(max(self._since, at - DAY), at)
        day_hours = keys.hours(since - DAY, at - DAY)
        hour_hours = keys.hours(since - HOUR - 1, at - HOUR - 1)
        pipe = self._pipe()
        for batch in _batched(metrics, _BATCH):
            pipe.execute_command("MGET", *[keys.moments(metric) for metric in batch])
        for metric in metrics:
            for hour in day_hours:
                pipe.execute_command("ZRANGE", keys.samples(metric, hour), "-inf", at - DAY, "BYSCORE")
            for hour in hour_hours:
                key = keys.samples(metric, hour)
                pipe.execute_command("ZRANGE", key, since - HOUR, f"({at - HOUR}", "BYSCORE")
        answers = iter(await self._run(pipe))
        written = [*chain.from_iterable(next(answers) for _ in _batched(metrics, _BATCH))]
        found = [_found(held, _next(answers, day_hours), _next(answers, hour_hours)) for held in written]
        return await self._with_written(at, metrics, found)

    async def _with_written(self, at: int, metrics: Sequence[Metric], found: list[Found]) -> list[Found]:
        again = [index for index, each in enumerate(found) if each.record and each.record.at == at]
        if again:
            pipe = self._pipe()
            for index in again:
                pipe.zrange(keys.samples(metrics[index], keys.hour_of(at)), at, at, byscore=True)
            for index, members in zip(again, await self._run(pipe), strict=True):
                written = keys.parse(members[0]) if members else None
                found[index] = found[index]._replace(written=written)
        return found

    async def commit(self, at: int, steps: Sequence[Step]) -> None:
        """
        Commit a tick in one round trip: one transaction a metric, then what is derived from all of them.

        Killed in between, some metrics are at the tick and the others before it; the same tick,
        committed again, completes it and changes nothing of what is there.
        """
        pipe = self._pipe()
        for step in steps:
            _move_on(pipe, at, step)
        self._index(pipe, at, {step.metric: step.record.newest for step in steps if step.sample})
        _derive(pipe, [Standing(step.metric, step.record.day, step.baseline) for step in steps if not step.is_over])
        _announce(pipe, at)
        _raise_inner(await self._run(pipe))
        moved = {step.metric for step in steps}
        gone = {step.metric for step in steps if step.is_over}
        # Metrics that this tick left out stay where they were, and the next one must look that far back.
        if self.known <= moved:
            self._since = at
        self.known = (self.known | moved) - gone

    async def insert(
        self, metric: Metric, samples: Iterable[Sample], source: str, at: int, *, replace: bool = False
    ) -> int:
        """
        Take in samples of the past day, and give how many were new.

        A sample that is there already stays, unless `replace`. What lies outside the day that ends
        at the metric's own tick (`at`, where it has none yet) is not taken. One transaction.
        """
        async with self.turn:
            (record,) = await self.records([metric])
            at = record.at if record else at
            held = {sample.tick: sample for sample in await self.samples(metric, at - DAY, at)}
            come = {
                sample.tick: sample
                for sample in samples
                if at - DAY < sample.tick <= at and (replace or sample.tick not in held)
            }
            changed = [sample for tick, sample in come.items() if held.get(tick) != sample]
            if not changed:
                return 0
            day = [sample for _, sample in sorted((held | come).items())]
            pipe = self._pipe()
            _take_in(pipe, metric, changed, records.recount(at, day, record, source))
            self._index(pipe, None, {metric: day[-1].tick})
            _raise_inner(await self._run(pipe))
            self.known.add(metric)
            self._since = at if self._since is None else min(self._since, at)
            return len(changed)

    async def derive(self, at: int) -> None:
        """Rewrite ranks and means from the records, as of tick `at`, which becomes the newest if it is."""
        async with self.turn:
            metrics = sorted(self.known)
            standings = []
            for metric, record in zip(metrics, await self.records(metrics), strict=True):
                if record is not None:
                    newest = await self.samples(metric, record.at - 1, record.at)
                    standings.append(Standing(metric, record.day, records.baseline(record, newest)))
            tick = await self.tick()
            pipe = self._pipe()
            _derive(pipe, standings)
            if tick is None or tick < at:
                _announce(pipe, at)
            _raise_inner(await self._run(pipe))

    async def note_sources(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Say how each source does, in place of what was said before."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.delete(keys.SOURCES)
        if states:
            pipe.hset(keys.SOURCES, mapping={name: json.dumps(state) for name, state in states.items()})
        await self._run(pipe)

    async def _rewrite(self, key: str, scores: Scores) -> None:
        pipe = self._pipe()
        _rewrite(pipe, key, scores)
        _raise_inner(await self._run(pipe))

    def _index(self, pipe: Pipeline, at: int | None, newest: Mapping[Metric, int]) -> None:
        if newest:
            # Late samples must not make a metric look older than it is.
            scores = chain.from_iterable((tick, metric) for metric, tick in newest.items())
            pipe.execute_command("ZADD", keys.METRICS, "GT", *scores)
        if at is not None:
            pipe.execute_command("ZREMRANGEBYSCORE", keys.METRICS, "-inf", at - DAY)
        pipe.execute_command("EXPIRE", keys.METRICS, keys.KEEP_DERIVED)


def _next(answers: Iterator[list[str]], hours: range) -> list[Sample]:
    """Take the samples of one metric's next hours from the answers."""
    return [keys.parse(member) for _ in hours for member in next(answers)]


def _batched(metrics: Sequence[Metric], size: int) -> Iterator[Sequence[Metric]]:
    """Cut a sequence into pieces of `size`; the last may be shorter."""
    return (metrics[start : start + size] for start in range(0, len(metrics), size))


def _found(written: str | None, leaving_day: Sequence[Sample], leaving_hour: Sequence[Sample]) -> Found:
    if written is None:
        return Found(None, leaving_day)
    record = records.read(written)
    counted = [sample for sample in leaving_hour if sample.tick >= record.at - HOUR]
    return Found(record, leaving_day, counted)


def _move_on(pipe: Pipeline, at: int, step: Step) -> None:
    """Put the transaction of one metric: the sample, the trim, the moments."""
    metric, sample, _, record, found = step
    put = pipe.execute_command
    put("MULTI")
    if sample:
        key = keys.samples(metric, keys.hour_of(at))
        if found.written:
            put("ZREMRANGEBYSCORE", key, at, at)
        put("ZADD", key, at, keys.member(sample))
        put("EXPIRE", key, keys.KEEP)
    for hour in sorted({keys.hour_of(sample.tick) for sample in found.leaving_day}):
        put("ZREMRANGEBYSCORE", keys.samples(metric, hour), "-inf", at - DAY)
    if step.is_over:
        put("DEL", keys.moments(metric))
    else:
        put("SET", keys.moments(metric), records.write(record), "EX", keys.KEEP)
    put("EXEC")


def _take_in(pipe: Pipeline, metric: Metric, samples: Sequence[Sample], record: Record | None) -> None:
    """Put the transaction that takes late samples in."""
    pipe.execute_command("MULTI")
    by_hour: dict[int, list[Sample]] = {}
    for sample in samples:
        by_hour.setdefault(keys.hour_of(sample.tick), []).append(sample)
    for hour, late in by_hour.items():
        key = keys.samples(metric, hour)
        for sample in late:
            pipe.execute_command("ZREMRANGEBYSCORE", key, sample.tick, sample.tick)
        pipe.execute_command("ZADD", key, *chain.from_iterable((each.tick, keys.member(each)) for each in late))
        pipe.execute_command("EXPIRE", key, keys.KEEP)
    if record is not None:
        pipe.execute_command("SET", keys.moments(metric), records.write(record), "EX", keys.KEEP)
    pipe.execute_command("EXEC")


def _derive(pipe: Pipeline, standings: Sequence[Standing]) -> None:
    scored = score(standings)
    for (measure, by), scores in scored.ranks.items():
        _rewrite(pipe, keys.rank(measure, by), scores)
    for measure, scores in scored.means.items():
        _rewrite(pipe, keys.mean(measure), scores)


def _rewrite(pipe: Pipeline, key: str, scores: Scores) -> None:
    """Put a sorted set in place of the one before, in one transaction, so that nobody reads half of it."""
    if not scores:
        pipe.execute_command("DEL", key)
        return
    pipe.execute_command("MULTI")
    pipe.execute_command("DEL", key)
    pipe.execute_command("ZADD", key, *chain.from_iterable(scores))
    pipe.execute_command("EXPIRE", key, keys.KEEP_DERIVED)
    pipe.execute_command("EXEC")


def _announce(pipe: Pipeline, at: int) -> None:
    pipe.execute_command("SET", keys.TICK, at)
    pipe.execute_command("PUBLISH", keys.TICKS, at)


def _raise_inner(answers: Iterable[Any]) -> None:
    """Raise the first error from inside a transaction, which Redis hands over as one of its answers."""
    with translated():
        for answer in answers:
            if isinstance(answer, list):
                for inner in answer:
                    if isinstance(inner, Exception):
                        raise inner
