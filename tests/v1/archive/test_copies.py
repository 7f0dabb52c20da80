"""Copies of the archive: of one instant whatever is written meanwhile, whole in one file, and sound or refused."""

import sqlite3
from pathlib import Path

import pytest

from tests.support.archive_hours import BTC, hour, opened, some_hours
from tests.support.serving import HOUR, NOON
from v1.archive import ArchiveError, copies


def nobody(_done: int, _of: int) -> None:
    pass


async def test_what_is_committed_after_a_view_began_is_seen_to_come_and_is_not_in_the_copy(tmp_path: Path):
    path, copied, far = tmp_path / "archive.db", tmp_path / "copy.db", []
    async with opened(f"sqlite+aiosqlite:///{path}") as archive:
        hours = some_hours(200)
        await archive.write(hours)
        with copies.open_view(path, nobody) as view:
            before = view.is_newest()
            await archive.write([hour("1", start=NOON - HOUR)])
            after = view.is_newest()
            view.copy(copied, lambda done, of: far.append((done, of)))
            contents = view.read_contents()

    assert (before, after) == (True, False)
    assert contents == copies.read_copy(copied, nobody)
    assert (contents.candles, contents.schema) == (len(hours), "0004")
    assert far[-1][0] == far[-1][1] > 0
    assert not [end for end in copies.BESIDE if Path(f"{copied}{end}").exists()]
    async with opened(f"sqlite+aiosqlite:///{copied}") as archive:
        assert await archive.read_hours(BTC, 0, 2**40) == hours


async def test_a_copy_that_is_damaged_is_said_in_one_line(tmp_path: Path):
    path = tmp_path / "archive.db"
    async with opened(f"sqlite+aiosqlite:///{path}") as archive:
        await archive.write(some_hours(500))
    content = bytearray(path.read_bytes())
    content[4096 * 6 : 4096 * 6 + 2000] = bytes(2000)
    path.write_bytes(content)

    with pytest.raises(ArchiveError) as told:
        copies.read_copy(path, nobody)

    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "content, words",
    [
        pytest.param(b"not a database at all" * 500, "file is not a database", id="another file"),
        pytest.param(b"", "no archive of ours", id="empty"),
    ],
)
def test_what_is_no_archive_is_said(tmp_path: Path, content: bytes, words: str):
    (tmp_path / "archive.db").write_bytes(content)

    with pytest.raises(ArchiveError, match=words):
        copies.read_copy(tmp_path / "archive.db", nobody)


async def test_a_question_that_takes_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(copies, "STEPS", 100)
    path, told = tmp_path / "archive.db", []
    async with opened(f"sqlite+aiosqlite:///{path}") as archive:
        await archive.write(some_hours(50))
    with sqlite3.connect(path) as checkpointed:
        checkpointed.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    checkpointed.close()

    copies.read_copy(path, lambda *far: told.append(far))

    assert set(told) == {(0, 0)}


def test_the_tools_of_postgresql_are_called_without_the_password():
    called = copies.format_tool_command("pg_dump", "postgresql+asyncpg://me:secret@db:5433/market?ssl=require")

    assert called == "pg_dump --dbname=postgresql://me@db:5433/market"
    assert copies.find_archive_file("postgresql+asyncpg://me@db/market") is None
