"""
Hypercorn's HTTP/1.1, without the upgrade to HTTP/2 in clear text. One to WebSocket is the application's to accept.

A request reaches the application when all of it is here, so that nothing behind waits for a slow client; what is
too large, too slow or no HTTP is answered here, with a problem document. Simple requests pass by Hypercorn (see
`simple`), with the same bytes.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol, cast
from urllib.parse import unquote

import h11
from hypercorn.config import Config
from hypercorn.events import Closed, RawData, Updated
from hypercorn.events import Event as ServerEvent
from hypercorn.protocol.events import Body, EndBody, Event, Request, Response, StreamClosed
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
from hypercorn.typing import ASGIFramework, ASGISendEvent, ConnectionState, TaskGroup, WorkerContext
from hypercorn.utils import wrap_app

from ..routes.stream.subscriber import CHANNEL
from .channel import ChunkedChannel, ConnectionChannel, HandedOver, SocketChannel
from .simple import AnswerHeads, ExchangeContext, RequestReader, SimpleExchange
from .telemetry.instruments import ServerInstruments
from .tls import TlsFiles

VERSIONS = (b"1.0", b"1.1")
Address = tuple[str, int]

_ABSOLUTE = re.compile(rb"https?://(?:[^/?#@]*@)?([^/?#]*)([^#]*)", re.IGNORECASE)
_DETAILS = {
    HTTPStatus.BAD_REQUEST: "this is no HTTP/1.1",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "the request line and the headers are too long",
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: "HTTP/1.1 is spoken here; for HTTP/2, put a proxy in front",
}


class ServerContext(NamedTuple):
    """What every connection of a server has in common."""

    app: ASGIFramework
    config: Config
    context: WorkerContext
    state: ConnectionState
    requests: RequestReader
    heads: AnswerHeads
    tls: TlsFiles | None = None
    """What is shown to clients where they speak TLS."""
    instruments: ServerInstruments | None = None
    may_send_much: Callable[[Iterable[tuple[bytes, bytes]]], bool] = lambda _: True
    """Whether a large document of a request with such headers is read before it is answered."""


class ClientWire(Protocol):
    """What a connection does for its protocol."""

    transport: asyncio.WriteTransport

    async def send(self, event: ServerEvent) -> None:
        """Take what Hypercorn's protocol says."""

    def write(self, data: bytes) -> bool:
        """Write to the client; return whether it has to be waited for, because it takes less than comes."""

    async def drain(self) -> None:
        """Return when the client has taken enough, or will not."""

    def note_arrival(self) -> None:
        """Note that a request is here, and is being answered."""


