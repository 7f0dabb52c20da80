"""Time ranges of queries: resolved against the clock and the data that exists, with the refusals of those too long."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from .params import TimeParam
from .problems import HttpRefusal, refuse_fields


class RangeDefaults(NamedTuple):
    """What stands for an end that a query does not give, in unix seconds."""

    last: int
    """The end; it is never before the start that was given."""
    find_first: Callable[[int], int]
    """The start, by the end."""


class TimeRange(NamedTuple):
    """A range of time with both its ends, in unix seconds."""

    start: int
    end: int

    @classmethod
    def resolve(
        cls,
        ends: tuple[TimeParam | None, TimeParam | None],
        now: int,
        defaults: RangeDefaults,
        written: Mapping[str, str],
    ) -> "TimeRange":
        """
        Return the range from the first to the second of `ends`, where `None` is a parameter that was not given.

        `written` is the query itself, for the refusal. Raises `HttpRefusal` where the start is after the end.
        """
        first, last = ends
        start = first.resolve(now) if first else None
        end = last.resolve(now) if last else max(defaults.last, start or 0)
        if start is None:
            start = max(0, defaults.find_first(end))
        if start > end:
            raise refuse_fields(
                ("from", written.get("from", start), f"a time that is not after `to`, {end}"),
                ("to", written.get("to", end), f"a time that is not before `from`, {start}"),
            )
        return cls(start, end)


def floor_to_tick(now: float, interval: int) -> int:
    """Return the time of the newest tick by the clock: times from now are whole ticks, so answers change with them."""
    return int(now) // interval * interval


class CoarserStep(NamedTuple):
    """The parameter with which fewer rows are answered for the same range."""

    name: str
    value: object
    accepted: str
    """Which of its values would do; empty where none would."""


def refuse_too_many(most: str, earliest: int, coarser: CoarserStep, written: Mapping[str, str]) -> HttpRefusal:
    """
    Return the refusal of a range with more than `most` rows.

    It names the earliest start that would do for the same end, and the coarser step where there is one.
    """
    wrong: list[tuple[str, object, str]] = [("from", written["from"], f"{earliest} or later: {most}")]
    if coarser.accepted:
        value = written.get(coarser.name, coarser.value)
        wrong.append((coarser.name, value, f"{coarser.accepted}: {most}"))
    return refuse_fields(*wrong)
