"""Backing up and restoring as people meet it: the embedded server, SQLite, the scripts, and what goes wrong."""

import asyncio
import json
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import repeat
from pathlib import Path

import pytest

from tests.support import servers
from tests.support.archive_hours import hour, opened
from tests.support.borrowed import borrow_environment
from tests.support.questions import questions
from tests.support.serving import DAY, HOUR, MINUTE, NOON, Answer, Api, Clock, every_minute, fill, serving
from tests.support.top_made import made
from tests.support.units import commit, read_states
from v1 import __version__
from v1.archive import ArchiveError, connect_archive
from v1.archive.toplist import TopArchiveWriter
from v1.archive.writer import ArchiveWriter
from v1.market.metric_state import SourceReading, advance
from v1.model import Metric, Reading
from v1.rules import RuleEngine, parse_rule
from v1.store import AdminStore, AlertLimits, StoreError, TopWriter, Writer, commands, connect
from worker.archiving.rollup import HourlyRollup, RollupOptions
from worker.backup import manifests
from worker.backup.backup import back_up
from worker.backup.restore import restore
from worker.embedded import temporary
from worker.embedded.pidlock import lock_pid_file, write_pid
from worker.embedded.server import SOCKET, claim_folder, is_answering
from worker.reporting.steps import CommandRefused, StepProgress
from worker.sampling.tick import commit_tick

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 90.0
NOW = datetime(2021, 5, 17, 12, tzinfo=UTC)
METRICS = [Metric("KRAKEN:BTCUSD"), Metric("KRAKEN:ETHUSD"), Metric("BINANCE:XRPBTC")]
SPIKE = {"id": "spike", "kind": "ratio", "measure": "price", "factor": 3, "min_samples": 1, "cooldown": 0}
NAMES = {"metric": [*METRICS[::2], "KRAKEN:NOPE"], "id": ["spike", "stale", "nope"], "source": ["simulated", "nope"]}


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
        closer = HourlyRollup(store, kept, RollupOptions(MINUTE))
        await closer.close_until(NOON, NOON)
        await store.write_archive_state({"state": "ok", "since": NOON - DAY, "newest": closer.newest, "reason": None})
        await store.write_source_states({"kraken": {"state": "ok", "since": NOON, "reason": None, "metrics": 3}})
        heard = {
            METRICS[0]: SourceReading(Reading("999.90"), "kraken"),
            METRICS[2]: SourceReading(Reading("1e-7"), "binance"),
        }
        await commit_tick(NOON + MINUTE, heard, store, RuleEngine([parse_rule(SPIKE)], (), MINUTE))
        await AdminStore(redis).put_rule(parse_rule(SPIKE))
        for at in (NOON - 2 * HOUR, NOON):
            await TopWriter(redis).write_snapshot(made(at))
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
        env={**os.environ, "VENV": borrow_environment(), **given},
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
        key = await asyncio.to_thread(run, "keys.sh", "make", "grafana")
        backed_up = await asyncio.to_thread(run, "backup.sh", "saved")
    restored = empty(monkeypatch, data)
    came_back = await asyncio.to_thread(run, "restore.sh", "saved")
    async with serves(restored, clock) as api:
        after = await everything(api)
        keys_after = await asyncio.to_thread(run, "keys.sh", "list")

    assert key.stdout[3:11] in keys_after.stdout
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
    assert (said["product"], said["version"], said["feeds"]) == ("data-tracker", __version__, "v1")
    assert (said["made"], said["tick"]) == ("2021-05-17T12:00:00+00:00", NOON + MINUTE)
    assert said["server"].startswith("Valkey ")
    assert said["keys"] > 3 * 24
    assert said["archive"]["candles"] == rows["v1_candles"] == 72
    assert rows["v1_top_coins"] == 3
    assert said["files"]["redis.rdb"]["size"] == (target / "redis.rdb").stat().st_size
    assert len(said["files"]["archive.db"]["sha256"]) == 64


