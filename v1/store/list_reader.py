"""Reads many metrics at once, each kind of question in one pipeline for all of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from redis.asyncio import Redis

from .. import keys
from ..market import metric_state
from ..market.metric_state import MetricState
from ..market.series import SampleColumn
from ..model import DAY, HOUR, By, Measure, Metric, Sample
from .connection import translate_errors

RankKey = tuple[Measure, By]


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
    hour_ago: Sample | None
    """The newest sample of the hour that ended an hour before its newest one."""
    day_ago: Sample | None
    """The oldest sample of its day, where it lies in the day's first hour."""
    places: Mapping[RankKey, SharedPlace]
    """Its place by each measure that was asked for and that it is ranked by."""
    line: Sequence[str | None] = ()
    """A price for each step of the day, as `read_lines` gives them."""


class _SampleRead(NamedTuple):
    """Asks for the oldest or the newest sample with after < tick <= until, which lie in one or two hours."""

    metric: Metric
    after: int
    until: int
    is_newest: bool

    @property
    def hours(self) -> Sequence[int]:
        """Those that may hold it, likeliest first."""
        hours = keys.list_hours(self.after, self.until)
        return hours[::-1] if self.is_newest else hours

    def make_command(self, hour: int) -> tuple[object, ...]:
        key = keys.samples(self.metric, hour)
        if self.is_newest:
            return "ZRANGE", key, self.until, f"({self.after}", "BYSCORE", "REV", "LIMIT", 0, 1
        return "ZRANGE", key, f"({self.after}", self.until, "BYSCORE", "LIMIT", 0, 1


class ListReader:
    """
    Reads many metrics; every method takes at most four round trips, however many they are.

    Each method raises `StoreAway` when Redis does not answer, and `StoreError` when it answers with an error. Whoever
    made the client closes it.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read_current(self, metrics: Sequence[Metric], measures: Sequence[Measure]) -> list[CurrentMetric]:
        """Return what is known of each metric, in order, with its places by `measures`; those without a record are left out."""
        ranks = [(measure, by) for measure in measures for by in By]
        asked: list[tuple[object, ...]] = [("GET", keys.moments(metric)) for metric in metrics]
        asked += [("ZCARD", keys.rank(*each)) for each in ranks]
        asked += [("ZMSCORE", keys.rank(*each), *metrics) for each in ranks] if metrics else []
        answers = iter(await self._ask(asked))
        states = [metric_state.try_read_state(next(answers)) for _ in metrics]
        sizes = {each: next(answers) for each in ranks}
        scores = {each: dict(zip(metrics, next(answers), strict=True)) for each in ranks} if metrics else {}
        places = await self._read_places(scores, sizes)
        held = [(metric, state) for metric, state in zip(metrics, states, strict=True) if state is not None]
        samples = iter(
            await self._read_samples([read for metric, state in held for read in _list_reads(metric, state)])
        )
        return [
            CurrentMetric(metric, state, next(samples), next(samples), next(samples), places.get(metric, {}))
            for metric, state in held
        ]

    async def read_lines(self, metrics: Sequence[Metric], ends: range) -> list[list[str | None]]:
        """
        Return the prices of each metric, in order: of each step (end - step, end] the newest one, `None` where there is
        no sample. `ends` are multiples of their step, which divides an hour.
        """
        step = ends.step
        answers = iter(
            await self._ask(
                [
                    _SampleRead(metric, end - step, end, is_newest=True).make_command(keys.find_hour(end))
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
        spans = [(each, keys.list_hours(each.after, each.until)) for each in asked]
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

    async def _read_places(
        self, scores: Mapping[RankKey, Mapping[Metric, float | None]], sizes: Mapping[RankKey, int]
    ) -> dict[Metric, dict[RankKey, SharedPlace]]:
        """Return the places of metrics by their scores: how many have a larger one, and one more."""
        ranked = [
            (each, metric, score)
            for each, known in scores.items()
            for metric, score in known.items()
            if score is not None
        ]
        answers = await self._ask([("ZCOUNT", keys.rank(*each), f"({score!r}", "+inf") for each, _, score in ranked])
        places: dict[Metric, dict[RankKey, SharedPlace]] = {}
        for (each, metric, _), above in zip(ranked, answers, strict=True):
            places.setdefault(metric, {})[each] = SharedPlace(above + 1, sizes[each])
        return places

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

    async def _ask(self, commands: Sequence[tuple[object, ...]]) -> list[Any]:
        """Return the answers to commands, in order, in one round trip."""
        if not commands:
            return []
        pipe = self._redis.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        with translate_errors():
            answers: list[Any] = await pipe.execute()
        return answers


def _list_reads(metric: Metric, state: MetricState) -> Iterator[_SampleRead]:
    """Yield the reads of a metric's newest sample, of one an hour ago, and of the oldest of its day."""
    newest = state.newest
    yield _SampleRead(metric, newest - 1, newest, is_newest=True)
    yield _SampleRead(metric, newest - 2 * HOUR, newest - HOUR, is_newest=True)
    yield _SampleRead(metric, state.at - DAY, state.at - DAY + HOUR, is_newest=False)


def _keep(members: Iterable[str]) -> list[str]:
    """Return what has the form of a sample."""
    return [*filter(keys.is_sample, members)]


def _make_column(hours: Sequence[tuple[int, Sequence[str]]], measure: Measure) -> SampleColumn:
    return SampleColumn(
        [*chain.from_iterable([keys.cut_measure(members, measure, hour) for hour, members in hours])],
        [hour + HOUR for hour, members in hours if measure is Measure.PRICE and keys.is_hourly_only(members)],
    )
