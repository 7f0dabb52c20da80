"""
A small TCP server between a client and Redis: it leads to one server or another, hides answers, and makes up some.

What is made up is chosen by the names of commands, as they are sent by redis-py: each in an array of bulk strings.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

Refusal = Callable[[list[bytes]], bytes | None]
"""Gives the error that a command is answered with in place of the server; `None`: it is passed on."""


def nothing(_: list[bytes]) -> bytes | None:
    return None


class Forwarder:
    """Forwards each new connection to the server whose socket `target` names then."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.refuse: Refusal = nothing
        self.hold: Callable[[list[bytes]], bool] = lambda _: False
        """Tells of a command whether it is left without an answer."""
        self.connections = 0
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def close_all(self) -> None:
        """Close every open connection, as a server does with those that were idle for long."""
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    def reset_all(self) -> None:
        """Break every open connection when it is next used: what is sent is not answered but refused."""
        self.refuse = _breaking

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        server_reader, server_writer = await asyncio.open_unix_connection(self.target)
        back = asyncio.create_task(_pump(server_reader, writer))
        try:
            await self._forward(reader, writer, server_writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            back.cancel()
            server_writer.close()
            writer.close()
            self._writers.discard(writer)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        while True:
            command = await _read_command(reader)
            if self.hold(command):
                continue
            answer = self.refuse(command)
            if answer is None:
                server.write(_write_command(command))
                await server.drain()
            elif answer == BREAK:
                self.refuse = nothing
                return
            else:
                # What was passed on before must be answered before.
                await asyncio.sleep(0.02)
                writer.write(b"-" + answer + b"\r\n")


BREAK = b"break"


def _breaking(_: list[bytes]) -> bytes:
    return BREAK


@asynccontextmanager
async def forwarding(target: Path) -> AsyncIterator[Forwarder]:
    """Forward from a free port of this machine to the socket `target`, until the end."""
    made = Forwarder(target)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        made.close_all()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, RuntimeError):
        while data := await reader.read(65536):
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
