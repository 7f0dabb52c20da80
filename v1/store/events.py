"""Reads the log of what happens, see `event_log`, and the state of the market that its ticks are about."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis

from ..model import By, Measure, Metric, find_hour
from . import keys
from .connection import translate_errors
from .reader import Reader
from .round_trip import Command, read_all

_ID = re.compile(r"([0-9]{1,19})(?:-([0-9]{1,19}))?")
_AT_ONCE = 1000
_LARGEST = 2**64 - 1


class EventId(NamedTuple):
    """The place of an entry in the log."""

    milliseconds: int
    number: int

    def __str__(self) -> str:
        return f"{self.milliseconds}-{self.number}"


FIRST_ID = EventId(0, 0)
"""Before every entry."""


class LoggedEvent(NamedTuple):
    """One entry of the log."""

    id: EventId
    kind: str
    """One of `EventKind`; of a later version perhaps another."""
    value: str


class MarketRow(NamedTuple):
    """The newest sample of a metric."""

    metric: Metric
    tick: int
    values: tuple[str | None, ...]
    """In the order of `MEASURES`, digits as received."""
    hour_mean: float | None


def parse_event_id(written: str) -> EventId | None:
    """Return the id that was written; `None` where it is none."""
    found = _ID.fullmatch(written)
    event_id = EventId(int(found[1]), int(found[2] or 0)) if found else None
    return event_id if event_id and max(event_id) <= _LARGEST else None


class EventReader(Reader):
    """Reads the log, and the state of the market that its ticks are about. Raises what a `Reader` does."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)

    async def read_newest_id(self) -> EventId:
        """Return the id of the newest entry; `FIRST_ID` of an empty log."""
        with translate_errors():
            found = await self._redis.xrevrange(keys.EVENTS, count=1)
        return _read_entries(found)[-1].id if found else FIRST_ID

    async def read_log(self) -> list[LoggedEvent]:
        """Return every entry there is, oldest first."""
        entries: list[LoggedEvent] = []
        after = "-"
        while True:
            with translate_errors():
                found = await self._redis.xrange(keys.EVENTS, min=after, count=_AT_ONCE)
            entries += _read_entries(found)
            if not found or len(found) < _AT_ONCE:
                return entries
            after = f"({entries[-1].id}"

    async def wait_for_events(self, after: EventId, seconds: float) -> list[LoggedEvent]:
        """Return the entries behind one, oldest first; where there are none, the first to come in some seconds."""
        with translate_errors():
            found = await self._redis.xread({keys.EVENTS: str(after)}, count=_AT_ONCE, block=int(seconds * 1000))
        streams = cast("Mapping[str, Sequence[Any]]", found or {})
        return [entry for batches in streams.values() for batch in batches for entry in _read_entries(batch)]

    async def read_market(
        self, metrics: Sequence[Metric], known: Mapping[Metric, int], measure: Measure
    ) -> list[MarketRow]:
        """
        Return the newest samples of some metrics, in order, each with its hour mean of a measure.

        `known` has the tick of each; a metric that has left the day since is left out.
        """
        rows: list[MarketRow] = []
        for start in range(0, len(metrics), _AT_ONCE):
            some = metrics[start : start + _AT_ONCE]
            ticks = [known[metric] for metric in some]
            asked: list[Command] = [
                ("ZRANGE", keys.samples(metric, find_hour(tick)), tick, tick, "BYSCORE")
                for metric, tick in zip(some, ticks, strict=True)
            ]
            *found, means = await read_all(self._redis, [*asked, ("ZMSCORE", keys.mean(measure), *some)])
            rows += [
                MarketRow(metric, sample.tick, sample.values, None if mean is None else float(mean))
                for metric, members, mean in zip(some, found, means, strict=True)
                for sample in keys.parse_all(find_hour(known[metric]), members)[:1]
            ]
        return rows

    async def read_scores(self, measure: Measure, by: By) -> list[tuple[Metric, float]]:
        """Return every ranked metric with its deviation, the largest first."""
        with translate_errors():
            found = await self._redis.zrange(keys.rank(measure, by), 0, -1, desc=True, withscores=True)
        return [(Metric(metric), value) for metric, value in cast("list[tuple[str, float]]", found)]


def _read_entries(found: Any) -> list[LoggedEvent]:
    """Return entries as redis-py has them: an id, and the fields with their values. One without a field has no kind."""
    entries = []
    for written, fields in found:
        event_id = parse_event_id(written)
        if event_id is not None:
            kind, value = next(iter((fields or {}).items()), ("", ""))
            entries.append(LoggedEvent(event_id, kind, value))
    return entries
