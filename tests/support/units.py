"""A tick's two steps on their own, each in a unit of its own, for tests that need no more than one of them."""

from collections.abc import Callable, Sequence

from v1.market.metric_state import NO_LOOKBACK, Lookback, PriorState, StateUpdate
from v1.model import Metric
from v1.rules import NO_EVALUATION, Evaluation
from v1.store import Writer


async def read_states(
    store: Writer, at: int, metrics: Sequence[Metric], look: Callable[[Metric], Lookback] = lambda _: NO_LOOKBACK
) -> list[PriorState]:
    async with store.open_tick(at) as unit:
        return await unit.read_states(metrics, look)


async def commit(
    store: Writer, at: int, updates: Sequence[StateUpdate] = (), evaluation: Evaluation = NO_EVALUATION
) -> None:
    async with store.open_tick(at) as unit:
        await unit.commit(updates, evaluation=evaluation)
