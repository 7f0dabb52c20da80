"""
One way to connect, and our names for what goes wrong. No key, no meaning.

    StoreError
    └── StoreAway    no answer, or not now: refused, timed out, loading, read-only, out of memory
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    MaxConnectionsError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import TimeoutError as NoAnswer

from ..redaction import redact

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 15.0
"""A day's full tick of 30,000 metrics is one pipeline; the first answer of it may take a while."""
CONNECTIONS = 50
"""Open at once, at most. Who finds all of them busy waits for one, where redis-py would by default refuse."""

_AWAY = (NoConnection, NoAnswer, BusyLoadingError, MaxConnectionsError, OutOfMemoryError, ReadOnlyError)
_AWAY_WORDS = ("LOADING", "MISCONF", "OOM", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN")


class StoreError(Exception):
    """Redis answered, but not what the version needs; the message says what, without a password."""

    def __init__(self, message: str = "") -> None:
        super().__init__(redact(message))


class StoreAway(StoreError):
    """Redis does not take or give anything right now. Try again later; nothing was half-written."""


@contextmanager
def translated() -> Iterator[None]:
    """
    Translate what redis-py raises into our two kinds, once, here.

    It also passes on a cancellation that got lost inside: redis-py sends in `asyncio.wait_for`, which up to
    Python 3.11 swallows one that comes when the sending is just done (mended in 3.12); and it closes the
    connection of who is cancelled, who may then hear that the server did.
    """
    cancelled = _cancellations()
    try:
        yield
        if _cancellations() > cancelled:
            raise asyncio.CancelledError
    except (AuthenticationError, AuthorizationError) as error:
        # redis-py counts them among lost connections, but waiting mends no password.
        raise StoreError(f"Redis does not let us in: {error}") from error
    except (*_AWAY, OSError) as error:
        if _cancellations() > cancelled:
            raise asyncio.CancelledError from error
        raise StoreAway(f"Redis is away: {error}") from error
    except RedisError as error:
        away = str(error).startswith(_AWAY_WORDS)
        raise (StoreAway if away else StoreError)(f"Redis said: {error}") from error


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task else 0


@asynccontextmanager
async def connect(address: str, name: str, answer_seconds: float = ANSWER_SECONDS) -> AsyncIterator[Redis]:
    """
    Give a client of the server at `address` (redis, rediss or unix), closed at the end.

    It connects when first used and does not retry: its callers know how long they can wait. `name`
    is what `CLIENT LIST` shows.
    """
    pool = BlockingConnectionPool.from_url(
        address,
        max_connections=CONNECTIONS,
        timeout=answer_seconds,
        decode_responses=True,
        client_name=name,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=answer_seconds,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        protocol=3,
    )
    redis = Redis.from_pool(pool)
    try:
        yield redis
    finally:
        await redis.aclose()
