"""Reads answers as bytes: deflated values are no text, and the client decodes every answer by default."""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from .connection import translate_errors


async def execute_binary(redis: Redis, *command: str | int) -> Any:
    """Run a command, and return its answer with every string as bytes."""
    with translate_errors():
        return await redis.execute_command(*command, NEVER_DECODE=True)  # type: ignore[no-untyped-call]  # redis-py's


def read_score(found: Sequence[Any]) -> int:
    """Return the score of the one member in an answer, which RESP2 and RESP3 shape differently."""
    return int(float(found[0][1] if isinstance(found[0], list | tuple) else found[1]))
