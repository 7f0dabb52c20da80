"""The archive as people meet it: what `run` and `rebuild` make of it, and what they say when it cannot be used."""

import asyncio
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp import web
from redis.asyncio import Redis
from sqlalchemy import text

from tests.support.loopback import FAULTS, providers, serving
from tests.support.shared import shared
from tests.worker.test_commands import Start, Worker, eventually
from v1.archive import ArchiveAway
from worker.latest import DAY, HOUR, Metric
from worker.latest.archive import ArchiveWriter, connect_archive
from worker.latest.settings import InvalidSettings
from worker.latest.store import Reader, connect
from worker.settings import WorkerSettings

BTC = Metric("KRAKEN:BTCUSD")


@pytest.fixture
def begin(tmp_path: Path, server: str) -> Iterator[Start]:
    """Start the worker on a Redis that is there, and an archive in the folder of the test."""
    begun: list[Worker] = []

    def one(*words: str, **settings: str) -> Worker:
        known = {"REDIS_URL": server, "DATA_DIR": str(tmp_path)}
        begun.append(Worker(tmp_path, len(begun), words, known | settings))
        return begun[-1]

    yield one
    for worker in begun:
        if worker.process.poll() is None:
            worker.process.kill()
            worker.process.communicate()


@pytest.fixture
async def kraken() -> AsyncIterator[str]:
    async with serving(providers(shared("recorded"), time.time)) as base:
        yield base


async def hours(folder: Path, metric: Metric) -> list[str | None]:
    """Return the kind of each hour that is archived."""
    async with connect_archive(f"sqlite+aiosqlite:///{folder}/archive.db", "tests", writes=False) as engine:
        try:
            return [hour.kind for hour in await ArchiveWriter(engine).read_rows(metric, 0, 2**40)]
        except ArchiveAway:
            return []


async def test_at_the_first_start_the_archive_has_the_past_week_at_once(
    begin: Start, kraken: str, tmp_path: Path, server: str
):
    worker = begin(KRAKEN_URL=kraken, METRICS=BTC)

    async with connect(server, "tests") as redis:

        async def is_whole() -> bool:
            known = await hours(tmp_path, BTC)
            is_told = await Reader(redis).read_archive_state() is not None  # that comes after the hours
            return is_told and known.count("exchange") >= 167

        await eventually(is_whole, worker)
        said = await Reader(redis).read_archive_state()
    worker.stop()

    assert await worker.ended() == 0
    assert said
    assert said["state"] == "ok"


async def test_an_archive_that_is_away_costs_the_samples_nothing(begin: Start, server: str):
    worker = begin(SOURCES="simulated", METRICS="SIMULATED:BTCUSD", DATABASE_URL="postgresql://u:secret@127.0.0.1:1/x")

    async with connect(server, "tests") as redis:
        reader = Reader(redis)

        async def is_told() -> bool:
            said = await reader.read_archive_state()
            return said is not None and bool(await reader.read_metrics())

        await eventually(is_told, worker)
        said = await reader.read_archive_state()
    worker.stop()

    assert await worker.ended() == 0
    assert said
    assert (said["state"], said["reason"]) == ("failing", "the archive is away: [Errno 111] Connection refused")
    assert worker.said.count("the archive fails, hours wait in Redis") == 1
    assert "secret" not in worker.said


async def make_newer_schema(folder: Path) -> None:
    async with connect_archive(f"sqlite+aiosqlite:///{folder}/archive.db", "tests", writes=True) as engine:
        await ArchiveWriter(engine).open()
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE v1_schema SET version_num = '9999'"))


async def test_a_schema_that_is_newer_costs_the_samples_nothing_and_is_said(begin: Start, tmp_path: Path, server: str):
    await make_newer_schema(tmp_path)
    worker = begin(SOURCES="simulated", METRICS="SIMULATED:BTCUSD")

    async with connect(server, "tests") as redis:
        reader = Reader(redis)

        async def is_told() -> bool:
            said = await reader.read_archive_state()
            return said is not None and bool(await reader.read_metrics())

        await eventually(is_told, worker)
        said = await reader.read_archive_state()
    worker.stop()

    assert await worker.ended() == 0
    assert said
    assert said["state"] == "failing"
    assert said["reason"].startswith("the archive's schema is '9999', and this code knows ")


@pytest.mark.parametrize(
    "url, words",
    [
        ("postgresql://u:secret@h:port/x", "TRACKER_DATABASE_URL: "),
        (
            "postgresql://u:secret@h/x?sslmode=require",
            "the option 'sslmode' is not accepted",
        ),
        (
            "postgresql://u:secret@h/x?passwort=1",
            "the option 'passwort' is not accepted",
        ),
    ],
)
async def test_an_address_that_cannot_be_read_stops_it_with_one_line(begin: Start, url: str, words: str):
    worker = begin(SOURCES="simulated", METRICS="SIMULATED:BTCUSD", DATABASE_URL=url)

    assert await worker.ended() in (1, 2)
    said = [line for line in worker.said.splitlines() if "[info" not in line]
    assert len(said) == 1, worker.said
    assert words in said[0]
    assert "secret" not in worker.said


