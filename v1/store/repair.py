"""
Rewrites what is derived from samples where it does not follow from them: metric states and sorted lists.

It holds no lock: whoever calls it does.
"""

from collections.abc import Sequence

from redis.asyncio import Redis

from ..market import metric_state
from ..market.metric_state import MetricState
from ..market.ranks import Scores
from ..model import DAY, Metric
from . import commands, keys
from .connection import translate_errors
from .count_check import list_wrong, put_counts
from .feeder import Feeder
from .lease import Lease
from .reader import Reader


class StateRepair:
    """
    Recounts states from the samples of their day. Each method raises what a `Reader`'s does.

    Of a `feeder` it writes only while that has the lease, and raises `LeaseLost` otherwise.
    """

    def __init__(self, redis: Redis, feeder: Feeder | None = None) -> None:
        self._redis = redis
        self._feeder = feeder or Feeder(redis, Lease(redis))
        self._reader = Reader(redis)

    async def recount_lost(self, metrics: Sequence[Metric], at: int) -> int:
        """Write the states of metrics that lost theirs anew, as of `at`; return how many had samples for one."""
        recounted = 0
        for metric in metrics:
            samples = await self._reader.read_samples(metric, at - DAY, at)
            state = metric_state.recount_state(at, samples, None, "")
            await self.put_state(metric, state)
            recounted += state is not None
        return recounted

    async def recount_miscounted(self, chosen: Sequence[tuple[Metric, MetricState]]) -> int:
        """Recount those of the states that count samples that are gone; return how many were wrong."""
        pipe = self._redis.pipeline(transaction=False)
        put_counts(pipe, chosen)
        with translate_errors():
            counts = await pipe.execute()
        recounted = 0
        for metric, state in list_wrong(chosen, counts):
            samples = await self._reader.read_samples(metric, state.at - DAY, state.at)
            right = metric_state.recount_state(state.at, samples, state, state.source)
            if not metric_state.are_same_states(state, right):
                await self.put_state(metric, right)
                recounted += 1
        return recounted

    async def put_state(self, metric: Metric, state: MetricState | None) -> None:
        """Put a state in place of the one that is there; `None` removes it."""
        changes = self._feeder.open_changes()
        calls = changes.choose(metric)
        if state is None:
            calls.execute_command("DEL", keys.moments(metric))
        else:
            calls.execute_command("SET", keys.moments(metric), metric_state.write_state(state), "EX", keys.KEEP)
        await self._feeder.send(changes)

    async def put_list(self, key: str, scores: Scores) -> None:
        """Put a sorted list in place of the one that is there."""
        changes = self._feeder.open_changes()
        commands.put_list(changes.derived, key, scores)
        await self._feeder.send(changes)
