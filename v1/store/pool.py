"""
Connections that notice when they lead to the wrong server, and a pool that then closes all of them.

Behind one address the server may change: after a failover the old primary still answers on the connections that were
open before, and refuses every write for as long as they are kept.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any, Protocol, cast

from hiredis import PushNotification, pack_command
from hiredis import Reader as AnswerReader
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import (
    AskError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as NoConnection

from ..numbers.chunks import split_into_chunks

OF_THE_CONNECTION = frozenset(
    {"READONLY", "MASTERDOWN", "NOREPLICAS", "UNBLOCKED", "CLUSTERDOWN", "LOADING", "MOVED", "ASK", "REDIRECT"}
)
"""Codes of errors that are about the server at the other end: a new connection may lead to another one."""
NAMED = frozenset({"WRONGTYPE", "NOPERM"})
"""Codes of errors that are about a key or a command, and do not name it."""


class RedisObserver(Protocol):
    """Takes how long each exchange with Redis took: one command, or a pipeline of many."""

    def __call__(self, seconds: float, *, is_failed: bool) -> None:
        """Take one exchange; `is_failed`: there was no answer."""
        ...


_OF_CLUSTERS: tuple[tuple[type[Exception], str], ...] = (
    (MovedError, "MOVED"),  # before AskError, of which it is a kind
    (AskError, "ASK"),
    (TryAgainError, "TRYAGAIN"),
    (ClusterDownError, "CLUSTERDOWN"),
    (ClusterCrossSlotError, "CROSSSLOT"),
    (MasterDownError, "MASTERDOWN"),
)
"""Errors whose code redis-py takes off the text."""
_PIPELINE = re.compile(r"Command # \d+ \(.*\) of pipeline caused error: \(['\"]", re.DOTALL)


NOT_FOR_US = frozenset({"NOPERM", "ERR"})
"""Codes of the answer to a command that the user may not use, or that a provider has disabled."""


def read_error_code(error: Exception) -> str:
    """Return the code that an error answer of Redis begins with: `BUSY`, `READONLY`; of another text its first word."""
    known = getattr(error, "status_code", None)
    if known:
        return str(known)
    for kind, code in _OF_CLUSTERS:
        if isinstance(error, kind):
            return code
    # redis-py writes its own words in front of an error that comes in a pipeline.
    return _PIPELINE.sub("", str(error)).partition(" ")[0]


_SCRIPT_CALL = re.compile(r"Command # \d+ \(EVAL.*\) of pipeline caused error: \(['\"](.*)['\"],\)", re.DOTALL)


def describe_error(error: Exception) -> str:
    """
    Return what Redis or redis-py says: without redis-py's words about the call of a script, which begin with its text,
    and with the code that it takes off what a cluster says.
    """
    text = _SCRIPT_CALL.sub(r"\1", str(error))
    return f"{read_error_code(error)} {text}" if isinstance(error, tuple(kind for kind, _ in _OF_CLUSTERS)) else text


PushHandler = Callable[[Sequence[Any]], Awaitable[object]]


class _PushParser(Protocol):
    """What redis-py reads the answers of a server with, of that part which receives what was not asked for."""

    def set_invalidation_push_handler(self, handler: PushHandler, /) -> None: ...

    def set_pubsub_push_handler(self, handler: PushHandler, /) -> None: ...

    async def handle_push_response(self, told: object, /) -> object: ...


_PACKED_TOGETHER = 100
"""Commands that are one piece of what is sent: few pieces, and none that is copied for long."""
_NO_VALUES = (Exception, PushNotification)
_TOLD = object()
"""Stands for what Redis told without being asked."""


class WatchedConnection(AbstractConnection):
    """
    Closes itself, once it is given back, after an answer that is true of this connection alone.

    It can be told by Redis which keys that it has read have changed since.
    """

    _asked: tuple[Any, ...] = ()
    lent_at = 0.0
    """When it was taken from the pool, by `perf_counter`."""
    is_tracked = False
    """Whether Redis tells it which keys have changed."""
    is_subscribed = False
    """Whether it waits for what others publish: how long says nothing of Redis."""

    @property
    def is_usable(self) -> bool:
        """Whether it is open, as far as is known, and leads to the right server."""
        return bool(self.is_connected) and not _is_marked(self)

    async def start_tracking(self, drop: Callable[[Sequence[str] | None], None], *mode: str) -> bool:
        """
        Have `drop` called with the keys that have changed, before the answer to anything that is asked after it.

        Of those that were read over it, unless a `mode` of CLIENT TRACKING says otherwise.

        `None` stands for all keys. Return whether Redis permits this; it is over when the connection is.
        """

        async def take_in(told: Sequence[Any]) -> object:
            if told[0] in ("invalidate", b"invalidate"):
                drop(told[1])
            return _TOLD

        parser = cast("_PushParser", self._parser)  # as every one is that speaks RESP3
        parser.set_invalidation_push_handler(take_in)
        parser.set_pubsub_push_handler(take_in)
        self.is_tracked = True
        (answer,) = await self.ask_all([("CLIENT", "TRACKING", "ON", *(mode or ("OPTOUT",)))])
        return not isinstance(answer, ResponseError)

    async def ask_all(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send commands, and return the answer to each, in order; an error answer is returned as well."""
        await self.send_packed_command(self.pack_commands(commands), check_health=False)
        answers: list[Any] = []
        while len(answers) < len(commands):
            answer = self._read_arrived()
            if answer is NOT_ENOUGH_DATA:
                answer = await self._wait_for_answer()
            elif isinstance(answer, _NO_VALUES):
                answer = await self._take_in(answer)
            # What is told comes as it is, and not as an answer: redis-py would go one call deeper for each.
            if answer is not _TOLD:
                answers.append(answer)
        return answers

    def _read_arrived(self) -> Any:
        """Return the next answer where it has arrived; redis-py's way to wait for one takes three times as long as reading it."""
        reader = getattr(self._parser, "_reader", None)
        return reader.gets() if isinstance(reader, AnswerReader) and reader.has_data() else NOT_ENOUGH_DATA

    async def _wait_for_answer(self) -> Any:
        try:
            return await self.read_response(push_request=self.is_tracked)
        except ResponseError as error:
            return error

    async def _take_in(self, answer: Any) -> Any:
        """Take in what is no value, as redis-py does: an error, the end of a connection, or what was not asked for."""
        if isinstance(answer, ResponseError):
            self._note_error(answer)
            return answer
        if isinstance(answer, Exception):
            await self.disconnect(nowait=True)
            raise answer
        await cast("_PushParser", self._parser).handle_push_response(answer)
        return _TOLD

    async def send_command(self, *args: Any, **kwargs: Any) -> None:
        self._asked = args
        await super().send_command(*args, **kwargs)

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        """Return commands as they are sent: packed in C, which takes a tenth of the time that redis-py's own way does."""
        self._asked = ()
        return [b"".join(map(_pack, some)) for some in split_into_chunks([*commands], _PACKED_TOGETHER)]

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        self.is_subscribed = self.is_subscribed or bool(kwargs.get("push_request"))
        try:
            return await super().read_response(*args, **kwargs)
        except ResponseError as error:
            self._note_error(error)
            raise

    def _note_error(self, error: ResponseError) -> None:
        code = error.status_code = read_error_code(error)
        if code in OF_THE_CONNECTION:
            self.mark_for_reconnect()  # type: ignore[no-untyped-call]  # redis-py's
        if code in NAMED and self._asked:
            error.args = (f"{error.args[0]} ({' '.join(map(str, self._asked[:2]))})", *error.args[1:])