async def test_where_nothing_runs_the_server_runs_for_as_long_as_it_takes(data):
    log = sorted((data / temporary.LOG).iterdir())

    await back_up(data.parent / "saved", NOW)

    assert not is_answering(data / SOCKET)
    assert sorted((data / temporary.LOG).iterdir()) == log
    async with (
        temporary.reach_server(data, StepProgress().report_step("loading")) as address,
        connect(address, "tests") as redis,
    ):
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

    assert {path.stat().st_nlink for path in [*target.iterdir(), *restored.rglob("*.rdb"), *restored.glob("*.db")]} == {
        1
    }
    with sqlite3.connect(restored / "archive.db") as archive:
        archive.execute("DELETE FROM v1_candles")
    archive.close()
    manifests.check_files(target, manifests.read_manifest(target).files, StepProgress().report_step("checking"))


async def test_onto_another_disk_the_snapshot_is_copied(data, monkeypatch):
    def is_another_disk(_one, _other):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", is_another_disk)

    await back_up(data.parent / "saved", NOW)

    manifests.check_files(
        data.parent / "saved",
        manifests.read_manifest(data.parent / "saved").files,
        StepProgress().report_step("checking"),
    )
    assert not (data / "dump.rdb").exists()


# ---- while something is written ---------------------------------------------------------------------------


async def half_a_tick(store: Writer, at: int) -> Callable[[], Awaitable[None]]:
    """Commit the first metric of a tick, as a worker that is slow; return what commits all of it."""
    await store.open()
    found = await read_states(store, at, METRICS)
    heard = SourceReading(Reading("5.5"), "kraken")
    steps = [step for step in map(advance, METRICS, repeat(at), repeat(heard), found) if step]
    changes = store.feeder.open_changes()
    commands.put_updates(changes.home, at, steps[:1], {}, AlertLimits())
    await store.feeder.send(changes)
    return partial(commit, store, at, steps)


async def test_a_snapshot_that_was_cut_inside_a_tick_is_taken_again(data, capsys):
    with servers.running(servers.embedded(), data) as address:
        async with connect(address, "tests") as redis:
            store = Writer(redis)
            await store.lease.take_or_keep("a worker that runs")
            finish = await half_a_tick(store, NOON + 2 * MINUTE)
            backing_up = asyncio.create_task(back_up(data.parent / "saved", NOW))
            await until(lambda: "the snapshot began inside a tick; trying again" in capsys.readouterr().out)

            await finish()
            await backing_up

    assert manifests.read_manifest(data.parent / "saved").tick == NOON + 2 * MINUTE


async def test_a_tick_that_a_killed_worker_left_half_done_is_backed_up_so_and_finished_by_the_next(
    data, capsys, monkeypatch
):
    with servers.running(servers.embedded(), data) as address:
        async with connect(address, "tests") as redis:
            await half_a_tick(Writer(redis), NOON + 2 * MINUTE)

            await back_up(data.parent / "saved", NOW)

    restored = empty(monkeypatch, data)
    await restore(data.parent / "saved")
    assert "no process completes that tick" in capsys.readouterr().out
    with servers.running(servers.embedded(), restored) as address:
        async with connect(address, "tests") as redis:
            store = Writer(redis)
            finish = await half_a_tick(store, NOON + 2 * MINUTE)
            await finish()
            assert [each.at for each in await store.read_metric_states(METRICS)] == [NOON + 2 * MINUTE] * 3


async def test_while_ticks_and_hours_are_written_both_are_of_one_instant(data, monkeypatch):
    """Each round commits a tick, and then an hour whose number says so: so the archive is never ahead of Redis."""
    rounds = 0

    async def write(address: str) -> None:
        nonlocal rounds
        async with connect(address, "tests") as redis, opened(archive) as kept:
            store = Writer(redis)
            await store.open()
            for rounds in range(2, 10_000):
                await commit_tick(NOON + rounds * MINUTE, dict.fromkeys(METRICS, price), store)
                await kept.write([hour("1", start=NOON + rounds * HOUR, metric=METRICS[0])])

    archive, price = f"sqlite+aiosqlite:///{data}/archive.db", SourceReading(Reading("101"), "kraken")
    with servers.running(servers.embedded(), data) as address:
        writing = asyncio.create_task(write(address))
        backed_up = await asyncio.to_thread(run, "backup.sh", "saved")
        writing.cancel()
        await asyncio.wait([writing])

    assert backed_up.returncode == 0, backed_up.stderr
    restored = empty(monkeypatch, data)
    await restore(data.parent / "saved")
    assert rounds > 10
    async with opened(f"sqlite+aiosqlite:///{restored}/archive.db") as kept:
        newest = (await kept.read_newest_hours(METRICS[0])).newest
    manifest = manifests.read_manifest(data.parent / "saved")
    assert newest
    assert manifest.tick
    assert 0 <= (manifest.tick - NOON) // MINUTE - (newest - NOON) // HOUR <= 1


