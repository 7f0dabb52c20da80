"""Reads what became of messages: channels, attempts, dead letters."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis

from .. import keys
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
    DROPPED = "dropped"
    """It was about the channel itself, and is not true any more. Never of an alert."""

    @property
    def is_dead(self) -> bool:
        """Return whether the message goes to the dead letters."""
        return self in (DeliveryStatus.REFUSED, DeliveryStatus.GIVEN_UP)


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
    """What was in the outbox, shortened; of a digest, its first entry."""


class DeliveryReader:
    """
    Reads what became of messages, one round trip each.

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
        return [[attempt for each in written if (attempt := _read_attempt(each))] for written in found]

    async def read_dead_letters(self, channel: str, limit: int = 100) -> list[DeadLetter]:
        """Return the newest messages that a channel does not send any more, newest first."""
        with translate_errors():
            found = await self._redis.xrevrange(keys.dead(channel), count=limit)
        entries = cast("list[tuple[str, dict[str, Any]]]", found)
        return [dead for entry, fields in entries if (dead := _read_dead_letter(entry, fields))]


def _read_attempt(written: str) -> DeliveryAttempt | None:
    """Return the attempt; `None` where the text is not one."""
    fields = read_dict(written)
    return DeliveryAttempt(**fields) if fields is not None and fields.keys() == set(DeliveryAttempt._fields) else None


def _read_dead_letter(entry: str, fields: dict[str, Any]) -> DeadLetter | None:
    """Return the dead letter; `None` where the fields are not those of one."""
    try:
        alerts = read_list(fields["alerts"]) or []
        return DeadLetter(entry, float(fields["at"]), fields["message"], alerts, fields["reason"], fields["written"])
    except (KeyError, ValueError):
        return None
