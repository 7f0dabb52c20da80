"""
Checks each reading before it becomes a sample: what cannot be so is left out.

    provider time older than the last    an answer out of some cache; only times of one source are compared
    provider time in the future          a provider's clock, or ours, is wrong
    unconfirmed jump                     a price many times the last one, or as small a part of it, seen once

A jump is believed at its second look, at the next tick, or where another source gives a price near it at once.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from worker.latest import HOUR, MINUTE, Metric, Reading, decimals
from worker.latest.market import SourceReading

OLDER = "provider time older than the last"
AHEAD = "provider time in the future"
JUMP = "unconfirmed jump"
JUMP_LIMIT = 3
"""How many times the last price a price may be, unless a setting says otherwise."""
SMALLEST_JUMP = 2
ALIKE = 1.5
"""Prices that differ by less than this factor are no jump, which is `SMALLEST_JUMP` times a price at least."""
NEAR_PERCENT = 10
"""A price that differs by so much at most confirms another."""
MOST_AHEAD = MINUTE
"""Seconds that a provider's clock may be ahead of ours."""


class Rejection(NamedTuple):
    """A reading that was left out."""

    metric: Metric
    source: str
    reason: str
    text: str
    """What of the reading is wrong, beside what it was compared with."""


class _LastReading(NamedTuple):
    at: int
    price: str
    provider_time: int | None
    source: str


class ReadingChecks:
    """
    What was accepted last of each metric, and the jumps that wait to be confirmed.

    `jump_limit` is how many times the last price a price may be, or what part of it, without a second look.
    """

    def __init__(self, jump_limit: int = JUMP_LIMIT) -> None:
        self._jump_limit = jump_limit
        self._last: dict[Metric, _LastReading] = {}
        self._held: dict[Metric, str] = {}

    def select(
        self,
        at: int,
        readings: Mapping[Metric, SourceReading],
        list_others: Callable[[Metric], Iterable[Reading]] = lambda _: (),
    ) -> tuple[dict[Metric, SourceReading], list[Rejection]]:
        """
        Return the readings of tick `at` that are accepted, and those that are not.

        `list_others` gives what other sources say of a metric at this tick; it is called for a jump alone.
        """
        accepted: dict[Metric, SourceReading] = {}
        rejected: list[Rejection] = []
        for metric, heard in readings.items():
            fault = self._find_fault(at, metric, heard, list_others)
            if fault is None:
                accepted[metric] = heard
                self._last[metric] = _LastReading(at, heard.reading.price, heard.reading.provider_time, heard.source)
            else:
                rejected.append(Rejection(metric, heard.source, *fault))
        return accepted, rejected

    def _find_fault(
        self, at: int, metric: Metric, heard: SourceReading, list_others: Callable[[Metric], Iterable[Reading]]
    ) -> tuple[str, str] | None:
        """Return the reason why a reading is left out, with its text; `None` where it is accepted."""
        last, reading, told = self._last.get(metric), heard.reading, heard.reading.provider_time
        if told is not None and told > at + MOST_AHEAD:
            return AHEAD, f"{told}, at {at}"
        if last is None:
            return None
        before = last.provider_time if heard.source == last.source else None
        if told is not None and before is not None and told < before:
            return OLDER, f"{told}, after {before}"
        held = self._held.pop(metric, None)
        if at - last.at > HOUR or not self._is_jump(last.price, reading.price):
            return None
        confirming = [*([held] if held is not None else []), *[other.price for other in list_others(metric)]]
        if any(is_near(price, reading.price) for price in confirming):
            return None
        self._held[metric] = reading.price
        return JUMP, f"{reading.price}, after {last.price}"

    def _is_jump(self, before: str, now: str) -> bool:
        if self._jump_limit >= SMALLEST_JUMP and are_alike(before, now):
            return False
        low, high = sorted((before, now), key=decimals.parse_exact)
        units, places = decimals.parse_decimal(low)
        return decimals.subtract(decimals.parse_decimal(high), (units * self._jump_limit, places))[0] > 0


def are_alike(one: str, other: str) -> bool:
    """
    Return whether two prices are so near each other that no rounding could make a jump of it: most are, at every tick.

    Of a price that is 0, or beyond what a float can be, it returns `False`.
    """
    first, second = float(one), float(other)
    return first < second * ALIKE and second < first * ALIKE


def is_near(one: str, other: str) -> bool:
    """Return whether two prices differ by `NEAR_PERCENT` of the larger at most."""
    low, high = sorted((one, other), key=decimals.parse_exact)
    units, places = decimals.parse_decimal(high)
    least = units * (100 - NEAR_PERCENT), places + 2
    return decimals.subtract(decimals.parse_decimal(low), least)[0] >= 0