# ---- what is refused --------------------------------------------------------------------------------------


async def refusal(work: Awaitable[None]) -> str:
    with pytest.raises(CommandRefused) as told:
        await work
    assert "\n" not in str(told.value)
    return str(told.value)


async def test_a_redis_of_ones_own_is_left_to_its_own_means(saved, data, monkeypatch):
    monkeypatch.setenv("TRACKER_REDIS_URL", "redis://u:secret@127.0.0.1:1/0")

    tried = await asyncio.to_thread(run, "backup.sh", "other")

    assert (tried.returncode, tried.stdout) == (2, "")
    assert tried.stderr == (
        "TRACKER_REDIS_URL is set, and this is for the embedded database: "
        "see docs/how-to/backup-and-restore.md for a Redis of your own\n"
    )
    assert tried.stderr == await refusal(restore(saved)) + "\n"
    assert sorted(path.name for path in data.parent.iterdir()) == ["data", "saved"]


def test_a_cluster_is_refused_with_what_is_kept_of_it(data):
    tried = run("backup.sh", data / "saved", TRACKER_REDIS_URL="redis://u:secret@127.0.0.1:1,127.0.0.1:2")

    assert (tried.returncode, tried.stdout) == (2, "")
    assert tried.stderr.startswith("TRACKER_REDIS_URL names a cluster, of which no snapshot is one instant: ")
    assert tried.stderr.endswith("see docs/how-to/backup-and-restore.md#a-cluster\n")


def test_wrong_settings_are_said_in_a_line(data):
    tried = run("backup.sh", data / "saved", TRACKER_INTERVAL="7")

    assert (tried.returncode, tried.stdout) == (2, "")
    assert re.fullmatch(r"TRACKER_INTERVAL: '7' is not accepted: .+\n", tried.stderr)


async def test_a_place_that_is_taken_is_left_alone(data):
    place = data.parent / "taken"
    place.mkdir()
    (place / "thesis.txt").touch()
    file = data.parent / "file"
    file.touch()

    assert await refusal(back_up(place, NOW)) == f"{place} is not empty: name a folder that is not there yet"
    assert await refusal(back_up(file, NOW)) == f"{file} is a file: name a folder that is not there yet"
    assert await refusal(back_up(file / "below", NOW)) == f"{file}/below.unfinished cannot be used: Not a directory"
    place.rename(data.parent / "new.unfinished")
    said = await refusal(back_up(data.parent / "new", NOW))
    assert said == f"{data.parent}/new.unfinished holds files that no backup has (thesis.txt): name another folder"


async def test_where_there_is_no_database_there_is_nothing_to_back_up(data, monkeypatch):
    target = data.parent / "saved"
    (data / "archive.db").unlink()

    no_archive = await refusal(back_up(target, NOW))
    nothing = empty(monkeypatch, data)
    no_database = await refusal(back_up(target, NOW))

    assert no_archive.startswith(f"there is no archive at {data}/archive.db: ")
    assert no_database == f"there is no database in {nothing} (TRACKER_DATA_DIR): nothing to back up"
    assert not nothing.exists()
    assert [path.name for path in data.parent.iterdir()] == ["data"]


