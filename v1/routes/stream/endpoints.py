"""Opens streams: checks what is asked for, begins the answer, and gives the connection to the hub."""

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, cast

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send
from wsproto.utilities import generate_accept_token

from ...model import Measure
from ...rules.field_types import parse_pattern
from ...rules.validation import shorten
from ...store import EventId, parse_event_id
from ..access import read_caller
from ..context import Context, RouteState
from ..examples import EXAMPLE_METRIC
from ..params import ByParam, MeasureParam, QueryParams
from ..problems import RETRY_SECONDS, HttpRefusal, Problem, refuse_fields
from ..response_docs import NOT_ACCEPTED, Responses
from .events import describe_events
from .frames import Framing
from .hub import StreamHub
from .question import EventName, StreamQuestion, sort_names
from .subscriber import CHANNEL, StreamStart

MEDIA_TYPE = "text/event-stream"
MOST_NAMES = 200
LONGEST_PATTERN = 120
METRICS_ACCEPTED = f"up to {MOST_NAMES} names and patterns with commas between: KRAKEN:BTCUSD,BINANCE:*; * for all"
EVENTS_ACCEPTED = f"any of {', '.join(EventName)}, with commas between"
ID_ACCEPTED = "the id of an event of this stream: 1621252800123-0"
SOCKET_ACCEPTED = "WebSocket, version 13: Connection: Upgrade, Upgrade: websocket, Sec-WebSocket-Key, GET, HTTP/1.1"
_KEY_BYTES = 16

_FULL: Responses = {
    503: {
        "model": Problem,
        "description": "There are as many streams as are allowed; ask again after `Retry-After` seconds.",
    }
}

router = APIRouter(tags=["stream"])


def _parse_metrics(written: object) -> tuple[str, ...]:
    names = [name.strip() for name in str(written).split(",")]
    if len(names) > MOST_NAMES or any(len(name) > LONGEST_PATTERN for name in names):
        raise _make_error(METRICS_ACCEPTED)
    try:
        return sort_names(map(parse_pattern, names))
    except ValueError as error:
        raise _make_error(METRICS_ACCEPTED) from error


def _parse_events(written: object) -> frozenset[EventName]:
    names = [name.strip() for name in str(written).split(",")]
    if not set(names) <= {*EventName}:
        raise _make_error(EVENTS_ACCEPTED)
    return frozenset(map(EventName, names))


def _parse_id(written: object) -> EventId | None:
    if not written:
        return None
    event_id = parse_event_id(str(written))
    if event_id is None:
        raise _make_error(ID_ACCEPTED)
    return event_id


def _make_error(accepted: str) -> PydanticCustomError:
    return PydanticCustomError("not_accepted", "{accepted}", {"accepted": accepted})


class StreamParams(QueryParams):
    metrics: Annotated[
        object,
        PlainValidator(_parse_metrics),
        WithJsonSchema({"type": "string", "minLength": 1, "pattern": r"^[^\s\[\],]*[:*?][^\s\[\],]*$"}),
        Field(
            description="Of which metrics: names and patterns, with commas between. Without it: all.",
            examples=[EXAMPLE_METRIC],
        ),
    ] = None
    events: Annotated[
        object,
        PlainValidator(_parse_events),
        WithJsonSchema({"type": "string", "pattern": "^(tick|rank|alert)(,(tick|rank|alert))*$"}),
        Field(
            description="Which events: `tick`, `rank`, `alert`, with commas between. Without it: all.",
            examples=["tick,rank,alert"],
        ),
    ] = None
    measure: MeasureParam = Measure.PRICE
    by: ByParam = StreamQuestion().by
    once: Annotated[bool, Field(description="Whether the stream ends after what there is now.", examples=[True])] = (
        False
    )
    last_event_id: Annotated[
        object,
        PlainValidator(_parse_id),
        WithJsonSchema({"type": "string", "pattern": "^([0-9]{1,15}-[0-9]{1,15})?$"}),
        Field(description="Where to go on: the last id that was read; the header `Last-Event-ID` has precedence."),
    ] = None


class EventStreamResponse(Response):
    """How the document knows the answer by."""

    media_type = MEDIA_TYPE


class StreamResponse(Response):
    """Begins a stream, and leaves the connection to the hub. To HEAD, only the head is answered."""

    def __init__(
        self, hub: StreamHub, question: StreamQuestion, start: StreamStart, headers: Mapping[str, str]
    ) -> None:
        is_socket = start.framing is Framing.MESSAGES
        super().__init__(
            status_code=HTTPStatus.SWITCHING_PROTOCOLS if is_socket else HTTPStatus.OK,
            headers={"Cache-Control": "no-store", **headers},
        )
        # It has no end that could be told.
        self.raw_headers = [header for header in self.raw_headers if header[0] != b"content-length"]
        self._hub = hub
        self._question = question
        self._start = start
        hub.hold_place()

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        take_over = scope["extensions"].get(CHANNEL)
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": b"", "more_body": take_over is not None})
            if take_over:
                self._hub.add(await take_over(), self._question, self._start)
        finally:
            self._hub.release_place()


