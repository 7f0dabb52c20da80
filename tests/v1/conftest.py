"""
What tests of version 1 may ask for, beside the servers of the whole suite.

    clock    says the time that it was told
    writer   feeds the store that the API reads
    archive  feeds the archive that the API reads
    api      the API, served on a loopback port
"""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.serving import Api, Clock, serving
from v1.archive import connect_archive
from v1.archive.writer import ArchiveWriter
from v1.store import Writer, connect


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def writer(server: str) -> AsyncIterator[Writer]:
    async with connect(server, "tests") as redis:
        yield Writer(redis)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def empty_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the tables in it, made once, because each test wants one."""
    path = tmp_path_factory.mktemp("archive") / "archive.db"
    async with connect_archive(f"sqlite+aiosqlite:///{path}", "tests", writes=True) as engine:
        await ArchiveWriter(engine).open()
    return path


@pytest.fixture
def archive_address(empty_archive: Path, tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{shutil.copy(empty_archive, tmp_path)}"


@pytest.fixture
async def archive(archive_address: str) -> AsyncIterator[ArchiveWriter]:
    async with connect_archive(archive_address, "tests", writes=True) as engine:
        yield ArchiveWriter(engine)


@pytest.fixture
async def api(server: str, clock: Clock, archive_address: str) -> AsyncIterator[Api]:
    async with serving(clock, server, database_url=archive_address) as served:
        yield served
