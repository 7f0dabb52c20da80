"""Checks what is derived (metric states, ranks, means, index) against the samples, and repairs what differs."""

from collections.abc import Callable
from typing import NamedTuple, cast

from redis.asyncio import Redis

from ..market import metric_state
from ..market.market_note import list_unranked
from ..market.metric_state import MetricState
from ..market.ranks import Rankings, RankInput, rank_all
from ..model import DAY, Metric, Sample
from . import keys
from .changes import ChangeKind, send_change
from .connection import translate_errors
from .count_check import scan_metrics
from .data_format import DataFormat
from .reader import Reader
from .repair import StateRepair

REPAIR = "repair"
"""The source of samples whose own source is lost."""


class VerifyReport(NamedTuple):
    """What a check found."""

    metrics: int
    samples: int
    moments: list[Metric]
    """Metrics whose state did not follow from their samples."""
    lists: list[str]
    """Keys of ranks, means and the index that did not follow from the states."""

    @property
    def is_clean(self) -> bool:
        return not self.moments and not self.lists


class Verifier:
    """Recounts everything from the samples alone. Whoever calls it has the lease: a tick meanwhile looks like damage."""

    def __init__(self, redis: Redis, min_coverage: float = 0) -> None:
        self._redis = redis
        self._min_coverage = min_coverage
        self._reader = Reader(redis)
        self._repair = StateRepair(redis)

    async def verify(self, *, repair: bool, seen: Callable[[int, int], None] = lambda _done, _of: None) -> VerifyReport:
        """
        Check every metric, and with `repair` rewrite what differs; `seen` is called with the metrics done, and of how many.

        Each metric is repaired in one transaction, each list in another.
        """
        await DataFormat(self._redis).ensure()
        tick = await self._reader.read_tick()
        metrics, unranked = await self.list_metrics(), list_unranked(await self._reader.read_market_notes())
        samples, wrong, rank_inputs, newest = 0, [], [], {}
        for done, metric in enumerate(metrics, 1):
            state, right, day = await self._recount(metric, tick)
            samples += len(day)
            if not metric_state.are_same_states(state, right):
                wrong.append(metric)
                if repair:
                    await self._repair.put_state(metric, right)
            if right is not None:
                newest[metric] = right.newest
            if right is not None and metric not in unranked:
                rank_inputs.append(RankInput(metric, right.day, metric_state.compute_baseline(right, day[-1:])))
            seen(done, len(metrics))
        lists = await self.check_lists(rank_all(rank_inputs, self._min_coverage), newest, repair=repair)
        if repair and (wrong or lists):
            await send_change(self._redis, ChangeKind.ALL)
        return VerifyReport(len(metrics), samples, wrong, lists)

    async def list_metrics(self) -> list[Metric]:
        """Return every metric that has an entry in the index, a state or samples, by name."""
        return sorted({*await self._reader.read_metrics(), *await scan_metrics(self._redis)})

    async def read_state(self, metric: Metric, tick: int | None) -> MetricState | None:
        """Return the state of a metric; of one that cannot be read, a state that is certainly wrong."""
        with translate_errors():
            written = cast("str | None", await self._redis.get(keys.moments(metric)))
        state = metric_state.try_read_state(written)
        if state is None and written is not None:
            return MetricState(tick or 0, 0, None, None, REPAIR, None, metric_state.EMPTY, metric_state.EMPTY)
        return state

    async def _recount(
        self, metric: Metric, tick: int | None
    ) -> tuple[MetricState | None, MetricState | None, list[Sample]]:
        """Return the state as it is, as it should be, and the samples that it should follow from."""
        state = await self.read_state(metric, tick)
        at = state.at if state else tick
        if at is None:
            return state, None, []
        day = await self._reader.read_samples(metric, at - DAY, at)
        return state, metric_state.recount_state(at, day, state, state.source if state else REPAIR), day

    async def check_lists(self, rankings: Rankings, newest: dict[Metric, int], *, repair: bool) -> list[str]:
        """Return the keys of ranks, means and the index that differ from these, and with `repair` rewrite them."""
        expected = {keys.rank(measure, by): scores for (measure, by), scores in rankings.ranks.items()}
        expected |= {keys.mean(measure): scores for measure, scores in rankings.means.items()}
        expected |= {keys.unranked(measure): scores for measure, scores in rankings.unranked.items()}
        expected[keys.METRICS] = [(float(tick), metric) for metric, tick in newest.items()]
        wrong = []
        for key, scores in expected.items():
            with translate_errors():
                found = await self._redis.zrange(key, 0, -1, withscores=True)
            if dict(cast("list[tuple[str, float]]", found)) != {str(metric): value for value, metric in scores}:
                wrong.append(key)
                if repair:
                    await self._repair.put_list(key, scores)
        return wrong
