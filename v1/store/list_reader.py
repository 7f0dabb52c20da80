"""Reads many metrics at once, each kind of question in one pipeline for all of them."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from redis.asyncio import Redis

from ..market import metric_state
from ..market.current import PastSamples
from ..market.metric_state import MetricState
from ..market.series import SampleColumn
from ..model import DAY, HOUR, By, Measure, Metric, Sample, find_hour, list_hours
from . import keys
from .round_trip import Command, read_all

SCORES_A_COUNT = 30
"""So many scores of a list are read in the time in which places are counted by one command."""

RankKey = tuple[Measure, By]


class ColumnQuery(NamedTuple):
    """Which samples of a metric are read: after < tick <= until."""

    metric: Metric
    after: int
    until: int


class RankPlaces(NamedTuple):
    """The places of some metrics among all; equal values share one: 1, 1, 3."""

    of: int
    """How many metrics are ranked."""
    places: Mapping[Metric, int]
    """A metric that is not ranked has none."""


class PastReads(NamedTuple):
    """Which past samples are read; the others are `None`."""

    hour_ago: bool = False
    day_ago: bool = False


NO_PAST = PastReads()


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
    def first_hour(self) -> int:
        """The hour that holds it, nearly always."""
        return find_hour(self.until if self.is_newest else self.after + 1)

    @property
    def second_hour(self) -> int | None:
        """The hour that holds it otherwise; `None`: there is no other."""
        hour = find_hour(self.after + 1 if self.is_newest else self.until)
        return None if hour == self.first_hour else hour

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

    async def read_current(
        self, metrics: Sequence[Metric], measures: Sequence[Measure], past: PastReads = NO_PAST
    ) -> list[CurrentMetric]:
        """
        Return what is known of each metric, in order; those without a record are left out.

        Of the newest sample nothing but `measures` is promised: a record tells its price, so of that alone it is not
        read. Of past samples those are read that `past` names.
        """
        if not metrics:
            return []
        (written,) = await read_all(self._redis, [("MGET", *map(keys.moments, metrics))])
        states = map(metric_state.try_read_state, written)
        held = [(metric, state) for metric, state in zip(metrics, states, strict=True) if state is not None]
        befores = await self._read_past(held, past)
        if {*measures} == {Measure.PRICE}:
            newest: list[Sample | None] = [Sample.make(state.newest, {Measure.PRICE: state.price}) for _, state in held]
        elif measures:
            newest = await self._read_samples([_make_newest_read(metric, state) for metric, state in held])
        else:
            newest = [None] * len(held)
        return [
            CurrentMetric(metric, state, sample, before)
            for (metric, state), sample, before in zip(held, newest, befores, strict=True)
        ]

    async def _read_past(self, held: Sequence[tuple[Metric, MetricState]], past: PastReads) -> list[PastSamples]:
        hour_reads = [_make_hour_ago_read(metric, state) for metric, state in held] if past.hour_ago else []
        day_reads = [_make_day_ago_read(metric, state) for metric, state in held] if past.day_ago else []
        samples = iter(await self._read_samples([*hour_reads, *day_reads]))
        hour_ago = [next(samples) if past.hour_ago else None for _ in held]
        day_ago = [next(samples) if past.day_ago else None for _ in held]
        return [*map(PastSamples, hour_ago, day_ago)]

    async def read_places(self, metrics: Sequence[Metric], ranks: Sequence[RankKey]) -> dict[RankKey, RankPlaces]:
        """Return the places of metrics in each of `ranks`."""
        if not metrics:
            return {}
        sizes = await read_all(self._redis, [("ZCARD", keys.rank(*each)) for each in ranks])
        return {
            each: await (
                self._count_places(metrics, each, size)
                if size > SCORES_A_COUNT * len(metrics)
                else self._list_places(metrics, each)
            )
            for each, size in zip(ranks, sizes, strict=True)
        }

    async def _count_places(self, metrics: Sequence[Metric], rank: RankKey, size: int) -> RankPlaces:
        """Return the places of metrics among `size`, by how many have a larger score than each."""
        key = keys.rank(*rank)
        (scores,) = await read_all(self._redis, [("ZMSCORE", key, *metrics)])
        ranked = {metric: score for metric, score in zip(metrics, scores, strict=True) if score is not None}
        above = await read_all(self._redis, [("ZCOUNT", key, f"({score!r}", "+inf") for score in ranked.values()])
        return RankPlaces(size, {metric: larger + 1 for metric, larger in zip(ranked, above, strict=True)})

    async def _list_places(self, metrics: Sequence[Metric], rank: RankKey) -> RankPlaces:
        """Return the places of metrics, by reading the scores of all."""
        (members,) = await read_all(self._redis, [("ZRANGE", keys.rank(*rank), 0, -1, "WITHSCORES")])
        wanted = {*metrics}
        places: dict[Metric, int] = {}
        place, above = 0, None
        for number, (metric, score) in enumerate(reversed(members), 1):
            place = place if score == above else number
            above = score
            if metric in wanted:
                places[metric] = place
        return RankPlaces(len(members), places)

    async def read_lines(self, metrics: Sequence[Metric], ends: range) -> list[list[str | None]]:
        """
        Return the prices of each metric, in order: of each step (end - step, end] the newest one, `None` where there is
        no sample. `ends` are multiples of their step, which divides an hour.
        """
        step = ends.step
        answers = iter(
            await read_all(
                self._redis,
                [
                    _SampleRead(metric, end - step, end, is_newest=True).make_command(find_hour(end))
                    for metric in metrics
                    for end in ends
                ],
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
            await read_all(
                self._redis,
                [
                    ("ZRANGE", keys.samples(each.metric, hour), f"({each.after}", each.until, "BYSCORE")
                    for each, hours in spans
                    for hour in hours
                ],
            )
        )
        whole = [[(hour, _keep(next(answers))) for hour in hours] for _, hours in spans]
        return [[_make_column(hours, measure) for measure in measures] for hours in whole]

    async def _read_samples(self, reads: Sequence[_SampleRead]) -> list[Sample | None]:
        """Return what each read finds. Nearly always it is in the first of its hours; the second is asked for the others."""
        found = await self._read_hours([(each, each.first_hour) for each in reads])
        left = [
            (place, each, hour)
            for place, (each, sample) in enumerate(zip(reads, found, strict=True))
            if sample is None and (hour := each.second_hour) is not None
        ]
        for (place, _, _), sample in zip(left, await self._read_hours([each[1:] for each in left]), strict=True):
            found[place] = sample
        return found

    async def _read_hours(self, reads: Sequence[tuple[_SampleRead, int]]) -> list[Sample | None]:
        """Return what each read finds in an hour."""
        answers = await read_all(self._redis, [each.make_command(hour) for each, hour in reads])
        return [
            keys.parse_member(hour, members[0]) if members and keys.is_sample(members[0]) else None
            for (_, hour), members in zip(reads, answers, strict=True)
        ]


def _make_newest_read(metric: Metric, state: MetricState) -> _SampleRead:
    return _SampleRead(metric, state.newest - 1, state.newest, is_newest=True)


def _make_hour_ago_read(metric: Metric, state: MetricState) -> _SampleRead:
    return _SampleRead(metric, state.newest - 2 * HOUR, state.newest - HOUR, is_newest=True)


def _make_day_ago_read(metric: Metric, state: MetricState) -> _SampleRead:
    """Return the read of the oldest sample of a metric's day."""
    return _SampleRead(metric, state.at - DAY, state.at - DAY + HOUR, is_newest=False)


def _keep(members: Iterable[str]) -> list[str]:
    """Return what has the form of a sample."""
    return [*filter(keys.is_sample, members)]


def _make_column(hours: Sequence[tuple[int, Sequence[str]]], measure: Measure) -> SampleColumn:
    return SampleColumn(
        [*chain.from_iterable([keys.cut_measure(members, measure, hour) for hour, members in hours])],
        [hour + HOUR for hour, members in hours if measure is Measure.PRICE and keys.is_hourly_only(members)],
    )
