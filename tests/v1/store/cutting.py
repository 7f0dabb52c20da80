"""
Two ways to cut a commit short: a proxy that stops after so many bytes, and a writer that stops after so many commands.

The proxy does what a broken connection does, byte for byte. The writer does to fakeredis what that
amounts to: the commands before the cut, without a transaction that was still open.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from redis.asyncio.client import Pipeline

from v1.store import StoreAway, Writer


class Proxy:
    """Stands between a client and a server, both on sockets, until `left` bytes have gone to the server."""

    def __init__(self, server: str, path: Path) -> None:
        self._server = server.removeprefix("unix://")
        self.path = path
        self.address = f"unix://{path}"
        self.left: int | None = None
        """How many bytes it still lets through; `None`: all there are."""
        self.passed = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_unix_connection(self._server)
        answers = asyncio.create_task(_copy(back, writer))
        with suppress(ConnectionError):
            while (data := await reader.read(65536)) and self.left != 0:
                if self.left is not None:
                    data = data[: self.left]
                    self.left -= len(data)
                self.passed += len(data)
                forth.write(data)
                await forth.drain()
        # An orderly end: the server reads all that was let through before it hears of it.
        forth.write_eof()
        await answers
        forth.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def proxying(server: str, path: Path) -> AsyncIterator[Proxy]:
    proxy = Proxy(server, path)
    listener = await asyncio.start_unix_server(proxy.serve, path)
    async with listener:
        yield proxy


class CutOff(Writer):
    """A writer whose next commit ends after `after` commands, as if the connection had."""

    after: int | None = None

    async def _run(self, pipe: Pipeline) -> list[Any]:
        commands = pipe.command_stack
        if self.after is None or not any(command[0][0] == "MULTI" for command in commands):
            return await super()._run(pipe)
        commands = commands[: self.after]
        names = [command[0][0] for command in commands]
        open_at = len(names) - names[::-1].index("MULTI") - 1 if "MULTI" in names else -1
        pipe.command_stack = commands if "EXEC" in names[open_at:] or open_at < 0 else commands[:open_at]
        await super()._run(pipe)
        raise StoreAway("Redis is away: cut off by a test")
