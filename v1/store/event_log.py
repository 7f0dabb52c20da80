"""
Writes the log of what happens, as it is pushed to clients: a Redis stream, bounded in number, one entry an event.

    field          value                      when
    tick           the tick                   everything of it is committed
    alert          the alert, JSON            with it, in its transaction
    ended          the id of an alert         with the sample by which it ended
    acknowledged   the id of an alert         with its acknowledgement, and when that is taken back

A replay writes its ticks, and its alerts where it is played at a speed, to be watched. Ids are Redis's own, `<milliseconds>-<number>`,
and grow; they are what a client resumes by.
"""

from enum import StrEnum
from typing import Any, Protocol

from . import keys


class EventKind(StrEnum):
    """The field of an entry."""

    TICK = "tick"
    ALERT = "alert"
    ENDED = "ended"
    ACKNOWLEDGED = "acknowledged"


class CommandSink(Protocol):
    """A pipeline, or what takes commands as one does."""

    def execute_command(self, *args: Any) -> Any:
        """Take a command."""


def put_event(pipe: CommandSink, kind: EventKind, value: object) -> None:
    """Put an entry at the end of the log, and how long the log lives from now on."""
    pipe.execute_command("XADD", keys.EVENTS, "MAXLEN", "~", keys.MOST_EVENTS, "*", kind, value)
    pipe.execute_command("EXPIRE", keys.EVENTS, keys.KEEP_EVENTS)
