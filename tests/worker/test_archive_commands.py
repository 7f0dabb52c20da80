"""The archive as people meet it: what `run` and `rebuild` make of it, and what they say when it cannot be used."""

import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.support.loopback import providers, serving
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
