"""
The way of alerts from the tick that committed them to whoever sends them, and what became of each. Redis
alone: what a message says, and how it is sent, is not known here.

Each channel is a consumer group of the stream `v1:outbox`, so that a slow one holds up no other. An entry is
its channel's until it is acknowledged, in the transaction that records what became of it. What was read and
not yet acknowledged is read again after a restart, and how often it was tried is remembered beside it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, cast

from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError

from .. import decimals, keys
from ..rules import Alert
from .connection import translated

CONSUMER = "worker"
"""There is one worker at a time, so whoever reads is the one who read before."""
_BATCH = 500
_ITSELF = "*"
"""Field of what the channel remembers of itself, among what it remembers of messages; no message is called so."""
_TEN_DIGITS = 10**10
_ALERT = TypeAdapter(Alert)


class Entry(NamedTuple):
    """One alert on its way."""

    id: str
    alert: Alert | None
    """`None` where what is written cannot be read as one."""
    written: str


class Status(StrEnum):
    """What an attempt came to."""

    SENT = "sent"
    FAILED = "failed"
    """No answer, or one that is not about the message; it is sent again."""
    WAITING = "waiting"
    """The channel takes no more for now; it is sent again."""
    REFUSED = "refused"
    """The answer is no, and it is not sent again."""
    GIVEN_UP = "given up"
    """It is not sent again, for it is too late."""


class Attempt(NamedTuple):
    """One attempt to send a message, as it is kept with each alert in it."""

    at: float
    """Unix seconds."""
    channel: str
    status: Status
    answer: str
    """What the provider said, or why there was nothing to say."""
    message: str
    """Id of the message: the alert's own, or that of the digest it was in."""


class Tries(NamedTuple):
    """How a message stands that could not be sent yet."""

    failed: int
    next: float
    """It is not tried before; unix seconds."""


class Settled(NamedTuple):
    """A message, as far as the store must know it."""

    id: str
    entries: Sequence[str]
    alerts: Sequence[str]
    """Ids of the alerts in it."""


class Dead(NamedTuple):
    """A message that is not sent any more."""

    id: str
    at: float
    message: str
    alerts: Sequence[str]
    reason: str
    written: str
    """The entry as it was in the outbox, of a digest one of them."""


