"""Checks what is derived (moments, ranks, means, index) against the samples, and repairs what differs."""

from collections.abc import AsyncIterator, Callable
from typing import NamedTuple, cast

from .. import keys
from ..market import metric_state
from ..market.metric_state import MetricState
from ..market.ranks import Rankings, RankInput, rank_all
from ..model import DAY, Metric, Sample
from .connection import translate_errors
from .count_check import scan_metrics
from .writer import Writer

REPAIR = "repair"
"""The source of samples of which nobody knows it any more."""


class VerifyReport(NamedTuple):
    """What a check found."""

    metrics: int
    samples: int
    moments: list[Metric]
    """Metrics whose moments did not follow from their samples."""
    lists: list[str]
    """Keys of ranks, means and the index that did not follow from the moments."""

    @property
    def is_clean(self) -> bool:
        return not self.moments and not self.lists


class Verifier(Writer):
    """Recomputes from the samples alone. Needs the lease, since a tick in between would look like damage."""

    async def verify(self, *, repair: bool, seen: Callable[[int, int], None] = lambda _done, _of: None) -> VerifyReport:
        """
        Check every metric, and with `repair` rewrite what differs; `seen` is told how far it got.

        Each metric is repaired in one transaction, each list in another.
        """
        tick = await self.open()
        metrics = sorted([metric async for metric in self._list_metrics()])
        samples, wrong, standings, newest = 0, [], [], {}
        for done, metric in enumerate(metrics, 1):
            held, right, day = await self._recount(metric, tick)
            samples += len(day)
            if not metric_state.are_same_states(held, right):
                wrong.append(metric)
                if repair:
                    await self._put(metric, right)
            if right is not None:
                newest[metric] = right.newest
                standings.append(RankInput(metric, right.day, metric_state.compute_baseline(right, day[-1:])))
            seen(done, len(metrics))
        lists = await self._check_lists(rank_all(standings), newest, repair=repair)
        return VerifyReport(len(metrics), samples, wrong, lists)

    async def _list_metrics(self) -> AsyncIterator[Metric]:
        """Return every metric that has an entry in the index, moments or samples, once."""
        for name in {*await self.read_metrics(), *await scan_metrics(self._redis)}:
            yield name

    async def _recount(
        self, metric: Metric, tick: int | None
    ) -> tuple[MetricState | None, MetricState | None, list[Sample]]:
        """Return the record as it is, as it should be, and the samples that say so."""
        held = await self._read_state(metric, tick)
        at = held.at if held else tick
        if at is None:
            return held, None, []
        day = await self.read_samples(metric, at - DAY, at)
        return held, metric_state.recount_state(at, day, held, held.source if held else REPAIR), day

    async def _read_state(self, metric: Metric, tick: int | None) -> MetricState | None:
        """Return the record of a metric; of one that nobody can read, a record that is certainly wrong."""
        with translate_errors():
            written = cast("str | None", await self._redis.get(keys.moments(metric)))
        record = metric_state.try_read_state(written)
        if record is None and written is not None:
            return MetricState(tick or 0, 0, None, None, REPAIR, None, metric_state.EMPTY, metric_state.EMPTY)
        return record

    async def _check_lists(self, scored: Rankings, newest: dict[Metric, int], *, repair: bool) -> list[str]:
        wanted = {keys.rank(measure, by): members for (measure, by), members in scored.ranks.items()}
        wanted |= {keys.mean(measure): members for measure, members in scored.means.items()}
        wanted[keys.METRICS] = [(float(tick), metric) for metric, tick in newest.items()]
        wrong = []
        for key, members in wanted.items():
            with translate_errors():
                held = await self._redis.zrange(key, 0, -1, withscores=True)
            if dict(cast("list[tuple[str, float]]", held)) != {str(metric): value for value, metric in members}:
                wrong.append(key)
                if repair:
                    await self._rewrite(key, members)
        return wrong
