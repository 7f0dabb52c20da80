"""What became of messages, for whoever asks: channels, attempts, dead letters. Nothing here writes."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis

from .. import keys
from .connection import translated
from .kept_json import read_dict, read_list


class Status(StrEnum):
    """What an attempt to send a message came to."""

    SENT = "sent"
    FAILED = "failed"
    """No answer, or one that is not about the message; it is sent again."""
    WAITING = "waiting"
    """The channel takes no more for now; it is sent again."""
    REFUSED = "refused"
    """The answer was no, and it is not sent again."""
    GIVEN_UP = "given up"
    """It was too late, and it is not sent again."""


class Attempt(NamedTuple):
    """One attempt to send a message, as it is kept with each alert in it."""

    at: float
    """Unix seconds."""
    channel: str
    status: str
    answer: str
    """What the provider said, or why it was not asked."""
    message: str
    """Id of the message: the alert's own, or that of the digest it was in."""


class Dead(NamedTuple):
    """A message that is not sent any more."""

    id: str
    at: float
    """Unix seconds."""
    message: str
    alerts: Sequence[str]
    """Ids of the alerts in it; none where they could not be read."""
    reason: str
    written: str
    """What was in the outbox; of a digest, the first of it."""


class Delivered:
    """
    Asks Redis what became of messages; every question is one round trip.

    Each method raises `StoreAway` when Redis does not answer.
    """

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
            found = await pipe.execute()
        return [[attempt for each in written if (attempt := _attempt(each))] for written in found]

    async def dead(self, channel: str, limit: int = 100) -> list[Dead]:
        """Give the newest messages that a channel does not send any more, newest first."""
        with translated():
            found = await self._redis.xrevrange(keys.dead(channel), count=limit)
        letters = cast("list[tuple[str, dict[str, Any]]]", found)
        return [dead for entry, fields in letters if (dead := _dead(entry, fields))]


def _attempt(written: str) -> Attempt | None:
    """Read an attempt; `None` of what is something else."""
    fields = read_dict(written)
    return Attempt(**fields) if fields is not None and fields.keys() == set(Attempt._fields) else None


def _dead(entry: str, fields: dict[str, Any]) -> Dead | None:
    """Read a dead letter; `None` of what is something else."""
    try:
        alerts = read_list(fields["alerts"]) or []
        return Dead(entry, float(fields["at"]), fields["message"], alerts, fields["reason"], fields["written"])
    except (KeyError, ValueError):
        return None
