"""
Events as bytes, made once for all who asked the same: server-sent events (WHATWG HTML, 9.2), or WebSocket messages.

    Framing.TEXT      server-sent events as they are: HTTP/1.0
    Framing.CHUNKS    the same as one chunk of HTTP/1.1 (RFC 9112, 7.1)
    Framing.MESSAGES  a WebSocket text message an event (RFC 6455, 5.6): {"event", "id", "data"}
"""

import json
from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple

from wsproto.frame_protocol import FrameProtocol

from ...store import EventId

RETRY_MILLISECONDS = 3000
"""How long a client should wait before it connects again."""


class Framing(Enum):
    """How events are written for a connection."""

    TEXT = auto()
    CHUNKS = auto()
    MESSAGES = auto()


class StreamEvent(NamedTuple):
    """One event, as every client gets it."""

    name: str
    data: str
    """JSON, in one line."""
    id: EventId | None = None
    """What a client resumes by that has read it."""


class Frame:
    """Some events, each framing of them made when it is first asked for."""

    __slots__ = ("_encoded", "events")

    def __init__(self, events: Sequence[StreamEvent]) -> None:
        self.events = events
        self._encoded: dict[Framing, bytes] = {}

    def encode(self, framing: Framing) -> bytes:
        """Return the bytes to send."""
        encoded = self._encoded.get(framing)
        if encoded is None:
            encoded = self._encoded[framing] = _encode(self.events, framing)
        return encoded


def encode_opening(framing: Framing) -> bytes:
    """Return what a stream begins with: when to connect again after its end."""
    return _encode_text(f"retry: {RETRY_MILLISECONDS}\n\n", framing)


def encode_heartbeat(framing: Framing) -> bytes:
    """Return what shows that the connection stands while there is nothing to say: a comment, or a ping."""
    if framing is Framing.MESSAGES:
        return bytes(FrameProtocol(client=False, extensions=[]).ping())
    return _encode_text(": still here\n\n", framing)


def _encode(events: Sequence[StreamEvent], framing: Framing) -> bytes:
    if framing is Framing.MESSAGES:
        writer = FrameProtocol(client=False, extensions=[])
        return b"".join([bytes(writer.send_data(_write_message(event), fin=True)) for event in events])
    return _encode_text("".join(map(_write_event, events)), framing)


def _encode_text(text: str, framing: Framing) -> bytes:
    written = text.encode(errors="backslashreplace")
    if framing is Framing.CHUNKS:
        return b"%x\r\n%b\r\n" % (len(written), written)
    return written if framing is Framing.TEXT else b""


def _write_event(event: StreamEvent) -> str:
    name = f"id: {event.id}\nevent: {event.name}" if event.id else f"event: {event.name}"
    return f"{name}\ndata: {event.data}\n\n"


def _write_message(event: StreamEvent) -> str:
    event_id = json.dumps(None if event.id is None else str(event.id))
    message = f'{{"event":{json.dumps(event.name)},"id":{event_id},"data":{event.data}}}'
    # Half of a surrogate pair, which JSON may hold and UTF-8 not, goes as the escape that it came as.
    return message.encode(errors="backslashreplace").decode()
