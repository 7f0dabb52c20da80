"""Entries of the outbox turned into messages: one each, or one for many of the same rule and tick. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from worker.latest import Alert, Entry, Parcel, Severity, Text, Tries, digest, digest_id, link, single, strongest
from worker.notify.base import Message, Quota

NEVER_TRIED = Tries(0, 0.0)
MOST_KEPT = 4096
"""Characters of an entry that a dead letter keeps."""


class Wording(NamedTuple):
    """What the text of a message must know beside its alerts."""

    page: str
    """Where the live page is."""
    interval: int
    """Seconds between two samples."""


@dataclass(slots=True)
class Letter:
    """A message, what it settles, and how it stands."""

    message: Message
    entries: list[str] = field(default_factory=list)
    """Ids of the entries that are settled with it."""
    written: str = ""
    """What was in the outbox; of a digest, the first of it."""
    tries: Tries = NEVER_TRIED

    @property
    def parcel(self) -> Parcel:
        return Parcel(self.message.id, self.entries, [alert.id for alert in self.message.alerts])


def letter(entry: Entry, alert: Alert, wording: Wording) -> Letter:
    """Write about one alert."""
    message = Message(
        alert.id, single(alert, wording.interval), _severity(alert), alert.at, link(wording.page, alert), (alert,)
    )
    return Letter(message, [entry.id], entry.written)


class Gathering:
    """Alerts that are sent together, until all of their tick are there."""

    def __init__(self, wording: Wording) -> None:
        self._wording = wording
        self._found: dict[tuple[str, int], dict[str, tuple[Entry, Alert]]] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, entry: Entry, alert: Alert) -> None:
        self._found.setdefault((alert.rule, alert.at), {})[entry.id] = (entry, alert)

    def complete(self, tick: int) -> Iterator[Letter]:
        """Take out what is complete, for all alerts up to `tick` were added: one letter for each rule and tick."""
        for rule, at in [key for key in self._found if key[1] <= tick]:
            yield self._digest([*self._found.pop((rule, at)).values()])

    def _digest(self, found: Sequence[tuple[Entry, Alert]]) -> Letter:
        alerts = tuple(strongest([alert for _, alert in found]))
        first = alerts[0]
        text = digest(alerts, self._wording.interval)
        page = f"{self._wording.page.rstrip('/')}/"
        message = Message(digest_id(first.rule, first.at), text, _severity(*alerts), first.at, page, alerts)
        return Letter(message, [entry.id for entry, _ in found], found[0][0].written)


def unreadable(entry: Entry) -> tuple[Parcel, str]:
    """Give what settles an entry that is no alert, and the reason."""
    why = "it cannot be read" if entry.written else "it was cut off the outbox, which is bounded, before it was sent"
    return Parcel(f"unreadable.{entry.id}", [entry.id], []), why


def low(channel: str, quota: Quota, now: int, wording: Wording) -> Letter:
    """Write that little of a channel's quota is left, and what follows from it."""
    reset = datetime.fromtimestamp(quota.reset, UTC).strftime("%Y-%m-%d %H:%M UTC")
    text = Text(
        f"{channel}: {quota.remaining} of {quota.limit} messages left",
        f"Only critical alerts are sent through {channel} until {reset}.",
        notice_id(channel, quota),
    )
    return Letter(Message(notice_id(channel, quota), text, Severity.WARNING.value, now, wording.page))


def notice_id(channel: str, quota: Quota) -> str:
    return f"{channel}.quota.{quota.reset:.0f}"


def goes_to(alert: Alert, channel: str) -> bool:
    return not alert.channels or channel in alert.channels


def _severity(*alerts: Alert) -> str:
    """Give how urgent a message is, about alerts of one rule: that something is over is never urgent."""
    return next((alert.severity for alert in alerts if alert.event != "resolved"), Severity.INFO.value)
