"""
Tells which markets of a source stand still: answers come, and the provider's time, or the whole value, does not move.

    frozen   the provider's time has not moved for an interval (5 s at least), and neither has any of its markets', or
             the source is known to move its times without trade; of one market of another source, for 10 minutes
             the provider gives no time: no number of the market has changed for an hour, or none of at least 10 markets
             of the source for 5 minutes
    quiet    the provider's time moves, and for 5 minutes the price stood still and nothing was traded

Readings in, states out: no clock, no network.
"""

from collections.abc import Mapping
from typing import NamedTuple

from worker.latest import HOUR, MINUTE, Metric, Reading
from worker.latest.market import Freshness, MarketNote
from worker.sources.row_fields import is_zero

SHORTEST = 5
"""Seconds that a provider's time may stand still: caches keep an answer for some."""
STAMPED_SECONDS = 10 * MINUTE
"""The same of one market, where the provider may stamp it with its last trade."""
QUIET_SECONDS = 5 * MINUTE
SAME_SECONDS = 5 * MINUTE
"""How long no number of a whole answer may change where the provider gives no time."""
MANY = 10
"""So many markets of an answer without time do not all stand still by chance."""


class Movement(NamedTuple):
    """When a market moved last, by one source."""

    reading: Reading
    """The newest."""
    time: int | None
    """The newest time that the provider gave."""
    moved_at: int
    """The tick at which that time moved last; where there is none, any of the numbers."""
    traded_at: int
    """The tick at which the price moved or something was traded last."""


class FeedWatch:
    """The movements of all markets of one source."""

    def __init__(self, interval: int) -> None:
        self._still = max(interval, SHORTEST)
        self._movements: dict[Metric, Movement] = {}
        self._moved_at = 0
        """The newest tick at which any market moved."""
        self._is_stamped_by_clock = False
        """Whether a time was seen to move while nothing else did: then it is not the time of the last trade."""

    def update(self, at: int, answer: Mapping[Metric, Reading]) -> None:
        """Take in what the source answered at tick `at`."""
        for metric, reading in answer.items():
            before = self._movements.get(metric)
            if before is None:
                now = Movement(reading, reading.provider_time, at, at)
            else:
                now = self._move(at, before, reading)
            self._movements[metric] = now
            self._moved_at = max(self._moved_at, now.moved_at)

    def judge(self, at: int, metric: Metric) -> MarketNote | None:
        """Return how a market of the answer of tick `at` stands; `None` where it is live."""
        movement = self._movements[metric]
        still = at - movement.moved_at
        if movement.time is not None and still >= self._find_longest(at):
            return MarketNote(
                Freshness.FROZEN, movement.moved_at, f"the provider's time stands still at {movement.time}"
            )
        if movement.time is None and (still >= HOUR or self._is_whole_still(at)):
            return MarketNote(Freshness.FROZEN, movement.moved_at, "no number of the provider's answers has changed")
        if movement.time is not None and at - movement.traded_at >= QUIET_SECONDS:
            return MarketNote(Freshness.QUIET, movement.traded_at, "nothing was traded")
        return None

    def _find_longest(self, at: int) -> int:
        """Return for how many seconds a time of the provider may stand still."""
        is_alone = at - self._moved_at < self._still and not self._is_stamped_by_clock
        return STAMPED_SECONDS if is_alone else self._still

    def _is_whole_still(self, at: int) -> bool:
        return len(self._movements) >= MANY and at - self._moved_at >= SAME_SECONDS

    def _move(self, at: int, before: Movement, reading: Reading) -> Movement:
        told = reading.provider_time
        is_same = _list_numbers(reading) == _list_numbers(before.reading)
        # A provider that leaves its time out once is judged by its numbers until it gives one again.
        has_moved = (before.time is None or told > before.time) if told is not None else not is_same
        has_traded = _has_traded(before.reading, reading)
        if has_moved and is_same and told is not None and before.time is not None and not has_traded:
            self._is_stamped_by_clock = True
        return Movement(
            reading,
            told if told is not None else before.time,
            at if has_moved else before.moved_at,
            at if has_traded else before.traded_at,
        )


def _list_numbers(reading: Reading) -> tuple[str | None, ...]:
    """Return the price, the volume and both changes: those that a market moves by."""
    return reading[:4]


def _has_traded(before: Reading, now: Reading) -> bool:
    """Return whether the price moved or something was traded; without an interval's volume, the day's tells."""
    if now.price != before.price:
        return True
    return now.volume != before.volume if now.interval_volume is None else not is_zero(now.interval_volume)