class _Tcp(WatchedConnection, Connection):
    pass


class _Tls(WatchedConnection, SSLConnection):
    pass


class _Unix(WatchedConnection, UnixDomainSocketConnection):
    pass


_NOTICING: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: _Tcp,
    SSLConnection: _Tls,
    UnixDomainSocketConnection: _Unix,
}


class ReplacingPool(BlockingConnectionPool):
    """
    Replaces every connection, one by one as they are used, when one of them led to the wrong server.

    Once it is closed it hands out none: a question that is still on its way then, since one asked beside it failed and
    nobody waits for its answer, would leave a connection open behind.
    """

    def __init__(self, *, observe: RedisObserver | None = None, **options: Any) -> None:
        self._observe = observe
        kind = options.pop("connection_class", Connection)
        super().__init__(connection_class=_NOTICING[kind], **options)
        self._is_closed = False

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        if _is_marked(connection):
            await connection.disconnect()
        if isinstance(connection, WatchedConnection):
            connection.lent_at, connection.is_subscribed = perf_counter(), False
        await super().ensure_connection(connection)
        if self._is_closed:
            await connection.disconnect()
            raise NoConnection("the client is closed")

    def record_exchange(self, seconds: float, *, is_failed: bool) -> None:
        """Record how long an exchange took over a connection that is not given back after it."""
        if self._observe is not None:
            self._observe(seconds, is_failed=is_failed)

    async def end_waits(self) -> None:
        """Close the connections that are in use: what waits for an answer is told that the server does not answer."""
        for connection in self._get_in_use_connections():
            await connection.disconnect(nowait=True)

    async def aclose(self) -> None:
        self._is_closed = True
        for connection in self._get_in_use_connections():
            # A question that waits for its answer would be asked again, over a connection made for it after the end.
            connection.retry.update_retries(0)
        await super().aclose()

    async def release(self, connection: AbstractConnection) -> None:
        if _is_marked(connection):
            for other in (*self._get_free_connections(), *self._get_in_use_connections()):
                other.mark_for_reconnect()  # type: ignore[no-untyped-call]  # redis-py's
        if self._observe is not None and isinstance(connection, WatchedConnection) and not connection.is_subscribed:
            self._observe(perf_counter() - connection.lent_at, is_failed=not connection.is_connected)
        await super().release(connection)
        if self._is_closed:
            await connection.disconnect()


async def open_for_reads(connection: AbstractConnection) -> None:
    """Open a connection as redis-py does, and so that a replica of a cluster answers reads instead of naming its primary."""
    await connection.on_connect()
    await connection.send_command("READONLY")
    # A server that is no cluster's does not know the command, and answers reads anyway.
    with suppress(ResponseError):
        await connection.read_response()


def _pack(command: Iterable[Any]) -> bytes:
    """Return a command as it is sent; its name may be two words, which the server takes as two arguments."""
    name, *others = command
    packed: bytes = pack_command((*name.split(), *others))
    return packed


def _is_marked(connection: AbstractConnection) -> bool:
    return bool(connection.should_reconnect())  # type: ignore[no-untyped-call]  # redis-py's
