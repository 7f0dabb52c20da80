"""
Backups taken while ticks are committed and hours are archived, each restored into an empty directory: whether an API on
what came back gives, byte for byte, the answers to every question that were given at that instant; how long it all
takes, and what a tick notices of it.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import uvloop

from bench import market, processes
from bench.recordings import ROOT
from bench.report import Figure, beside
from tests.support import servers
from tests.support.borrowed import borrow_environment
from tests.support.questions import questions
from tests.support.serving import Api, Clock, serving
from tests.support.top_made import made
from v1.archive import connect_archive
from v1.archive.writer import ArchiveWriter
from v1.model import DAY, HOUR, MINUTE
from v1.rules import RuleEngine, parse_rule, parse_silence
from v1.store import AdminStore, Reader, TickUnit, TopWriter, Writer, connect
from worker.archiving.rollup import HourlyRollup, RollupOptions
from worker.backup import manifests
from worker.sampling.tick import commit_tick

METRICS, PAIRS = 3_000, 60
ALONE, BACKUPS = 8, 5
"""Ticks before the first backup, and backups."""
ROUNDS = 400
"""More than there will be."""
WHO = "bench"
RULE = {"id": "moved", "kind": "change", "measure": "price", "percent": "0.5", "window": "10m", "cooldown": "30m"}

Digests = Mapping[str, bytes]
"""Question, and what comes of its answer."""


class Instant(NamedTuple):
    """What the answers depend on."""

    tick: int | None
    candles: int
    said: int | None
    """The newest hour that is closed, as Redis says."""


class Backup(NamedTuple):
    """What came of one."""

    seconds: float
    restored: float
    cut: int
    """How often it was cut inside a tick, and taken again."""
    slowest: float
    """Seconds of the slowest commit meanwhile."""
    compared: int
    moved: int
    """Of these, how many had been answered otherwise at the first tick."""
    different: int


class TimedUnit(TickUnit):
    """A tick that knows how long its commit took."""

    seconds = 0.0

    async def commit(self, *given: Any, **named: Any) -> None:
        began = perf_counter()
        await super().commit(*given, **named)
        self.seconds = perf_counter() - began


class Timed(Writer):
    """A writer that knows how long its commits took."""

    seconds: list[float]

    @asynccontextmanager
    async def open_tick(self, at: int) -> AsyncIterator[TickUnit]:
        async with self.turn:
            unit = TimedUnit(at, self)
            yield unit
            self.seconds.append(unit.seconds)


class Running:
    """A worker's writing, step by step, and after each step every answer."""

    def __init__(
        self, store: Timed, archive: ArchiveWriter, api: Api, clock: Clock, days: Sequence[market.Day]
    ) -> None:
        self.known: dict[Instant, Digests] = {}
        self.store = store
        self._archive = archive
        self._closer = HourlyRollup(store, archive, RollupOptions(MINUTE))
        self._engine = RuleEngine([parse_rule(RULE)], [], MINUTE)
        self._api = api
        self._clock = clock
        self._names, self._days = market.metrics(METRICS), days
        self._rounds = self._candles = 0
        self._said: int | None = None

    async def round(self) -> None:
        """Commit a tick, close an hour, say so; the oldest hour there is comes first."""
        at = market.START + self._rounds * MINUTE
        self._clock.now = at + 5.0
        await self.store.lease.take_or_keep(WHO)
        if self._rounds:
            await commit_tick(at, market.heard(self._names, self._days, self._rounds - 1), self.store, self._engine)
            await self._look(at)
        hour = market.START // HOUR * HOUR - DAY + (self._rounds + 1) * HOUR
        if hour + HOUR <= at:
            self._candles += await self._closer.close_hour(hour, at)
            await self._look(at)
            self._said = hour
            await self.store.write_archive_state({"state": "ok", "since": market.START, "newest": hour, "reason": None})
            await self._look(at)
        self._rounds += 1

    async def _look(self, at: int) -> None:
        self.known[Instant(at, self._candles, self._said)] = await asked(self._api)


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as here:
        Path(here, "data").mkdir()
        alone, made = uvloop.run(_measured(Path(here)))
        size = Path(here, "backup0", manifests.SNAPSHOT).stat().st_size / 1e6
    how = f"{METRICS:,} metrics with a full day, {size:.0f} MB, {BACKUPS} backups"
    compared, moved, different = [
        sum(counts) for counts in zip(*[(each.compared, each.moved, each.different) for each in made], strict=True)
    ]
    return [
        Figure(
            "answers of a restored backup that differ from those at its instant",
            f"{different}",
            "0",
            not different,
            f"{compared:,} compared, status, ETag and body, of every route and parameter, {moved:,} of which had moved on "
            f"since the first tick; {how}",
        ),
        beside("a backup, with everything read back", _span([each.seconds for each in made]), how),
        beside("a restore, with everything read back", _span([each.restored for each in made]), how),
        beside(
            "slowest commit of a tick while a backup is made",
            f"{max(each.slowest for each in made) * 1e3:.0f} ms",
            f"{alone * 1e3:.0f} ms before, the slowest of {ALONE}",
        ),
        beside("snapshots that were cut inside a tick, and taken again", f"{sum(each.cut for each in made)}", how),
    ]


