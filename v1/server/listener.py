"""The server: accepts connections within the limits, and stops gracefully."""

import asyncio
import math
import socket
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import cast

import structlog
from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.typing import ASGIFramework, ConnectionState, Framework
from hypercorn.utils import wrap_app

from .addresses import is_in_networks
from .connection import MOST_READ, ClientConnection, ClientProtocol, ConnectionPhase
from .http1 import ServerContext, list_refusal_headers, make_problem_body
from .limits import ConnectionLimits, identify_client
from .simple import AnswerHeads, RequestReader
from .telemetry.instruments import ServerInstruments
from .tls import TlsFiles

WARN_SECONDS = 60.0
"""Between two log lines about a limit that is reached: it is often reached again at once."""
RETRY_SECONDS = 1
FIRST_SECONDS = 0.5
"""How long a new connection may take to ask when the server stops: its request may be on the way."""

log = structlog.get_logger()


async def serve(  # noqa: PLR0913  # two by name
    app: Framework,
    listener: socket.socket,
    config: Config,
    limits: ConnectionLimits,
    stop: Callable[[], Awaitable[object]],
    *,
    tls: TlsFiles | None = None,
    instruments: ServerInstruments | None = None,
    may_send_much: Callable[[Iterable[tuple[bytes, bytes]]], bool] = lambda _: True,
) -> None:
    """
    Serve `app` at `listener` until `stop()` returns; what is being answered then has `config.graceful_timeout`.

    `stop` is called when it listens. Clients that are connected by then, accepted or not, are answered. `instruments`
    count the connections, and the requests that are refused here. `may_send_much` says by the headers of a request
    whether a large document is read before it is answered.
    """
    context = WorkerContext(None)
    config.h11_max_incomplete_size = limits.head
    async with _lifespan(app, config) as state:
        requests, heads = RequestReader(limits.head), AnswerHeads(config)
        served = ServerContext(
            cast("ASGIFramework", app), config, context, state, requests, heads, tls, instruments, may_send_much
        )
        registry = _ConnectionRegistry(served, limits)
        if instruments is not None:
            instruments.follow_connections(registry.count_phases)
        unaccepted = listener.dup()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(registry.make_protocol, sock=listener, backlog=config.backlog)
        await stop()
        await context.terminated.set()
        server.close()
        await _accept_rest(unaccepted, config.backlog, registry)
        await registry.finish(config.graceful_timeout)


async def _accept_rest(listener: socket.socket, most: int, registry: "_ConnectionRegistry") -> None:
    """Accept the connections that wait at a socket, and close it; closed at once, it would reset them."""
    loop = asyncio.get_running_loop()
    with listener, suppress(OSError):  # of no more that waits, or no file descriptor for it
        for _ in range(most):
            with suppress(ConnectionAbortedError):
                accepted, _ = listener.accept()
                accepted.setblocking(False)
                await loop.connect_accepted_socket(registry.make_protocol, accepted)


@asynccontextmanager
async def _lifespan(app: Framework, config: Config) -> AsyncIterator[ConnectionState]:
    state: dict[str, object] = {}
    lifespan = Lifespan(wrap_app(app, 0, "asgi"), config, asyncio.get_running_loop(), state)
    task = asyncio.create_task(lifespan.handle_lifespan())
    await lifespan.wait_for_startup()
    if task.done() and (error := task.exception()):
        raise error
    try:
        yield ConnectionState(state)
    finally:
        await lifespan.wait_for_shutdown()
        await task


class _ConnectionRegistry:
    """Every open connection. Where there are too many, the one that was idle longest is closed for the next."""

    def __init__(self, served: ServerContext, limits: ConnectionLimits) -> None:
        self._served = served
        self._limits = limits
        self._by_client: dict[str, set[ClientConnection]] = defaultdict(set)
        self._tasks: dict[ClientConnection, asyncio.Task[None]] = {}
        self._warned = -math.inf

    def make_protocol(self) -> ClientProtocol:
        """Return the protocol of a new connection."""
        loop = asyncio.get_running_loop()
        return ClientProtocol(asyncio.StreamReader(MOST_READ, loop), self.accept, loop)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = ClientConnection(self._served, self._limits, reader, writer)
        host = connection.client[0] if connection.client else ""
        client = identify_client(host)
        instruments = self._served.instruments
        if not self._find_room(client, host):
            if instruments is not None:
                instruments.turned_away.inc()
            _refuse_connection(writer, is_encrypted=self._served.tls is not None)
            return
        if instruments is not None:
            instruments.accepted.inc()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # asyncio accepts each connection in a task
        self._tasks[connection] = task
        self._by_client[client].add(connection)
        try:
            await connection.run()
        except asyncio.CancelledError:
            # By `finish`. Raised on, it would be logged: up to Python 3.11 asyncio's streams take it for an error.
            return
        except Exception:
            log.exception("an unexpected error ends a connection")
        finally:
            self._forget(connection, client)

    def count_phases(self) -> dict[str, int]:
        """Return how many open connections are in each phase."""
        return Counter(connection.phase.name.lower() for connection in self._tasks)

    async def finish(self, seconds: float) -> None:
        """Close idle connections now, new ones when they do not ask, the others when answered or after some seconds."""
        # The tasks of connections that were just accepted begin.
        await asyncio.sleep(0)
        for connection in self._tasks:
            if connection.has_asked:
                connection.close_when_idle()
        await self._wait(min(FIRST_SECONDS, seconds))
        for connection in self._tasks:
            connection.close_when_idle()
        late = await self._wait(seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _wait(self, seconds: float) -> Collection[asyncio.Task[None]]:
        """Wait for every connection to end; return the tasks of those that have not."""
        tasks = [*self._tasks.values()]
        return (await asyncio.wait(tasks, timeout=seconds))[1] if tasks else ()

    def _find_room(self, client: str, host: str) -> bool:
        """Return whether there is room for one more of a client, after making it if there was none."""
        its_own, limits = self._by_client.get(client, ()), self._limits
        if len(its_own) >= limits.client_connections and not is_in_networks(host, limits.proxies):
            self._warn("connection limit of a client reached", client=client, most=limits.client_connections)
            return self._make_room(its_own)
        if len(self._tasks) >= limits.connections:
            self._warn("connection limit reached", client=client, most=limits.connections)
            return self._make_room(self._tasks)
        return True

    def _make_room(self, connections: Collection[ClientConnection]) -> bool:
        first = min(connections, key=lambda each: (each.phase, each.since))
        if first.phase is ConnectionPhase.ANSWERING:
            return False
        first.close_when_idle()
        self._forget(first, identify_client(first.client[0]) if first.client else "")
        return True

    def _forget(self, connection: ClientConnection, client: str) -> None:
        self._tasks.pop(connection, None)
        if its_own := self._by_client.get(client):
            its_own.discard(connection)
            if not its_own:
                del self._by_client[client]

    def _warn(self, event: str, **details: object) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._warned >= WARN_SECONDS:
            self._warned = now
            log.warning(event, **details)


def _refuse_connection(writer: asyncio.StreamWriter, *, is_encrypted: bool) -> None:
    if is_encrypted:
        # There was no handshake, and there is no room for one.
        writer.close()
        return
    status = HTTPStatus.SERVICE_UNAVAILABLE
    body = make_problem_body(status, "there are too many connections; close some, or ask again")
    headers = [*list_refusal_headers(body), (b"retry-after", str(RETRY_SECONDS).encode())]
    head = b"".join(b"%s: %s\r\n" % header for header in headers)
    writer.write(b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (status, status.phrase.encode(), head, body))
    writer.close()
