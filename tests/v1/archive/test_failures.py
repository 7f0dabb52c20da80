"""What goes wrong with a database, what it is called here, and that nothing is ever half-written."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.archive_hours import BTC, hour, opened, some_hours
from tests.support.serving import HOUR, NOON
from v1.archive import ArchiveAway, ArchiveError, connect_archive
from v1.archive.writer import ArchiveWriter
from v1.model import Metric

ROOT = Path(__file__).resolve().parents[3]

WRITES = """
import asyncio, resource, sys
from tests.support.archive_hours import hour, opened
from v1.archive import ArchiveError
from v1.model import Metric

async def main(address, limit):
    one = hour("1", "2.5")
    async with opened(address) as archive:
        if int(limit):
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
        for place in range(10_000):
            print(place, flush=True)
            await archive.write([one._replace(metric=Metric(f"A:{each}"), start=place * 3600) for each in range(200)])

try:
    asyncio.run(main(*sys.argv[1:]))
except ArchiveError as error:
    print(type(error).__name__, error, flush=True)
"""
"""Writes hours of 200 metrics each, one after the other; may write no file longer than so many bytes."""


def writing(address: str, limit: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITES, address, str(limit)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


async def counts(address: str) -> list[int]:
    """Return how many metrics each hour has, from the first on, until there is none."""
    async with opened(address) as archive:
        found: list[int] = []
        while known := await archive.read_counts(len(found) * HOUR):
            found.append(len(known))
        return found


async def refusal(address: str, kind: type[ArchiveError] = ArchiveError) -> str:
    """Return what is said when the archive cannot be opened; see that it is exactly of a kind."""
    with pytest.raises(ArchiveError) as told:
        async with opened(address):
            pass
    assert type(told.value) is kind, told.value
    assert "\n" not in str(told.value)
    return str(told.value)


async def test_killed_while_writing_it_has_whole_hours_only_and_goes_on(database):
    for wait in (0.0, 0.02, 0.05):
        with writing(database) as process:
            assert process.stdout
            for line in process.stdout:
                if line == "3\n":
                    await asyncio.sleep(wait)
                    process.send_signal(signal.SIGKILL)
                    break
        found = await counts(database)

        assert len(found) >= 3
        assert set(found) == {200}


async def test_stopped_while_writing_it_has_whole_hours_only_and_goes_on(database):
    one = hour("1", "2.5")
    async with opened(database) as archive:
        for place in range(30):
            hours = [one._replace(metric=Metric(f"A:{each}"), start=place * HOUR) for each in range(500)]
            writing = asyncio.create_task(archive.write(hours))
            await asyncio.sleep(place * 0.001)
            writing.cancel()
            await asyncio.wait([writing])
            assert len(await archive.read_counts(place * HOUR)) in (0, 500)

        assert await archive.write([one]) == 1


async def test_a_full_disk_is_away_and_nothing_is_half_written(tmp_path):
    address = f"sqlite+aiosqlite:///{tmp_path}/archive.db"
    with writing(address, 300_000) as process:
        assert process.stdout
        *places, said = process.stdout.read().splitlines()

    assert said.startswith("ArchiveAway the archive is away: ")
    assert await counts(address) == [200] * (len(places) - 1)


async def test_a_file_that_may_not_be_written_is_said(tmp_path):
    async with opened(f"sqlite+aiosqlite:///{tmp_path}/archive.db") as archive:
        await archive.write([hour("1")])

    said = await refusal(f"sqlite+aiosqlite:///{tmp_path}/archive.db?mode=ro")

    assert said == "the archive said: attempt to write a readonly database"


async def test_a_file_that_is_no_database_is_said(tmp_path):
    (tmp_path / "archive.db").write_bytes(b"timestamp,open,high,low,close,volume\n" * 50)

    assert await refusal(f"sqlite+aiosqlite:///{tmp_path}/archive.db") == "the archive said: file is not a database"


async def test_a_place_where_no_file_can_be_is_said(tmp_path):
    (tmp_path / "file").touch()

    said = await refusal(f"sqlite+aiosqlite:///{tmp_path}/file/archive.db", ArchiveAway)

    assert said.startswith("the archive is away: ")


async def test_a_writer_that_holds_the_file_is_waited_for_and_then_away(tmp_path, monkeypatch):
    monkeypatch.setattr("v1.archive.engine.LOCKED_SECONDS", 0.1)
    async with opened(f"sqlite+aiosqlite:///{tmp_path}/archive.db") as archive:
        holder = sqlite3.connect(tmp_path / "archive.db")
        holder.execute("BEGIN IMMEDIATE")

        with pytest.raises(ArchiveAway, match="database is locked"):
            await archive.write([hour("1")])
        assert await archive.read_metrics(0) == [], "who reads is not kept waiting"
        holder.close()
        assert await archive.write([hour("1")]) == 1


async def test_a_reader_cannot_write(tmp_path):
    address = f"sqlite+aiosqlite:///{tmp_path}/archive.db"
    async with opened(address):
        pass

    async with connect_archive(address, "tests", writes=False) as engine:
        with pytest.raises(ArchiveError, match="readonly"):
            await ArchiveWriter(engine).write([hour("1")])


@pytest.mark.parametrize(
    "address, kind, words",
    [
        pytest.param(
            "postgresql+asyncpg://postgres@/none?host={folder}", ArchiveError, "does not exist", id="no database"
        ),
        pytest.param("postgresql+asyncpg://nobody@/postgres?host={folder}", ArchiveError, "role", id="no such user"),
        pytest.param(
            "postgresql+asyncpg://postgres@/postgres?host=/nowhere", ArchiveAway, "No such file", id="no socket"
        ),
        pytest.param(
            "postgresql+asyncpg://u:secret@127.0.0.1:1/x", ArchiveAway, "Connect call failed", id="nobody listens"
        ),
    ],
)
async def test_what_a_server_refuses_is_told_from_one_that_is_away(postgres, address, kind, words):
    said = await refusal(address.format(folder=postgres.folder), kind)

    assert words in said
    assert "secret" not in said


async def test_an_address_that_nobody_can_read_is_said():
    assert (await refusal("postgresql+asyncpg://host:port/x")).startswith("TRACKER_DATABASE_URL cannot be read: ")


async def test_a_server_that_is_killed_is_away_and_afterwards_all_is_well():
    with postgres.running(postgres.wheel()) as server:
        async with opened(server.address()) as archive:
            expected = []
            for round_ in range(3):
                hours = some_hours(5, start=NOON + round_ * 10 * HOUR)
                await archive.write(hours)
                expected += hours
                server.kill()
                with pytest.raises(ArchiveAway):
                    await archive.write([hour("1", start=NOON - HOUR)])
                with pytest.raises(ArchiveAway):
                    await archive.read_metrics(0)
                server.start()

                assert await archive.read_hours(BTC, 0, 2**40) == expected


async def test_killed_while_it_is_written_to_it_has_whole_hours_only():
    with postgres.running(postgres.wheel()) as server:
        with writing(server.address()) as process:
            assert process.stdout
            for line in process.stdout:
                if line == "5\n":
                    server.kill()
                    break
            said = process.stdout.read().splitlines()[-1]
        server.start()

        assert said.startswith("ArchiveAway the archive is away: ")
        assert set(await counts(server.address())) == {200}
