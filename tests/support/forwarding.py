"""
A small TCP server between a client and a server: an address that leads to one server now and to another one later,
while connections stay where they were made. `RedisForwarder` hides answers of Redis besides, and makes up some.

What is made up is chosen by the names of commands, as they are sent by redis-py: each in an array of bulk strings.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

Refusal = Callable[[list[bytes]], bytes | None]
"""Returns the error that a command is answered with in place of the server; `None`: it is passed on."""
BREAK = b"break"


class Forwarder:
    """Forwards each new connection to the server whose socket `target` names then."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.port = 0
        self.connections = 0
        """How many were made."""
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def hang(self) -> None:
        """Forward nothing more of the connections there are, as a network does that has lost the way."""
        self._is_open.clear()
        self._is_open = asyncio.Event()
        self._is_open.set()

    def close_all(self) -> None:
        """Close every open connection, as a server does with those that were idle for long."""
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Of a callback that is a coroutine, asyncio would report that it was cancelled.
        self.connections += 1
        self._writers.add(writer)
        task = asyncio.create_task(self._serve(reader, writer, self._is_open))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Close every connection, and wait until nothing is forwarded any more."""
        self.close_all()
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_open: asyncio.Event) -> None:
        try:
            theirs, ours = await asyncio.open_unix_connection(self.target)
        except OSError:  # There is no such server: who waits for an answer is told so.
            writer.close()
            self._writers.discard(writer)
            return
        back = asyncio.create_task(_pump(theirs, writer, is_open))
        try:
            await self._forward(reader, writer, ours, is_open)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            back.cancel()
            ours.close()
            writer.close()
            self._writers.discard(writer)

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,  # noqa: ARG002  # who makes up answers writes to it
        server: asyncio.StreamWriter,
        is_open: asyncio.Event,
    ) -> None:
        await _pump(reader, server, is_open)


class RedisForwarder(Forwarder):
    """Forwards commands one by one, and may answer in place of the server, or not at all."""

    def __init__(self, target: Path) -> None:
        super().__init__(target)
        self.refuse: Refusal = pass_on
        self.hold: Callable[[list[bytes]], bool] = lambda _: False
        """Returns whether a command is left without an answer."""

    @property
    def address(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def reset_all(self) -> None:
        """Break every open connection when it is next used: what is sent is not answered but refused."""
        self.refuse = _break_off

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        server: asyncio.StreamWriter,
        is_open: asyncio.Event,
    ) -> None:
        while True:
            command = await _read_command(reader)
            await is_open.wait()
            if self.hold(command):
                continue
            answer = self.refuse(command)
            if answer is None:
                server.write(_write_command(command))
                await server.drain()
            elif answer == BREAK:
                self.refuse = pass_on
                return
            else:
                # What was passed on before must be answered before.
                await asyncio.sleep(0.02)
                writer.write(b"-" + answer + b"\r\n")


def pass_on(_: list[bytes]) -> bytes | None:
    return None


def _break_off(_: list[bytes]) -> bytes:
    return BREAK


@asynccontextmanager
async def forwarding(target: Path) -> AsyncIterator[Forwarder]:
    """Forward from a free port of this machine to the socket `target`, until the end."""
    async with _listening(Forwarder(target)) as forwarder:
        yield forwarder


@asynccontextmanager
async def forwarding_redis(target: Path) -> AsyncIterator[RedisForwarder]:
    """Forward from a free port of this machine to the Redis whose socket is `target`, until the end."""
    forwarder = RedisForwarder(target)
    async with _listening(forwarder):
        yield forwarder


@asynccontextmanager
async def _listening(forwarder: Forwarder) -> AsyncIterator[Forwarder]:
    server = await asyncio.start_server(forwarder.accept, "127.0.0.1", 0)
    forwarder.port = server.sockets[0].getsockname()[1]
    try:
        yield forwarder
    finally:
        server.close()
        await forwarder.end()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_open: asyncio.Event) -> None:
    with suppress(OSError, RuntimeError):
        while data := await reader.read(65536):
            await is_open.wait()
            writer.write(data)
            await writer.drain()
        writer.close()


async def _read_command(reader: asyncio.StreamReader) -> list[bytes]:
    count = int((await reader.readuntil(b"\r\n"))[1:])
    parts = []
    for _ in range(count):
        size = int((await reader.readuntil(b"\r\n"))[1:])
        parts.append((await reader.readexactly(size + 2))[:-2])
    return parts


def _write_command(parts: list[bytes]) -> bytes:
    return b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%s\r\n" % (len(part), part) for part in parts])
