"""
Minutes of mixed load on one process of the API, ticks among it, while Redis is killed (kill -9) five times and clients
that are slow, broken or hostile ask too: whether anything is answered with an error of the server but 503 while Redis
is away, whether memory grows, and what clients that mean well notice of it. Before that, the same without the others
and without kills, to compare with.
"""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from math import ceil
from pathlib import Path
from random import Random
from statistics import mean
from typing import NamedTuple

import uvloop
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from redis.asyncio import Redis
from redis.exceptions import RedisError

from bench import market, processes, servers
from bench.report import Figure, at_most, beside
from tests.support import servers as server_processes
from v1.archive import connect_archive
from v1.archive.writer import ArchiveWriter
from v1.model import MINUTE
from v1.store import Writer, connect
from worker.sampling.tick import commit_tick

MINUTES = 10.0
FIRST = 5.0
"""Seconds before anything is measured, at most."""
QUIET = 0.2
"""How long the quiet part is, of the other."""
WARM_UP = 0.25
"""Of the time, before memory is looked at."""
KILLS = 5
AWAY = 2.0
"""Seconds that Redis is away each time."""
GRACE = 1.0
"""Seconds until the API has found Redis again."""
METRICS = 50
AFTER = 60
"""Readings of each metric after its day, which come again and again."""
INTERVAL = 5
GOOD, SLOW, BROKEN, HOSTILE = 8, 8, 4, 4
"""Clients of each kind."""
PAUSE = 0.02
"""Seconds between two requests of a client."""
SLOW_SECONDS = 1.0
SEED = 1
GROWTH = 1.05
P99 = 3.0
NAMES = market.metrics(METRICS)

_REQUEST = "GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n"
_HOSTILE = (
    *[_REQUEST.format(path) for path in ("/v1/../../etc/passwd", "/v1/%00", "/v1/ranks?limit=-1", f"/{'a' * 20_000}")],
    f"GET /v1/ranks HTTP/1.1\r\nHost: localhost\r\nX: {'a' * 70_000}\r\n\r\n",
    "POST /v1/rules HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n",
    "POST /v1/rules HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{]}",
    f"GET {{}} HTTP/1.1\r\nHost: localhost\r\nRange: bytes={','.join(f'{at}-{at}' for at in range(500))}\r\n\r\n",
    "GET /v1/stream HTTP/1.1\r\nHost: rebound.example\r\n\r\n",
    "\x16\x03\x01 this is no HTTP\r\n\r\n",
)


class TimedAnswer(NamedTuple):
    """One answer, or none."""

    began: float
    """Of the monotonic clock."""
    seconds: float
    status: int
    """0: the connection failed."""


class Absence(NamedTuple):
    """A time without Redis, by the monotonic clock."""

    since: float
    until: float


class Soak:
    """What all clients and the killer note."""

    def __init__(self, port: int, seconds: float) -> None:
        self.port = port
        self.end = time.monotonic() + seconds
        self.answers: list[TimedAnswer] = []
        """To clients that mean well."""
        self.others: list[TimedAnswer] = []
        self.absences: list[Absence] = []
        self.memory: list[int] = []
        """kB, every half second."""

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.end

    def is_away(self, answer: TimedAnswer) -> bool:
        """Return whether Redis was away at some time of an answer."""
        last = answer.began + answer.seconds
        return any(answer.began <= each.until + GRACE and last >= each.since for each in self.absences)

    def count_errors(self) -> int:
        """Return how many answers are errors of the server other than 503 while Redis is away."""
        return sum(
            each.status >= HTTPStatus.INTERNAL_SERVER_ERROR
            and not (each.status == HTTPStatus.SERVICE_UNAVAILABLE and self.is_away(each))
            for each in (*self.answers, *self.others)
        )

    def compute_p99(self) -> float:
        """Return the seconds in which 99 of 100 answers to good clients came, as long as Redis was there."""
        took = sorted(each.seconds for each in self.answers if not self.is_away(each))
        return took[ceil(len(took) * 0.99) - 1]

    def compute_growth(self) -> float:
        """Return the mean memory of the last third beside that of the first, after the warm-up."""
        warm = self.memory[int(len(self.memory) * WARM_UP) :]
        third = len(warm) // 3
        return mean(warm[-third:]) / mean(warm[:third])


def measure(minutes: float = MINUTES) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        yield from uvloop.run(_measure(Path(folder), minutes * 60))


