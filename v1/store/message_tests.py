"""Tests of rules: an alert that is put into the outbox alone, and what became of it. No history or count has it."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from ..model import DAY, MINUTE
from ..rules import Alert
from . import keys
from .connection import translate_errors
from .delivery.history import DeliveryAttempt, DeliveryReader
from .delivery.outbox import check_alert
from .stored_json import read_dict
from .transactions import change_watched

PAUSE_SECONDS = MINUTE
"""Between two tests of one rule."""
KEPT_SECONDS = DAY
"""How long a test can be looked up: no message is tried for longer."""


class TooEarly(Exception):
    """A rule was tested a moment ago; `seconds` is how long to wait for the next test."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"wait {seconds} s")
        self.seconds = seconds


class MessageTest(NamedTuple):
    """The newest test of a rule."""

    alert: Alert
    deliveries: Sequence[DeliveryAttempt]
    """Oldest first."""


class MessageTestStore:
    """Sends tests of rules to the worker, and reads what became of them. Raises `StoreAway` when Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def is_worker_running(self) -> bool:
        """Return whether a worker has given a sign of life in the last `keys.LEASE_SECONDS` seconds."""
        with translate_errors():
            return bool(await self._redis.exists(keys.LEASE))

    async def send(self, alert: Alert) -> None:
        """Put a test into the outbox, in one transaction with the note of it. Raises `TooEarly`."""
        key, written = keys.message_test(alert.rule), json.dumps(alert._asdict(), separators=(",", ":"))

        async def decide(pipe: Pipeline) -> None:
            before = _read_test(await pipe.get(key))
            # One from the future is of a clock that was set back since.
            if before and 0 <= alert.at - before.at < PAUSE_SECONDS:
                raise TooEarly(before.at + PAUSE_SECONDS - alert.at)
            pipe.multi()  # type: ignore[no-untyped-call]  # redis-py's
            _put_test(pipe, alert, written)

        await change_watched(self._redis, key, decide)

    async def read(self, rule: str) -> MessageTest | None:
        """Return the newest test of a rule; `None` where there was none in the last day."""
        with translate_errors():
            alert = _read_test(await self._redis.get(keys.message_test(rule)))
        if alert is None:
            return None
        (deliveries,) = await DeliveryReader(self._redis).read_deliveries([alert.id])
        return MessageTest(alert, deliveries)


def _read_test(written: str | bytes | None) -> Alert | None:
    document = read_dict(written)
    return None if document is None else check_alert(document)


def _put_test(pipe: Pipeline, alert: Alert, written: str) -> None:
    known = keys.alert(alert.id)
    pipe.execute_command("SET", keys.message_test(alert.rule), written, "EX", KEPT_SECONDS)
    # It is over at once, so that a provider that repeats an urgent message is told to stop.
    pipe.execute_command("HSET", known, "ended_at", alert.at)
    pipe.execute_command("EXPIRE", known, KEPT_SECONDS)
    pipe.execute_command("XADD", keys.OUTBOX, "MAXLEN", "~", keys.MOST_IN_OUTBOX, "*", "alert", written)
    # Only where the outbox is made by it: else the worker has said how long it lives.
    pipe.execute_command("EXPIRE", keys.OUTBOX, KEPT_SECONDS, "NX")
