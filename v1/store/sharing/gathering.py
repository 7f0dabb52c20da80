"""
What the partitions of a tick tell each other before they are committed: everything that follows from all metrics.

    gathered   each partition says what its metrics say of all (`PartitionReport`), and waits until all have
    staged     each puts its scores into the next lists of the tick; a rule about ranks waits until all have
    done       each is committed; then the lists take the place of those before, by whoever completes the tick

All of it can be repeated: whoever takes a partition over says the same again, as it follows from the same readings and the
same states. So ranks are exact, of one tick over all workers, also where one of them is killed at any of these steps.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from ...market.ranks import Rankings, RankInput, Scores, count_most
from ...model import By, Measure, Metric
from ...numbers.chunks import split_into_chunks
from ...rules.silent_sources import NO_SILENCE, SilenceSummary, SourceSilence
from .. import keys
from ..commands import NEVER_PACKED, list_rankings
from ..connection import translate_unreadable

Run = Callable[[Pipeline], Awaitable[list[Any]]]

PUBLISHED = "published"
"""The field beside those of partitions that says that the lists of a tick have taken the place of those before."""
_AT_ONCE = 500
"""Members that one command brings."""


class PartitionReport(NamedTuple):
    """What the metrics of a partition say of all, at a tick."""

    known: int
    """How many metrics there are."""
    most: Sequence[int]
    """How many numbers of each measure the most complete of them has."""
    has_late_samples: bool
    """Whether samples were inserted into their past since the tick before."""
    silence: SilenceSummary

    @property
    def is_steady(self) -> bool:
        return not self.has_late_samples


class PartitionResult(NamedTuple):
    """What became of a partition at a tick."""

    metrics: int
    """How many were advanced."""
    over: Sequence[Metric]
    """Those that have left the day."""


def report_partition(
    inputs: Sequence[RankInput], known: int, silence: SilenceSummary, *, is_late: bool
) -> PartitionReport:
    """Return what a partition says of all, by what its metrics are ranked by."""
    return PartitionReport(known, count_most(inputs), is_late, silence)


def merge_reports(reports: Iterable[PartitionReport]) -> PartitionReport:
    """Return what all partitions say together."""
    reports = [*reports]
    silence = NO_SILENCE
    for each in reports:
        silence = silence.merge(each.silence)
    return PartitionReport(
        sum(each.known for each in reports),
        [max(column) for column in zip(*[each.most for each in reports], strict=True)],
        any(each.has_late_samples for each in reports),
        silence,
    )


class Gathering:
    """What is told of ticks, in the store. Raises `StoreError`."""

    def __init__(self, redis: Redis, run: Run) -> None:
        self._redis = redis
        self._run = run

    async def report(self, at: int, reports: Mapping[str, PartitionReport]) -> None:
        """Say what partitions, by tag, say of all."""
        written = {tag: _write_report(each) for tag, each in reports.items()}
        await self._write(keys.partition_reports(at), written)

    async def read_reports(self, at: int) -> dict[str, PartitionReport]:
        """Return what partitions have said so far."""
        with translate_unreadable(keys.partition_reports(at)):
            found = await self._read(keys.partition_reports(at))
            return {tag: _read_report(each) for tag, each in found.items()}

    async def put_scores(self, at: int, rankings: Rankings, tags: Iterable[str]) -> None:
        """Put the scores of partitions into the next lists of a tick."""
        pipe = self._redis.pipeline(transaction=False)
        for key, scores in list_rankings(rankings).items():
            aside = keys.next_list(key, at)
            if scores:
                pipe.zadd(aside, {NEVER_PACKED: 0})
                pipe.expire(aside, keys.KEEP_SHARED)
            for some in split_into_chunks(scores, _AT_ONCE):
                pipe.execute_command("ZADD", aside, *chain.from_iterable(some))
        pipe.hset(keys.score_parts(at), mapping=dict.fromkeys(tags, ""))
        pipe.expire(keys.score_parts(at), keys.KEEP_SHARED)
        await self._run(pipe)

    async def read_staged(self, at: int) -> set[str]:
        """Return the partitions whose scores are in the next lists of a tick."""
        return {*await self._read(keys.score_parts(at))}

    async def read_scores(self, at: int, measure: Measure, by: By, *, is_complete: bool) -> Scores:
        """Return the members of one rank: the next list of a tick, or that before where it is `is_complete` already."""
        key = keys.rank(measure, by)
        pipe = self._redis.pipeline(transaction=False)
        pipe.zrange(key if is_complete else keys.next_list(key, at), 0, -1, withscores=True)
        (found,) = await self._run(pipe)
        return [(score, Metric(name)) for name, score in found if name != NEVER_PACKED]

    async def note_done(self, at: int, results: Mapping[str, PartitionResult], newest: Mapping[Metric, int]) -> None:
        """Say that partitions are committed, and put the newest ticks of their metrics into the index."""
        pipe = self._redis.pipeline(transaction=False)
        for some in split_into_chunks([*newest.items()], _AT_ONCE):
            pipe.execute_command("ZADD", keys.METRICS, "GT", *chain.from_iterable((tick, name) for name, tick in some))
        pipe.expire(keys.METRICS, keys.KEEP_DERIVED)
        pipe.hset(keys.partition_results(at), mapping={tag: json.dumps(each) for tag, each in results.items()})
        pipe.expire(keys.partition_results(at), keys.KEEP_SHARED)
        await self._run(pipe)

    async def read_done(self, at: int) -> dict[str, PartitionResult]:
        """Return what became of the partitions that are committed."""
        with translate_unreadable(keys.partition_results(at)):
            found = await self._read(keys.partition_results(at))
            return {tag: PartitionResult(*json.loads(each)) for tag, each in found.items()}

    async def _write(self, key: str, fields: Mapping[str, str]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        pipe.execute_command("HSET", key, *chain.from_iterable(fields.items()))
        pipe.expire(key, keys.KEEP_SHARED)
        await self._run(pipe)

    async def _read(self, key: str) -> dict[str, str]:
        pipe = self._redis.pipeline(transaction=False)
        pipe.hgetall(key)
        (found,) = await self._run(pipe)
        return dict(found)


def _write_report(report: PartitionReport) -> str:
    heard, speaking, still = report.silence
    silence = [sorted(heard), sorted(speaking), [[*key, *each] for key, each in still.items()]]
    return json.dumps([*report[:3], silence], separators=(",", ":"))


def _read_report(written: str) -> PartitionReport:
    known, most, is_late, (heard, speaking, still) = json.loads(written)
    found = {(rule, source): SourceSilence(*each) for rule, source, *each in still}
    return PartitionReport(known, most, is_late, SilenceSummary(frozenset(heard), frozenset(speaking), found))
