"""Receipts of messages that somebody must acknowledge, and who acknowledged the alerts in them."""

import json
from collections.abc import Sequence
from typing import NamedTuple, cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from .. import keys
from ..changes import ChangeKind, put_change
from ..connection import translate_errors
from ..event_log import EventKind, put_event
from ..stored_json import read_list


class Receipt(NamedTuple):
    """A message that a provider repeats until somebody acknowledges it."""

    id: str
    """The provider's."""
    alerts: Sequence[str]
    """Ids of the alerts in it."""
    until: float
    """The provider repeats it no longer than that; unix seconds."""


_KEPT = ("alerts", "until")
"""What is kept of a receipt, in this order, beside its id."""


def put_receipt(pipe: Pipeline, channel: str, receipt: Receipt, keep: int) -> None:
    """Add to a transaction that a receipt is open, and kept for `keep` seconds."""
    key = keys.receipts(channel)
    pipe.execute_command("HSET", key, receipt.id, json.dumps([receipt.alerts, receipt.until]))
    pipe.execute_command("EXPIRE", key, keep)


class ReceiptStore:
    """One channel's open receipts. `keep` is how long they, and acknowledgements, are kept, in seconds."""

    def __init__(self, redis: Redis, channel: str, keep: int) -> None:
        self.channel = channel
        self._redis = redis
        self._keep = keep

    async def read_open(self) -> list[Receipt]:
        """Return the receipts that are still open, ordered by when they end."""
        with translate_errors():
            found = cast("dict[str, str]", await self._redis.hgetall(keys.receipts(self.channel)))
        read = {receipt: read_list(written) for receipt, written in found.items()}
        receipts = [Receipt(receipt, *each) for receipt, each in read.items() if each and len(each) == len(_KEPT)]
        return sorted(receipts, key=lambda receipt: (receipt.until, receipt.id))

    async def close(self, receipt: Receipt) -> None:
        """Forget a receipt: the provider is not asked about it any more."""
        with translate_errors():
            await self._redis.hdel(keys.receipts(self.channel), receipt.id)

    async def filter_settled(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """Return those whose alerts are each acknowledged, in whatever way, or over."""
        pipe = self._redis.pipeline(transaction=False)
        for receipt in receipts:
            for alert in receipt.alerts:
                pipe.hmget(keys.alert(alert), "acknowledged", "ended_at")
        with translate_errors():
            found = iter(await pipe.execute())
        # A list, not a generator that `all` stops early: every reply must be taken, or the next receipt would get it.
        are_settled = [[any(next(found)) for _ in receipt.alerts] for receipt in receipts]
        return [receipt for receipt, settled in zip(receipts, are_settled, strict=True) if all(settled)]

    async def acknowledge(self, receipt: Receipt, at: int, by: str) -> None:
        """Record who acknowledged the alerts, unless somebody did before, and forget the receipt."""
        pipe = self._redis.pipeline(transaction=True)
        for alert in receipt.alerts:
            pipe.execute_command("HSETNX", keys.alert(alert), "acknowledged", at)
            pipe.execute_command("HSETNX", keys.alert(alert), "by", by)
            pipe.execute_command("EXPIRE", keys.alert(alert), self._keep)
            put_event(pipe, EventKind.ACKNOWLEDGED, alert)
        pipe.execute_command("HDEL", keys.receipts(self.channel), receipt.id)
        put_change(pipe, ChangeKind.ALERTS)
        with translate_errors():
            await pipe.execute()
