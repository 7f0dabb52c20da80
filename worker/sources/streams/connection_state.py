"""
What a connection is to do next. Pure: times are arguments, seconds of a clock that never goes back.

    OPENING ──all answered and proven──▶ LIVE ──old enough, or the provider says so──▶ AGEING
       │                                  │                                              │
       └──too slow, silent───────────────▶└──────────────────▶ drop ◀────────────────────┘

An ageing connection goes on delivering until another one has taken its place.
"""

from dataclasses import dataclass, field
from enum import Enum

PING_SECONDS = 5.0
"""So long nothing may come before the provider is asked whether it is there."""
SILENT_SECONDS = 15.0
"""So long nothing may come before the connection is given up."""
OPENING_SECONDS = 60.0
"""So long it may take until all subscriptions are answered."""
AGEING_SECONDS = 23 * 3600.0
"""An hour before the provider closes it. An hour is enough for many tries to replace it."""
MOST_UNREADABLE = 20
"""Frames one after the other that cannot be read."""


class ConnectionStep(Enum):
    """What is to be done."""

    NOTHING = "nothing"
    PING = "ping"
    DROP = "drop"


@dataclass
class ConnectionState:
    """One connection, from when it was opened, at `opened_at`."""

    opened_at: float
    unanswered: set[str]
    """The names of the answers that are missing."""
    is_proven: bool = False
    """Whether the provider sent data, or answered a ping, after everything was answered."""
    is_closing_soon: bool = False
    heard_at: float = field(init=False)
    pinged_at: float | None = field(init=False, default=None)
    """Of a ping since when nothing came."""
    unreadable: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.heard_at = self.opened_at

    @property
    def is_live(self) -> bool:
        """Whether it delivers everything."""
        return not self.unanswered and self.is_proven

    def note_frame(self, now: float, *, is_readable: bool = True) -> None:
        """Take in that a frame came."""
        self.heard_at, self.pinged_at = now, None
        self.unreadable = 0 if is_readable else self.unreadable + 1

    def note_answer(self, name: str) -> None:
        """Take in that a subscription was answered."""
        self.unanswered.discard(name)

    def note_proof(self) -> None:
        """Take in that the provider sent data, or answered a ping."""
        self.is_proven = self.is_proven or not self.unanswered

    def is_ageing(self, now: float) -> bool:
        """Return whether another connection should take its place."""
        return self.is_closing_soon or now - self.opened_at >= AGEING_SECONDS

    def find_fault(self, now: float) -> str | None:
        """Return why it is to be given up; `None` where it is not."""
        if self.unreadable >= MOST_UNREADABLE:
            return f"{self.unreadable} frames one after the other could not be read"
        if now - self.heard_at >= SILENT_SECONDS:
            return f"nothing came for {now - self.heard_at:.0f} s"
        if not self.is_live and now - self.opened_at >= OPENING_SECONDS:
            missing = (
                f"{len(self.unanswered)} subscriptions were not answered" if self.unanswered else "nothing was sent"
            )
            return f"{missing} in {OPENING_SECONDS:.0f} s"
        return None

    def decide(self, now: float) -> ConnectionStep:
        """Return what is to be done now; a ping that is decided on is noted as sent."""
        if self.find_fault(now) is not None:
            return ConnectionStep.DROP
        is_new = not self.is_live and not self.unanswered
        if self.pinged_at is None and (is_new or now - self.heard_at >= PING_SECONDS):
            self.pinged_at = now
            return ConnectionStep.PING
        return ConnectionStep.NOTHING
