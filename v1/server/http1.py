"""
Hypercorn's HTTP/1.1, without the upgrade to HTTP/2 in clear text. One to WebSocket is the application's to accept.

A request reaches the application when all of it is here, so that nothing behind waits for a slow client; what is
too large, too slow or no HTTP is answered here, with a problem document.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, NamedTuple, cast
from urllib.parse import unquote

import h11
from hypercorn.config import Config
from hypercorn.events import Closed
from hypercorn.events import Event as ServerEvent
from hypercorn.protocol.events import Body, EndBody, Event, Request, Response, StreamClosed
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
from hypercorn.typing import AppWrapper, ASGISendEvent, ConnectionState, TaskGroup, WorkerContext

from ..routes.stream.subscriber import CHANNEL
from .channel import ChunkedChannel, ConnectionChannel, HandedOver, SocketChannel
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

    app: AppWrapper
    config: Config
    context: WorkerContext
    state: ConnectionState
    tls: TlsFiles | None = None
    """What is shown to clients where they speak TLS."""
    instruments: ServerInstruments | None = None


class Http1(H11Protocol):
    """One connection's requests, one after the other."""

    def __init__(  # noqa: PLR0913, PLR0917  # it joins Hypercorn's parts to ours
        self,
        served: ServerContext,
        tasks: TaskGroup,
        client: Address | None,
        server: Address | None,
        send: Callable[[ServerEvent], Awaitable[None]],
        arrived: Callable[[], None],
        largest: int,
        transport: asyncio.WriteTransport,
    ) -> None:
        app, config, context, state, tls, self._instruments = served
        super().__init__(app, config, context, tasks, state, tls is not None, client, server, send)
        self._arrived = arrived
        self._largest = largest
        self._transport = transport
        self._method = b""
        self._path = ""
        self.channel: ConnectionChannel | None = None
        """What has become of the connection, once its answer is handed over."""
        self.has_refused = False
        """Whether a client may still be sending what was refused."""

    async def refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer that there will be no answer, and close. Does nothing where one has begun."""
        if self.connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
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
            if self.keep_alive_requests >= self.config.keep_alive_max_requests:
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
            self.channel = SocketChannel(self._transport, parser.trailing_data[0])
        elif version == "1.1":
            self.channel = ChunkedChannel(self._transport)
        else:
            self.channel = ConnectionChannel(self._transport)
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
        if int(dict(headers).get(b"content-length", 0)) > self._largest:
            await self.refuse(*_make_too_large(self._largest))
            return
        self.stream = _Stream(self, self._arrived, self._largest)
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


class _Stream(HTTPStream):
    """One request and its answer. The application begins when the whole body is here."""

    def __init__(self, protocol: Http1, arrived: Callable[[], None], largest: int) -> None:
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
        self._request: Request | None = None
        self._body = bytearray()

    async def handle(self, event: Event) -> None:
        if self.closed:
            return
        if isinstance(event, Request):
            self._request = event
        elif isinstance(event, Body):
            self._body += event.data
            if len(self._body) > self._largest:
                self.closed = True
                await self._protocol.refuse(*_make_too_large(self._largest))
        elif isinstance(event, EndBody) and self._request:
            self._arrived()
            request, self._request = self._request, None
            await super().handle(request)
            if request.method != "HEAD" and not self.closed:
                # The application's task is made by now and has not begun.
                self.scope["extensions"][CHANNEL] = cast("Any", self._take_over)
            await self.app_put({"type": "http.request", "body": bytes(self._body), "more_body": False})
        elif isinstance(event, StreamClosed) and self._request:
            # The client has gone before its request was whole: there is no answer to send.
            self.closed, self.state = True, ASGIHTTPState.CLOSED
        else:
            await super().handle(event)

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
