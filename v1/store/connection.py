"""
How to connect to Redis, and the errors that are raised of it.

    StoreError       an unexpected answer: a key of another type, a command that is not permitted
    ├── StoreAway    no answer, or not now: refused, timed out, loading, read-only, busy, out of memory
    │   ├── LeaseGone    nobody has the lease: ours ran out
    │   └── StoreBehind  what was committed before is forgotten
    ├── NoAccess     the name or the password is not accepted
    ├── OtherPartitions  the data of a cluster is divided otherwise than the settings say
    ├── LeaseLost    somebody else feeds this Redis
    │   └── DataMoved    nobody may: the data was moved elsewhere, or a move to here is not finished
    └── Unreadable   a key holds something else than the version writes
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

from redis.asyncio import Redis
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
from redis.maint_notifications import MaintNotificationsConfig

from ..settings.redaction import redact
from .cluster.client import ClusterRedis, OtherCount
from .cluster.opening import ask_any, open_client
from .cluster.replicas import ReplicaChoice
from .cluster.seeds import parse_seeds
from .cluster_check import describe_database, find_database
from .moving.marks import describe_mark
from .pool import RedisObserver, ReplacingPool, describe_error, open_for_reads, read_error_code

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 15.0
"""A day's full tick of 30,000 metrics is one pipeline; the first answer of it may take a while."""
CONNECTIONS = 50
"""Open at once, at most. Whoever finds all of them busy waits for one; redis-py by default raises."""

_AWAY = (NoConnection, NoAnswer, BusyLoadingError, MaxConnectionsError, OutOfMemoryError, ReadOnlyError)
_AWAY_CODES = frozenset(
    {
        *("LOADING", "MISCONF", "OOM", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "NOREPLICAS"),
        *("UNBLOCKED", "MOVED", "ASK", "REDIRECT"),
        "NOSCRIPT",  # it was flushed between two calls: the next try brings it again
    }
)
_FENCED = "FENCED"
"""The code of our own scripts for a fence that does not hold the token of who called; the holder follows, if any."""
_BEHIND = "BEHIND"
"""The code of our own scripts for a newest tick that is older than what was committed; that tick follows."""


class StoreError(Exception):
    """Redis answered with an error; the message holds it, without a password."""

    def __init__(self, message: str = "") -> None:
        super().__init__(redact(message))


class StoreAway(StoreError):
    """Redis cannot be read or written right now. Try again later; nothing was half-written."""


class LeaseGone(StoreAway):
    """The lease ran out before something was written, and nobody has taken it since."""


class StoreBehind(StoreAway):
    """The store has forgotten a tick that was committed, as a failover may; what follows from it was not written."""


class NoAccess(StoreError):
    """Redis does not accept the name or the password. Trying again does not help."""


class OtherPartitions(StoreError):
    """The data of a cluster is divided otherwise than the settings say. Trying again does not help."""


class LeaseLost(StoreError):
    """Somebody else feeds this Redis now, and only one may; the message says who."""


class DataMoved(LeaseLost):
    """The data is elsewhere, or not all of it here yet; the message says where, and what to do."""


class Unreadable(StoreError):
    """What a key holds is not what this version writes there; the message names the key."""


@contextmanager
def translate_errors() -> Iterator[None]:
    """
    Translate what redis-py raises into the errors of this module.

    It also passes on a cancellation that got lost inside: redis-py sends in `asyncio.wait_for`, which up to
    Python 3.11 swallows one that comes when the sending is just done (fixed in 3.12); and it closes the
    connection of who is cancelled, who may then see it as closed by the server.
    """
    cancelled = _cancellations()
    try:
        yield
        if _cancellations() > cancelled:
            raise asyncio.CancelledError
    except (AuthenticationError, AuthorizationError) as error:
        # redis-py counts them among lost connections.
        raise NoAccess(f"Redis does not let us in: {error}") from error
    except (*_AWAY, OSError) as error:
        if _cancellations() > cancelled:
            raise asyncio.CancelledError from error
        if isinstance(error.__cause__, AuthenticationError | AuthorizationError):  # over a Unix socket
            raise NoAccess(f"Redis does not let us in: {error}") from error
        raise StoreAway(f"Redis is away: {describe_error(error)}") from error
    except RedisError as error:
        raise _translate_answer(error) from error


