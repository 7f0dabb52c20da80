"""How a tick moves a whole market on: every metric a step. Pure; the live tick and the backtest both go by it."""

from collections.abc import Mapping, Sequence

from ..model import Metric
from .metric_state import PriorState, SourceReading, StateUpdate, advance


def advance_all(
    at: int, metrics: Sequence[Metric], heard: Mapping[Metric, SourceReading], found: Sequence[PriorState]
) -> Sequence[StateUpdate]:
    """Compute the step of each metric; those with nothing to move are left out."""
    steps = [advance(metric, at, heard.get(metric), held) for metric, held in zip(metrics, found, strict=True)]
    return [step for step in steps if step is not None]
