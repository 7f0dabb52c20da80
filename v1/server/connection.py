"""
One client's connection: what it is doing, and how long it may.

    WAITING ──first byte──▶ ARRIVING ──last byte──▶ ANSWERING ──last byte──▶ WAITING
       │ idle                  │ request               │ stalled
       ▼                       ▼                       ▼
     closed                 408, closed              dropped
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from http import HTTPStatus
from socket import AF_INET, AF_INET6
from typing import cast

from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.events import Closed, Event, RawData, Updated

from .http1 import Address, Http1, ServerContext
from .limits import ConnectionLimits
from .tls import EncryptedTransport, TlsSession, is_plain_http

MOST_READ = 64 * 1024
MOST_WAITING = 64 * 1024
"""Bytes that may wait to be sent before a client is waited for; the mark of asyncio's own transports."""
LINGER_SECONDS = 2.0
"""How long what a refused client still sends is taken and dropped: closed earlier, the system would drop our answer."""


class ConnectionPhase(IntEnum):
    """What a connection is doing. Where room is needed, the lowest goes first."""

    WAITING = 0
    ARRIVING = 1
    ANSWERING = 2


class ClientProtocol(asyncio.StreamReaderProtocol):
    """What arrives, for the connection's task to read, unless somebody takes it at once."""

    take: Callable[[bytes], bool] | None = None
    """Takes what arrives where nothing is under way, and says whether; the reader's task then need not wake."""

    def data_received(self, data: bytes) -> None:
        if self.take is not None:
            if self.take(data):
                return
            # What arrives after it must not get past it.
            self.take = None
        super().data_received(data)


