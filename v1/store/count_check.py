"""
Chooses states whose samples are counted, and compares the counts: samples that were deleted or evicted must not be
counted for ever.
"""

from collections.abc import Sequence
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from ..market.metric_state import MetricState, PriorState
from ..model import DAY, HOUR, Metric, list_hours
from . import keys
from .connection import translate_errors


class CountCheck:
    """
    Chooses the metrics whose samples are counted at a tick.

    Those of which a sample left a window at the tick before and none does now, for it may be gone; and a share of all
    others, so that each is counted once an hour.
    """

    def __init__(self) -> None:
        self._left_day: set[Metric] = set()
        self._left_hour: set[Metric] = set()
        self._next = 0

    def choose(
        self, seconds: int, metrics: Sequence[Metric], found: Sequence[PriorState]
    ) -> list[tuple[Metric, MetricState]]:
        """Return the metrics to count, each with its record; the tick before was so many seconds ago."""
        held = [(metric, each) for metric, each in zip(metrics, found, strict=True) if each.record]
        chosen = {
            metric: each.record
            for metric, each in held
            if (metric in self._left_day and not each.leaving_day)
            or (metric in self._left_hour and not each.leaving_hour)
        }
        share = min(len(held), -(-len(held) * seconds // HOUR))
        for place in range(self._next, self._next + share):
            metric, each = held[place % len(held)]
            chosen[metric] = each.record
        self._next = (self._next + share) % max(1, len(held))
        self._left_day = {metric for metric, each in held if each.leaving_day}
        self._left_hour = {metric for metric, each in held if each.leaving_hour}
        return [(metric, record) for metric, record in chosen.items() if record]


def put_counts(pipe: Pipeline, chosen: Sequence[tuple[Metric, MetricState]]) -> None:
    """Put the commands that count the samples in the day of each state."""
    for metric, record in chosen:
        first, *others = list_hours(record.at - DAY, record.at)
        pipe.execute_command("ZCOUNT", keys.samples(metric, first), f"({record.at - DAY}", record.at)
        for hour in others:
            pipe.execute_command("ZCARD", keys.samples(metric, hour))


def list_wrong(
    chosen: Sequence[tuple[Metric, MetricState]], answers: Sequence[Any]
) -> list[tuple[Metric, MetricState]]:
    """Return those whose state counts something else than the answers to `put_counts`."""
    wrong, each = [], iter(cast("Sequence[int]", answers))
    for metric, record in chosen:
        there = sum(next(each) for _ in list_hours(record.at - DAY, record.at))
        if there != max(moments.n for moments in record.day):
            wrong.append((metric, record))
    return wrong


async def scan_metrics(redis: Redis) -> set[Metric]:
    """Return every metric that has a state or samples, by scanning all keys."""
    found = set()
    for pattern in (keys.moments(Metric("*")), f"{keys.OURS}samples:{{*}}:*"):
        with translate_errors():
            async for key in redis.scan_iter(match=pattern, count=1000):
                found.add(Metric(str(key).partition("{")[2].partition("}")[0]))
    return found
