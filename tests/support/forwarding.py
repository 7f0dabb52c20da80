"""An address that leads to one server now and to another one later, while connections stay where they were made."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path


class Forwarder:
    """Listens on a loopback port, and forwards each new connection to the socket that `target` names then."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.port = 0
        self.connections = 0
        """How many were made."""
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def hang(self) -> None:
        """Forward nothing more of the connections there are, as a network does that has lost the way."""
        self._is_open.clear()
        self._is_open = asyncio.Event()
        self._is_open.set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        is_open = self._is_open
        theirs, ours = await asyncio.open_unix_connection(self.target)
        ways = [self._forward(reader, ours, is_open), self._forward(theirs, writer, is_open)]
        self._tasks.update(asyncio.create_task(way) for way in ways)

    async def _forward(self, source: asyncio.StreamReader, to: asyncio.StreamWriter, is_open: asyncio.Event) -> None:
        try:
            while some := await source.read(2**16):
                await is_open.wait()
                to.write(some)
                await to.drain()
        except OSError:
            pass
        finally:
            to.close()
            with suppress(OSError):
                await to.wait_closed()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def forwarding(target: Path) -> AsyncIterator[Forwarder]:
    forwarder = Forwarder(target)
    server = await asyncio.start_server(forwarder.accept, "127.0.0.1", 0)
    forwarder.port = server.sockets[0].getsockname()[1]
    try:
        yield forwarder
    finally:
        server.close()
        await server.wait_closed()
        await forwarder.close()
