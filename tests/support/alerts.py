"""Alerts for tests of whatever is done with them, and how they come into the outbox of a store."""

import json
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from v1.model import DAY, HOUR
from v1.rules import Alert
from v1.rules.alert import make_alert_id
from v1.store import keys

TICK = 1_621_260_300
"""2021-05-17T14:05:00Z."""


def alert(metric: str = "KRAKEN:BTCUSD", at: int = TICK, **changes: Any) -> Alert:
    """Return what a ratio rule says, with `changes`."""
    rule = changes.pop("rule", "spike")
    said: dict[str, Any] = {
        "id": make_alert_id(rule, metric, at),
        "rule": rule,
        "name": "price is more than 3 x its hour mean",
        "kind": "ratio",
        "severity": "warning",
        "event": "firing",
        "metric": metric,
        "measure": "price",
        "at": at,
        "value": "421.0",
        "mean": 123.8,
        "ratio": 3.4006,
        "samples": 58,
        "since": at - HOUR,
        "rank": 3,
        "of": 310,
        "suppressed_by": None,
        "group_size": 1,
        "channels": (),
    }
    return Alert(**said | changes)


async def commit(redis: Redis, alerts: Sequence[Alert], tick: int | None = None) -> None:
    """Put alerts into the outbox as a tick does, and `tick` as the newest committed one."""
    for each in alerts:
        await send(redis, json.dumps(each._asdict(), separators=(",", ":")))
    if tick is not None:
        await redis.set(keys.TICK, tick)


async def send(redis: Redis, written: str) -> None:
    """Put something into the outbox, alert or not."""
    await redis.xadd(keys.OUTBOX, {"alert": written})
    await redis.expire(keys.OUTBOX, 30 * DAY)
