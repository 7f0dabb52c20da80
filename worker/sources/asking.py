"""Which source asks just now, and what for: for whoever sees a request without knowing who made it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import NamedTuple


class AskedFor(StrEnum):
    """What a request is about."""

    MARKETS = "markets"
    """What the provider has."""
    TICK = "tick"
    """The numbers of a tick."""


class Asking(NamedTuple):
    """Who asks, and what for."""

    source: str
    asked_for: AskedFor
    at: int
    """The tick, or the time at which the markets were asked for; unix seconds."""


CURRENT: ContextVar[Asking | None] = ContextVar("asking", default=None)
"""Of the running task, and of those that it has made; `None` where nobody said so."""


@contextmanager
def note_asking(source: str, asked_for: AskedFor, at: int) -> Iterator[None]:
    """Say who asks for what until the end."""
    token = CURRENT.set(Asking(source, asked_for, at))
    try:
        yield
    finally:
        CURRENT.reset(token)
