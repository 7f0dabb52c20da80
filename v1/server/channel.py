"""
A connection that is handed over: the answer has begun, its middleware has ended, and what follows is written to it.

An application may take one from the extension `CHANNEL` of a request's scope. Nothing of the request is
kept then, neither a task of the application nor the parser, so that thousands of clients may stay. A WebSocket is
read here, too: pings are answered, and every message closes it, because there is nothing to say to us.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

import h11
from hypercorn.protocol.events import Event, StreamClosed
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Message, Ping
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

SEND_BUFFER = 128 * 1024
"""Bytes that the system keeps for a client at most, in place of megabytes: they would be so much older."""
UNSEEN_MILLISECONDS = 60_000
"""How long a client's system may leave unconfirmed what was sent; after it the client is gone."""
LAST_CHUNK = b"0\r\n\r\n"
NOTHING_TO_SAY = "nothing is taken here; the address says what is sent"


class ConnectionChannel:
    """What is left of a connection whose answer goes on. It tells once that it is closed, by either side."""

    __slots__ = ("_on_close", "_transport", "heard", "is_closed")
    last = b""
    """What is written at the end, so that a client knows that it is one."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        self._on_close: Callable[[], None] | None = None
        self.is_closed = False
        self.heard = asyncio.get_running_loop().time()
        """When the client sent something last, of the loop's clock."""
        _set_socket_options(transport)

    @property
    def waiting(self) -> int:
        """The bytes that the system has not taken yet: the client reads slower than they come."""
        return self._transport.get_write_buffer_size()

    def watch_close(self, on_close: Callable[[], None]) -> None:
        """Have `on_close` called when the connection is closed; at once, if it is."""
        if self.is_closed:
            on_close()
        else:
            self._on_close = on_close

    def write(self, data: bytes) -> None:
        """Write bytes, as they are."""
        if not self.is_closed:
            with suppress(RuntimeError):  # Of uvloop, where the connection is lost.
                self._transport.write(data)

    def receive(self, data: bytes) -> None:  # noqa: ARG002  # a WebSocket reads it
        """Take what a client sends: in HTTP there is no use for it."""
        self.heard = asyncio.get_running_loop().time()

    def finish(self) -> None:
        """End the answer, and close when all of it is sent."""
        self.write(self.last)
        self._transport.close()

    def drop(self) -> None:
        """Close at once; what is not sent by now is lost."""
        self._transport.abort()

    def note_closed(self) -> None:
        """Note that the connection is closed."""
        self.is_closed = True
        on_close, self._on_close = self._on_close, None
        if on_close:
            on_close()


class ChunkedChannel(ConnectionChannel):
    """An answer in chunks; who writes makes them."""

    __slots__ = ()
    last = LAST_CHUNK


class SocketChannel(ConnectionChannel):
    """A WebSocket, without extensions."""

    __slots__ = ("_frames",)

    def __init__(self, transport: asyncio.WriteTransport, received: bytes) -> None:
        super().__init__(transport)
        self._frames = Connection(ConnectionType.SERVER)
        if received:
            self.receive(received)

    def receive(self, data: bytes) -> None:
        super().receive(data)
        try:
            self._frames.receive_data(data)
            for event in self._frames.events():
                if isinstance(event, Ping):
                    self.write(self._frames.send(event.response()))
                elif isinstance(event, CloseConnection):
                    self.write(self._frames.send(event.response()))
                    self._transport.close()
                elif isinstance(event, Message):
                    self._close(CloseReason.UNSUPPORTED_DATA, NOTHING_TO_SAY)
                    return
        except RemoteProtocolError:
            self._close(CloseReason.PROTOCOL_ERROR, "")
        except LocalProtocolError:
            self._transport.close()

    def finish(self) -> None:
        """Say that the server goes away, and close."""
        self._close(CloseReason.GOING_AWAY, "")

    def _close(self, code: CloseReason, reason: str) -> None:
        with suppress(LocalProtocolError):  # It is closing already.
            self.write(self._frames.send(CloseConnection(code, reason)))
        self._transport.close()


class HandedOver:
    """Stands for the parser and for the stream of a connection that is handed over."""

    their_state = our_state = None
    """Neither is what begins another request, or lets an answer be begun."""
    they_are_waiting_for_100_continue = False
    trailing_data = (b"", False)
    idle = False

    def __init__(self, channel: ConnectionChannel) -> None:
        self._channel = channel

    def receive_data(self, data: bytes) -> None:
        self._channel.receive(data)

    def next_event(self) -> type[h11.NEED_DATA]:
        return h11.NEED_DATA

    async def handle(self, event: Event) -> None:
        if isinstance(event, StreamClosed):
            self._channel.note_closed()


def _set_socket_options(transport: asyncio.WriteTransport) -> None:
    """Have the system keep little for a client that reads slowly, and notice one that has vanished."""
    connected = transport.get_extra_info("socket")
    with suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if connected.family in (socket.AF_INET, socket.AF_INET6) and hasattr(socket, "TCP_USER_TIMEOUT"):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNSEEN_MILLISECONDS)
