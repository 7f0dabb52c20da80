"""One client of a stream, and the clients that asked the same."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from ...store import EventId
from .frames import Frame, Framing, StreamEvent
from .question import MetricMatcher, StreamQuestion

CHANNEL = "data_tracker.channel"
"""What the server offers among the extensions of a request's scope: a coroutine function that hands the connection over."""
MOST_WAITING = 64 * 1024
"""Bytes that may wait for a client when more come for it."""


class StreamChannel(Protocol):
    """The connection of a client, to write to."""

    heard: float
    """When the client sent something last, of the loop's clock."""

    @property
    def waiting(self) -> int:
        """The bytes that the system has not taken yet."""

    def write(self, data: bytes) -> None:
        """Write bytes, as they are."""

    def watch_close(self, on_close: Callable[[], None]) -> None:
        """Have `on_close` called once the connection is closed, by either side."""

    def finish(self) -> None:
        """End the answer, and close when all of it is sent."""

    def drop(self) -> None:
        """Close at once."""


class StreamStart(NamedTuple):
    """How a client begins."""

    framing: Framing
    after: EventId | None = None
    """What it has read last; `None`: nothing."""
    is_once: bool = False
    """Whether it wants nothing but what is there now."""
    is_allowed: Callable[[], bool] = lambda: True
    """Whether it may still be told anything: its key may be revoked, or end."""


class Subscriber:
    """One client: what it was sent, and whether it takes it."""

    __slots__ = (
        "channel",
        "framing",
        "is_allowed",
        "is_away",
        "is_ending",
        "is_new",
        "is_once",
        "sent",
        "slow_since",
        "slow_waiting",
    )

    def __init__(self, channel: StreamChannel, start: StreamStart) -> None:
        self.channel = channel
        self.framing = start.framing
        self.sent = start.after
        """The last entry of the log that it was told of, if it was of those that it asked for."""
        self.is_once = start.is_once
        self.is_allowed = start.is_allowed
        self.is_new = True
        self.is_away = False
        """Whether it was told that the store is away."""
        self.is_ending = False
        self.slow_since: float | None = None
        """Since when it has taken too little; `None` of a client that reads."""
        self.slow_waiting = 0
        """The bytes that waited then."""

    def send(self, frame: Frame, now: float) -> bool:
        """Send a frame, and return whether there was room for it; where there is not, the client is slow."""
        if self.channel.waiting > MOST_WAITING:
            self.note_slow(now)
            return False
        self.channel.write(frame.encode(self.framing))
        return True

    def note_slow(self, now: float) -> None:
        """Note how much waits for a client, and since when."""
        self.slow_since, self.slow_waiting = now, self.channel.waiting

    def has_stalled(self, now: float, slowest: int, seconds: float) -> bool:
        """Return whether a slow client has taken less than `slowest` bytes in some seconds."""
        waiting = self.channel.waiting
        if self.slow_since is None or self.slow_waiting - waiting >= slowest:
            self.note_slow(now)
            return False
        return now - self.slow_since >= seconds


class StreamGroup:
    """The clients that asked the same: what the newest tick says is made once for all of them."""

    def __init__(self, question: StreamQuestion) -> None:
        self.question = question
        self.matcher = MetricMatcher(question.metrics)
        self.subscribers: set[Subscriber] = set()
        self.state: list[StreamEvent] = []
        """The events of the newest tick."""
        self.state_id: EventId | None = None
        """The entry of that tick; `None`: nothing was read yet."""
