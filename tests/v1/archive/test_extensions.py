"""
TimescaleDB and Citus are recognised by what their catalogues say of our tables.

Neither can be had from a wheel or from Debian: a stand-in answers as their documentation says of the views and
functions that are asked, in a PostgreSQL without them.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.archive_hours import BTC, hour, opened
from tests.support.documents import blocks_of
from tests.support.postgres import Server, told
from tests.support.serving import DAY, HOUR, NOON
from v1.archive import connect_archive
from v1.archive.extensions import TableLayout
from v1.archive.ordering import PartitionOrderer
from v1.archive.schema import HOUR_TABLES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "postgresql.md"
DATABASE = "extended"
HAS = (
    "SET allow_system_table_mods = on",
    "INSERT INTO pg_extension VALUES (99999, '{}', 10, 2200, false, '1.0')",
)
HYPERTABLES = (
    "CREATE SCHEMA timescaledb_information",
    "CREATE TABLE timescaledb_information.hypertables (hypertable_schema name, hypertable_name name)",
    "CREATE TABLE dropped (of regclass, before bigint)",
    """
    CREATE FUNCTION drop_chunks(relation regclass, older_than bigint) RETURNS SETOF text LANGUAGE sql AS $$
        INSERT INTO dropped VALUES (relation, older_than) RETURNING 'a chunk'
    $$
    """,
)
MAKE_HYPERTABLES = (
    "CREATE FUNCTION by_range(name, bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT $2 $$",
    # With a chunk: a table that inherits.
    """
    CREATE FUNCTION create_hypertable(relation regclass, dimension bigint) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO timescaledb_information.hypertables VALUES ('public', relation::text);
        EXECUTE format('CREATE TABLE %I () INHERITS (%s)', relation::text || '_chunk', relation);
        RETURN 'a hypertable';
    END $$
    """,
)
DISTRIBUTE = (
    "CREATE TABLE pg_dist_partition (logicalrelid regclass)",
    "INSERT INTO pg_dist_partition VALUES ('v1_candles'), ('v1_exchange_candles')",
)


@pytest.fixture
async def address(postgres: Server) -> AsyncIterator[str]:
    """A database of its own: what says that it has an extension would be there for the tests that follow."""
    await told(postgres, f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)", f"CREATE DATABASE {DATABASE}")
    yield postgres.address(DATABASE)
    await told(postgres, f"DROP DATABASE {DATABASE} WITH (FORCE)")


async def tell(address: str, *statements: str) -> None:
    async with connect_archive(address, "tests", writes=True) as engine, engine.begin() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)


async def ask(address: str, question: str) -> list[tuple[object, ...]]:
    async with connect_archive(address, "tests", writes=False) as engine, engine.connect() as connection:
        return [tuple(row) for row in await connection.exec_driver_sql(question)]


async def has_begun_ordering(address: str) -> bool:
    async with connect_archive(address, "tests", writes=True) as engine:
        return await PartitionOrderer(engine).advance(NOON + 60 * DAY) is not None


async def test_hypertables_are_written_read_and_trimmed_without_partitions_of_ours(address: str):
    async with opened(address):
        pass
    await tell(address, *[each.format("timescaledb") for each in HAS], *HYPERTABLES, *MAKE_HYPERTABLES)
    (shown,) = [block.text for block in blocks_of(PAGE) if block.label == "hypertables"]
    await tell(address, *[each for each in shown.split(";") if each.strip() not in {"BEGIN", "COMMIT", ""}])
    hours = [hour("1.50", start=NOON + each * HOUR) for each in range(5)]

    async with opened(address) as archive:
        await archive.prepare(NOON)
        assert await archive.write(hours) == 5
        assert await archive.write([hours[0]._replace(samples=2)]) == 1
        await archive.trim(NOON + HOUR)

        assert archive.layout is TableLayout.HYPERTABLES
        assert await archive.read_hours(BTC, 0, 2**40) == hours[1:]
    assert await ask(address, "SELECT of::text, before FROM dropped") == [
        (table.name, NOON + HOUR) for table in HOUR_TABLES
    ]
    assert await ask(address, "SELECT relname FROM pg_class WHERE relispartition") == []
    assert not await has_begun_ordering(address)


async def test_distributed_tables_have_our_partitions_and_are_not_rewritten(address: str):
    async with opened(address):
        pass
    await tell(address, *[each.format("citus") for each in HAS], *DISTRIBUTE)

    async with opened(address) as archive:
        assert await archive.write([hour("1")]) == 1

        assert archive.layout is TableLayout.DISTRIBUTED
        assert await archive.read_hours(BTC, 0, 2**40) == [hour("1")]
    assert await ask(address, "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' ORDER BY 1") == [
        ("v1_candles_2021_05",),
        ("v1_exchange_candles_2021_05",),
    ]
    assert not await has_begun_ordering(address)


@pytest.mark.parametrize("extension", ["timescaledb", "citus"])
async def test_tables_that_an_extension_does_not_keep_are_as_in_postgresql_by_itself(address: str, extension: str):
    catalogue = "CREATE TABLE pg_dist_partition (logicalrelid regclass)"
    await tell(address, *[each.format(extension) for each in HAS], *HYPERTABLES, catalogue)

    async with opened(address) as archive:
        await archive.write([hour("1")])

        assert archive.layout is TableLayout.PARTITIONS
    assert await has_begun_ordering(address)


async def test_what_another_schema_has_of_the_same_name_is_not_ours(address: str):
    await tell(
        address,
        *[each.format("timescaledb") for each in HAS],
        *HYPERTABLES,
        "CREATE SCHEMA other",
        "CREATE TABLE other.v1_candles (start bigint)",
        "INSERT INTO timescaledb_information.hypertables VALUES ('other', 'v1_candles')",
    )

    async with opened(address) as archive:
        assert archive.layout is TableLayout.PARTITIONS
