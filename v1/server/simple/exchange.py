"""One simple request and its answer, as ASGI: what Hypercorn's stream does, without its events, queue and parser."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any, NamedTuple, cast
from urllib.parse import unquote

import h11
from hypercorn.config import Config
from hypercorn.protocol.http_stream import ASGIHTTPState
from hypercorn.typing import ASGIFramework, ConnectionState
from hypercorn.utils import UnexpectedMessageError

from ...routes.stream.subscriber import CHANNEL
from ..channel import LAST_CHUNK, ConnectionChannel
from .heads import ADD_LINES, AnswerHead, AnswerHeads
from .requests import SimpleRequest

_WHOLE = {"type": "http.request", "body": b"", "more_body": False}
_GONE = {"type": "http.disconnect"}


class ExchangeContext(NamedTuple):
    """What all exchanges of a connection have in common."""

    app: ASGIFramework
    config: Config
    heads: AnswerHeads
    scheme: str
    client: tuple[str, int] | None
    server: tuple[str, int] | None
    state: ConnectionState
    write: Callable[[bytes], bool]
    """Writes to the client; returns whether it has to be waited for, because it takes less than comes."""
    drain: Callable[[], Awaitable[None]]
    """Returns when the client has taken enough."""
    is_last: Callable[[], bool]
    """Whether the connection takes no request after this one."""
    finish: Callable[[bool], Awaitable[None]]
    """Goes on when an answer is sent, or will not be; with whether that ends the connection."""
    take_over: Callable[[str], Awaitable[ConnectionChannel]]
    """Leaves the connection of a request of this version to the application."""


class SimpleExchange:
    """One request and its answer. Messages that do not fit what was sent so far are errors of the application."""

    __slots__ = (
        "_context", "_gone", "_head", "_is_asked", "_is_closed", "_is_taken", "_left", "_lines", "_request", "_state",
    )  # fmt: skip

    def __init__(self, context: ExchangeContext, request: SimpleRequest) -> None:
        self._context = context
        self._request = request
        self._state = ASGIHTTPState.REQUEST
        self._head: AnswerHead | None = None
        self._left = 0
        """Bytes of the body that are still to come, where that is known."""
        self._lines = b""
        """Header lines beside those of the application's message."""
        self._is_asked = False
        """Whether the application has received the request."""
        self._is_closed = False
        """Whether the client has gone, or has its answer."""
        self._is_taken = False
        """Whether the application writes to the connection itself."""
        self._gone: asyncio.Event | None = None

    async def run(self) -> None:
        """Have the application answer."""
        context = self._context
        try:
            await context.app(cast("Any", self._make_scope()), cast("Any", self._receive), cast("Any", self._send))
        except Exception:  # noqa: BLE001  # whatever it is, it is the application's, and the server goes on
            await context.config.log.exception("Error in ASGI Framework")
        finally:
            if not self._is_closed:
                await self._give_up()

    def close(self) -> None:
        """Note that the client has gone. It may have closed its side alone: what is sent is written all the same."""
        self._is_closed = True
        if self._gone is not None:
            self._gone.set()

    def _make_scope(self) -> dict[str, Any]:
        context, request = self._context, self._request
        path, _, query = request.target.partition(b"?")
        return {
            "type": "http",
            "http_version": request.version,
            "asgi": {"spec_version": "2.1", "version": "3.0"},
            "method": request.method,
            "scheme": context.scheme,
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": context.config.root_path,
            "headers": list(request.headers),
            "client": context.client,
            "server": context.server,
            "state": context.state.copy(),
            "extensions": {ADD_LINES: self._add_lines}
            if request.method == "HEAD"
            else {ADD_LINES: self._add_lines, CHANNEL: self._take_over},
        }

    def _add_lines(self, lines: bytes) -> None:
        self._lines += lines

    async def _receive(self) -> dict[str, Any]:
        if not self._is_asked:
            self._is_asked = True
            return dict(_WHOLE)
        if not self._is_closed:
            self._gone = self._gone or asyncio.Event()
            await self._gone.wait()
        return dict(_GONE)

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "http.response.body" and self._state is ASGIHTTPState.RESPONSE:
            is_last = not message.get("more_body", False)
            framed = self._frame(message.get("body", b""), is_last=is_last)
            if framed and self._context.write(framed):
                await self._context.drain()
            if is_last:
                await self._finish()
        elif kind == "http.response.start" and self._state is ASGIHTTPState.REQUEST:
            status, headers = int(message["status"]), message.get("headers", ())
            if self._start(status, headers):
                await self._context.drain()
        elif not self._is_taken:
            raise UnexpectedMessageError(self._state, kind)

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Write the head of the answer; return whether the client has to be waited for."""
        heads = self._context.heads
        self._head = head = heads.find(self._request, status, tuple(headers), is_last=self._context.is_last())
        self._left = head.length or 0
        self._state = ASGIHTTPState.RESPONSE
        return self._context.write(heads.write(head, self._lines))

    def _frame(self, data: bytes, *, is_last: bool) -> bytes:
        """Return the bytes by which a part of the body is sent."""
        head = self._head
        if head is None or not head.has_body:
            return b""
        if head.is_chunked:
            chunk = b"%x\r\n%s\r\n" % (len(data), data) if data else b""
            return chunk + LAST_CHUNK if is_last else chunk
        if head.length is not None:
            self._left -= len(data)
            if self._left < 0:
                raise h11.LocalProtocolError("Too much data for declared Content-Length")
        return bytes(data)

    async def _finish(self) -> None:
        if self._left or self._head is None:
            raise h11.LocalProtocolError("Too little data for declared Content-Length")
        self._state = ASGIHTTPState.CLOSED
        self.close()
        await self._context.finish(self._head.closes)

    async def _give_up(self) -> None:
        """End the connection, because the application has not answered, or not to the end."""
        if self._state is ASGIHTTPState.REQUEST:
            self._start(HTTPStatus.INTERNAL_SERVER_ERROR, [(b"content-length", b"0"), (b"connection", b"close")])
        self._state = ASGIHTTPState.CLOSED
        self.close()
        await self._context.finish(True)

    async def _take_over(self) -> ConnectionChannel:
        self._state, self._is_taken, self._is_closed = ASGIHTTPState.CLOSED, True, True
        return await self._context.take_over(self._request.version)