class ClientConnection:
    """Reads one client's requests and writes the answers, until either side ends it."""

    def __init__(
        self,
        served: ServerContext,
        limits: ConnectionLimits,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.client = _address(writer, "peername")
        self.phase = ConnectionPhase.WAITING
        self.since = asyncio.get_running_loop().time()
        """When its phase began."""
        self._served = served
        self._limits = limits
        self._reader = reader
        self._writer = writer
        self._deadline = asyncio.timeout(None)
        self._until: float | None = None
        """When its phase must be over."""
        self._alarm: asyncio.TimerHandle | None = None
        """Looks whether it is; set anew only where it would come too late, because phases change with every request."""
        self._is_closing = False
        self.has_asked = False
        """Whether a request has arrived."""
        self._tls = served.tls.open_session() if served.tls else None
        self.transport = EncryptedTransport(writer.transport, self._tls) if self._tls else writer.transport
        """Where answers are written; `writer` is below the encryption."""
        self._protocol = cast("ClientProtocol", writer.transport.get_protocol())
        self._sending = asyncio.Lock()
        self._http: Http1

    async def run(self) -> None:
        try:
            async with TaskGroup(asyncio.get_running_loop()) as tasks:
                server = _address(self._writer, "sockname")
                self._http = Http1(self._served, tasks, self.client, server, self, self._limits.find_largest_body)
                await self._read()
        except* OSError:
            pass
        finally:
            if self._alarm:
                self._alarm.cancel()
            if self._http.channel:
                self._http.channel.note_closed()
            await self._close()

    def close_when_idle(self) -> None:
        """Make room: nothing of an answer is lost."""
        if self.phase < ConnectionPhase.ANSWERING:
            self.transport.close()

    async def _read(self) -> None:
        try:
            async with self._deadline:
                self._enter(ConnectionPhase.WAITING)
                while not self._is_closing and (data := await self._receive()):
                    if self._http.begin(data):
                        continue
                    if self.phase is ConnectionPhase.WAITING:
                        self._enter(ConnectionPhase.ARRIVING)
                    await self._http.handle(RawData(data))
        except TimeoutError:
            if self._deadline.expired() and self.phase is ConnectionPhase.ARRIVING:
                detail = f"the request did not arrive in {self._limits.request:g} seconds"
                await self._http.refuse(HTTPStatus.REQUEST_TIMEOUT, detail)
        await self._linger()
        await self._http.handle(Closed())

    async def _receive(self) -> bytes:
        """Return what the client sends next, decrypted, and is not taken at once; nothing at its end."""
        while data := await self._read_arrived():
            if self._tls is None:
                return data
            if not self._tls.is_open and is_plain_http(data):
                self._tls, self.transport = None, self._writer.transport
                await self._http.refuse(HTTPStatus.BAD_REQUEST, "TLS is spoken at this port; ask by https://")
                return b""
            if plain := self._decrypt(self._tls, data):
                return plain
            if self._tls.is_over:
                break
        return b""

    async def _read_arrived(self) -> bytes:
        # Taken at once is what arrives while this waits for it: there is nothing before it then.
        self._protocol.take = self._take if self._tls is None else None
        try:
            return await self._reader.read(MOST_READ)
        finally:
            self._protocol.take = None

    def _take(self, data: bytes) -> bool:
        return not self._is_closing and self._http.begin(data)

    def _decrypt(self, tls: TlsSession, data: bytes) -> bytes:
        """Return what a client's bytes mean, and send what belongs to the encryption itself."""
        is_handshake = not tls.is_open
        if is_handshake and self.phase is ConnectionPhase.WAITING:
            # A handshake has the time of a request, not that of a connection which waits.
            self._enter(ConnectionPhase.ARRIVING)
        plain = tls.decrypt(data)
        if is_handshake and tls.is_open and not plain:
            self._enter(ConnectionPhase.WAITING)
        self._writer.write(tls.take_outgoing())
        return plain

    async def _linger(self) -> None:
        if self._http.has_refused:
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER_SECONDS):
                    while await self._reader.read(MOST_READ):
                        pass

    def note_arrival(self) -> None:
        """Note that a request is here, and is being answered."""
        self.has_asked = True
        self._enter(ConnectionPhase.ANSWERING)

    def _enter(self, phase: ConnectionPhase) -> None:
        now = asyncio.get_running_loop().time()
        self.phase, self.since = phase, now
        if phase is ConnectionPhase.ANSWERING:
            self._until = None
        else:
            self._until = now + (self._limits.idle if phase is ConnectionPhase.WAITING else self._limits.request)
            if self._alarm is None or self._alarm.when() > self._until:
                self._set_alarm(self._until)
        if self._deadline.when() is not None:
            # It was too late by a moment.
            self._expire(None)

    def _set_alarm(self, at: float) -> None:
        if self._alarm:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(at, self._look_at_deadline)

    def _look_at_deadline(self) -> None:
        self._alarm, now = None, asyncio.get_running_loop().time()
        if self._until is None:
            return
        if now < self._until:
            self._set_alarm(self._until)
        else:
            self._expire(now)

    def _expire(self, at: float | None) -> None:
        # An answer may end after the client has closed its side, when nothing is read any more.
        with suppress(RuntimeError):
            self._deadline.reschedule(at)

    async def send(self, event: Event) -> None:
        """Take what the protocol says: bytes to send, that it is between two requests, that it is over."""
        if isinstance(event, RawData):
            async with self._sending:
                if self.write(event.data):
                    await self.drain()
        elif isinstance(event, Updated) and event.idle:
            self._enter(ConnectionPhase.ARRIVING if self._http.has_more else ConnectionPhase.WAITING)
        elif isinstance(event, Closed) and not self._is_closing:
            self._is_closing = True
            with suppress(OSError, RuntimeError):
                self.transport.write_eof()
            self._enter(ConnectionPhase.WAITING)
            # Wakes the reader, which may wait for a next request that will not be answered.
            self._expire(self.since)

    def write(self, data: bytes) -> bool:
        """Write to the client; return whether it has to be waited for, because it takes less than comes."""
        transport = self.transport
        try:
            transport.write(data)
        except RuntimeError:  # Of uvloop, where the connection is lost.
            return False
        return transport.get_write_buffer_size() > MOST_WAITING

    async def drain(self) -> None:
        """Return when the client has taken enough; drop it where it takes less than the slowest may."""
        transport = self.transport
        while True:
            left = transport.get_write_buffer_size()
            try:
                async with asyncio.timeout(self._limits.stalled):
                    await self._writer.drain()
            except TimeoutError:
                if left - transport.get_write_buffer_size() < self._limits.slowest:
                    transport.abort()
                    return
            except (ConnectionError, RuntimeError):
                return
            else:
                return

    async def _close(self) -> None:
        try:
            self.transport.close()
            async with asyncio.timeout(self._limits.stalled):
                await self._writer.wait_closed()
        except (OSError, RuntimeError):  # One of them is the timeout.
            self._writer.transport.abort()


def _address(writer: asyncio.StreamWriter, name: str) -> Address | None:
    socket, address = writer.get_extra_info("socket"), writer.get_extra_info(name)
    return (address[0], address[1]) if address and socket.family in (AF_INET, AF_INET6) else None
