"""Six nodes and the workers that share them, processes of a measurement's own; and what is seen of them."""

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from redis.asyncio import Redis

from bench import processes, shared_market
from bench.load import TICK
from bench.shared_market import MadeMarket
from tests.support.cluster import RunningCluster, open_cluster
from v1.store import StoreError, connect, keys
from v1.store.connection import translate_errors
from v1.store.sharing.members import Members, SeenWorker

WORKERS = 3
PARTITIONS = 64
POLL_SECONDS = 0.1
UP_SECONDS = 300


class WorkerCrew:
    """The processes of the workers, numbered from 1."""

    def __init__(self, folder: Path, variables: Mapping[str, str], words: Sequence[str]) -> None:
        self._folder = folder
        self._variables = variables
        self._words = words
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.ended: list[int] = []
        """Those that have ended by themselves, one after another: another one had their lease."""

    @property
    def pids(self) -> dict[int, int]:
        """Their process numbers, by theirs."""
        return {number: process.pid for number, process in self._processes.items()}

    def start(self, number: int) -> None:
        data = self._folder / f"worker-{number}"
        data.mkdir(exist_ok=True)
        with (data / "log").open("ab") as log:
            self._processes[number] = subprocess.Popen(
                processes.command("bench.shared_worker", *self._words),
                cwd=data,
                env={**self._variables, "TRACKER_DATA_DIR": str(data)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self, number: int) -> None:
        """Kill one, which is not started again by itself."""
        process = self._processes.pop(number)
        process.kill()
        process.wait()

    def close(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(processes.STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def read_logs(self) -> str:
        """Return the end of what each said."""
        return "\n".join(
            f"{file.parent.name}: {file.read_text(errors='replace')[-2000:]}"
            for file in sorted(self._folder.glob("worker-*/log"))
        )

    def start_ended(self) -> None:
        """Start anew those that have ended by themselves, as whoever supervises workers does."""
        for number, process in [*self._processes.items()]:
            if process.poll() is not None:
                self.ended.append(number)
                self.start(number)


class SharedMarket(NamedTuple):
    """A cluster with a market in it, and its workers, which have not begun."""

    nodes: RunningCluster
    redis: Redis
    crew: WorkerCrew
    folder: Path

    async def list_workers(self) -> list[SeenWorker]:
        """Return the workers that are alive; none while the cluster does not answer."""
        try:
            return [each for each in await Members(self.redis).read_all() if each.is_alive]
        except StoreError:
            return []

    async def wait_until_shared(self, count: int = WORKERS) -> None:
        """Wait until so many workers have all partitions among them."""
        deadline = time.monotonic() + UP_SECONDS
        while True:
            workers = await self.list_workers()
            if len(workers) == count and sum(len(each.note.partitions) for each in workers) == PARTITIONS:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"the partitions are not shared: {workers} {self.crew.read_logs()}")
            self.crew.start_ended()
            await asyncio.sleep(POLL_SECONDS)

    async def read_tick(self) -> int | None:
        """Return the newest published tick; none while the cluster does not answer."""
        with suppress(StoreError), translate_errors():
            found = await self.redis.get(keys.TICK)
            return int(found) if found else None
        return None


@asynccontextmanager
async def open_market(
    made: MadeMarket, until: int, seconds: int, node_timeout_ms: int, rules: str = ""
) -> AsyncIterator[SharedMarket]:
    """Run the nodes, with the samples of so many seconds before `until` in them."""
    with TemporaryDirectory(prefix="data-tracker-") as here:
        folder = Path(here)
        made.write(folder / "market.json")
        async with (
            open_cluster(3, 3, node_timeout_ms) as nodes,
            connect(nodes.url, "bench", 60, partitions=PARTITIONS) as redis,
        ):
            await shared_market.fill(redis, made, until, seconds)
            with _running(folder, nodes.url, made.interval, rules) as crew:
                yield SharedMarket(nodes, redis, crew, folder)


@contextmanager
def _running(folder: Path, url: str, interval: int, rules: str) -> Iterator[WorkerCrew]:
    (folder / "rules.toml").write_text(rules, encoding="utf-8")
    variables = processes.environment(
        redis_url=url,
        share="true",
        sources="simulated",
        metrics="SIMULATED:*",
        interval=interval,
        archive_backfill="0",
        database_url=f"sqlite+aiosqlite:///{folder / 'archive.db'}",
        rules_file=folder / "rules.toml",
    )
    crew = WorkerCrew(
        folder, variables | {shared_market.FILE: str(folder / "market.json")}, ("run", "--only", "sampling")
    )
    try:
        yield crew
    finally:
        crew.close()


def read_processor(pid: int) -> float:
    """Return the seconds of processor time that a process has used."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) * TICK


def read_load() -> float:
    """Return how many processes of the machine have waited for a processor lately, those of the measurement too."""
    return os.getloadavg()[0]
