"""Makes messages of outbox entries: one for each alert, or one digest for many of the same rule and tick. Pure."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from worker.delivery.notify.base import MessageQuota
from worker.latest.delivery import OutboxEntry, OutgoingMessage, QueuedMessage
from worker.latest.messages import MessageText, make_digest_id, make_link, sort_by_strength, write_digest, write_single
from worker.latest.rules import Alert, Severity


class MessageOptions(NamedTuple):
    """What the text of a message depends on beside its alerts."""

    page: str
    """Where the live page is."""
    interval: int
    """Seconds between two samples."""


def make_message(entry: OutboxEntry, alert: Alert, options: MessageOptions) -> QueuedMessage:
    """Return the message about one alert."""
    message = OutgoingMessage(
        alert.id,
        write_single(alert, options.interval),
        _find_severity(alert),
        alert.at,
        make_link(options.page, alert),
        (alert,),
    )
    return QueuedMessage(message, [entry.id], entry.written)


class DigestBuilder:
    """Groups alerts of one rule and tick until all of that tick are read."""

    def __init__(self, options: MessageOptions) -> None:
        self._options = options
        self._groups: dict[tuple[str, int], dict[str, tuple[OutboxEntry, Alert]]] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def add(self, entry: OutboxEntry, alert: Alert) -> None:
        self._groups.setdefault((alert.rule, alert.at), {})[entry.id] = (entry, alert)

    def take_complete(self, tick: int) -> Iterator[QueuedMessage]:
        """Remove and yield the complete digests, one for each rule and tick up to `tick`."""
        for rule, at in [key for key in self._groups if key[1] <= tick]:
            yield self._make_digest([*self._groups.pop((rule, at)).values()])

    def _make_digest(self, found: Sequence[tuple[OutboxEntry, Alert]]) -> QueuedMessage:
        alerts = tuple(sort_by_strength([alert for _, alert in found]))
        first = alerts[0]
        text = write_digest(alerts, self._options.interval)
        page = f"{self._options.page.rstrip('/')}/"
        message = OutgoingMessage(
            make_digest_id(first.rule, first.at), text, _find_severity(*alerts), first.at, page, alerts
        )
        return QueuedMessage(message, [entry.id for entry, _ in found], found[0][0].written)


def make_unreadable(entry: OutboxEntry) -> QueuedMessage:
    """Return a message that stands for an entry that is not an alert; it is never sent."""
    message_id = f"unreadable.{entry.id}"
    text = MessageText("unreadable entry", explain_unreadable(entry), message_id)
    return QueuedMessage(OutgoingMessage(message_id, text, Severity.INFO.value, 0, ""), [entry.id], entry.written)


def explain_unreadable(entry: OutboxEntry) -> str:
    """Return why an entry is not an alert."""
    return "not a valid alert" if entry.written else "trimmed from the outbox, which is bounded, before it was sent"


def make_quota_notice(channel: str, quota: MessageQuota, now: int, options: MessageOptions) -> QueuedMessage:
    """Return the message that a channel's quota is low, and what follows from it."""
    reset = datetime.fromtimestamp(quota.reset, UTC).strftime("%Y-%m-%d %H:%M UTC")
    message_id = f"{channel}{_quota_suffix(quota)}"
    text = MessageText(
        f"{channel}: {quota.remaining} of {quota.limit} messages left",
        f"Only critical alerts are sent through {channel} until {reset}.",
        message_id,
    )
    return QueuedMessage(OutgoingMessage(message_id, text, Severity.WARNING.value, now, options.page))


def is_quota_notice(message: OutgoingMessage, quota: MessageQuota) -> bool:
    """Return whether a message is the notice about this quota."""
    return not message.alerts and message.id.endswith(_quota_suffix(quota))


def _quota_suffix(quota: MessageQuota) -> str:
    return f".quota.{quota.reset:.0f}"


def is_addressed_to(alert: Alert, channel: str) -> bool:
    return not alert.channels or channel in alert.channels


def _find_severity(*alerts: Alert) -> str:
    """Return the severity of a message about alerts of one rule: that an alert is resolved is never urgent."""
    return next((alert.severity for alert in alerts if alert.event != "resolved"), Severity.INFO.value)
