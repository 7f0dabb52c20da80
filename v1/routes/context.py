"""What the lifespan hands to every route, and how a route gets hold of it."""

from collections.abc import Callable
from typing import Annotated, TypedDict, cast

from fastapi import Depends, Request

from ..archive import ArchiveReader, TopArchiveReader
from ..backtest_process.runner import Runner
from ..store import Desk, Reader, TopReader


class State(TypedDict):
    """Made once at the start of the application, closed at its end."""

    reader: Reader
    archive: ArchiveReader
    top: TopReader
    top_archive: TopArchiveReader
    desk: Desk
    """Rules, silences and alerts; the one thing here that writes."""
    redis_address: str
    """Where a process of its own finds the store."""
    backtests: Runner
    """Tries rules on history, in processes of their own, so that others are still answered."""
    clock: Callable[[], float]
    """Unix seconds. Routes look at it once, and hand the time on."""
    interval: int
    """Seconds between two ticks."""
    is_shared: bool
    """Whether everybody gets the same answers, so that a cache in front may keep them for all."""


def _state(request: Request) -> State:
    return cast("State", request.state)


Context = Annotated[State, Depends(_state)]