@router.get(
    "/stream",
    summary="What happens, as it happens",
    operation_id="stream_events",
    response_class=EventStreamResponse,
    responses={200: {"content": {MEDIA_TYPE: {"schema": describe_events()}}}} | NOT_ACCEPTED | _FULL,
)
async def send_events(params: Annotated[StreamParams, Query()], request: Request, context: Context) -> Response:
    """
    Server-sent events: the newest tick first, then each tick, its ranks, and alerts as they begin, end or are acknowledged.

    A browser's `EventSource` reads it, connects again by itself, and goes on by `Last-Event-ID`: of alerts all that
    were missed are sent, of ticks the newest. A comment comes every 15 seconds while there is nothing to say.
    """
    _refuse_if_full(context)
    if params.once:
        await context["streams"].wait_for_log()
    framing = Framing.CHUNKS if request.scope["http_version"] != "1.0" else Framing.TEXT
    start = StreamStart(framing, _find_resume_id(params, request), params.once, _make_check(request, context))
    # A proxy must not wait until it has more of it.
    headers = {"Content-Type": MEDIA_TYPE, "X-Accel-Buffering": "no", "Connection": "close"}
    return StreamResponse(context["streams"], _make_question(params), start, headers)


# The OpenAPI document has no words for a WebSocket.
@router.get("/ws", include_in_schema=False)
async def open_socket(params: Annotated[StreamParams, Query()], request: Request, context: Context) -> Response:
    """Send the events of `/stream` by WebSocket, each as one message `{"event", "id", "data"}`."""
    headers = request.headers
    key = headers.get("sec-websocket-key", "")
    is_offered = "upgrade" in _split_words(headers.get("connection")) and "websocket" in _split_words(
        headers.get("upgrade")
    )
    if (
        not is_offered
        or CHANNEL not in request.scope["extensions"]
        or headers.get("sec-websocket-version") != "13"
        or not _is_socket_key(key)
    ):
        offered = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        detail = f"here only WebSocket is spoken; accepted: {SOCKET_ACCEPTED}"
        raise HttpRefusal(HTTPStatus.UPGRADE_REQUIRED, detail, headers=offered)
    _refuse_foreign_page(context, headers)
    _refuse_if_full(context)
    resume = _find_resume_id(params, request)
    start = StreamStart(Framing.MESSAGES, resume, params.once, _make_check(request, context))
    accept = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        # No extension: compression would cost 100 kB a client.
        "Sec-WebSocket-Accept": generate_accept_token(key.encode("latin-1")).decode(),
    }
    return StreamResponse(context["streams"], _make_question(params), start, accept)


def _make_check(request: Request, context: RouteState) -> Callable[[], bool]:
    """Return the test whether who began a stream may still be told anything."""
    caller = read_caller(request.scope)
    return lambda: context["is_caller_valid"](caller)


def _refuse_if_full(context: RouteState) -> None:
    if not context["streams"].has_room:
        raise HttpRefusal(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"there are as many streams as are allowed; close some, or ask again in {RETRY_SECONDS} seconds",
            headers={"Retry-After": str(RETRY_SECONDS)},
        )


def _refuse_foreign_page(context: RouteState, headers: Headers) -> None:
    """Refuse a WebSocket of a page that may not ask: a browser opens one wherever a page wants it to."""
    origin = headers.get("origin")
    if origin is not None and not context["pages"].is_accepted(origin, headers.get("host")):
        raise HttpRefusal(
            HTTPStatus.FORBIDDEN,
            f"origin: {shorten(origin)!r} is not accepted; accepted: pages of {headers.get('host')} and of what "
            "TRACKER_PUBLIC_URL, TRACKER_HOSTS and TRACKER_CORS_ORIGINS name",
        )


def _find_resume_id(params: StreamParams, request: Request) -> EventId | None:
    """Return what was read last. A browser that connects again sends the header beside the query of the first time."""
    written = request.headers.get("last-event-id")
    if not written:
        return cast("EventId | None", params.last_event_id)
    event_id = parse_event_id(written)
    if event_id is None:
        raise refuse_fields(("Last-Event-ID", written, ID_ACCEPTED))
    return event_id


def _make_question(params: StreamParams) -> StreamQuestion:
    every = StreamQuestion()
    metrics = cast("tuple[str, ...]", params.metrics or every.metrics)
    events = cast("frozenset[EventName]", params.events or every.events)
    return StreamQuestion(metrics, events, params.measure, params.by)


def _split_words(header: str | None) -> set[str]:
    return {word.strip().lower() for word in (header or "").split(",")}


def _is_socket_key(key: str) -> bool:
    try:
        return len(b64decode(key, validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        return False