async def _measure(folder: Path, seconds: float) -> list[Figure]:
    at = int(time.time()) // MINUTE * MINUTE
    days = market.days(market.PAIRS, at, MINUTE, AFTER)
    async with _run_server(folder, days, at) as (server, client), _serve_api(folder) as (port, pid):
        ticks = asyncio.create_task(_commit_ticks(Writer(client), days, at))
        try:
            # What is read for the first time belongs to neither.
            await _soak(Soak(port, min(FIRST, seconds)), pid, None)
            quiet = await _soak(Soak(port, seconds * QUIET), pid, None)
            mixed = await _soak(Soak(port, seconds), pid, server)
        finally:
            ticks.cancel()
    return list(_report(quiet, mixed, seconds))


@asynccontextmanager
async def _run_server(
    folder: Path, days: Sequence[market.Day], at: int
) -> AsyncIterator[tuple["RestartableRedis", Redis]]:
    """Run a Redis that holds the market, and an archive without a candle."""
    async with connect_archive(_make_archive_address(folder), "bench", writes=True) as engine:
        await ArchiveWriter(engine).open()
    server = RestartableRedis(folder)
    try:
        async with connect(server_processes.address(folder), "bench", 60) as client:
            await market.fill(client, NAMES, days, at)
            yield server, client
    finally:
        server.stop()


@asynccontextmanager
async def _serve_api(folder: Path) -> AsyncIterator[tuple[int, int]]:
    """Serve; return the port and the process. Raises `RuntimeError` where that has ended by the end."""
    limits = {"connections": 1024, "client_connections": 1024}
    stores = {"redis_url": server_processes.address(folder), "database_url": _make_archive_address(folder)}
    with processes.started(folder, "v1", bind="127.0.0.1:0", interval=INTERVAL, **stores, **limits) as process:
        assert process.stdout
        line = await asyncio.to_thread(process.stdout.readline)
        yield int(line.strip().rstrip("/").rpartition(":")[2]), process.pid
        if process.poll() is not None:
            raise RuntimeError(f"the API ended with {process.returncode}")


def _make_archive_address(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder / 'archive.db'}"


