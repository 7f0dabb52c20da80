"""A connection that an application has taken over: what of it is told, whatever the client does."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.support.streams import PATIENCE, StreamClient
from v1.routes.stream.subscriber import CHANNEL
from v1.server import ConnectionLimits, serve
from v1.server.channel import ConnectionChannel
from v1.server.configuration import make_server_config

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LIMITS = ConnectionLimits(connections=3, client_connections=3, idle=0.05, request=0.05, stalled=0.2)


class Taken:
    """An application that takes every connection over."""

    def __init__(self) -> None:
        self.channels: list[ConnectionChannel] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.closed = 0
        self.port = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for each in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{each}.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        channel = await scope["extensions"][CHANNEL]()
        channel.watch_close(self.note_closed)
        self.channels.append(channel)

    def note_closed(self) -> None:
        self.closed += 1

    async def open(self, sent: bytes = GET) -> tuple[StreamClient, ConnectionChannel]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(sent)
        self.writers.append(writer)
        client, count = StreamClient(reader, writer), len(self.channels)
        await client.read_head()
        await until(lambda: len(self.channels) > count)
        return client, self.channels[-1]


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def served() -> AsyncIterator[Taken]:
    app, stop = Taken(), asyncio.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    app.port = listener.getsockname()[1]
    config = make_server_config()
    config.graceful_timeout = 0.2
    server = asyncio.create_task(serve(app, listener, config, LIMITS, stop.wait))
    try:
        yield app
    finally:
        stop.set()
        await server
        for writer in app.writers:
            writer.transport.abort()


async def test_what_is_written_follows_what_the_application_sent_and_its_end_is_told():
    async with served() as app:
        client, channel = await app.open()
        channel.write(b"6\r\nsecond\r\n")
        channel.finish()
        texts = [await client.read_text() for _ in range(3)]
        rest = await client.reader.read()

        await until(lambda: app.closed == 1)
    assert texts == ["first", "second", None]
    assert client.has_ended
    assert rest == b""


async def test_no_limit_of_time_ends_it_and_it_makes_room_for_no_other():
    async with served() as app:
        kept = [await app.open() for _ in range(3)]
        reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
        writer.write(GET)
        assert b"503" in await reader.readline()
        writer.close()
        await asyncio.sleep(3 * LIMITS.idle)
        for client, channel in kept:
            channel.write(b"2\r\nso\r\n")
            assert [await client.read_text(), await client.read_text()] == ["first", "so"]

    assert app.closed == 3


async def test_a_client_that_leaves_is_told_once_however_it_does():
    async with served() as app:
        polite, _ = await app.open()
        polite.writer.close()
        await until(lambda: app.closed == 1)
        rude, channel = await app.open()
        connection = rude.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        rude.writer.transport.abort()
        await until(lambda: app.closed == 2)
        channel.write(b"0\r\n\r\n")
        channel.finish()
        late = 0

        def note() -> None:
            nonlocal late
            late += 1

        channel.watch_close(note)
        assert (app.closed, late) == (2, 1)


async def test_what_a_client_does_not_take_waits_here_and_is_dropped_with_it():
    async with served() as app:
        _, channel = await app.open()
        while channel.waiting < 2**20:
            channel.write(b"x" * 2**16)
            await asyncio.sleep(0)
        assert not channel.is_closed
        channel.drop()
        await until(lambda: app.closed == 1)


async def test_what_a_client_sends_afterwards_is_not_taken_for_a_request():
    async with served() as app:
        client, channel = await app.open(GET + GET)
        client.writer.write(b"\xff" * 100_000 + GET)
        await client.writer.drain()
        channel.write(b"2\r\nso\r\n")

        assert [await client.read_text(), await client.read_text()] == ["first", "so"]
        client.writer.close()
        await until(lambda: app.closed == 1)
        assert len(app.channels) == 1
