"""
What was traded in an interval, out of a counter that starts again at midnight UTC. Pure: no clock, no provider.

Two looks at the counter tell it by their difference, but only where the reset cannot lie between them:

    23:58  810.0  ┐
    23:59  812.5  ┘ 2.5
    00:00    0.0    unknown: what came after 23:59 is gone with the reset, or, if the answer is a second
                    old, is still in the counter of the old day
    00:01    3.1    3.1 where the counter of 00:00 was seen to have started again, else unknown
    00:02    4.0  ┐
    00:03    4.4  ┘ 0.4

`None` is said where it is unknown. A thin market's counter may be higher after the reset than before,
so a rise alone proves nothing around midnight.
"""

from collections.abc import Mapping
from typing import NamedTuple

from worker.latest import DAY, Metric, decimals
from worker.sources.base import parse_number
from worker.sources.row_fields import is_less

SETTLED = 10
"""Seconds after midnight from which on an answer surely counts the new day: caches keep it for two."""


class CounterReading(NamedTuple):
    """One look at the counter."""

    at: int
    """The tick that asked."""
    day: int | None
    """Which day it counts, in days since 1970; `None` where that cannot be told."""
    counter: str


def read_counter(before: CounterReading | None, at: int, as_of: int, counter: str) -> CounterReading:
    """Make the look of tick `at` at a counter that is as of `as_of`, and settle which day it counts."""
    day, second = divmod(as_of, DAY)
    is_same_day = before is not None and before.day == day
    fell = before is not None and is_less(counter, before.counter)
    # 1. Falling within a day: a cache gave an older answer, or a trade was taken back. What comes
    #    next must not be compared with it, or its rise would count trades twice.
    # 2. Falling at midnight is the reset itself. Without a fall, only time tells.
    is_sure = not fell if is_same_day else fell or second >= SETTLED
    return CounterReading(at, day if is_sure else None, counter)


def compute_traded(before: CounterReading | None, now: CounterReading, interval: int) -> str | None:
    """Return what was traded in the interval that ends at the tick of `now`, exactly; `None` where it is unknown."""
    if before is None or before.at != now.at - interval:
        return None
    if now.day is None or before.day != now.day:
        return None
    return parse_number(
        decimals.format_decimal(
            decimals.subtract(decimals.parse_decimal(now.counter), decimals.parse_decimal(before.counter))
        )
    )


class DailyCounters:
    """The counters of many metrics at the last two ticks; two, so that the same tick asked twice is one tick."""

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._at = 0
        self._before: Mapping[Metric, CounterReading] = {}
        self._now: Mapping[Metric, CounterReading] = {}

    def update(self, at: int, as_of: int, counters: Mapping[Metric, str]) -> Mapping[Metric, str | None]:
        """Take the counters of tick `at` and give what was traded in the interval before it."""
        if at != self._at:
            self._at, self._before = at, self._now
        self._now = {
            metric: read_counter(self._before.get(metric), at, as_of, counter) for metric, counter in counters.items()
        }
        return {
            metric: compute_traded(self._before.get(metric), now, self._interval) for metric, now in self._now.items()
        }
