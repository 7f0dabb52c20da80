"""Entries of the outbox turned into messages: one each, or one for many of the same rule and tick. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from worker.delivery.notify.base import MessageQuota, OutgoingMessage
from worker.latest import (
    Alert,
    MessageRef,
    MessageText,
    OutboxEntry,
    RetryState,
    Severity,
    make_digest_id,
    make_link,
    sort_by_strength,
    write_digest,
    write_single,
)

NEVER_TRIED = RetryState(0, 0.0)
MOST_KEPT = 4096
"""Characters of an entry that a dead letter keeps."""


class MessageOptions(NamedTuple):
    """What the text of a message must know beside its alerts."""

    page: str
    """Where the live page is."""
    interval: int
    """Seconds between two samples."""


@dataclass(slots=True)
class QueuedMessage:
    """A message, what it settles, and how it stands."""

    message: OutgoingMessage
    entries: list[str] = field(default_factory=list)
    """Ids of the entries that are settled with it."""
    written: str = ""
    """What was in the outbox; of a digest, the first of it."""
    tries: RetryState = NEVER_TRIED

    @property
    def ref(self) -> MessageRef:
        return MessageRef(self.message.id, self.entries, [alert.id for alert in self.message.alerts])


def make_message(entry: OutboxEntry, alert: Alert, wording: MessageOptions) -> QueuedMessage:
    """Write about one alert."""
    message = OutgoingMessage(
        alert.id,
        write_single(alert, wording.interval),
        _find_severity(alert),
        alert.at,
        make_link(wording.page, alert),
        (alert,),
    )
    return QueuedMessage(message, [entry.id], entry.written)


class DigestBuilder:
    """Alerts that are sent together, until all of their tick are there."""

    def __init__(self, wording: MessageOptions) -> None:
        self._wording = wording
        self._found: dict[tuple[str, int], dict[str, tuple[OutboxEntry, Alert]]] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, entry: OutboxEntry, alert: Alert) -> None:
        self._found.setdefault((alert.rule, alert.at), {})[entry.id] = (entry, alert)

    def take_complete(self, tick: int) -> Iterator[QueuedMessage]:
        """Take out what is complete, for all alerts up to `tick` were added: one letter for each rule and tick."""
        for rule, at in [key for key in self._found if key[1] <= tick]:
            yield self._make_digest([*self._found.pop((rule, at)).values()])

    def _make_digest(self, found: Sequence[tuple[OutboxEntry, Alert]]) -> QueuedMessage:
        alerts = tuple(sort_by_strength([alert for _, alert in found]))
        first = alerts[0]
        text = write_digest(alerts, self._wording.interval)
        page = f"{self._wording.page.rstrip('/')}/"
        message = OutgoingMessage(
            make_digest_id(first.rule, first.at), text, _find_severity(*alerts), first.at, page, alerts
        )
        return QueuedMessage(message, [entry.id for entry, _ in found], found[0][0].written)


def make_unreadable_ref(entry: OutboxEntry) -> tuple[MessageRef, str]:
    """Return what settles an entry that is no alert, and the reason."""
    why = "it cannot be read" if entry.written else "it was cut off the outbox, which is bounded, before it was sent"
    return MessageRef(f"unreadable.{entry.id}", [entry.id], []), why


def make_quota_notice(channel: str, quota: MessageQuota, now: int, wording: MessageOptions) -> QueuedMessage:
    """Write that little of a channel's quota is left, and what follows from it."""
    reset = datetime.fromtimestamp(quota.reset, UTC).strftime("%Y-%m-%d %H:%M UTC")
    text = MessageText(
        f"{channel}: {quota.remaining} of {quota.limit} messages left",
        f"Only critical alerts are sent through {channel} until {reset}.",
        make_notice_id(channel, quota),
    )
    return QueuedMessage(
        OutgoingMessage(make_notice_id(channel, quota), text, Severity.WARNING.value, now, wording.page)
    )


def make_notice_id(channel: str, quota: MessageQuota) -> str:
    return f"{channel}.quota.{quota.reset:.0f}"


def is_addressed_to(alert: Alert, channel: str) -> bool:
    return not alert.channels or channel in alert.channels


def _find_severity(*alerts: Alert) -> str:
    """Return how urgent a message is, about alerts of one rule: that something is over is never urgent."""
    return next((alert.severity for alert in alerts if alert.event != "resolved"), Severity.INFO.value)
