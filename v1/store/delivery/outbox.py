"""
One channel's end of the outbox: hands over alerts as they were committed, and records what became of each message.

Each channel is a consumer group of the stream `v1:outbox`, so that a slow one delays no other. An entry stays
pending until it is acknowledged, in the transaction that records what became of it. What was read and not settled
is read again after a restart; how often it was tried is kept in `v1:sending:<channel>`.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from math import isfinite
from typing import Any, NamedTuple, cast

from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from ...numbers import decimals
from ...rules import Alert
from .. import keys
from ..changes import ChangeKind, put_change
from ..connection import StoreError, translate_errors
from ..stored_json import read_list, read_tick
from .history import DeliveryAttempt
from .queued_message import Disposition, QueuedMessage, RetryState
from .receipts import put_receipt

CONSUMER = "worker"
"""The same name after a restart, for only one worker runs at a time: what it read before is pending for it."""
LONGEST_WRITTEN = 4096
"""Characters of an entry that a dead letter keeps."""
STATE_FIELD = "*"
"""Field of the channel's state, beside one for each message; no message has this id."""
_BATCH = 500
_TEN_DIGITS = 10**10
_ALERT = TypeAdapter(Alert)


class OutboxEntry(NamedTuple):
    """One alert as it is in the outbox."""

    id: str
    alert: Alert | None
    """`None` where what is written cannot be read as one."""
    written: str


