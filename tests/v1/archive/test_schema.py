"""The tables: what the migrations make is what the code asks, and names that a copy does not share."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from tests.support.archive_hours import hour, opened
from v1.archive import connect_archive
from v1.archive.migrate import MIGRATIONS
from v1.archive.revisions import REVISIONS
from v1.archive.schema import SCHEMA_TABLE, metadata

ROOT = Path(__file__).resolve().parents[3]


def test_the_code_knows_every_revision_that_the_migrations_have():
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))

    scripts = ScriptDirectory.from_config(config)

    assert tuple(script.revision for script in reversed([*scripts.walk_revisions()])) == REVISIONS


async def test_the_migrations_make_what_the_code_asks(database):
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"version_table": SCHEMA_TABLE, "compare_type": True})
        return list(compare_metadata(context, metadata))

    async with opened(database), connect_archive(database, "tests", writes=True) as engine, engine.connect() as held:
        assert await held.run_sync(differences) == []


def test_a_copy_of_the_version_has_tables_of_its_own(tmp_path):
    shutil.copytree(ROOT / "v1", tmp_path / "v9", ignore=shutil.ignore_patterns("__pycache__"))
    ask = "from v9.archive.schema import *; print(candles.name, SCHEMA_TABLE, [i.name for i in candles.indexes])"

    said = subprocess.run([sys.executable, "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert said == "v9_candles v9_schema ['v9_candles_start']\n"


@pytest.mark.parametrize("database", ["postgres", "machine_postgres"], indirect=True)
async def test_in_postgresql_numbers_are_numbers_to_whoever_looks_into_the_table(database):
    async with opened(database) as archive:
        await archive.write([hour("1.50", "20")])

    async with connect_archive(database, "tests", writes=True) as engine, engine.connect() as connection:
        assert await connection.scalar(text("SELECT sum(high) * 2 FROM v1_candles WHERE high > 3")) == "40"
