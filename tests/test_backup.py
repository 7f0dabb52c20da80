"""Backing up and restoring as people meet it: the embedded server, SQLite, the scripts, and what goes wrong."""

import asyncio
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from scripts import backups, embedded
from scripts.backup import back_up
from scripts.database import SOCKET, answers
from scripts.restore import restore
from scripts.telling import Pace, Refused
from v1 import keys
from v1.archive import connect_archive
from v1.archive.toplist import TopArchiveWriter
from v1.archive.writer import ArchiveWriter
from v1.model import Metric, Reading
from v1.records import Heard, advance
from v1.rules import Engine, parse_rule
from v1.store import AlertLimits, Desk, TopWriter, Writer, commands, connect
from worker.closing import Closer, Rules
from worker.tick import tick

from . import servers
from .questions import questions
from .v1.routes.test_top import made
from .v1.serving import DAY, HOUR, MINUTE, NOON, Answer, Api, Clock, every_minute, fill, serving

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 40.0
NOW = datetime(2021, 5, 17, 12, tzinfo=UTC)
METRICS = [Metric("KRAKEN:BTCUSD"), Metric("KRAKEN:ETHUSD"), Metric("BINANCE:XRPBTC")]
SPIKE = {"id": "spike", "kind": "ratio", "measure": "price", "factor": 3, "min_samples": 1, "cooldown": 0}
NAMES = {"metric": [*METRICS, "KRAKEN:NOPE"], "id": ["spike", "stale", "nope"]}


@pytest.fixture(scope="module")
def full() -> Iterator[Path]:
    """A data directory in which there is something of everything; nothing runs on it."""
    with tempfile.TemporaryDirectory() as folder:
        with servers.running(servers.embedded(), Path(folder)) as address:
            asyncio.run(put_something(address, Path(folder) / "archive.db"))
        yield Path(folder)


async def put_something(redis_address: str, archive: Path) -> None:
    async with (
        connect(redis_address, "tests") as redis,
        connect_archive(f"sqlite+aiosqlite:///{archive}", "tests", writes=True) as engine,
    ):
        store, kept, top = Writer(redis), ArchiveWriter(engine), TopArchiveWriter(engine)
        await kept.open()
        prices = [f"{100 + minute % 97}.{minute % 89:02}0" for minute in range(1440)]
        await fill(store, {each: every_minute(prices[place:], volume="7.50") for place, each in enumerate(METRICS)})
        closer = Closer(store, kept, Rules(MINUTE))
        await closer.until(NOON, NOON)
        await store.note_archive({"state": "ok", "since": NOON - DAY, "newest": closer.newest, "reason": None})
        await store.note_sources({"kraken": {"state": "ok", "since": NOON, "reason": None, "metrics": 3}})
        heard = {METRICS[0]: Heard(Reading("999.90"), "kraken"), METRICS[2]: Heard(Reading("1e-7"), "binance")}
        await tick(NOON + MINUTE, heard, store, Engine([parse_rule(SPIKE)], (), MINUTE))
        await Desk(redis).put_rule(parse_rule(SPIKE))
        for at in (NOON - 2 * HOUR, NOON):
            await TopWriter(redis).put(made(at))
        await top.write(NOON - 2 * HOUR, made(NOON - 2 * HOUR))
        await redis.set("beside", "of another database", ex=DAY)