async def _measured(here: Path) -> tuple[float, list[Backup]]:
    """Return the slowest commit while nothing is backed up, and the backups."""
    data = here / "data"
    async with _running(data) as running:
        for _ in range(ALONE + 1):
            await running.round()
        alone = max(running.store.seconds)
        return alone, [await _backed_up(running, data, here / f"backup{number}") for number in range(BACKUPS)]


@asynccontextmanager
async def _running(data: Path) -> AsyncIterator[Running]:
    address, clock = f"sqlite+aiosqlite:///{data}/archive.db", Clock()
    with servers.running(servers.embedded(), data) as redis_address:
        async with (
            connect(redis_address, WHO, 60) as redis,
            connect_archive(address, WHO, writes=True) as engine,
            serving(clock, redis_address, database_url=address) as api,
        ):
            store, archive = Timed(redis), ArchiveWriter(engine)
            store.seconds = []
            await archive.open()
            names, days = market.metrics(METRICS), market.days(PAIRS, market.START, MINUTE, ROUNDS)
            await market.fill(redis, names, days, market.START)
            await store.open()
            await store.write_source_states({market.SOURCE: {"state": "ok", "since": market.START, "metrics": METRICS}})
            desk = AdminStore(redis)
            await desk.put_rule(parse_rule(RULE))
            await desk.put_silence(
                parse_silence({"id": "night", "metrics": names[1], "from": market.START, "to": market.START + DAY}), 0
            )
            await TopWriter(redis).write_snapshot(made(market.START // MINUTE * MINUTE))
            yield Running(store, archive, api, clock, days)


async def _backed_up(running: Running, data: Path, target: Path) -> Backup:
    """Make a backup while rounds go on, restore it, and ask it everything that was asked at its instant."""
    running.store.seconds.clear()
    going = asyncio.create_task(_script("backup.sh", target, data))
    while not going.done():
        await running.round()
    said, seconds = await going
    slowest = max(running.store.seconds)
    restored = target.with_name(f"{target.name}.restored")
    _, took = await _script("restore.sh", target, restored)
    found, wanted = await _answers(restored, running, manifests.read_manifest(target))
    different = [question for question in wanted if found[question] != wanted[question]]
    for question in different:
        print(f"differs: {question}")
    first = next(iter(running.known.values()))
    moved = sum(wanted[question] != first[question] for question in wanted)
    return Backup(seconds, took, said.count("began inside a tick"), slowest, len(wanted), moved, len(different))


async def _script(name: str, folder: Path, data: Path) -> tuple[str, float]:
    began = perf_counter()
    process = await asyncio.create_subprocess_exec(
        ROOT / "scripts" / name,
        folder,
        env=processes.environment(data_dir=data) | {"VENV": borrow_environment()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{name} ended with {process.returncode}: {said.decode()}")
    return said.decode(), perf_counter() - began


async def _answers(data: Path, running: Running, manifest: manifests.Manifest) -> tuple[Digests, Digests]:
    """Return the answers on restored data, and those that were given at the instant that it holds."""
    assert manifest.archive
    assert manifest.tick
    clock = Clock()
    clock.now = manifest.tick + 5.0
    with servers.running(servers.embedded(), data) as address:
        async with connect(address, WHO) as redis:
            said = await Reader(redis).read_archive_state()
        async with serving(clock, address, database_url=f"sqlite+aiosqlite:///{data}/archive.db") as api:
            found = await asked(api)
    return found, running.known[Instant(manifest.tick, manifest.archive.candles, said["newest"] if said else None)]


async def asked(api: Api) -> Digests:
    """Ask everything."""
    document = (await api.get("/openapi.json")).json
    names = {
        "metric": [*market.metrics(METRICS)[:2], "BENCH:NOPEUSD"],
        "id": [RULE["id"], "stale"],
        "source": ["simulated"],
    }
    digests = {}
    for question in questions(document, names):
        answer = await api.get(question)
        whole = f"{answer.status} {answer.headers.get('ETag')} {answer.text}"
        digests[question] = sha256(whole.encode()).digest()
    return digests


def _span(seconds: Sequence[float]) -> str:
    return f"{min(seconds):.1f} to {max(seconds):.1f} s"
