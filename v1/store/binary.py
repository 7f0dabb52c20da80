"""Asks Redis for bytes: what is deflated is no text, for which the client takes all answers unless it is told."""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from .connection import translate_errors


async def execute_binary(redis: Redis, *command: str | int) -> Any:
    """Return an answer as it comes, texts in it as bytes."""
    with translate_errors():
        return await redis.execute_command(*command, NEVER_DECODE=True)  # type: ignore[no-untyped-call]  # redis-py's


def read_score(found: Sequence[Any]) -> int:
    """Return the score of the one member that was asked for; the two protocols shape it differently."""
    return int(float(found[0][1] if isinstance(found[0], list | tuple) else found[1]))
