"""The state that routes share, and the dependency that gives it to a route."""

from collections.abc import Callable
from typing import Annotated, TypedDict, cast

from fastapi import Depends, Request

from ..archive import ArchiveReader, TopArchiveReader
from ..backtest.process.runner import BacktestRunner
from ..store import AdminStore, Reader, TopReader


class RouteState(TypedDict):
    """Made once at the start of the application, closed at its end."""

    reader: Reader
    archive: ArchiveReader
    top: TopReader
    top_archive: TopArchiveReader
    admin: AdminStore
    """Rules, silences and alerts; the one thing here that writes."""
    redis_address: str
    """Where a process of its own finds the store."""
    backtests: BacktestRunner
    """Tries rules on history, in processes of their own, so that others are still answered."""
    clock: Callable[[], float]
    """Unix seconds. Routes look at it once, and hand the time on."""
    interval: int
    """Seconds between two ticks."""
    is_shared: bool
    """Whether everybody gets the same answers, so that a cache in front may keep them for all."""


def _read_route_state(request: Request) -> RouteState:
    return cast("RouteState", request.state)


Context = Annotated[RouteState, Depends(_read_route_state)]