def _translate_answer(error: RedisError) -> StoreError:
    """Return the error that an answer stands for, or what the client says of one."""
    if isinstance(error, OtherCount):
        return OtherPartitions(str(error))
    if read_error_code(error) in {_FENCED, _BEHIND}:
        return _describe_refusal(describe_error(error))
    away = read_error_code(error) in _AWAY_CODES
    return (StoreAway if away else StoreError)(f"Redis said: {describe_error(error)}")


def _describe_refusal(answer: str) -> StoreError:
    """Return the error of a script that found the fence to hold another token than ours, or a tick to be forgotten."""
    if _FENCED not in answer:
        return StoreBehind("a tick that was committed is forgotten, and nothing was written")
    holder = answer.rpartition(_FENCED)[2].strip()
    if moved := describe_mark(holder):
        return DataMoved(moved)
    if holder:
        return LeaseLost(f"{holder} feeds this Redis now, and only one worker does at a time")
    return LeaseGone("the lease ran out between reading and writing, and nothing was written")


@contextmanager
def translate_unreadable(key: str) -> Iterator[None]:
    """Make `Unreadable` of what goes wrong while the content of `key` is read."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, zlib.error) as error:
        raise Unreadable(f"{key} holds something else than data-tracker writes there: {error!r}") from error


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task else 0


@asynccontextmanager
async def connect(  # noqa: PLR0913  # all but the first two are optional
    address: str,
    name: str,
    answer_seconds: float = ANSWER_SECONDS,
    *,
    only_reads: bool = False,
    observe: RedisObserver | None = None,
    partitions: int | None = None,
    reads_replicas: bool = False,
) -> AsyncIterator[Redis]:
    """
    Return a client of the server or the cluster at `address` (redis, rediss or unix), closed at the end.

    A list of nodes is a cluster, or one server under several names; a single address is asked what it is. Otherwise the
    client connects when first used. A connection that the server has closed meanwhile is replaced before anything is
    sent. A client that only reads asks once more where a connection breaks while it waits for an answer; any other does
    not, because what was sent may have been done: its callers know how long they can wait. `name` is what `CLIENT LIST`
    shows. `observe` is told how long each exchange took. `partitions` is into how many parts the data of a cluster is
    divided that holds none yet. With `reads_replicas` the client of a cluster may read from replicas, once it is told
    of changes: see `follow_replicas`.
    """

    make_pool = partial(
        _make_pool, name=name, answer_seconds=answer_seconds, only_reads=only_reads, reads_replicas=reads_replicas
    )
    seeds = parse_seeds(address)
    if seeds:
        found = await ask_any(seeds, make_pool)
        redis = open_client(seeds, found, partial(make_pool, observe=observe), partitions)
    else:
        redis = Redis.from_pool(make_pool(address, observe=observe))
    try:
        if isinstance(redis, ClusterRedis) and reads_replicas:
            redis.replicas = ReplicaChoice(redis.table)
        if isinstance(redis, ClusterRedis) and (lack := describe_database(find_database(address))):
            raise StoreError(lack)
        yield redis
    finally:
        await redis.aclose()


def _make_pool(  # noqa: PLR0913  # each is named
    address: str,
    *,
    name: str,
    answer_seconds: float,
    only_reads: bool,
    reads_replicas: bool,
    observe: RedisObserver | None = None,
) -> ReplacingPool:
    return ReplacingPool.from_url(
        address,
        max_connections=CONNECTIONS,
        timeout=answer_seconds,
        observe=observe,
        decode_responses=True,
        client_name=name,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=answer_seconds,
        retry=Retry(NoBackoff(), 1, (NoConnection,)) if only_reads else Retry(NoBackoff(), 0),
        health_check_interval=0,
        protocol=3,
        redis_connect_func=open_for_reads if reads_replicas else None,
        # With them redis-py would not look whether a connection is still open before it is used.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
