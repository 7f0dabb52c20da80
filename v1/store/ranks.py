"""
Reads ranks: the place of a metric among all follows from the order that a sorted set keeps.

What each metric is ranked by is worked out in `market.ranks`, and written at each tick by `commands.put_rankings`.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from ..market import metric_state
from ..model import MEASURES, By, Measure, Metric, RankPlace
from ..numbers.chunks import split_into_chunks
from . import keys
from .connection import translate_errors

_BATCH = 500
"""Metrics per MGET: few commands for the client, and none that keeps Redis from answering others."""
_MOST_COUNTS = 8192
"""States of which is remembered what they count."""


class RankPage(NamedTuple):
    """A stretch of the ranks by one measure."""

    places: Sequence[RankPlace]
    of: int
    """How many metrics are ranked."""


class UnrankedMetric(NamedTuple):
    """A metric that has too few numbers of a measure to be ranked by it."""

    metric: Metric
    samples: int


class RankReader:
    """Reads ranks. Each method raises `StoreAway` when Redis does not answer, and `StoreError` when it answers with an error."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read_ranking(self, measure: Measure, by: By, offset: int, limit: int) -> RankPage:
        """Return `limit` ranks from the `offset`-th on, largest first."""
        key = keys.rank(measure, by)
        pipe = self._pipe()
        pipe.zcard(key)
        pipe.zrange(key, offset, offset + limit - 1, desc=True, withscores=True)
        of, rows = await self._run(pipe)
        if not rows:
            return RankPage((), of)
        with translate_errors():
            above = await self._redis.zcount(key, f"({rows[0][1]!r}", "+inf") if offset else 0
        written = await self._read_written_states([Metric(metric) for metric, _ in rows])
        # A tick may have come in between; no metric is ranked behind its place in the list.
        rank, places = min(above, offset) + 1, []
        for index, ((metric, value), state) in enumerate(zip(rows, written, strict=True)):
            # Equal values share the place of the first of them: 1, 1, 3.
            rank = rank if index == 0 or value == rows[index - 1][1] else offset + index + 1
            places.append(RankPlace(Metric(metric), rank, value, _read_counts(state)[MEASURES.index(measure)]))
        return RankPage(places, of)

    async def read_unranked(self, measure: Measure) -> list[UnrankedMetric]:
        """Return who has too few numbers of a measure to be ranked by it, those with most of them first."""
        with translate_errors():
            found = await self._redis.zrange(keys.unranked(measure), 0, -1, desc=True, withscores=True)
        return [
            UnrankedMetric(Metric(metric), int(samples)) for metric, samples in cast("list[tuple[str, float]]", found)
        ]

    async def read_place(self, metric: Metric, measure: Measure, by: By) -> tuple[RankPlace, int] | None:
        """Return a metric's place and of how many; `None` where it is not ranked."""
        return (await self.read_places(metric, [measure], by)).get(measure)

    async def read_places(
        self, metric: Metric, measures: Sequence[Measure], by: By
    ) -> dict[Measure, tuple[RankPlace, int]]:
        """Return a metric's place, and of how many, by each measure that it is ranked by."""
        pipe = self._pipe()
        pipe.get(keys.moments(metric))
        for measure in measures:
            pipe.zscore(keys.rank(measure, by), metric)
        written, *values = await self._run(pipe)
        counts = dict(zip(MEASURES, _read_counts(written), strict=True))
        ranked = [(measure, value) for measure, value in zip(measures, values, strict=True) if value is not None]
        pipe = self._pipe()
        for measure, value in ranked:
            pipe.zcount(keys.rank(measure, by), f"({value!r}", "+inf")
            pipe.zcard(keys.rank(measure, by))
        answers = iter(await self._run(pipe))
        return {
            measure: (RankPlace(metric, next(answers) + 1, value, counts[measure]), next(answers))
            for measure, value in ranked
        }

    async def _read_written_states(self, metrics: Sequence[Metric]) -> list[str | None]:
        """Return the record of each metric as it is written. Raises `StoreError` where a key holds something else."""
        pipe = self._pipe()
        for batch in split_into_chunks(metrics, _BATCH):
            pipe.execute_command("MGET", *map(keys.moments, batch))
        found = [*chain.from_iterable(await self._run(pipe))] if metrics else []
        if None in found:
            # MGET takes a key of another type for one that is not there; GET says so.
            pipe = self._pipe()
            for metric, written in zip(metrics, found, strict=True):
                if written is None:
                    pipe.get(keys.moments(metric))
            again = iter(await self._run(pipe))
            found = [next(again) if written is None else written for written in found]
        return found

    def _pipe(self) -> Pipeline:
        return self._redis.pipeline(transaction=False)

    async def _run(self, pipe: Pipeline) -> list[Any]:
        with translate_errors():
            return await pipe.execute()


@lru_cache(_MOST_COUNTS)
def _read_counts(written: str | None) -> tuple[int, ...]:
    """Return how many numbers of each measure the day of a state holds."""
    record = metric_state.try_read_state(written)
    return tuple(day.n for day in record.day) if record else (0,) * len(MEASURES)
