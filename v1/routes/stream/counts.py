"""What the streams of a process count, in plain attributes: a call for each event would be felt."""

from dataclasses import dataclass, field

from .frames import Framing


@dataclass(slots=True)
class StreamCounts:
    """How many clients there are, and what they were sent and did not take since the start."""

    clients: dict[str, int] = field(default_factory=lambda: {"sse": 0, "ws": 0})
    """Open streams, by kind."""
    sent: int = 0
    """Events that were written to a client, each client counted."""
    lagging: int = 0
    """How often a client was too slow and was moved to the newest alone."""
    stalled: int = 0
    """Clients that were dropped because they did not read."""

    def add_client(self, framing: Framing, number: int = 1) -> None:
        """Count a client that has come, or with -1 one that has gone."""
        self.clients["ws" if framing is Framing.MESSAGES else "sse"] += number