@pytest.mark.parametrize("command", ["rebuild", "replay"])
async def test_a_schema_that_is_newer_stops_a_command_with_one_line(begin: Start, tmp_path: Path, command: str):
    await make_newer_schema(tmp_path)
    words = [command, str(shared("market-data", "bittrex-20180201"))] if command == "replay" else [command]

    worker = begin(*words, SOURCES="simulated", METRICS="SIMULATED:BTCUSD")

    assert await worker.ended() == 1
    said = [line for line in worker.said.splitlines() if "[info" not in line]
    assert len(said) == 1, worker.said
    assert "schema is '9999', and this code knows " in said[0]
    assert ": a newer version has used it; run that one, or name another TRACKER_DATABASE_URL" in said[0]


def refusal(**settings: str) -> str:
    with pytest.raises(InvalidSettings) as told:
        WorkerSettings.load(**settings)
    return str(told.value)


@pytest.mark.parametrize(
    "url", ["mysql://u:secret@h/x", "archive.db", "postgresql+psycopg://u:secret@h/x", "sqlite://"]
)
def test_a_url_of_no_database_of_ours_is_refused_without_its_password(url: str):
    said = refusal(database_url=url)

    assert said.startswith(f"TRACKER_DATABASE_URL: '{url.replace('secret', '***')}' is not accepted: must be sqlite+")
    assert said.count("\n") == 0


