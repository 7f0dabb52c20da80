"""
A replay whose worker is killed (kill -9) again and again and started again, until it is through, beside one
that nobody disturbs: whether Redis ends with the same keys and values, byte for byte. The worker is killed
at random bytes of what it sends, so that Redis is left with half a pipeline, half a transaction, half a
command.
"""

import asyncio
import gzip
import tempfile
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from random import Random

import uvloop
from redis.asyncio import Redis

from bench import processes, recordings, servers
from bench.report import Figure
from v1.store import keys

KILLS = 200
REPLAYS = 20
RECORDED = "bittrex-20180201"
PAIRS = ("BITB_BTC", "DOGE_BTC", "SC_BTC", "2GIVE_BTC")
MINUTES = 30 * 60
"""A day, so that samples leave, and some hours."""
INTERVAL = 300
SEED = 1
OTHERS = (keys.LEASE.encode(), keys.EVENTS.encode())
"""Keys that say when they were written."""

Contents = dict[bytes, bytes | None]


class Gate:
    """A socket between the worker and Redis that lets a number of bytes through, and then calls."""

    def __init__(self, path: Path, server: str) -> None:
        self._path = path
        self._server = server.removeprefix("unix://")
        self.address = f"unix://{path}"
        self.passed = 0
        self.left: int | None = None
        self.closed = asyncio.Event()

    @asynccontextmanager
    async def open(self, bytes_until_closed: int | None) -> AsyncIterator[None]:
        self.passed, self.left = 0, bytes_until_closed
        self.closed.clear()
        async with await asyncio.start_unix_server(self._serve, self._path):
            yield
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        answers, commands = await asyncio.open_unix_connection(self._server)
        both = asyncio.gather(self._there(reader, commands), _back(answers, writer))
        with suppress(OSError, IncompleteReadError, asyncio.CancelledError):
            await both
        for each in (commands, writer):
            each.close()

    async def _there(self, reader: StreamReader, commands: StreamWriter) -> None:
        while not self.closed.is_set() and (some := await reader.read(1 << 16)):
            part = some if self.left is None else some[: self.left - self.passed]
            self.passed += len(part)
            commands.write(part)
            await commands.drain()
            if self.passed == self.left:
                self.closed.set()
        commands.write_eof()


async def _back(answers: StreamReader, writer: StreamWriter) -> None:
    while some := await answers.read(1 << 16):
        writer.write(some)
        await writer.drain()
    writer.close()


def measure() -> Iterator[Figure]:
    folder = recordings.folder(RECORDED)
    if folder:
        yield uvloop.run(_measured(folder))


async def _measured(folder: Path) -> Figure:
    random = Random(SEED)
    with tempfile.TemporaryDirectory() as here:
        recording = Path(here) / RECORDED
        _cut(folder, recording)
        async with servers.running(next(servers.binaries())) as server:
            gate = Gate(Path(here) / "gate.sock", server.address)
            await _play(recording, gate, None)
            length, right = gate.passed, await _contents(server.address)
            kills = different = 0
            for _ in range(REPLAYS):
                await server.redis.flushall()
                points = sorted(random.sample(range(length), KILLS // REPLAYS))
                for before, point in pairwise([0, *points]):
                    kills += await _play(recording, gate, point - before or 1)
                await _play(recording, gate, None)
                different += _differences(right, await _contents(server.address))
            name = server.name
    how = (
        f"{kills} kills in {REPLAYS} replays of {len(PAIRS)} pairs over {MINUTES // 60} hours at a sample every "
        f"{INTERVAL} s, {len(right)} keys each compared by DUMP, all but the lease and the events; {name}, seed {SEED}"
    )
    return Figure("keys that differ after kill -9", f"{different}", "0", different == 0 and kills == KILLS, how)


def _cut(folder: Path, recording: Path) -> None:
    """Copy the first hours of some pairs."""
    recording.mkdir()
    starts = []
    for pair in PAIRS:
        with gzip.open(folder / f"{pair}.csv.gz", "rt", encoding="utf-8") as file:
            head, *lines = file.readlines()
        starts.append(int(lines[0].partition(",")[0]))
        until = min(starts) + MINUTES * 60
        kept = [line for line in lines if int(line.partition(",")[0]) < until]
        (recording / f"{pair}.csv").write_text("".join([head, *kept]), encoding="utf-8")


async def _play(recording: Path, gate: Gate, bytes_until_killed: int | None) -> bool:
    """Start or continue the replay; return whether it was killed, or else came to its end."""
    async with gate.open(bytes_until_killed):
        process = await asyncio.create_subprocess_exec(
            *processes.command("worker", "replay", str(recording)),
            cwd=recording.parent,
            env=processes.environment(redis_url=gate.address, interval=INTERVAL),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        ended, closed = asyncio.create_task(process.communicate()), asyncio.create_task(gate.closed.wait())
        await asyncio.wait((ended, closed), return_when=asyncio.FIRST_COMPLETED)
        killed = not ended.done()
        if killed:
            process.kill()
        _, said = await ended
        closed.cancel()
    if not killed and process.returncode:
        raise RuntimeError(f"the replay ended with {process.returncode}: {said.decode()}")
    return killed


async def _contents(address: str) -> Contents:
    async with Redis.from_url(address) as redis:
        names = [name async for name in redis.scan_iter(count=1000) if name not in OTHERS]
        return {name: await redis.dump(name) for name in names}


def _differences(right: Contents, found: Contents) -> int:
    wrong = {name for name in right.keys() | found.keys() if right.get(name) != found.get(name)}
    for name in sorted(wrong):
        print(f"differs: {name.decode()}")
    return len(wrong)