async def test_an_archive_that_newer_code_has_used_is_not_backed_up(data):
    with sqlite3.connect(data / "archive.db") as archive:
        archive.execute("UPDATE v1_schema SET version_num = '9999'")
    archive.close()

    with pytest.raises(ArchiveError, match="schema is '9999', and this code knows "):
        await back_up(data.parent / "saved", NOW)

    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_a_full_disk_is_said_and_nothing_is_left(data):
    with sqlite3.connect(data / "archive.db") as archive:
        archive.execute("CREATE TABLE large AS SELECT randomblob(200000)")
    archive.close()
    limit = (150_000, resource.RLIM_INFINITY)
    with servers.running(servers.embedded(), data):
        tried = subprocess.run(
            [sys.executable, "-m", "worker", "backup", data.parent / "saved"],
            # The limit holds for what measures coverage, too: it is not measured here.
            env={**{name: os.environ[name] for name in os.environ if "COVERAGE" not in name}, "PYTHONPATH": str(ROOT)},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
            capture_output=True,
            text=True,
        )

    assert tried.returncode == 1
    assert re.fullmatch(r"the archive cannot be copied to \S+/saved.unfinished/archive.db: .+\n", tried.stderr)
    assert [path.name for path in data.parent.iterdir()] == ["data"]


async def test_a_database_whose_own_disk_is_full_is_said_and_nothing_is_left(data):
    with servers.start(servers.embedded(), data) as server:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (20_000, 20_000))

        with pytest.raises(StoreError, match=f"Redis could not write its snapshot into {data}: is its disk full"):
            await back_up(data.parent / "saved", NOW)
        server.kill()

    assert [path.name for path in data.parent.iterdir()] == ["data"]


async def test_one_backup_at_a_time(data):
    claimed = lock_pid_file(data / "run" / "backup.pid")
    write_pid(claimed, 4711)

    said = await refusal(back_up(data.parent / "saved", NOW))
    os.close(claimed)

    assert said == f"process 4711 is backing up {data} just now"


async def test_a_server_that_comes_up_just_now_is_not_disturbed(data):
    claimed = lock_pid_file(data / "run" / "start.pid")
    write_pid(claimed, 4711)

    said = await refusal(back_up(data.parent / "saved", NOW))
    os.close(claimed)

    assert said.startswith("process 4711 starts or stops the database on ")


async def test_a_server_that_is_on_its_way_down_is_waited_for(data):
    claimed = claim_folder(data)
    write_pid(claimed, 4711)
    looked = asyncio.Event()

    used = asyncio.create_task(embedded_used(data, lambda *_: looked.set()))
    await looked.wait()
    os.close(claimed)

    assert await used != f"unix://{data / SOCKET}"


async def test_a_server_that_is_on_its_way_up_is_waited_for_and_used(data):
    with servers.running(servers.embedded(), data):
        (data / SOCKET).rename(data / "not.yet")
        claimed = claim_folder(data)
        write_pid(claimed, 4711)
        looked = asyncio.Event()

        using = asyncio.create_task(embedded_used(data, lambda *_: looked.set()))
        await looked.wait()
        (data / "not.yet").rename(data / SOCKET)
        used = await using
        os.close(claimed)

    assert used == f"unix://{data / SOCKET}"


async def test_a_server_that_never_answers_is_said(data, monkeypatch):
    monkeypatch.setattr(temporary, "LOADING_SECONDS", 0.05)
    claimed = claim_folder(data)
    write_pid(claimed, 4711)

    said = await refusal(back_up(data.parent / "saved", NOW))
    os.close(claimed)

    assert said == f"the database on {data}, process 4711, does not answer; its log says why"


async def embedded_used(data: Path, seen: Callable[[int, int], None]) -> str:
    async with temporary.reach_server(data, seen) as address:
        return address


@pytest.fixture(scope="module")
def made_once(full: Path) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setenv("TRACKER_DATA_DIR", str(full))
        asyncio.run(back_up(Path(folder, "saved"), NOW))
        yield Path(folder, "saved")