class Delivered:
    """What became of messages, for who asks."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def channels(self) -> dict[str, str]:
        """Give the channels that the worker sends to, each with its kind."""
        with translated():
            return cast("dict[str, str]", await self._redis.hgetall(keys.CHANNELS))

    async def deliveries(self, alerts: Sequence[str]) -> list[list[Attempt]]:
        """Give the attempts to send each alert, oldest first."""
        pipe = self._redis.pipeline(transaction=False)
        for alert in alerts:
            pipe.lrange(keys.deliveries(alert), 0, -1)
        with translated():
            return [[_attempt(each) for each in written] for written in await pipe.execute()]

    async def dead(self, channel: str, limit: int = 100) -> list[Dead]:
        """Give the newest messages that a channel does not send any more, newest first."""
        with translated():
            found = await self._redis.xrevrange(keys.dead(channel), count=limit)
        return [
            Dead(entry, float(at), message, json.loads(alerts), reason, written)
            for entry, fields in cast("list[tuple[str, dict[str, str]]]", found)
            for message, at, alerts, reason, written in [
                (fields["message"], fields["at"], fields["alerts"], fields["reason"], fields["written"])
            ]
        ]


class Outbox(Delivered):
    """
    One channel's end of the outbox. `keep` is how long its traces are kept, in seconds.

    Each method is one round trip, and one transaction where it writes; raises `StoreAway`, and then
    nothing was written, or all of it was.
    """

    def __init__(self, redis: Redis, channel: str, keep: int) -> None:
        super().__init__(redis)
        self.channel = channel
        self._keep = keep
        self._newest = "0"
        """The newest entry that was handed over."""
        self._looks_back = True
        """Whether there may be entries that were read and not handed over: before a restart, or in a lost answer."""

    async def open(self) -> None:
        """Begin with what comes from now on, or where the channel was left. Call before anything else."""
        await self._begin("$")

    async def take(self, wait: float = 0.0) -> list[Entry]:
        """
        Give the next entries in order, none where there are none for now; `wait` seconds for the first.

        First come those that were taken before a restart and not settled.
        """
        try:
            read = await self._read(wait)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            # The stream was lost, or came to its end; whatever is in it now came after.
            await self._begin("0")
            self._looks_back, self._newest = True, "0"
            return []
        if not read:
            return []
        self._newest = read[-1][0]
        return [_entry(entry, fields or {}) for entry, fields in read]

    async def _read(self, wait: float) -> list[tuple[str, dict[str, str] | None]]:
        with _no_group_apart():
            if self._looks_back:
                read = await self._group_read(self._newest, None)
                if read:
                    return read
            self._looks_back = True  # for as long as the answer may be lost
            read = await self._group_read(">", max(1, round(wait * 1000)) if wait > 0 else None)
        self._looks_back = False
        return read

    async def _group_read(self, after: str, block: int | None) -> list[tuple[str, dict[str, str] | None]]:
        streams = {keys.OUTBOX: after}
        answer: Any = await self._redis.xreadgroup(self.channel, CONSUMER, streams, count=_BATCH, block=block)
        read = answer.values() if isinstance(answer, dict) else [entries for _, entries in answer or ()]
        return [tuple(entry) for entries in read for entry in _flat(entries)]

    async def tick(self) -> int:
        """Give the newest committed tick: all alerts up to it are in the outbox."""
        with translated():
            return int(await self._redis.get(keys.TICK) or 0)

    async def remembered(self) -> tuple[dict[str, Tries], str | None]:
        """Give how messages stand that could not be sent yet, by id, and what the channel noted of itself."""
        with translated():
            found = cast("dict[str, str]", await self._redis.hgetall(keys.sending(self.channel)))
        itself = found.pop(_ITSELF, None)
        return {message: Tries(*json.loads(written)) for message, written in found.items()}, itself

    async def skip(self, entries: Sequence[str]) -> None:
        """Settle entries that are not for this channel."""
        if entries:
            with translated():
                await self._redis.xack(keys.OUTBOX, self.channel, *entries)

    async def postpone(self, message: Settled, attempt: Attempt, tries: Tries, itself: str) -> None:
        """Record an attempt after which the message is still to be sent."""
        pipe = self._transaction()
        self._note(pipe, {message.id: json.dumps(tries), _ITSELF: itself})
        self._record(pipe, message.alerts, attempt)
        await self._run(pipe)

    async def settle(self, message: Settled, attempt: Attempt, itself: str) -> None:
        """Record the attempt that sent the message."""
        pipe = self._transaction()
        self._put_settled(pipe, message, attempt, itself)
        await self._run(pipe)

    async def bury(self, message: Settled, attempt: Attempt, written: str, itself: str) -> None:
        """Record that the message is not sent, now or ever, among the dead letters; the attempt says why."""
        pipe = self._transaction()
        self._put_settled(pipe, message, attempt, itself)
        letter = {
            "message": message.id,
            "at": attempt.at,
            "alerts": json.dumps(message.alerts),
            "reason": attempt.answer,
            "written": written,
        }
        pipe.xadd(keys.dead(self.channel), letter, maxlen=keys.MOST_DEAD, approximate=True)  # type: ignore[arg-type]  # a dict is invariant
        pipe.expire(keys.dead(self.channel), self._keep)
        await self._run(pipe)

    async def keep_receipt(self, receipt: str, written: str) -> None:
        """Keep what is known of a message that somebody must acknowledge."""
        pipe = self._transaction()
        pipe.hset(keys.receipts(self.channel), receipt, written)
        pipe.expire(keys.receipts(self.channel), self._keep)
        await self._run(pipe)

    async def receipts(self) -> dict[str, str]:
        with translated():
            return cast("dict[str, str]", await self._redis.hgetall(keys.receipts(self.channel)))

    async def forget_receipt(self, receipt: str) -> None:
        with translated():
            await self._redis.hdel(keys.receipts(self.channel), receipt)

    async def acknowledged(self, alerts: Sequence[str]) -> bool:
        """Tell whether somebody has acknowledged all of the alerts."""
        pipe = self._redis.pipeline(transaction=False)
        for alert in alerts:
            pipe.hexists(keys.alert(alert), "acknowledged")
        with translated():
            return all(await pipe.execute())

    async def acknowledge(self, alerts: Sequence[str], at: int, by: str) -> None:
        """Note that somebody has acknowledged the alerts; who did so first stays."""
        pipe = self._transaction()
        for alert in alerts:
            pipe.hsetnx(keys.alert(alert), "acknowledged", at)  # type: ignore[arg-type]  # redis-py takes numbers
            pipe.hsetnx(keys.alert(alert), "by", by)
            pipe.expire(keys.alert(alert), self._keep)
        await self._run(pipe)

    async def _begin(self, after: str) -> None:
        """Make the channel's group, if it is not there."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.xgroup_create(keys.OUTBOX, self.channel, after, mkstream=True)
        pipe.expire(keys.OUTBOX, self._keep)
        with translated():
            made, _ = await pipe.execute(raise_on_error=False)
            if isinstance(made, Exception) and not str(made).startswith("BUSYGROUP"):
                raise made

    def _transaction(self) -> Pipeline:
        return self._redis.pipeline(transaction=True)

    async def _run(self, pipe: Pipeline) -> None:
        with translated():
            await pipe.execute()

    def _put_settled(self, pipe: Pipeline, message: Settled, attempt: Attempt, itself: str) -> None:
        if message.entries:
            pipe.xack(keys.OUTBOX, self.channel, *message.entries)
        pipe.hdel(keys.sending(self.channel), message.id)
        self._note(pipe, {_ITSELF: itself})
        self._record(pipe, message.alerts, attempt)

    def _note(self, pipe: Pipeline, fields: Mapping[str, str]) -> None:
        pipe.hset(keys.sending(self.channel), mapping=dict(fields))
        pipe.expire(keys.sending(self.channel), self._keep)

    def _record(self, pipe: Pipeline, alerts: Iterable[str], attempt: Attempt) -> None:
        written = json.dumps(attempt._asdict(), ensure_ascii=False)
        for alert in alerts:
            key = keys.deliveries(alert)
            pipe.rpush(key, written)
            pipe.ltrim(key, -keys.MOST_ATTEMPTS, -1)
            pipe.expire(key, self._keep)