def _report(quiet: Soak, mixed: Soak, seconds: float) -> Iterator[Figure]:
    statuses = Counter(each.status for each in mixed.answers)
    others = Counter(each.status // 100 for each in mixed.others)
    how = (
        f"{len(mixed.answers):,} answers to {GOOD} good clients in {seconds / 60:g} minutes, "
        f"{statuses[503]:,} of them 503; {len(mixed.others):,} requests of {SLOW} slow, {BROKEN} broken and {HOSTILE} "
        f"hostile clients, {others[4]:,} refused; Redis killed {len(mixed.absences)} times, {AWAY:g} s away each time"
    )
    yield at_most("answers 5xx other than 503 while Redis is away", mixed.count_errors(), 0, "", how)
    lost = statuses[0]
    yield at_most("connections of good clients that were cut off", lost, 0, "", "one request after the other on each")
    first, last = mixed.memory[int(len(mixed.memory) * WARM_UP)], mixed.memory[-1]
    how = f"resident: last third beside the first, after a warm-up; from {first / 1000:.0f} MB to {last / 1000:.0f} MB"
    yield at_most("growth of memory", mixed.compute_growth(), GROWTH, " x", how)
    before, after = quiet.compute_p99(), mixed.compute_p99()
    how = f"{after * 1000:.3g} ms beside {before * 1000:.3g} ms without kills and other clients, while Redis is there"
    yield at_most("p99 of good clients beside the quiet one", after / before, P99, " x", how)
    away = [each.seconds for each in mixed.answers if mixed.is_away(each)]
    yield beside("longest answer while Redis is away", f"{max(away, default=0):.2g} s", f"of {len(away):,}")


class RestartableRedis:
    """A Redis that can be killed and comes back with what it held."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._binary = next(servers.binaries())
        self._process = server_processes.start(self._binary, folder)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    async def start(self) -> None:
        """Start again, and return when it answers."""
        self._process = await asyncio.to_thread(server_processes.start, self._binary, self._folder)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


async def _commit_ticks(writer: Writer, days: Sequence[market.Day], at: int) -> None:
    """Commit a tick every few seconds, as the worker does; one that fails is left out."""
    for number in range(1_000_000):
        with suppress(RedisError, OSError):
            await writer.open()
            await commit_tick(_find_tick(at), market.heard(NAMES, days, number % AFTER), writer)
        await asyncio.sleep(INTERVAL)


def _find_tick(at: int) -> int:
    return max(at, int(time.time()) // INTERVAL * INTERVAL)


async def _soak(soak: Soak, pid: int, server: RestartableRedis | None) -> Soak:
    """Run good clients until the time is over; with a server to kill, the others and the killer, too."""
    kinds: list[tuple[Callable[[Soak, Random], Awaitable[None]], int]] = [(_ask_well, GOOD)]
    if server:
        kinds += [(_ask_slowly, SLOW), (_break_off, BROKEN), (_attack, HOSTILE)]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_watch_memory(soak, pid))
        if server:
            tasks.create_task(_kill_again(soak, server))
        for place, kind in enumerate(kind for kind, count in kinds for _ in range(count)):
            tasks.create_task(_repeat(kind, soak, Random(SEED + place)))
    return soak


async def _repeat(ask: Callable[[Soak, Random], Awaitable[None]], soak: Soak, chance: Random) -> None:
    while not soak.is_over:
        await ask(soak, chance)


async def _kill_again(soak: Soak, server: RestartableRedis) -> None:
    left = soak.end - time.monotonic()
    for _ in range(KILLS):
        await asyncio.sleep(left / (KILLS + 1) - AWAY)
        since = time.monotonic()
        server.kill()
        await asyncio.sleep(AWAY)
        await server.start()
        soak.absences.append(Absence(since, time.monotonic()))


async def _watch_memory(soak: Soak, pid: int) -> None:
    while not soak.is_over:
        soak.memory.append(_read_memory(pid))
        await asyncio.sleep(0.5)


def _read_memory(pid: int) -> int:
    """Return what of a process is in memory, in kB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


async def _ask_well(soak: Soak, chance: Random) -> None:
    """Ask for what dashboards do, one after the other, on one connection."""
    url = f"http://127.0.0.1:{soak.port}"
    codings = chance.choice(("gzip", "gzip, deflate, br, zstd", "identity"))
    async with ClientSession(url, connector=TCPConnector(limit=1), timeout=ClientTimeout(30)) as session:
        while not soak.is_over:
            began = time.monotonic()
            try:
                async with session.get(_choose_path(chance), headers={"Accept-Encoding": codings}) as answer:
                    await answer.read()
                    status = answer.status
            except (ClientError, TimeoutError, OSError):
                status = 0
            soak.answers.append(TimedAnswer(began, time.monotonic() - began, status))
            await asyncio.sleep(PAUSE)


def _choose_path(chance: Random) -> str:
    name = f"/v1/metrics/{chance.choice(NAMES)}"
    paths = (name, f"{name}/history", f"{name}/rank", f"{name}/candles", "/v1/ranks?limit=50", "/v1/metrics")
    return chance.choice((*paths, "/v1/snapshot", "/v1/alerts", f"{name}/history?format=csv&measure=volume"))


async def _ask_slowly(soak: Soak, chance: Random) -> None:
    """Send a request, or read an answer, a few bytes at a time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", soak.port)
    request = _REQUEST.format(f"/v1/metrics/{chance.choice(NAMES)}/history").encode()
    began, is_reader = time.monotonic(), chance.random() < 0.5
    with suppress(OSError):
        for start in range(0, len(request), len(request) if is_reader else 5):
            writer.write(request[start : start + (len(request) if is_reader else 5)])
            await writer.drain()
            if is_reader:
                break
            await asyncio.sleep(SLOW_SECONDS / 2)
            if soak.is_over or reader.at_eof():
                break
        if is_reader:
            await asyncio.sleep(min(SLOW_SECONDS * 3, max(0.0, soak.end - time.monotonic())))
        await _note_answer(soak, reader, began)
    writer.transport.abort()


async def _break_off(soak: Soak, chance: Random) -> None:
    """Go away in the middle of a request, or of an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", soak.port)
    path = chance.choice((f"/v1/metrics/{chance.choice(NAMES)}/history", "/v1/stream?metrics=BENCH:*", "/v1/metrics"))
    request, began = _REQUEST.format(path).encode(), time.monotonic()
    with suppress(OSError):
        whole = chance.random() < 0.5
        writer.write(request if whole else request[: chance.randrange(1, len(request))])
        if whole:
            await _note_answer(soak, reader, began)
    writer.transport.abort()
    await asyncio.sleep(PAUSE)


async def _attack(soak: Soak, chance: Random) -> None:
    """Send what must be refused, at once and without harm."""
    reader, writer = await asyncio.open_connection("127.0.0.1", soak.port)
    request, began = (
        chance.choice(_HOSTILE).replace("{}", f"/v1/metrics/{chance.choice(NAMES)}/history"),
        time.monotonic(),
    )
    with suppress(OSError):
        writer.write(request.encode("latin-1"))
        await _note_answer(soak, reader, began)
    writer.transport.abort()
    await asyncio.sleep(PAUSE)


async def _note_answer(soak: Soak, reader: asyncio.StreamReader, began: float) -> None:
    """Note the status of an answer to a client that is none of the good ones; of none that there is no answer."""
    status = 0
    with suppress(OSError, ValueError, IndexError, TimeoutError):
        async with asyncio.timeout(max(1.0, min(15.0, soak.end - time.monotonic()))):
            status = int((await reader.readline()).split()[1])
    soak.others.append(TimedAnswer(began, time.monotonic() - began, status))
