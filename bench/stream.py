"""
Thousands of clients of the stream of events on one process of the API, all from this machine: how much memory each
takes, how long after the commit of a tick the last of them has it, and what processor time a tick takes.
"""

import asyncio
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, cast

import uvloop

from bench import processes, servers
from bench.report import Figure, at_most, beside
from tests.support.serving import NOON, every_minute, fill, tick
from v1.store import Writer

CLIENTS = 5000
AT_ONCE = 200
TICKS = 8
METRICS = 10
SECONDS = 60.0
"""After which the measurement fails."""
MEMORY = 25.0
"""kB a client."""
NAMES = [f"KRAKEN:{place:02}USD" for place in range(METRICS)]
KEY = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}==\r\n".format(
    "A" * 22
)


class Cost(NamedTuple):
    """What the clients of one path cost."""

    kilobytes: float
    """A client."""
    latest: float
    """Seconds from the commit of a tick to the last client, the longest of all ticks."""
    processor: float
    """Seconds a tick."""


class _Crowd:
    """All clients; it knows how many have a tick."""

    def __init__(self) -> None:
        self.wanted = b""
        self.missing: set[_Client] = set()
        self.lost = 0
        self.is_complete = asyncio.Event()

    def expect(self, clients: list["_Client"], at: int) -> None:
        self.wanted, self.missing = b'"at":%d,"measure"' % at, set(clients)
        self.is_complete.clear()

    def note(self, client: "_Client") -> None:
        self.missing.discard(client)
        if not self.missing:
            self.is_complete.set()


class _Client(asyncio.Protocol):
    def __init__(self, crowd: _Crowd) -> None:
        self._crowd = crowd
        self._rest = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        seen = self._rest + data
        if self._crowd.wanted in seen:
            self._crowd.note(self)
        self._rest = seen[-40:]

    def connection_lost(self, _: Exception | None) -> None:
        self._crowd.lost += 1


def measure() -> Iterator[Figure]:
    for path, head in (("/v1/stream", ""), ("/v1/ws", KEY)):
        cost = uvloop.run(_cost(path, head))
        how = f"{CLIENTS} clients on one process, {METRICS} metrics each, {TICKS} ticks; load from the same machine"
        yield at_most(f"memory a client, `{path}`", cost.kilobytes, MEMORY, " kB", how)
        yield at_most(f"a tick at every client, `{path}`, longest", cost.latest, 1.0, " s", how)
        yield beside(f"processor time a tick, `{path}`", f"{cost.processor:.3f} s", how)


async def _cost(path: str, head: str) -> Cost:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    room = CLIENTS + 500
    limits = {"connections": room, "client_connections": room, "streams": room}
    binary = next(servers.binaries())
    async with asyncio.timeout(SECONDS), servers.running(binary) as server:
        writer = Writer(server.redis)
        await fill(writer, {name: every_minute(["1", "2", "3"]) for name in NAMES})
        with (
            tempfile.TemporaryDirectory() as folder,
            processes.started(Path(folder), "v1", bind="127.0.0.1:0", redis_url=server.address, **limits) as api,
        ):
            assert api.stdout
            port = int((await asyncio.to_thread(api.stdout.readline)).strip().rstrip("/").rpartition(":")[2])
            return await _measure_clients(writer, port, api.pid, f"GET {path}?metrics=KRAKEN:* HTTP/1.1\r\n{head}")


async def _measure_clients(writer: Writer, port: int, pid: int, request: str) -> Cost:
    crowd = _Crowd()
    # What the first one brings along is not a client's.
    first = await _connect(crowd, port, request, 20)
    before = _read_memory(pid)
    clients = await _connect(crowd, port, request, CLIENTS)
    latest, used = [], []
    for place in range(1, TICKS + 1):
        at = NOON + place * 60
        crowd.expect(first + clients, at)
        processor = _read_processor(pid)
        await tick(writer, at, {name: f"{place}.{index}" for index, name in enumerate(NAMES)})
        began = time.monotonic()
        await crowd.is_complete.wait()
        latest.append(time.monotonic() - began)
        used.append(_read_processor(pid) - processor)
    after = _read_memory(pid)
    if crowd.lost:
        raise RuntimeError(f"{crowd.lost} clients were disconnected")
    for client in first + clients:
        client.transport.abort()
    return Cost((after - before) / CLIENTS, max(latest), sum(used) / TICKS)


async def _connect(crowd: _Crowd, port: int, request: str, count: int) -> list[_Client]:
    """Connect clients, some at once, and return them when each has the newest tick."""
    loop = asyncio.get_running_loop()
    clients: list[_Client] = []
    for _ in range(0, count, AT_ONCE):
        some = []
        for _ in range(min(AT_ONCE, count - len(clients))):
            _, client = await loop.create_connection(lambda: _Client(crowd), "127.0.0.1", port)
            some.append(client)
        crowd.expect(some, NOON)
        for client in some:
            client.transport.write(f"{request}Host: localhost\r\n\r\n".encode())
        await crowd.is_complete.wait()
        clients += some
    return clients


def _read_memory(pid: int) -> int:
    """Return what of a process is in memory, in kB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def _read_processor(pid: int) -> float:
    """Return the seconds of processor time that a process has used."""
    used = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(used[11]) + int(used[12])) / 100
