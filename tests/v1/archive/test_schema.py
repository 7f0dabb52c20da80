"""The tables: what the migrations make is what the code asks; months in PostgreSQL; names that a copy does not share."""

import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from tests.support.archive_hours import BTC, hour, opened
from tests.support.serving import DAY, NOON
from v1.archive import connect_archive, partitions
from v1.archive.migrate import MIGRATIONS
from v1.archive.partitions import Month, find_month
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


@pytest.mark.parametrize(
    "second, month",
    [
        (datetime(2021, 5, 17, 12, tzinfo=UTC), Month(2021, 5)),
        (datetime(2021, 12, 31, 23, 59, 59, tzinfo=UTC), Month(2021, 12)),
        (datetime(2022, 1, 1, tzinfo=UTC), Month(2022, 1)),
        (datetime(1970, 1, 1, tzinfo=UTC), Month(1970, 1)),
    ],
)
def test_a_month_begins_where_the_one_before_it_ends(second, month):
    at = int(second.timestamp())

    assert find_month(at) == month
    assert month.start <= at < month.end
    assert find_month(month.end) == month.next_month
    assert month.next_month.start == month.end


async def list_partitions(address: str, table: str = "v1_candles") -> list[str]:
    async with connect_archive(address, "tests", writes=True) as engine, engine.connect() as connection:
        return sorted(await connection.scalars(partitions._PARTITIONS, {"of": table}))


@pytest.mark.parametrize("database", ["postgres", "machine_postgres"], indirect=True)
async def test_in_postgresql_each_month_has_its_partition_made_ahead_and_dropped_whole(database):
    may, june = datetime(2021, 5, 31, 23, tzinfo=UTC), datetime(2021, 6, 1, tzinfo=UTC)
    hours = [hour("1", start=int(may.timestamp())), hour("2", start=int(june.timestamp()))]
    async with opened(database) as archive:
        await archive.write([hour("3", start=NOON - 40 * DAY), *hours])
        made = await list_partitions(database)
        await archive.prepare(hours[1].start)
        ahead = await list_partitions(database)

        await archive.trim(hours[0].start)

        assert await list_partitions(database, "v1_exchange_candles") == [
            name.replace("v1_candles", "v1_exchange_candles") for name in ahead[1:]
        ]
        assert made == [f"v1_candles_2021_{month:02}" for month in (4, 5, 6)]
        assert ahead == [*made, "v1_candles_2021_07"]
        assert await list_partitions(database) == ahead[1:]
        assert await archive.read_hours(BTC, 0, 2**40) == hours


@pytest.mark.parametrize("database", ["postgres", "machine_postgres"], indirect=True)
async def test_in_postgresql_numbers_are_numbers_to_whoever_looks_into_the_table(database):
    async with opened(database) as archive:
        await archive.write([hour("1.50", "20")])

    async with connect_archive(database, "tests", writes=True) as engine, engine.connect() as connection:
        assert await connection.scalar(text("SELECT sum(high) * 2 FROM v1_candles WHERE high > 3")) == "40"