class Http1(H11Protocol):
    """One connection's requests, one after the other."""

    def __init__(  # noqa: PLR0913, PLR0917  # it joins Hypercorn's parts to ours
        self,
        served: ServerContext,
        tasks: TaskGroup,
        client: Address | None,
        server: Address | None,
        wire: ClientWire,
        find_largest: Callable[[str], int],
    ) -> None:
        app, config, context, state, self._requests, heads, tls, self._instruments, self._may_send_much = served
        wrapped = wrap_app(app, 0, "asgi")
        super().__init__(wrapped, config, context, tasks, state, tls is not None, client, server, wire.send)
        self._wire = wire
        self._find_largest = find_largest
        self._method = b""
        self._path = ""
        scheme = "https" if tls else "http"
        self._exchanges = ExchangeContext(
            app,
            config,
            heads,
            scheme,
            client,
            server,
            state,
            wire.write,
            wire.drain,
            self._is_last,
            self._finish_exchange,
            self.take_over,
        )
        self._exchange: SimpleExchange | None = None
        """What is being answered, where that is a simple request."""
        self._answered: asyncio.Event | None = None
        """Set when it is, for who has read the next one."""
        self._is_parsing = False
        """Whether the parser holds something of a request, or has not been told all of its answer."""
        self._has_ended = False
        self.channel: ConnectionChannel | None = None
        """What has become of the connection, once its answer is handed over."""
        self.has_refused = False
        """Whether a client may still be sending what was refused, or is not read."""

    @property
    def has_more(self) -> bool:
        """Whether something of the next request is here."""
        return self._answered is not None or bool(self.connection.trailing_data[0])

    def begin(self, data: bytes) -> bool:
        """Have a request answered, if `data` is one that is simple, and nothing else is under way; return whether."""
        if self._is_parsing or self._exchange is not None or self._has_ended or self.channel is not None:
            return False
        request = self._requests.read(data)
        if request is None:
            return False
        self.keep_alive_requests += 1
        self._wire.note_arrival()
        self._exchange = SimpleExchange(self._exchanges, request)
        self.task_group.spawn(self._exchange.run)
        return True

    async def handle(self, event: ServerEvent) -> None:
        """Take what has arrived; return when more may."""
        if isinstance(event, RawData):
            await self._wait_for_answer()
            if self._has_ended or self.begin(event.data):
                return
            self._is_parsing = True
        elif isinstance(event, Closed) and self._exchange is not None:
            self._exchange.close()
        await super().handle(event)

    async def _wait_for_answer(self) -> None:
        while self._exchange is not None:
            self._answered = asyncio.Event()
            await self._answered.wait()

    def _end_exchange(self) -> None:
        self._exchange = None
        if self._answered is not None:
            self._answered.set()

    async def _finish_exchange(self, closes: bool) -> None:
        self._has_ended = closes or self.context.terminated.is_set()
        self._end_exchange()
        await self.send(Closed() if self._has_ended else Updated(idle=True))
        self._answered = None

    def _is_last(self) -> bool:
        return self.has_refused or self.keep_alive_requests >= self.config.keep_alive_max_requests

    async def refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer that there will be no answer, and close. Does nothing where one has begun."""
        if self.connection.our_state in (h11.IDLE, h11.SEND_RESPONSE) and self._exchange is None:
            self.has_refused = True
            if self._instruments is not None:
                self._instruments.refused.labels(str(status.value)).inc()
            body = b"" if self._method == b"HEAD" else make_problem_body(status, detail, self._path)
            headers = [*list_refusal_headers(body), *self.config.response_headers("h11")]
            await self._send_h11_event(_response(status, headers))
            await self._send_h11_event(h11.Data(data=body))
            await self._send_h11_event(h11.EndOfMessage())
        await self.send(Closed())

    async def stream_send(self, event: Event) -> None:
        """Send a part of an answer; its status with the words for it, which some clients show."""
        if isinstance(event, Response) and event.status_code >= HTTPStatus.OK:
            headers = [*event.headers, *self.config.response_headers("h11")]
            if self._is_last():
                headers.append((b"connection", b"close"))
            await self._send_h11_event(_response(event.status_code, headers))
        elif isinstance(event, Response):
            headers = cast("Any", [*event.headers, *self.config.response_headers("h11")])
            reason = HTTPStatus(event.status_code).phrase
            await self._send_h11_event(
                h11.InformationalResponse(status_code=event.status_code, headers=headers, reason=reason)
            )
        else:
            await super().stream_send(event)

    async def take_over(self, version: str) -> ConnectionChannel:
        """Leave the connection to who writes the rest of an answer that has begun; nothing else is read or sent."""
        parser = cast("h11.Connection", self.connection)
        if parser.our_state is h11.SWITCHED_PROTOCOL:
            self.channel = SocketChannel(self._wire.transport, parser.trailing_data[0])
        elif version == "1.1":
            self.channel = ChunkedChannel(self._wire.transport)
        else:
            self.channel = ConnectionChannel(self._wire.transport)
        self._end_exchange()
        self.connection = self.stream = cast("Any", HandedOver(self.channel))
        # A parser that holds the next request, or waits for another protocol, lets nothing be read.
        await self.can_read.set()
        return self.channel

    async def _send_error_response(self, status_code: int) -> None:
        """Answer what h11 cannot read."""
        status = HTTPStatus(status_code)
        await self.refuse(status, _DETAILS.get(status, status.phrase))

    async def _check_protocol(self, event: h11.Request) -> None:
        """Change to no other protocol: who offers one goes on in HTTP/1.1, as the standard lets us."""

    async def _maybe_recycle(self) -> None:
        await super()._maybe_recycle()
        # What is refused next is another request.
        self._method, self._path = b"", ""
        connection = self.connection
        is_idle = connection.our_state is h11.IDLE and connection.their_state is h11.IDLE
        self._is_parsing = not is_idle or bool(connection.trailing_data[0])

    async def _create_stream(self, request: h11.Request) -> None:
        self._method = request.method
        if request.http_version not in VERSIONS:
            # The preface of HTTP/2 is a request of version 2.0.
            await self._send_error_response(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
            return
        headers, target = _to_origin_form(request)
        self._path = unquote(target.partition(b"?")[0])
        if _measure_head(request) > self.config.h11_max_incomplete_size:
            # h11 looks at the size of a head only while some of it is missing.
            await self._send_error_response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        largest = self._find_largest(self._path)
        if int(dict(headers).get(b"content-length", 0)) > largest:
            await self.refuse(*_make_too_large(largest))
            return
        # Who may not send it is told so at once; the connection ends with that answer.
        self.has_refused = self._is_large(dict(headers), largest) and not self._may_send_much(headers)
        self.stream = _Stream(self, self._wire.note_arrival, largest, is_read=not self.has_refused)
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=headers,
                http_version=request.http_version.decode(),
                method=request.method.decode("ascii").upper(),
                raw_path=target,
                state=self.connection_state,
            )
        )
        self.keep_alive_requests += 1

    def _is_large(self, headers: dict[bytes, bytes], largest: int) -> bool:
        """Return whether a document may be longer than those that every path takes."""
        usual = self._find_largest("")
        return largest > usual and (b"transfer-encoding" in headers or int(headers.get(b"content-length", 0)) > usual)


class _Stream(HTTPStream):
    """One request and its answer. The application begins when the whole body is here, or at once where none is read."""

    def __init__(self, protocol: Http1, arrived: Callable[[], None], largest: int, *, is_read: bool) -> None:
        super().__init__(
            protocol.app,
            protocol.config,
            protocol.context,
            protocol.task_group,
            protocol.ssl,
            protocol.client,
            protocol.server,
            protocol.stream_send,
            STREAM_ID,
        )
        self._protocol = protocol
        self._arrived = arrived
        self._largest = largest
        self._is_read = is_read
        self._request: Request | None = None
        self._body = bytearray()

    async def handle(self, event: Event) -> None:
        if self.closed:
            return
        if isinstance(event, Request):
            self._request = event
            if not self._is_read:
                await self._begin(event)
        elif isinstance(event, Body):
            await self._keep(event.data)
        elif isinstance(event, EndBody) and self._request:
            await self._begin(self._request)
        elif isinstance(event, StreamClosed) and self._request:
            # The client has gone before its request was whole: there is no answer to send.
            self.closed, self.state = True, ASGIHTTPState.CLOSED
        else:
            await super().handle(event)

    async def _keep(self, data: bytes) -> None:
        """Keep a part of the body, where that is read. What is too large is refused."""
        if self._is_read:
            self._body += data
        if len(self._body) > self._largest:
            self.closed = True
            await self._protocol.refuse(*_make_too_large(self._largest))

    async def _begin(self, request: Request) -> None:
        """Have the application answer, with what of the body was read."""
        self._arrived()
        self._request = None
        await super().handle(request)
        if request.method != "HEAD" and not self.closed:
            # The application's task is made by now and has not begun.
            self.scope["extensions"][CHANNEL] = cast("Any", self._take_over)
        await self.app_put({"type": "http.request", "body": bytes(self._body), "more_body": False})

    async def app_send(self, message: ASGISendEvent | None) -> None:
        if self._protocol.channel is None:
            await super().app_send(message)

    async def _take_over(self) -> ConnectionChannel:
        self.state = ASGIHTTPState.CLOSED
        return await self._protocol.take_over(self.scope["http_version"])


def make_problem_body(status: HTTPStatus, detail: str, path: str = "") -> bytes:
    """Return a problem document (RFC 9457), as the application writes them."""
    known = {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail}
    written = json.dumps(known | {"instance": path, "errors": []}, ensure_ascii=False, separators=(",", ":"))
    return written.encode(errors="backslashreplace")


def list_refusal_headers(body: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close"),
    ]


def _response(status: int, headers: list[tuple[bytes, bytes]]) -> h11.Response:
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = ""
    return h11.Response(status_code=status, headers=cast("Any", headers), reason=reason)


def _make_too_large(largest: int) -> tuple[HTTPStatus, str]:
    return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a document has {largest} bytes at most"


def _measure_head(request: h11.Request) -> int:
    """Return the bytes of a request line and its headers, as they are sent with no more blanks than they need."""
    line = len(request.method) + len(request.target) + len("  HTTP/1.1\r\n")
    return line + sum(len(name) + len(value) + len(": \r\n") for name, value in request.headers)


def _to_origin_form(request: h11.Request) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return the headers and the target, of a request for `http://host/path` as if it were for `/path` of `host`."""
    headers = list(request.headers)
    absolute = _ABSOLUTE.fullmatch(request.target)
    if not absolute:
        return headers, request.target
    others = [(name, value) for name, value in headers if name != b"host"]
    rest = absolute[2]
    return [(b"host", absolute[1]), *others], rest if rest.startswith(b"/") else b"/" + rest
