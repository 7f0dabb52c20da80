"""A market that is replayed from a recording: what is known of that, and how it is said. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from ..numbers.decimals import is_number

_TIMES = ("first", "last", "shift")


class ReplayMark(NamedTuple):
    """What a replay says of itself before its first tick. It says nothing more: the ticks say how far it is."""

    first: int
    """The first tick of the recording, unix seconds, as it is played."""
    last: int
    """The last one."""
    shift: int = 0
    """Seconds by which the ticks are later than what was recorded."""
    speed: str | None = None
    """How many recorded seconds go by in one second, a decimal; `None`: as many as can be."""


class ReplayState(StrEnum):
    """How a replay does."""

    RUNNING = "running"
    STOPPED = "stopped"
    """It was broken off before its last tick."""
    OVER = "over"


class ReplayProgress(NamedTuple):
    """How far a replay is."""

    mark: ReplayMark
    state: ReplayState
    at: int | None
    """Its newest tick; `None` before the first."""


def parse_mark(stored: Mapping[str, Any] | None) -> ReplayMark | None:
    """Return the mark of a replay as it was stored; `None` of what is none."""
    if stored is None or any(type(stored.get(name)) is not int for name in _TIMES):
        return None
    speed = stored.get("speed")
    if speed is not None and not (is_number(speed) and float(speed) > 0):
        return None
    first, last, shift = (stored[name] for name in _TIMES)
    return ReplayMark(first, last, shift, speed)


def judge_progress(mark: ReplayMark, tick: int | None, *, is_fed: bool) -> ReplayProgress:
    """Return how far a replay is, by the newest tick; `is_fed` says whether anybody feeds the store."""
    if tick is not None and tick >= mark.last:
        return ReplayProgress(mark, ReplayState.OVER, tick)
    return ReplayProgress(mark, ReplayState.RUNNING if is_fed else ReplayState.STOPPED, tick)


def describe_replay(progress: ReplayProgress) -> str:
    """Return it in words: `market replayed: 2021-05-19 07:12 UTC at 60 x`."""
    mark, state, at = progress
    if state is ReplayState.OVER:
        return f"market replayed: {_format_span(mark)}, to its end"
    where = "not a tick yet" if at is None else _format_tick(at, mark.shift)
    if state is ReplayState.STOPPED:
        return f"market replayed: stopped at {where}; the same command goes on with it"
    return f"market replayed: {where} {'as fast as it goes' if mark.speed is None else f'at {mark.speed} x'}"


def _format_span(mark: ReplayMark) -> str:
    recorded = f"{_format_minute(mark.first - mark.shift)} to {_format_minute(mark.last - mark.shift)} UTC"
    return f"{recorded}, played until {_format_minute(mark.last)} UTC" if mark.shift else recorded


def _format_tick(at: int, shift: int) -> str:
    recorded = f"{_format_minute(at - shift)} UTC"
    return f"{recorded}, played as {_format_minute(at)} UTC," if shift else recorded


def _format_minute(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"
