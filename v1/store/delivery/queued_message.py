"""A message from the outbox until it is settled: what is sent, which entries it settles, and what becomes of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ...rules import Alert, Severity
from ...rules.message_text import MessageText
from .history import DeliveryStatus
from .receipts import Receipt


class OutgoingMessage(NamedTuple):
    """What is sent: the same, with the same id, however often it is."""

    id: str
    text: MessageText
    severity: str
    at: int
    """The tick that it is about, unix seconds."""
    link: str
    """Where the live page shows it."""
    alerts: Sequence[Alert] = ()
    """What it is about; more than one in a digest, none in a message about the channel itself."""

    @property
    def is_urgent(self) -> bool:
        return self.severity == Severity.CRITICAL


class RetryState(NamedTuple):
    """How often a message has failed, and when it may be tried again."""

    failed: int
    next: float
    """Not before; unix seconds."""


NEVER_TRIED = RetryState(0, 0.0)


@dataclass(slots=True)
class QueuedMessage:
    """A message that is not settled yet."""

    message: OutgoingMessage
    entries: list[str] = field(default_factory=list)
    """Ids of the outbox entries that are settled with it."""
    written: str = ""
    """What was in the outbox; of a digest, its first entry."""
    retry: RetryState = NEVER_TRIED

    @property
    def id(self) -> str:
        return self.message.id

    @property
    def alerts(self) -> list[str]:
        """Ids of the alerts in it."""
        return [alert.id for alert in self.message.alerts]


class Disposition(NamedTuple):
    """What becomes of a message after an attempt."""

    status: DeliveryStatus
    answer: str
    """What the provider said, or why it was not asked."""
    retry: RetryState | None = None
    """When it is tried again; `None`: it is settled."""
    receipt: Receipt | None = None
    """Of a message that the provider repeats until somebody acknowledges it."""
