"""
Two ways to cut a commit short: a proxy that stops after so many bytes, and a writer that stops after so many commands.

The proxy does what a broken connection does, byte for byte. The writer does to fakeredis what that
amounts to: the calls of scripts before the cut.
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

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_unix_connection(self._server)
        answers = asyncio.create_task(_copy(back, writer))
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                forth.write(data if self.left is None else data[: self.left])
                await forth.drain()
                if self.left is not None:
                    self.left -= min(self.left, len(data))
                    if not self.left:
                        break
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
    """A writer whose next commit ends early, as if the connection had."""

    after: int | None = None
    """How many calls of it are let through."""
    before: str | None = None
    """The key whose first call is not let through any more."""

    async def _run(self, pipe: Pipeline) -> list[Any]:
        commands = [command[0] for command in pipe.command_stack]
        if (self.after, self.before) == (None, None) or not any(name == "EVAL" for name, *_ in commands):
            return await super()._run(pipe)
        cut = next((index for index, words in enumerate(commands) if self.before in words), self.after or 0)
        pipe.command_stack = pipe.command_stack[:cut]
        self.after = self.before = None
        await super()._run(pipe)
        raise StoreAway("Redis is away: cut off by a test")
