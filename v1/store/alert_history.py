"""Reads the history of alerts, newest first, with the deliveries and acknowledgements of each."""

import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis

from . import keys
from .connection import translate_errors
from .delivery.history import DeliveryAttempt, DeliveryReader
from .stored_json import read_alerts

MOST_LOOKED_AT = 10_000
"""Alerts that one query reads at most. Where few of them match, the next page begins after those."""
_BATCH = 1000


class HistoryCursor(NamedTuple):
    """Where the next page begins: behind so many alerts of a tick, newest first."""

    tick: int
    behind: int


class AlertQuery(NamedTuple):
    """Which alerts to read."""

    limit: int
    metric: str = "*"
    """Pattern, in upper case; a source that is silent as a whole, `kraken:*`, is one of `KRAKEN:*`."""
    rule: str | None = None
    since: int = 0
    place: HistoryCursor | None = None
    until: int | None = None
    """The last tick; `None`: the newest."""
    severity: str | None = None
    is_acknowledged: bool | None = None
    """Whether somebody has acknowledged it; `None`: either."""


class AlertRecord(NamedTuple):
    """An alert with its deliveries and acknowledgement."""

    alert: dict[str, Any]
    """As it was committed, see `rules.Alert`."""
    known: dict[str, str]
    """`ended_at`: the tick since which it does not hold; `acknowledged`, `by`, `comment`, `until`: when, by whom, how long."""
    deliveries: Sequence[DeliveryAttempt]


_Placed = tuple[dict[str, Any], HistoryCursor]


class AlertPage(NamedTuple):
    """One page of the history."""

    alerts: Sequence[AlertRecord]
    next: HistoryCursor | None
    """Where the next page begins; `None` at the end."""


class AlertReader:
    """Reads alerts. Raises `StoreAway` when Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read_alerts(self, wanted: AlertQuery) -> AlertPage:
        """Return the alerts that match, newest first."""
        found: list[dict[str, Any]] = []
        place = wanted.place
        for _ in range(0, MOST_LOOKED_AT, _BATCH):
            batch = _add_cursors(await self._read_batch(wanted, place), place)
            for alert, behind in await self._filter_batch(batch, wanted):
                found.append(alert)
                if len(found) == wanted.limit:
                    return AlertPage(await self._read_records(found), behind)
            if len(batch) < _BATCH:
                return AlertPage(await self._read_records(found), None)
            place = batch[-1][1]
        return AlertPage(await self._read_records(found), place)

    async def read_alert(self, alert: str) -> AlertRecord | None:
        """Return one alert; `None` where there is none of this id."""
        tick = alert.rpartition(".")[2]
        if not tick.isdecimal():
            return None
        with translate_errors():
            written = await self._redis.zrange(keys.ALERTS, int(tick), int(tick), byscore=True)
        found = [each for each in read_alerts(cast("list[str]", written)) if each["id"] == alert]
        return (await self._read_records(found))[0] if found else None

    async def _read_batch(self, wanted: AlertQuery, place: HistoryCursor | None) -> list[tuple[str, float]]:
        newest, behind = place or ("+inf" if wanted.until is None else wanted.until, 0)
        with translate_errors():
            found = await self._redis.zrange(
                keys.ALERTS, newest, wanted.since, byscore=True, desc=True, withscores=True, offset=behind, num=_BATCH
            )
        return cast("list[tuple[str, float]]", found)

    async def _filter_batch(self, batch: Sequence[tuple[str, HistoryCursor]], wanted: AlertQuery) -> list[_Placed]:
        """Return the alerts of a batch that match, each with the cursor behind it."""
        read = [(_read_if_wanted(written, wanted), behind) for written, behind in batch]
        found = [(alert, behind) for alert, behind in read if alert is not None]
        if wanted.is_acknowledged is None or not found:
            return found
        pipe = self._redis.pipeline(transaction=False)
        for alert, _ in found:
            pipe.hexists(keys.alert(alert["id"]), "acknowledged")
        with translate_errors():
            known = await pipe.execute()
        return [each for each, is_known in zip(found, known, strict=True) if bool(is_known) is wanted.is_acknowledged]

    async def _read_records(self, alerts: Sequence[dict[str, Any]]) -> list[AlertRecord]:
        pipe = self._redis.pipeline(transaction=False)
        for alert in alerts:
            pipe.hgetall(keys.alert(alert["id"]))
        with translate_errors():
            known = await pipe.execute()
        deliveries = await DeliveryReader(self._redis).read_deliveries([alert["id"] for alert in alerts])
        return [AlertRecord(*each) for each in zip(alerts, known, deliveries, strict=True)]


def parse_alert(written: str) -> dict[str, Any] | None:
    """Return an alert as it was committed; `None` where it cannot be read."""
    return next(iter(read_alerts([written])), None)


def _add_cursors(batch: Sequence[tuple[str, float]], place: HistoryCursor | None) -> list[tuple[str, HistoryCursor]]:
    """Return each alert with the cursor behind it."""
    tick, behind = place or (None, 0)
    placed = []
    for written, score in batch:
        behind = behind + 1 if score == tick else 1
        tick = int(score)
        placed.append((written, HistoryCursor(tick, behind)))
    return placed


def _read_if_wanted(written: str, wanted: AlertQuery) -> dict[str, Any] | None:
    """Return an alert; `None` where it does not match or cannot be read."""
    # Most alerts are of another rule, which is seen without parsing them.
    if wanted.rule is not None and f'"rule":{json.dumps(wanted.rule)}' not in written:
        return None
    alert = next(iter(read_alerts([written])), None)
    if alert is None or (wanted.severity is not None and alert.get("severity") != wanted.severity):
        return None
    return alert if wanted.metric == "*" or fnmatchcase(alert["metric"].upper(), wanted.metric) else None
