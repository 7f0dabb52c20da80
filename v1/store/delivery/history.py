"""What became of messages, for whoever asks: channels, attempts, dead letters. Nothing here writes."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis

from ... import keys
from ..connection import translate_errors
from ..stored_json import read_dict, read_list


class DeliveryStatus(StrEnum):
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


class DeliveryAttempt(NamedTuple):
    """One attempt to send a message, as it is kept with each alert in it."""

    at: float
    """Unix seconds."""
    channel: str
    status: str
    answer: str
    """What the provider said, or why it was not asked."""
    message: str
    """Id of the message: the alert's own, or that of the digest it was in."""


class DeadLetter(NamedTuple):
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


class DeliveryReader:
    """
    Asks Redis what became of messages; every question is one round trip.

    Each method raises `StoreAway` when Redis does not answer.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read_channels(self) -> dict[str, str]:
        """Return the channels that the worker sends to, each with its kind."""
        with translate_errors():
            return cast("dict[str, str]", await self._redis.hgetall(keys.CHANNELS))

    async def read_deliveries(self, alerts: Sequence[str]) -> list[list[DeliveryAttempt]]:
        """Return the attempts to send each alert, oldest first."""
        pipe = self._redis.pipeline(transaction=False)
        for alert in alerts:
            pipe.lrange(keys.deliveries(alert), 0, -1)
        with translate_errors():
            found = await pipe.execute()
        return [[attempt for each in written if (attempt := _attempt(each))] for written in found]

    async def read_dead_letters(self, channel: str, limit: int = 100) -> list[DeadLetter]:
        """Return the newest messages that a channel does not send any more, newest first."""
        with translate_errors():
            found = await self._redis.xrevrange(keys.dead(channel), count=limit)
        letters = cast("list[tuple[str, dict[str, Any]]]", found)
        return [dead for entry, fields in letters if (dead := _read_dead_letter(entry, fields))]


def _attempt(written: str) -> DeliveryAttempt | None:
    """Read an attempt; `None` of what is something else."""
    fields = read_dict(written)
    return DeliveryAttempt(**fields) if fields is not None and fields.keys() == set(DeliveryAttempt._fields) else None


def _read_dead_letter(entry: str, fields: dict[str, Any]) -> DeadLetter | None:
    """Read a dead letter; `None` of what is something else."""
    try:
        alerts = read_list(fields["alerts"]) or []
        return DeadLetter(entry, float(fields["at"]), fields["message"], alerts, fields["reason"], fields["written"])
    except (KeyError, ValueError):
        return None