@pytest.mark.parametrize(
    "setting, value, accepted",
    [
        ("archive_backfill", "week", "must be a number of hours or days, up to 366d: 36h, 7d; or 0"),
        ("archive_backfill", "367d", "must be a number of hours or days, up to 366d: 36h, 7d; or 0"),
        ("archive_backfill", "-1d", "must be a number of hours or days, up to 366d: 36h, 7d; or 0"),
        ("archive_days", "1", "Input should be greater than or equal to 2"),
        ("archive_grace", "4000", "Input should be less than or equal to 3600"),
        ("archive_partitions", "day", "Input should be 'month' or 'week'"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_named(setting: str, value: str, accepted: str):
    assert refusal(**{setting: value}) == f"TRACKER_{setting.upper()}: '{value}' is not accepted: {accepted}"


@pytest.mark.parametrize("written, seconds", [("7d", 7 * DAY), ("36h", 36 * HOUR), ("0", 0), ("366d", 366 * DAY)])
def test_how_far_back_is_written_in_hours_or_days(written: str, seconds: int):
    assert WorkerSettings.load(archive_backfill=written).archive_backfill == seconds


def test_an_address_needs_no_driver_and_the_usual_one_is_a_file_beside_redis(tmp_path: Path):
    short = WorkerSettings.load(database_url="postgres://u:p@h/x").archive_address
    usual = WorkerSettings.load(data_dir=tmp_path / "a b").archive_address

    assert short == "postgresql+asyncpg://u:p@h/x"
    assert usual == f"sqlite+aiosqlite:///{tmp_path}/a%20b/archive.db"


async def test_rebuild_fills_what_was_lost_and_says_what_came_of_it(begin: Start, tmp_path: Path):
    settings = {"SOURCES": "simulated", "METRICS": "SIMULATED:BTCUSD,SIMULATED:ETHUSD"}

    first = begin("rebuild", **settings)
    assert await first.ended() == 0
    again = begin("rebuild", **settings)
    assert await again.ended() == 0

    samples, archived = (int(word) for word in first.printed.split() if word.isdecimal())
    assert samples > 2500
    assert archived > 300
    assert first.printed.endswith("next: scripts/start-worker.sh\n")
    assert len(await hours(tmp_path, Metric("SIMULATED:ETHUSD"))) >= 167
    assert int(again.printed.split()[3]) <= 2, "a minute may have passed"


async def test_rebuild_leaves_the_store_to_a_worker_that_runs(begin: Start):
    running = begin(SOURCES="simulated", METRICS="SIMULATED:BTCUSD")
    await running.says("filled the past day")

    other = begin("rebuild", SOURCES="simulated", METRICS="SIMULATED:BTCUSD")

    assert await other.ended() == 1
    assert "only one worker does at a time: stop it first" in other.said
    running.stop(signal.SIGINT)
    assert await running.ended() == 0


# ---- killed while it asks for the exchange's hours ----------------------------------------------------------------


LIMIT = 300
"""Seconds that what a killed worker's successor does may take."""


class AskedHours:
    """A Kraken on loopback that counts which pairs hours are asked of; the archive can be locked before it answers."""

    def __init__(self, archive: Path) -> None:
        self.app = providers(shared("recorded"), time.time)
        self.app[FAULTS]["/0/public/OHLC"] = self._count
        self.settings = {"METRICS": "KRAKEN:BTCUSD,KRAKEN:ETHUSD", "INTERVAL": "60"}
        self.asked: list[tuple[str, int]] = []
        """Each pair, and after which second."""
        self.should_lock = False
        self._began = int(time.time()) // HOUR
        self._archive = sqlite3.connect(archive, isolation_level=None, timeout=60)

    @property
    def crossed(self) -> int:
        """How many hours have begun since: each is one more to ask for."""
        return int(time.time()) // HOUR - self._began

    async def is_locked(self) -> bool:
        return self._archive.in_transaction

    def unlock(self) -> None:
        """Let the archive be written to, now and from now on."""
        self.should_lock = False
        self._archive.rollback()

    def close(self) -> None:
        self._archive.close()

    async def _count(self, request: web.Request) -> None:
        if request.query.get("interval") == "60":
            self.asked.append((request.query["pair"], int(request.query["since"])))
            if self.should_lock and not self._archive.in_transaction:
                self._archive.execute("BEGIN IMMEDIATE")


@pytest.fixture
async def asked_hours(tmp_path: Path) -> AsyncIterator[AskedHours]:
    made = AskedHours(tmp_path / "archive.db")
    async with serving(made.app) as base:
        made.settings["KRAKEN_URL"] = base
        yield made
    made.close()


async def test_a_worker_that_is_killed_between_an_answer_and_its_writing_asks_once_more(
    begin: Start, tmp_path: Path, server: str, asked_hours: AskedHours
):
    asked_hours.should_lock = True
    first = begin(**asked_hours.settings)
    async with connect(server, "tests") as redis:
        await eventually(asked_hours.is_locked, first, LIMIT)
        left = await redis.pttl("v1:lease")

        async def is_renewed() -> bool:
            return await redis.pttl("v1:lease") > left

        await eventually(is_renewed, first, LIMIT)  # it went on meanwhile: the answer is here, and cannot be written
        await kill(first, redis)
    assert read_told_hours(tmp_path) == []
    assert [pair for pair, _ in asked_hours.asked] == ["XXBTZUSD"]
    asked_hours.unlock()

    second = begin(**asked_hours.settings)

    async def are_told() -> bool:
        return len(read_told_hours(tmp_path)) >= 2 * 167

    await eventually(are_told, second, LIMIT)
    told = read_told_hours(tmp_path)
    assert len(asked_hours.asked) <= 3 + 2 * asked_hours.crossed
    assert Counter(pair for pair, _ in asked_hours.asked)["XXBTZUSD"] <= 2 + asked_hours.crossed
    assert {revision for _, _, revision in told} == {1}


async def test_a_worker_that_is_killed_after_it_wrote_hours_asks_for_none_of_them_again(
    begin: Start, tmp_path: Path, server: str, asked_hours: AskedHours
):
    async def are_told() -> bool:
        return len(read_told_hours(tmp_path)) >= 2 * 167

    first = begin(**asked_hours.settings)
    await eventually(are_told, first, LIMIT)
    async with connect(server, "tests") as redis:
        await kill(first, redis)
    told = read_told_hours(tmp_path)
    # One that is missing of the metric that comes last shows when the other was looked at.
    lost = next(row for row in told if row[0] == "KRAKEN:ETHUSD")
    with closing(sqlite3.connect(tmp_path / "archive.db", timeout=60)) as archive, archive:
        archive.execute("DELETE FROM v1_exchange_candles WHERE metric = ? AND start = ?", lost[:2])
    asked_hours.asked.clear()

    second = begin(**asked_hours.settings)

    async def is_healed() -> bool:
        return lost in read_told_hours(tmp_path)

    await eventually(is_healed, second, LIMIT)
    assert [pair for pair, since in asked_hours.asked if since < lost[1] + HOUR] == ["XETHZUSD"]
    assert len(asked_hours.asked) <= 1 + 2 * asked_hours.crossed
    assert set(told) <= set(read_told_hours(tmp_path))


def read_told_hours(folder: Path) -> list[tuple[str, int, int]]:
    """Return metric, start and revision of each hour that the exchange told."""
    with closing(sqlite3.connect(folder / "archive.db", timeout=60)) as archive:
        if not archive.execute("SELECT 1 FROM sqlite_master WHERE name = 'v1_exchange_candles'").fetchone():
            return []
        return archive.execute("SELECT metric, start, revision FROM v1_exchange_candles ORDER BY 1, 2").fetchall()


async def kill(worker: Worker, redis: Redis) -> None:
    """Kill a worker, and let the next one begin at once."""
    worker.stop(signal.SIGKILL)
    await asyncio.to_thread(worker.process.communicate)
    await redis.delete("v1:lease")
