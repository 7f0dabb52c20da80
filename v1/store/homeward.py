"""
What alerts of a divided store leave to be done outside their partition, and how it is done there once.

An alert is committed in its partition, in one call with its sample, as an entry of the partition's homeward list. From
there it is taken over home: into the history, the event log and the outbox. Who is killed in between leaves the entry,
and the next takes it over; that it was is known by the alert's own key. Entries stay for a while, because a failover at
home may forget what it had taken over.
"""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from ..rules import SubjectResult
from . import keys
from .acknowledged import write_field
from .alert_limits import AlertLimits
from .commit_log import MOST_SECONDS
from .event_log import CommandSink
from .fence import FencedCalls
from .places import get_places
from .scripts import BRING_HOME
from .stored_json import read_list

KEPT_SECONDS = MOST_SECONDS
"""How long entries stay that were taken over: as long as what is committed home is remembered."""

_NOTHING: tuple[Any, ...] = (None,) * 6


class HomewardEntry(NamedTuple):
    """What the alerts of one subject at one tick leave to be done."""

    at: int
    keep: int
    """Seconds that the alerts are kept."""
    is_pushed: bool
    alerts: Sequence[tuple[str, str, bool]]
    """Of each its id, itself as JSON, and whether it is sent."""
    over: Sequence[str]
    """Ids of those that have ended."""
    released: Sequence[str]
    """Fields of what is not acknowledged any more."""

    def list_told_rules(self) -> list[str]:
        """Return the rule of each alert that is not suppressed."""
        alerts = [json.loads(alert) for _, alert, _ in self.alerts]
        return [alert["rule"] for alert in alerts if alert["suppressed_by"] is None]

    def set_group_sizes(self, numbers: Mapping[str, int]) -> "HomewardEntry":
        """Return the entry with how many messages the rule of each alert has at the tick, of all partitions."""
        alerts = []
        for alert_id, written, is_sent in self.alerts:
            alert = json.loads(written)
            alert["group_size"] = max(1, numbers.get(alert["rule"], 1))
            alerts.append((alert_id, json.dumps(alert, separators=(",", ":")), is_sent))
        return self._replace(alerts=alerts)


def make_entry(at: int, result: SubjectResult, limits: AlertLimits) -> HomewardEntry:
    """Return what the rules say of a subject."""
    alerts = [
        (
            alert.id,
            json.dumps(alert._asdict(), separators=(",", ":")),
            limits.send and alert.suppressed_by is None,
        )
        for alert in result.alerts
    ]
    released = [write_field(rule, subject) for rule, subject in result.released]
    return HomewardEntry(at, limits.keep, limits.push, alerts, result.over, released)


def put_entry(sink: CommandSink, tag: str, entry: HomewardEntry) -> None:
    """Put an entry at the end of its partition's list."""
    sink.execute_command("RPUSH", keys.homeward(tag), json.dumps(entry, separators=(",", ":")))
    sink.execute_command("EXPIRE", keys.homeward(tag), entry.keep)


def take_over(calls: FencedCalls, entry: HomewardEntry) -> None:
    """Put the call that does what an entry leaves to be done, as far as it is not done."""
    ids = [alert_id for alert_id, _, _ in entry.alerts]
    names = [keys.ALERTS, keys.EVENTS, keys.OUTBOX, keys.ACKNOWLEDGED, *map(keys.alert, (*ids, *entry.over))]
    head = (entry.at, entry.keep, _write_flag(entry.is_pushed), keys.MOST_EVENTS, keys.KEEP_EVENTS, keys.MOST_IN_OUTBOX)
    alerts = [word for _, alert, is_sent in entry.alerts for word in (alert, _write_flag(is_sent))]
    words = (*head, len(ids), len(entry.over), *alerts, *entry.over, *entry.released)
    calls.put_call(BRING_HOME, names, words)


class HomewardLists:
    """The homeward lists of all partitions: what is new in them, and what has been taken over for long enough."""

    def __init__(self, redis: Redis, run: Callable[[Pipeline], Awaitable[list[Any]]]) -> None:
        self._redis = redis
        self._run = run
        self._taken: dict[str, list[tuple[int, int]]] = {}
        """Of each partition, at which ticks how many of its first entries were taken over."""

    def forget(self) -> None:
        """Forget what was taken over: everything is new again."""
        self._taken = {}

    async def read_new(self) -> dict[str, list[str]]:
        """Return the entries that were not taken over, as they are written."""
        tags = get_places(self._redis).list_tags()
        pipe = self._redis.pipeline(transaction=False)
        for tag in tags:
            pipe.lrange(keys.homeward(tag), self._count_taken(tag), -1)
        found = await self._run(pipe) if tags else []
        return {tag: entries for tag, entries in zip(tags, found, strict=True) if entries}

    def note_taken(self, new: dict[str, list[str]], tick: int) -> None:
        """Note that entries were taken over."""
        for tag, entries in new.items():
            self._taken.setdefault(tag, []).append((tick, len(entries)))

    def list_done(self, tick: int) -> Iterator[tuple[str, int]]:
        """Yield the partitions with entries that need not stay any longer, and how many; they count as removed."""
        for tag, taken in self._taken.items():
            old = [each for each in taken if each[0] <= tick - KEPT_SECONDS]
            if old:
                self._taken[tag] = taken[len(old) :]
                yield tag, sum(count for _, count in old)

    def _count_taken(self, tag: str) -> int:
        return sum(count for _, count in self._taken.get(tag, ()))


def read_entry(written: str) -> HomewardEntry | None:
    """Return an entry; `None` where it cannot be read."""
    try:
        at, keep, is_pushed, alerts, over, released = read_list(written) or _NOTHING
        return HomewardEntry(int(at), int(keep), bool(is_pushed), [(*each,) for each in alerts], over, released)
    except (TypeError, ValueError):
        return None


def _write_flag(flag: bool) -> str:  # it is what is written
    return "1" if flag else ""