@pytest.fixture
def saved(made_once: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A backup, and settings that name an empty data directory."""
    empty(monkeypatch, data)
    return shutil.copytree(made_once, data.parent / "saved")


def changed(saved: Path, **changes: object) -> None:
    path = saved / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage, words",
    [
        pytest.param(lambda saved: flipped(saved / "redis.rdb"), "redis.rdb has another sha256 than", id="snapshot"),
        pytest.param(lambda saved: flipped(saved / "archive.db"), "archive.db has another sha256 than", id="archive"),
        pytest.param(lambda saved: os.truncate(saved / "redis.rdb", 99), "redis.rdb has 99 bytes and", id="cut off"),
        pytest.param(lambda saved: (saved / "archive.db").unlink(), "archive.db is missing", id="gone"),
        pytest.param(lambda saved: (saved / "manifest.json").unlink(), "there is no manifest.json in it", id="none"),
        pytest.param(
            lambda saved: os.truncate(saved / "manifest.json", 99), "manifest.json is damaged: ", id="manifest"
        ),
        pytest.param(lambda saved: changed(saved, files={}), "files must be redis.rdb and archive.db", id="no files"),
        pytest.param(lambda saved: changed(saved, format=2), "manifest.json has format 2, and this", id="format"),
        pytest.param(lambda saved: changed(saved, feeds="v2"), "holds data of v2, and this worker feeds v1", id="v2"),
        pytest.param(
            lambda saved: changed(saved, archive={"revision": "0005", "candles": 1, "rows": {}}, version="1.7.0"),
            "schema '0005', which this version does not know: restore it with data-tracker 1.7.0 or later",
            id="schema",
        ),
        pytest.param(lambda saved: changed(saved, keys=7), "and should give 7 keys and tick", id="other keys"),
        pytest.param(
            lambda saved: changed(saved, archive={"revision": "0004", "candles": 1, "rows": {}}),
            "archive.db does not hold what the manifest says",
            id="other rows",
        ),
    ],
)
async def test_a_backup_that_is_damaged_or_not_for_us_is_refused_and_nothing_is_restored(saved, data, damage, words):
    damage(saved)

    assert words in await refusal(restore(saved))
    left = {path.name for path in data.with_name("restored").rglob("*")}
    assert left <= {"redis.lock", "run", "start.pid"}


async def test_a_snapshot_that_the_server_cannot_load_is_refused_with_its_words(saved, data):
    flipped(saved / "redis.rdb")
    said = json.loads((saved / "manifest.json").read_text())
    said["files"]["redis.rdb"] = manifests.measure_file(saved / "redis.rdb", lambda _done, _of: None).model_dump()
    changed(saved, **said)

    assert "the embedded server cannot load it; its last words: " in await refusal(restore(saved))
    assert not (data.with_name("restored") / temporary.LOG).exists()


async def test_a_backup_of_data_in_another_format_is_refused_and_its_archive_is_named(data, monkeypatch):
    with servers.running(servers.embedded(), data) as address:
        async with connect(address, "tests") as redis:
            await redis.set("v1:format", "0")
    backup = data.with_name("saved")
    await back_up(backup, NOW)
    empty(monkeypatch, data)

    said = await refusal(restore(backup))

    assert said == (
        f"{backup} holds data of format 0, and this data-tracker expects format 1: nothing was restored; to start anew "
        f"with its archive, copy {backup / 'archive.db'} to archive.db in TRACKER_DATA_DIR"
    )
    assert not (data.with_name("restored") / temporary.LOG).exists()


@pytest.mark.parametrize("name", ["appendonlydir", "dump.rdb", "archive.db", "archive.db-wal"])
async def test_a_database_that_is_there_is_never_replaced(saved, data, name):
    there = data.with_name("restored") / name
    there.mkdir(parents=True)

    said = await refusal(restore(saved))

    folder = there.parent
    assert said == f"there is a database already: {there}; to move it aside: mv {folder} {folder}.before"
    assert list(there.iterdir()) == []


async def test_a_server_that_runs_is_not_restored_under(saved, data, monkeypatch):
    monkeypatch.setenv("TRACKER_DATA_DIR", str(data))
    with servers.running(servers.embedded(), data):
        said = await refusal(restore(saved))
    claimed = lock_pid_file(data / "redis.lock")
    write_pid(claimed, 4711)
    starting = await refusal(restore(saved))
    os.close(claimed)

    assert said == f"a server runs on {data}: stop it first; to move it aside: mv {data} {data}.before"
    assert starting.startswith(f"process 4711 runs on {data}: stop it first; ")


async def test_what_a_killed_restore_has_left_is_not_in_the_way(saved, data):
    left = data.with_name("restored") / "restore.unfinished" / temporary.LOG
    left.mkdir(parents=True)
    (data.with_name("restored") / "archive.db.unfinished").touch()

    await restore(saved)

    assert not left.parent.exists()
    assert sorted(path.name for path in data.with_name("restored").iterdir()) == [
        "appendonlydir",
        "archive.db",
        "redis.lock",
        "run",
    ]


# ---- PostgreSQL -------------------------------------------------------------------------------------------


async def test_an_archive_in_postgresql_is_left_to_pg_dump(data, monkeypatch, capsys):
    monkeypatch.setenv("TRACKER_DATABASE_URL", "postgresql+asyncpg://me:secret@db.example:5433/market")
    target = data.parent / "saved"

    await back_up(target, NOW)
    made = capsys.readouterr().out
    empty(monkeypatch, data)
    await restore(target)
    restored = capsys.readouterr().out

    assert manifests.read_manifest(target).archive is None
    assert not (target / "archive.db").exists()
    address = "postgresql://me@db.example:5433/market"
    assert f"pg_dump --dbname={address} --format=custom --file={target}/archive.dump\n" in made
    assert f"pg_restore --dbname={address} --clean --if-exists archive.dump\n" in restored
    assert "secret" not in made + restored
    assert not (data.with_name("restored") / "archive.db").exists()


async def test_a_backup_is_restored_to_the_kind_of_archive_that_it_was_made_of(saved, data, monkeypatch):
    monkeypatch.setenv("TRACKER_DATABASE_URL", "postgresql://me@db/market")
    of_sqlite = await refusal(restore(saved))
    monkeypatch.setenv("TRACKER_DATA_DIR", str(data))
    await back_up(data.parent / "other", NOW)
    monkeypatch.delenv("TRACKER_DATABASE_URL")
    of_postgresql = await refusal(restore(data.parent / "other"))

    assert "TRACKER_DATABASE_URL names PostgreSQL: unset it" in of_sqlite
    assert "set TRACKER_DATABASE_URL to it" in of_postgresql


# ---- killed and stopped -----------------------------------------------------------------------------------


@pytest.mark.parametrize("word, code", [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 1)])
async def test_a_backup_that_is_ended_leaves_no_folder_that_looks_like_one(data, word, code):
    unfinished, target = data.parent / "saved.unfinished", data.parent / "saved"
    environment = {**os.environ, "VENV": borrow_environment(), "TMPDIR": str(data.parent)}
    with subprocess.Popen(
        [ROOT / "scripts" / "backup.sh", "saved"], env=environment, stderr=subprocess.PIPE
    ) as process:
        await until((unfinished / "redis.rdb").exists)
        process.send_signal(word)
        _, said = process.communicate()

    assert process.returncode == code
    assert not target.exists()
    if word is signal.SIGKILL:
        assert "there is no manifest.json in it" in await refusal(restore(unfinished))
    else:
        assert said == b"stopped; unfinished files are removed\n"
        assert not unfinished.exists()
    await until(lambda: not running_in(data.parent))
    await back_up(target, NOW)
    assert not unfinished.exists()


def running_in(folder: Path) -> list[bytes]:
    """Return the processes that name a folder, as each server does whose socket is there."""
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            lines.append((process / "cmdline").read_bytes())
    return [line for line in lines if os.fsencode(folder) in line]


SERVES = """
import asyncio, sys
from pathlib import Path
from worker.embedded.temporary import run_server

async def main(folder):
    async with run_server(Path(folder), lambda done, of: None) as address:
        print(address, flush=True)
        await asyncio.sleep(100)

asyncio.run(main(sys.argv[1]))
"""


async def test_a_server_of_a_killed_script_ends_with_it(data):
    with subprocess.Popen([sys.executable, "-c", SERVES, data], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        socket = Path(process.stdout.readline().strip().removeprefix("unix://"))
        process.kill()

    # Not as soon as it does not answer: it takes its files away after that.
    await until(lambda: not running_in(socket.parent))
    assert not is_answering(socket)
    shutil.rmtree(socket.parent)
