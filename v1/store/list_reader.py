"""Reads many metrics at once, each kind of question in one pipeline for all of them."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from redis.asyncio import Redis

from ..market import metric_state
from ..market.current import PastSamples
from ..market.metric_state import MetricState
from ..market.series import SampleColumn
from ..model import DAY, HOUR, By, Measure, Metric, Sample, find_hour, list_hours
from . import keys
from .connection import translate_errors

SCORES_A_COUNT = 30
"""So many scores of a list are read in the time in which places are counted by one command."""

RankKey = tuple[Measure, By]
Command = tuple[object, ...]


class ColumnQuery(NamedTuple):
    """Which samples of a metric are read: after < tick <= until."""

    metric: Metric
    after: int
    until: int


class SharedPlace(NamedTuple):
    """A place among all metrics; equal values share it: 1, 1, 3."""

    rank: int
    of: int
    """How many metrics are ranked."""


class CurrentMetric(NamedTuple):
    """What is known of a metric now, and what it is compared with."""

    metric: Metric
    record: MetricState
    newest: Sample | None
    """Its newest sample."""
    past: PastSamples


class _SampleRead(NamedTuple):
    """Asks for the oldest or the newest sample with after < tick <= until, which lie in one or two hours."""

    metric: Metric
    after: int
    until: int
    is_newest: bool

    @property
    def hours(self) -> Sequence[int]:
        """Those that may hold it, likeliest first."""
        hours = list_hours(self.after, self.until)
        return hours[::-1] if self.is_newest else hours

    def make_command(self, hour: int) -> Command:
        key = keys.samples(self.metric, hour)
        if self.is_newest:
            return "ZRANGE", key, self.until, f"({self.after}", "BYSCORE", "REV", "LIMIT", 0, 1
        return "ZRANGE", key, f"({self.after}", self.until, "BYSCORE", "LIMIT", 0, 1


class ListReader:
    """
    Reads many metrics; every method takes a few round trips, however many they are.

    Each method raises `StoreAway` when Redis does not answer, and `StoreError` when it answers with an error. Whoever
    made the client closes it.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read_current(self, metrics: Sequence[Metric], measures: Sequence[Measure]) -> list[CurrentMetric]:
        """
        Return what is known of each metric, in order; those without a record are left out.

        Of the newest sample nothing but `measures` is promised: a record tells its price, so of that alone it is not read.
        """
        if not metrics:
            return []
        (written,) = await self._ask([("MGET", *map(keys.moments, metrics))])
        states = map(metric_state.try_read_state, written)
        held = [(metric, state) for metric, state in zip(metrics, states, strict=True) if state is not None]
        past = iter(
            await self._read_samples([read for metric, state in held for read in _list_past_reads(metric, state)])
        )
        if {*measures} == {Measure.PRICE}:
            newest: list[Sample | None] = [Sample.make(state.newest, {Measure.PRICE: state.price}) for _, state in held]
        else:
            newest = await self._read_samples([_make_newest_read(metric, state) for metric, state in held])
        return [
            CurrentMetric(metric, state, sample, PastSamples(next(past), next(past)))
            for (metric, state), sample in zip(held, newest, strict=True)
        ]

    async def read_places(
        self, metrics: Sequence[Metric], measures: Sequence[Measure]
    ) -> dict[Metric, dict[RankKey, SharedPlace]]:
        """Return the places of metrics by each of `measures`; a metric that is not ranked has none."""
        ranks = [(measure, by) for measure in measures for by in By]
        if not metrics:
            return {}
        asked: list[Command] = [("ZCARD", keys.rank(*each)) for each in ranks]
        answers = await self._ask([*asked, *[("ZMSCORE", keys.rank(*each), *metrics) for each in ranks]])
        places: dict[Metric, dict[RankKey, SharedPlace]] = {}
        for each, size, scores in zip(ranks, answers, answers[len(ranks) :], strict=False):
            ranked = {metric: score for metric, score in zip(metrics, scores, strict=True) if score is not None}
            above = await self._count_above(each, size, [*ranked.values()])
            for metric, larger in zip(ranked, above, strict=True):
                places.setdefault(metric, {})[each] = SharedPlace(larger + 1, size)
        return places

    async def _count_above(self, rank: RankKey, size: int, scores: Sequence[float]) -> list[int]:
        """Return how many of `size` metrics have a larger score than each of `scores`."""
        key = keys.rank(*rank)
        if size > SCORES_A_COUNT * len(scores):
            return await self._ask([("ZCOUNT", key, f"({score!r}", "+inf") for score in scores])
        (members,) = await self._ask([("ZRANGE", key, 0, -1, "WITHSCORES")])
        known = [score for _, score in members]
        return [len(known) - bisect_right(known, score) for score in scores]

    async def read_lines(self, metrics: Sequence[Metric], ends: range) -> list[list[str | None]]:
        """
        Return the prices of each metric, in order: of each step (end - step, end] the newest one, `None` where there is
        no sample. `ends` are multiples of their step, which divides an hour.
        """
        step = ends.step
        answers = iter(
            await self._ask(
                [
                    _SampleRead(metric, end - step, end, is_newest=True).make_command(find_hour(end))
                    for metric in metrics
                    for end in ends
                ]
            )
        )
        return [
            [next((price for _, price in keys.cut_measure(_keep(next(answers)), Measure.PRICE)), None) for _ in ends]
            for _ in metrics
        ]

    async def read_columns(self, asked: Sequence[ColumnQuery], measures: Sequence[Measure]) -> list[list[SampleColumn]]:
        """Return the known numbers of each of `measures`, oldest first, of each metric that is asked for, in order."""
        spans = [(each, list_hours(each.after, each.until)) for each in asked]
        answers = iter(
            await self._ask(
                [
                    ("ZRANGE", keys.samples(each.metric, hour), f"({each.after}", each.until, "BYSCORE")
                    for each, hours in spans
                    for hour in hours
                ]
            )
        )
        whole = [[(hour, _keep(next(answers))) for hour in hours] for _, hours in spans]
        return [[_make_column(hours, measure) for measure in measures] for hours in whole]

    async def _read_samples(self, reads: Sequence[_SampleRead]) -> list[Sample | None]:
        """Return what each read finds. Nearly always it is in the first of its hours; the second is asked for the others."""
        found: list[Sample | None] = [None] * len(reads)
        for turn in range(2):
            left = [
                (place, each, each.hours[turn])
                for place, each in enumerate(reads)
                if found[place] is None and turn < len(each.hours)
            ]
            answers = await self._ask([each.make_command(hour) for _, each, hour in left])
            for (place, _, hour), members in zip(left, answers, strict=True):
                found[place] = next(iter(keys.parse_all(hour, members)), None)
        return found

    async def _ask(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers to commands, in order, in one round trip."""
        if not commands:
            return []
        pipe = self._redis.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        with translate_errors():
            answers: list[Any] = await pipe.execute()
        return answers


def _make_newest_read(metric: Metric, state: MetricState) -> _SampleRead:
    return _SampleRead(metric, state.newest - 1, state.newest, is_newest=True)


def _list_past_reads(metric: Metric, state: MetricState) -> Iterator[_SampleRead]:
    """Yield the reads of a metric's sample of an hour ago, and of the oldest of its day."""
    yield _SampleRead(metric, state.newest - 2 * HOUR, state.newest - HOUR, is_newest=True)
    yield _SampleRead(metric, state.at - DAY, state.at - DAY + HOUR, is_newest=False)


def _keep(members: Iterable[str]) -> list[str]:
    """Return what has the form of a sample."""
    return [*filter(keys.is_sample, members)]


def _make_column(hours: Sequence[tuple[int, Sequence[str]]], measure: Measure) -> SampleColumn:
    return SampleColumn(
        [*chain.from_iterable([keys.cut_measure(members, measure, hour) for hour, members in hours])],
        [hour + HOUR for hour, members in hours if measure is Measure.PRICE and keys.is_hourly_only(members)],
    )
