"""A client of the stream of events, over a bare socket: it reads what is sent, and nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

PATIENCE = 60.0
"""Seconds after which a test fails that waits for an event; however busy the machine is."""


class Told(NamedTuple):
    """An event as it came."""

    name: str
    id: str | None
    data: Any
    text: str
    """The data as it was written."""


class StreamClient:
    """One answer: its head, and then its events."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.comments = 0
        self.retry: str | None = None
        self._left: list[Told] = []
        """Events that came with one that was looked for."""
        self.has_ended = False
        """Whether the answer was ended, and not cut off."""

    async def read_head(self) -> None:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        self.status = int(head[0].split()[1])
        self.headers = {name.lower(): value for line in head[1:-2] for name, value in [line.split(": ", 1)]}

    async def read_text(self) -> str | None:
        """Return a chunk; `None` at the end."""
        size = await self.reader.readline()
        if not size:
            return None
        content = await self.reader.readexactly(int(size, 16))
        assert await self.reader.readexactly(2) == b"\r\n"
        self.has_ended = not content
        return content.decode() if content else None

    async def read(self) -> list[Told]:
        """Return the events of the next chunk that has any; none at the end."""
        if self._left:
            left, self._left = self._left, []
            return left
        async with asyncio.timeout(PATIENCE):
            while (text := await self.read_text()) is not None:
                if events := [*filter(None, map(self._parse, text.removesuffix("\n\n").split("\n\n")))]:
                    return events
        return []

    async def find(self, *names: str) -> Told:
        """Return the next event of one of some names; those before are passed over."""
        while events := await self.read():
            for place, event in enumerate(events, 1):
                if event.name in names:
                    self._left = events[place:]
                    return event
        raise AssertionError(f"the stream ended before a {names}")

    async def read_to_end(self) -> list[Told]:
        events = []
        while some := await self.read():
            events += some
        return events

    def _parse(self, block: str) -> Told | None:
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(": ")
            self.comments += not name
            fields[name] = value
        self.retry = fields.get("retry", self.retry)
        if "data" not in fields:
            return None
        return Told(fields["event"], fields.get("id"), json.loads(fields["data"]), fields["data"])


@asynccontextmanager
async def streaming(url: str, path: str, limit: int = 2**24, **headers: str) -> AsyncIterator[StreamClient]:
    """Ask for a stream, and read the head of the answer."""
    host, _, port = url.partition("://")[2].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=limit)
    named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{named}\r\n".encode())
    client = StreamClient(reader, writer)
    try:
        async with asyncio.timeout(PATIENCE):
            await client.read_head()
        yield client
    finally:
        writer.close()
