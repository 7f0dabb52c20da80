"""
One channel's end of the outbox: alerts as they were committed, until it is known what became of each. Redis
alone: what a message says, and how it is sent, is not known here.

Each channel is a consumer group of the stream `v1:outbox`, so that a slow one holds up no other. An entry is
its channel's until it is acknowledged, in the transaction that records what became of it. What was read and
not settled is read again after a restart, and how often it was tried is remembered beside it.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from math import isfinite
from typing import Any, NamedTuple, cast

from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from ... import keys
from ...numbers import decimals
from ...rules import Alert
from ..connection import StoreError, translate_errors
from ..stored_json import read_list, read_tick
from .history import DeliveryAttempt

CONSUMER = "worker"
"""There is one worker at a time, so who reads now is who has read before."""
_BATCH = 500
ITSELF = "*"
"""Field of what a channel notes of itself, beside those of messages; no message is called so."""
_TEN_DIGITS = 10**10
_ALERT = TypeAdapter(Alert)


class OutboxEntry(NamedTuple):
    """One alert on its way."""

    id: str
    alert: Alert | None
    """`None` where what is written cannot be read as one."""
    written: str


class RetryState(NamedTuple):
    """How a message stands that could not be sent yet."""

    failed: int
    next: float
    """It is not tried before; unix seconds."""


class MessageRef(NamedTuple):
    """A message, as far as the store must know it."""

    id: str
    entries: Sequence[str]
    """Ids of the entries that it settles."""
    alerts: Sequence[str]
    """Ids of the alerts in it."""


class Outbox:
    """
    Hands over what one channel has to send, and records what came of it.

    `keep` is how long traces of it are kept, in seconds. Each method raises `StoreAway`; then nothing
    was written, or all of it was, and the same call can be made again.
    """

    def __init__(self, redis: Redis, channel: str, keep: int) -> None:
        self.channel = channel
        self._redis = redis
        self._keep = keep
        self._newest = "0"
        """The newest entry that was handed over."""
        self._looks_back = True
        """Whether some may have been read and not handed over: before a restart, or in an answer that was lost."""

    async def open(self) -> None:
        """Begin with what comes from now on, or go on where the channel was left. Call before anything else."""
        await self._begin("$")

    async def read_entries(self, wait: float = 0.0) -> list[OutboxEntry]:
        """
        Return the next entries in order; `wait` seconds for the first, where there is none.

        After a restart, those come first that were taken before and not settled.
        """
        try:
            with translate_errors():
                read = await self._read(wait)
        except StoreError as error:
            if "NOGROUP" not in str(error):
                raise
            # The stream was lost, or came to its end. What is in it now came after that.
            await self._begin("0")
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
        """Return how each message stands that could not be sent yet, and what the channel noted of itself."""
        with translate_errors():
            found = cast("dict[str, str]", await self._redis.hgetall(keys.sending(self.channel)))
        itself = found.pop(ITSELF, None)
        read = {message: read_list(written) for message, written in found.items()}
        return {
            message: RetryState(*each)
            for message, each in read.items()
            if each and len(each) == len(RetryState._fields)
        }, itself

    async def skip_entries(self, entries: Sequence[str]) -> None:
        """Settle entries that are not for this channel."""
        if entries:
            with translate_errors():
                await self._redis.xack(keys.OUTBOX, self.channel, *entries)

    async def save_channel_state(self, itself: str) -> None:
        """Keep what the channel notes of itself."""
        pipe = self._transaction()
        self._put_notes(pipe, {ITSELF: itself})
        await _run(pipe)

    async def record_postponed(
        self, parcel: MessageRef, attempt: DeliveryAttempt, tries: RetryState, itself: str
    ) -> None:
        """Record an attempt after which the message is still to be sent."""
        pipe = self._transaction()
        self._put_notes(pipe, {parcel.id: json.dumps(tries), ITSELF: itself})
        self._put_attempt(pipe, parcel.alerts, attempt)
        await _run(pipe)

    async def record_sent(self, parcel: MessageRef, attempt: DeliveryAttempt, itself: str) -> None:
        """Record the attempt that sent the message."""
        pipe = self._transaction()
        self._put_settled(pipe, parcel, attempt, itself)
        await _run(pipe)

    async def record_dead(self, parcel: MessageRef, attempt: DeliveryAttempt, written: str, itself: str) -> None:
        """Put a message that is not sent, now or ever, among the dead letters; the attempt says why."""
        pipe = self._transaction()
        self._put_settled(pipe, parcel, attempt, itself)
        letter = {
            "message": parcel.id,
            "at": attempt.at,
            "alerts": json.dumps(parcel.alerts),
            "reason": attempt.answer,
            "written": written,
        }
        key = keys.dead(self.channel)
        pipe.execute_command("XADD", key, "MAXLEN", "~", keys.MOST_DEAD, "*", *chain.from_iterable(letter.items()))
        pipe.execute_command("EXPIRE", key, self._keep)
        await _run(pipe)

    async def _begin(self, after: str) -> None:
        """Make the channel's group, if it is not there."""
        pipe = self._transaction()
        pipe.execute_command("XGROUP", "CREATE", keys.OUTBOX, self.channel, after, "MKSTREAM")
        pipe.execute_command("EXPIRE", keys.OUTBOX, self._keep)
        with translate_errors():
            made, *_ = await pipe.execute(raise_on_error=False)
            if isinstance(made, Exception) and not str(made).startswith("BUSYGROUP"):
                raise made

    async def _read(self, wait: float) -> list[tuple[str, dict[str, str]]]:
        if self._looks_back:
            read = await self._group_read(self._newest, None)
            if read:
                return read
        self._looks_back = True  # until the answer is here
        read = await self._group_read(">", max(1, round(wait * 1000)) if wait > 0 else None)
        self._looks_back = False
        return read

    async def _group_read(self, after: str, block: int | None) -> list[tuple[str, dict[str, str]]]:
        answer: Any = await self._redis.xreadgroup(
            self.channel, CONSUMER, {keys.OUTBOX: after}, count=_BATCH, block=block
        )
        # Of protocol 3 a mapping of streams to lists of lists, of protocol 2 a list of pairs.
        if isinstance(answer, dict):
            return [*chain.from_iterable(chain.from_iterable(answer.values()))]
        return [*chain.from_iterable(entries for _, entries in answer or ())]

    def _transaction(self) -> Pipeline:
        return self._redis.pipeline(transaction=True)

    def _put_settled(self, pipe: Pipeline, parcel: MessageRef, attempt: DeliveryAttempt, itself: str) -> None:
        if parcel.entries:
            pipe.execute_command("XACK", keys.OUTBOX, self.channel, *parcel.entries)
        pipe.execute_command("HDEL", keys.sending(self.channel), parcel.id)
        self._put_notes(pipe, {ITSELF: itself})
        self._put_attempt(pipe, parcel.alerts, attempt)

    def _put_notes(self, pipe: Pipeline, notes: Mapping[str, str]) -> None:
        key = keys.sending(self.channel)
        pipe.execute_command("HSET", key, *chain.from_iterable(notes.items()))
        pipe.execute_command("EXPIRE", key, self._keep)

    def _put_attempt(self, pipe: Pipeline, alerts: Sequence[str], attempt: DeliveryAttempt) -> None:
        written = json.dumps(attempt._asdict(), ensure_ascii=False)
        for alert in alerts:
            key = keys.deliveries(alert)
            pipe.execute_command("RPUSH", key, written)
            pipe.execute_command("LTRIM", key, -keys.MOST_ATTEMPTS, -1)
            pipe.execute_command("EXPIRE", key, self._keep)


async def _run(pipe: Pipeline) -> None:
    with translate_errors():
        await pipe.execute()


def _read_entry(entry: str, fields: Mapping[str, str] | None) -> OutboxEntry:
    written = (fields or {}).get("alert", "")
    return OutboxEntry(entry, _read_alert(written), written)


def _read_alert(written: str) -> Alert | None:
    try:
        alert = _ALERT.validate_json(written)
    except ValidationError:
        return None
    is_sound = (
        (alert.value is None or decimals.is_number(alert.value))
        and all(when is None or 0 <= when < _TEN_DIGITS for when in (alert.at, alert.since))
        and all(number is None or isfinite(number) for number in (alert.mean, alert.ratio))
    )
    return alert if is_sound else None
