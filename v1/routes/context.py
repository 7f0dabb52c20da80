"""What the lifespan hands to every route, and how a route gets hold of it."""

import asyncio
from collections.abc import Callable
from typing import Annotated, TypedDict, cast

from fastapi import Depends, Request

from ..archive import ArchiveReader, TopArchiveReader
from ..store import Desk, Reader, TopReader


class State(TypedDict):
    """Made once at the start of the application, closed at its end."""

    reader: Reader
    archive: ArchiveReader
    top: TopReader
    top_archive: TopArchiveReader
    desk: Desk
    """Rules, silences and alerts; the one thing here that writes."""
    trying: asyncio.Lock
    """Held while rules are tried on history: one at a time, so that others are still answered."""
    clock: Callable[[], float]
    """Unix seconds. Routes look at it once, and hand the time on."""
    interval: int
    """Seconds between two ticks."""
    is_shared: bool
    """Whether everybody gets the same answers, so that a cache in front may keep them for all."""


def _state(request: Request) -> State:
    return cast("State", request.state)


Context = Annotated[State, Depends(_state)]
