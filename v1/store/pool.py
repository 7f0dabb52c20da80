"""
Connections that notice when they lead to the wrong server, and a pool that then closes all of them.

Behind one address the server may change: after a failover the old primary still answers on the connections that were
open before, and refuses every write for as long as they are kept.
"""

import re
from time import perf_counter
from typing import Any, Protocol

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import ResponseError

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


_PIPELINE = re.compile(r"Command # \d+ \(.*\) of pipeline caused error: \(['\"]", re.DOTALL)


def read_error_code(error: Exception) -> str:
    """Return the code that an error answer of Redis begins with: `BUSY`, `READONLY`; of another text its first word."""
    known = getattr(error, "status_code", None)
    if known:
        return str(known)
    # redis-py writes its own words in front of an error that comes in a pipeline.
    return _PIPELINE.sub("", str(error)).partition(" ")[0]


class _WatchedConnection(AbstractConnection):
    """Closes itself, once it is given back, after an answer that is true of this connection alone."""

    _asked: tuple[Any, ...] = ()
    lent_at = 0.0
    """When it was taken from the pool, by `perf_counter`."""
    is_subscribed = False
    """Whether it waits for what others publish: how long says nothing of Redis."""

    async def send_command(self, *args: Any, **kwargs: Any) -> None:
        self._asked = args
        await super().send_command(*args, **kwargs)

    def pack_commands(self, commands: Any) -> Any:
        self._asked = ()
        return super().pack_commands(commands)

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        self.is_subscribed = self.is_subscribed or bool(kwargs.get("push_request"))
        try:
            return await super().read_response(*args, **kwargs)
        except ResponseError as error:
            code = error.status_code = read_error_code(error)
            if code in OF_THE_CONNECTION:
                self.mark_for_reconnect()  # type: ignore[no-untyped-call]  # redis-py's
            if code in NAMED and self._asked:
                error.args = (f"{error.args[0]} ({' '.join(map(str, self._asked[:2]))})", *error.args[1:])
            raise


class _Tcp(_WatchedConnection, Connection):
    pass


class _Tls(_WatchedConnection, SSLConnection):
    pass


class _Unix(_WatchedConnection, UnixDomainSocketConnection):
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
        if isinstance(connection, _WatchedConnection):
            connection.lent_at, connection.is_subscribed = perf_counter(), False
        await super().ensure_connection(connection)
        if self._is_closed:
            await connection.disconnect()
            raise NoConnection("the client is closed")

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
        if self._observe is not None and isinstance(connection, _WatchedConnection) and not connection.is_subscribed:
            self._observe(perf_counter() - connection.lent_at, is_failed=not connection.is_connected)
        await super().release(connection)
        if self._is_closed:
            await connection.disconnect()


def _is_marked(connection: AbstractConnection) -> bool:
    return bool(connection.should_reconnect())  # type: ignore[no-untyped-call]  # redis-py's
