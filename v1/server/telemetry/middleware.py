"""
The outermost layer of the application: counts every request, names it in the log, and logs it where that is wanted.

An answer from memory pays about two microseconds for it. A request that names itself (`X-Request-ID`, `traceparent`)
pays for its name, and every request does where requests are logged.
"""

from collections.abc import Awaitable
from time import perf_counter

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from .request_counts import RequestCounts
from .request_identity import REQUEST_ID, TRACEPARENT, RequestIdentity, read_identity

NAMING = frozenset({REQUEST_ID, TRACEPARENT})
"""Headers that name a request."""
FAILED = 500

log = structlog.get_logger()


class RequestTelemetry:
    """Counts requests into `counts`; logs each of them if it `logs_requests`."""

    def __init__(self, app: ASGIApp, counts: RequestCounts, *, logs_requests: bool = False) -> None:
        self._app = app
        self._counts = counts
        self._logs_requests = logs_requests

    # What it calls is awaited by its own caller: a coroutine in between costs as much as half of the counting.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer a request; see ASGI."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        identity = None
        if self._logs_requests or not NAMING.isdisjoint([name for name, _ in scope["headers"]]):
            identity = read_identity(scope["headers"], is_wanted=self._logs_requests)
        if identity is None:
            return self._serve(scope, receive, send)
        return self._serve_named(identity, scope, receive, send)

    async def _serve_named(self, identity: RequestIdentity, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (REQUEST_ID, identity.id.encode())]}
            await send(message)

        with bound_contextvars(**identity.list_fields()):
            await self._serve(scope, receive, send_named)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, size = 0, 0
        began = answered = perf_counter()

        # No coroutine of its own: that of `send` is handed on.
        def send_counted(message: Message) -> Awaitable[None]:
            nonlocal status, size, answered
            if message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            elif message["type"] == "http.response.start":
                status = message["status"]
                answered = perf_counter()
            return send(message)

        counts = self._counts
        counts.in_flight += 1
        try:
            await self._app(scope, receive, send_counted)
        except Exception:
            # Answered by whoever catches it, further out.
            status = status or FAILED
            raise
        finally:
            counts.in_flight -= 1
            seconds = perf_counter() - began
            counts.count((scope["path"], scope["method"], status), answered - began, seconds, size)
            if self._logs_requests:
                _log_request(scope, status, size, seconds)


def _log_request(scope: Scope, status: int, size: int, seconds: float) -> None:
    """Log a request without its query and its headers: a key may be in either."""
    client, path = scope.get("client"), scope.get("raw_path") or scope["path"].encode()
    log.info(
        "request",
        client=client[0] if client else None,
        method=scope["method"],
        # As it came: a line end in it would else look like a line of ours.
        path=path.decode("ascii", "backslashreplace"),
        status=status or None,
        bytes=size,
        ms=round(seconds * 1000, 3),
    )