class Outbox:
    """
    Hands over what one channel has to send, and records what became of it.

    `keep` is how long that is kept, in seconds. Each method raises `StoreAway`; then nothing was written, or all of
    it, and the same call can be made again.
    """

    def __init__(self, redis: Redis, channel: str, keep: int) -> None:
        self.channel = channel
        self._redis = redis
        self._keep = keep
        self._newest = "0"
        """Id of the newest entry that was returned."""
        self._reads_pending = True
        """Whether some may be pending that were not returned: read before a restart, or in a reply that was lost."""

    async def open(self) -> None:
        """Start with what is committed from now on, or where the channel stopped. Call before anything else."""
        await self._create_group("$")

    async def read_entries(self, wait: float = 0.0) -> list[OutboxEntry]:
        """
        Return the next entries in order; where there is none, wait up to `wait` seconds for one.

        After a restart, those that were read before and not settled come first.
        """
        try:
            with translate_errors():
                read = await self._read(wait)
        except StoreError as error:
            if "NOGROUP" not in str(error):
                raise
            # The stream was deleted, or has expired. What is in it now was committed after that.
            await self._create_group("0")
            self._newest = "0"
            return []
        if read:
            self._newest = read[-1][0]
        return [_read_entry(entry, fields) for entry, fields in read]

    async def read_tick(self) -> int:
        """Return the newest committed tick: all alerts up to it are in the outbox."""
        with translate_errors():
            return read_tick(await self._redis.get(keys.TICK)) or 0

    async def read_retries(self) -> tuple[dict[str, RetryState], str | None]:
        """Return the retry state of each message that could not be sent yet, and the channel's state, as recorded."""
        with translate_errors():
            found = cast("dict[str, str]", await self._redis.hgetall(keys.sending(self.channel)))
        state = found.pop(STATE_FIELD, None)
        read = {message: read_list(written) for message, written in found.items()}
        return {
            message: RetryState(*each)
            for message, each in read.items()
            if each and len(each) == len(RetryState._fields)
        }, state

    async def skip_entries(self, entries: Sequence[str]) -> None:
        """Settle entries that are not for this channel."""
        if entries:
            with translate_errors():
                await self._redis.xack(keys.OUTBOX, self.channel, *entries)

    async def save_state(self, state: str) -> None:
        """Keep the channel's state."""
        pipe = self._redis.pipeline(transaction=True)
        self._put_sending(pipe, {STATE_FIELD: state})
        await _run(pipe)

    async def record(self, message: QueuedMessage, disposition: Disposition, state: str, at: float) -> None:
        """Record in one transaction what became of a message at the time `at`, and the channel's state after it."""
        pipe = self._redis.pipeline(transaction=True)
        attempt = DeliveryAttempt(round(at, 3), self.channel, disposition.status, disposition.answer, message.id)
        if disposition.retry:
            self._put_sending(pipe, {message.id: json.dumps(disposition.retry), STATE_FIELD: state})
        else:
            self._put_settled(pipe, message)
            self._put_sending(pipe, {STATE_FIELD: state})
        self._put_attempt(pipe, message.alerts, attempt)
        if disposition.status.is_dead:
            self._put_dead_letter(pipe, message, attempt)
        if disposition.receipt:
            put_receipt(pipe, self.channel, disposition.receipt, self._keep)
        put_change(pipe, ChangeKind.ALERTS)
        await _run(pipe)

    async def _create_group(self, after: str) -> None:
        """Create the channel's consumer group, if it does not exist."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.execute_command("XGROUP", "CREATE", keys.OUTBOX, self.channel, after, "MKSTREAM")
        pipe.execute_command("EXPIRE", keys.OUTBOX, self._keep)
        with translate_errors():
            made, *_ = await pipe.execute(raise_on_error=False)
            if isinstance(made, Exception) and not str(made).startswith("BUSYGROUP"):
                raise made

    async def _read(self, wait: float) -> list[tuple[str, dict[str, str]]]:
        if self._reads_pending:
            read = await self._group_read(self._newest, None)
            if read:
                return read
        self._reads_pending = True  # until the reply is here
        read = await self._group_read(">", max(1, round(wait * 1000)) if wait > 0 else None)
        self._reads_pending = False
        return read

    async def _group_read(self, after: str, block: int | None) -> list[tuple[str, dict[str, str]]]:
        answer: Any = await self._redis.xreadgroup(
            self.channel, CONSUMER, {keys.OUTBOX: after}, count=_BATCH, block=block
        )
        # In RESP3 a mapping of streams to lists of lists, in RESP2 a list of pairs.
        if isinstance(answer, dict):
            return [*chain.from_iterable(chain.from_iterable(answer.values()))]
        return [*chain.from_iterable(entries for _, entries in answer or ())]

    def _put_settled(self, pipe: Pipeline, message: QueuedMessage) -> None:
        if message.entries:
            pipe.execute_command("XACK", keys.OUTBOX, self.channel, *message.entries)
        pipe.execute_command("HDEL", keys.sending(self.channel), message.id)

    def _put_sending(self, pipe: Pipeline, fields: Mapping[str, str]) -> None:
        key = keys.sending(self.channel)
        pipe.execute_command("HSET", key, *chain.from_iterable(fields.items()))
        pipe.execute_command("EXPIRE", key, self._keep)

    def _put_attempt(self, pipe: Pipeline, alerts: Sequence[str], attempt: DeliveryAttempt) -> None:
        written = json.dumps(attempt._asdict(), ensure_ascii=False)
        for alert in alerts:
            key = keys.deliveries(alert)
            pipe.execute_command("RPUSH", key, written)
            pipe.execute_command("LTRIM", key, -keys.MOST_ATTEMPTS, -1)
            pipe.execute_command("EXPIRE", key, self._keep)

    def _put_dead_letter(self, pipe: Pipeline, message: QueuedMessage, attempt: DeliveryAttempt) -> None:
        fields = {
            "message": message.id,
            "at": attempt.at,
            "alerts": json.dumps(message.alerts),
            "reason": attempt.answer,
            "written": message.written[:LONGEST_WRITTEN],
        }
        key = keys.dead(self.channel)
        pipe.execute_command("XADD", key, "MAXLEN", "~", keys.MOST_DEAD, "*", *chain.from_iterable(fields.items()))
        pipe.execute_command("EXPIRE", key, self._keep)


async def _run(pipe: Pipeline) -> None:
    with translate_errors():
        await pipe.execute()


def _read_entry(entry: str, fields: Mapping[str, str] | None) -> OutboxEntry:
    written = (fields or {}).get("alert", "")
    return OutboxEntry(entry, _read_alert(written), written)


def _read_alert(written: str) -> Alert | None:
    try:
        return _accept(_ALERT.validate_json(written))
    except ValidationError:
        return None


def check_alert(document: Mapping[str, Any]) -> Alert | None:
    """Return an alert as it was committed as a value; `None` where a message could not be made of it."""
    try:
        return _accept(_ALERT.validate_python({name: document[name] for name in Alert._fields if name in document}))
    except ValidationError:
        return None


def _accept(alert: Alert) -> Alert | None:
    is_sound = (
        (alert.value is None or decimals.is_number(alert.value))
        and all(when is None or 0 <= when < _TEN_DIGITS for when in (alert.at, alert.since))
        and all(number is None or isfinite(number) for number in (alert.mean, alert.ratio))
    )
    return alert if is_sound else None
