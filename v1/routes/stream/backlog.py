"""What a process knows of the log of events: the alerts in it, and from where on it knows all."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from ...numbers import exact_json
from ...store import FIRST_ID, AlertReader, AlertRecord, EventId, EventKind, LoggedEvent, parse_alert
from ..alert_view import show_alert

MOST_KEPT = 10_000
"""Alerts that are kept; of more, the oldest are forgotten."""
_OF_ALERTS = frozenset({EventKind.ALERT, EventKind.ENDED, EventKind.ACKNOWLEDGED})


class ShownAlert(NamedTuple):
    """An alert as a client is told it."""

    metric: str
    data: str
    """JSON, as `/alerts` shows it."""


class Backlog:
    """The alerts of the log, oldest first, each written out once, when it is first asked for."""

    def __init__(self, interval: int) -> None:
        """`interval` is that of the samples, in seconds."""
        self._interval = interval
        self._is_loaded = False
        self._begin(FIRST_ID)

    def _begin(self, since: EventId) -> None:
        self.newest = FIRST_ID
        """The last entry that is known, of any kind."""
        self.tick = FIRST_ID
        """The last tick's entry."""
        self._since = since
        """Everything after this is known."""
        self._alerts: list[LoggedEvent] = []
        self._shown: dict[EventId, ShownAlert | None] = {}

    def load(self, log: Sequence[LoggedEvent]) -> None:
        """Take the whole log as it is now. Where it does not go on from what is known, that is forgotten."""
        since = log[0].id if log else FIRST_ID
        newest = log[-1].id if log else FIRST_ID
        if not self._is_loaded or not since <= self.newest <= newest:
            self._begin(since)
            self._is_loaded = True
        self.add([entry for entry in log if entry.id > self.newest])

    def add(self, entries: Sequence[LoggedEvent]) -> None:
        """Add entries that came after all that are known."""
        for entry in entries:
            if entry.kind == EventKind.TICK:
                self.tick = entry.id
            elif entry.kind in _OF_ALERTS:
                self._alerts.append(entry)
            self.newest = entry.id
        for entry in self._alerts[:-MOST_KEPT]:
            self._since = entry.id
            self._shown.pop(entry.id, None)
        del self._alerts[:-MOST_KEPT]

    @property
    def oldest(self) -> EventId | None:
        """The oldest id that can be resumed by; `None` of an empty log."""
        return None if self._since == FIRST_ID else self._since

    def has_all_after(self, event_id: EventId) -> bool:
        """Return whether everything after an entry is known."""
        return self._since <= event_id <= self.newest

    async def show_after(self, after: EventId, until: EventId, alerts: AlertReader) -> list[tuple[EventId, ShownAlert]]:
        """Return the alerts with after < id <= until; those that are gone by now are left out. Raises as `alerts` does."""
        start = bisect_right(self._alerts, after, key=lambda entry: entry.id)
        found = []
        for entry in [entry for entry in self._alerts[start:] if entry.id <= until]:
            if entry.id not in self._shown:
                self._shown[entry.id] = await _show(entry, alerts, self._interval)
            shown = self._shown[entry.id]
            if shown:
                found.append((entry.id, shown))
        return found


async def _show(entry: LoggedEvent, alerts: AlertReader, interval: int) -> ShownAlert | None:
    if entry.kind == EventKind.ALERT:
        alert = parse_alert(entry.value)
        record = alert and AlertRecord(alert, {}, ())
    else:
        record = await alerts.read_alert(entry.value)
    return ShownAlert(record.alert["metric"], exact_json.dumps(show_alert(record, interval))) if record else None