@pytest.fixture
def data(full: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it, which the settings name."""
    for name in [name for name in os.environ if name.startswith("TRACKER_")]:
        monkeypatch.delenv(name)
    # Not pytest's own folder: with its long names a socket in there would be too deep.
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.chdir(folder)
        copied = Path(folder, "data")
        shutil.copytree(full, copied, ignore=shutil.ignore_patterns(SOCKET))
        monkeypatch.setenv("TRACKER_DATA_DIR", str(copied))
        yield copied


@pytest.fixture
def clock() -> Clock:
    there = Clock()
    there.now += MINUTE
    return there


@asynccontextmanager
async def serves(data: Path, clock: Clock) -> AsyncIterator[Api]:
    with servers.running(servers.embedded(), data) as address:
        async with serving(clock, address, database_url=f"sqlite+aiosqlite:///{data}/archive.db") as api:
            yield api


async def everything(api: Api) -> dict[str, tuple[int, str | None, str]]:
    """Ask every question there is."""
    document = (await api.get("/openapi.json")).json
    asked = questions(document, NAMES)
    given: list[Answer] = [await api.get(question) for question in asked]
    return {
        question: (each.status, each.headers.get("ETag"), each.text)
        for question, each in zip(asked, given, strict=True)
    }


def run(script: str, *words: str | Path, **given: str) -> subprocess.CompletedProcess[str]:
    """Run a script to its end, as if it were typed where we are."""
    return subprocess.run(
        [ROOT / "scripts" / script, *words],
        env={**os.environ, "VENV": sys.prefix, **given},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def empty(monkeypatch: pytest.MonkeyPatch, data: Path) -> Path:
    """Have the settings name a data directory that is not there."""
    other = data.with_name("restored")
    monkeypatch.setenv("TRACKER_DATA_DIR", str(other))
    return other


async def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.002)


# ---- there and back ---------------------------------------------------------------------------------------


async def test_a_restored_backup_gives_the_answers_of_the_original(data, clock, monkeypatch):
    async with serves(data, clock) as api:
        before = await everything(api)
        backed_up = await asyncio.to_thread(run, "backup.sh", "saved")
    restored = empty(monkeypatch, data)
    came_back = await asyncio.to_thread(run, "restore.sh", "saved")
    async with serves(restored, clock) as api:
        after = await everything(api)

    assert (backed_up.returncode, backed_up.stderr) == (0, "")
    assert backed_up.stdout.endswith(f"\nnext, should you need it: scripts/restore.sh {data.parent}/saved\n")
    assert (came_back.returncode, came_back.stderr) == (0, "")
    assert came_back.stdout.endswith("\nnext: scripts/start.sh\n")
    assert {question: after[question] for question in before if after[question] != before[question]} == {}
    assert sum(status == 200 for status, _, _ in before.values()) > 100
    assert {path.partition("?")[0] for path, (status, _, _) in before.items() if status == 200} >= {
        "/v1/metrics/KRAKEN:BTCUSD/candles",
        "/v1/metrics/KRAKEN:BTCUSD/history",
        "/v1/alerts",
        "/v1/top",
        "/v1/rules/spike",
        "/health/ready",
    }


async def test_the_manifest_says_what_is_in_it(data):
    target = data.parent / "saved"

    await back_up(target, NOW)

    said = json.loads((target / "manifest.json").read_text())
    rows = said["archive"]["rows"]
    assert sorted(path.name for path in target.iterdir()) == ["archive.db", "manifest.json", "redis.rdb"]
    assert (said["product"], said["version"], said["feeds"]) == ("data-tracker", "1.0.0", "v1")
    assert (said["made"], said["tick"]) == ("2021-05-17T12:00:00+00:00", NOON + MINUTE)
    assert said["server"].startswith("Valkey ")
    assert said["keys"] > 3 * 24
    assert said["archive"]["candles"] == rows["v1_candles"] == 72
    assert rows["v1_top_coins"] == 3
    assert said["files"]["redis.rdb"]["size"] == (target / "redis.rdb").stat().st_size
    assert len(said["files"]["archive.db"]["sha256"]) == 64


async def test_where_nothing_runs_the_server_runs_for_as_long_as_it_takes(data):
    log = sorted((data / embedded.LOG).iterdir())

    await back_up(data.parent / "saved", NOW)

    assert not answers(data / SOCKET)
    assert sorted((data / embedded.LOG).iterdir()) == log
    async with embedded.reached(data, Pace().of("loading")) as address, connect(address, "tests") as redis:
        assert await redis.get("beside") == "of another database"


async def test_a_backup_leaves_nothing_of_its_own_in_the_data_directory(data):
    with servers.running(servers.embedded(), data):
        before = {path.name for path in data.iterdir()}

        await back_up(data.parent / "saved", NOW)

        after = {path.name for path in data.iterdir()}
    # What whoever opens the archive makes, and leaves to the next one.
    assert after - before - {"archive.db-shm", "archive.db-wal"} == {"run"}


async def test_what_is_done_with_the_restored_data_does_not_touch_the_backup(data, monkeypatch):
    target = data.parent / "saved"
    await back_up(target, NOW)
    restored = empty(monkeypatch, data)

    await restore(target)

    assert {path.stat().st_nlink for path in [*target.iterdir(), *restored.rglob("*.*")]} - {2} == {1}
    with sqlite3.connect(restored / "archive.db") as archive:
        archive.execute("DELETE FROM v1_candles")
    archive.close()
    backups.check(target, backups.read(target).files, Pace().of("checking"))


async def test_onto_another_disk_the_snapshot_is_copied(data, monkeypatch):
    def is_another_disk(_one, _other):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", is_another_disk)

    await back_up(data.parent / "saved", NOW)

    backups.check(data.parent / "saved", backups.read(data.parent / "saved").files, Pace().of("checking"))
    assert not (data / "dump.rdb").exists()


# ---- while something is written ---------------------------------------------------------------------------


async def half_a_tick(store: Writer, at: int) -> Callable[[], Awaitable[None]]:
    """Commit the first metric of a tick, as a worker that is slow; give what commits all of it."""
    await store.open()
    found = await store.found(at, METRICS)
    heard = Heard(Reading("5.5"), "kraken")
    steps = [step for step in map(advance, METRICS, repeat(at), repeat(heard), found) if step]
    pipe = store._pipe()
    commands.move_on(pipe, at, steps[0], NOTHING_SAID, AlertLimits())
    await pipe.execute()
    return partial(store.commit, at, steps)


async def test_a_snapshot_that_was_cut_inside_a_tick_is_taken_again(data, capsys):
    with servers.running(servers.embedded(), data) as address:
        async with connect(address, "tests") as redis:
            store = Writer(redis)
            await store.lease("a worker that runs")
            finish = await half_a_tick(store, NOON + 2 * MINUTE)

            backing_up = asyncio.create_task(back_up(data.parent / "saved", NOW))
            said = ""
            while "the snapshot was cut inside a tick; taking it again" not in said:
                said += capsys.readouterr().out
                if not answers(data / "nobody") and (await Saver(redis).begin()).saves:
                    await asyncio.sleep(0.05)
                await finish()
            await backing_up

    assert backups.read(data.parent / "saved").tick == NOON + 2 * MINUTE
