"""
Whether an extension of PostgreSQL keeps the tables of hours, as its own catalogue says.

TimescaleDB    `timescaledb_information.hypertables` lists them: it splits them itself, into chunks of its own.
Citus          `pg_dist_partition` lists them: our partitions, the rows of each on several servers.

In a database that has an extension, and tables that it does not keep, everything is as in PostgreSQL by itself.
"""

from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from .schema import HOUR_TABLES, candles

_NAMES = text("SELECT extname FROM pg_extension WHERE extname IN ('timescaledb', 'citus')")
_IS_HYPERTABLE = text(
    "SELECT EXISTS (SELECT FROM timescaledb_information.hypertables "
    "WHERE format('%I.%I', hypertable_schema, hypertable_name)::regclass = to_regclass(:table))"
)
_IS_DISTRIBUTED = text("SELECT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = to_regclass(:table))")
_DROP_CHUNKS = text("SELECT count(*) FROM drop_chunks(to_regclass(:table), older_than => CAST(:before AS bigint))")


class TableLayout(StrEnum):
    """How PostgreSQL keeps the tables of hours."""

    PARTITIONS = "partitions"
    """Split by us."""
    HYPERTABLES = "hypertables"
    """Split by TimescaleDB."""
    DISTRIBUTED = "distributed partitions"
    """Split by us, on several servers of Citus."""

    @property
    def has_partitions(self) -> bool:
        """Whether partitions are made and dropped by us."""
        return self is not TableLayout.HYPERTABLES


async def read_layout(connection: AsyncConnection) -> TableLayout:
    """Return how the tables of hours are kept, by the one of what was sampled."""
    names = set(await connection.scalars(_NAMES))
    asked = {"table": candles.name}
    if "timescaledb" in names and await connection.scalar(_IS_HYPERTABLE, asked):
        return TableLayout.HYPERTABLES
    if "citus" in names and await connection.scalar(_IS_DISTRIBUTED, asked):
        return TableLayout.DISTRIBUTED
    return TableLayout.PARTITIONS


async def drop_chunks(connection: AsyncConnection, before: int) -> None:
    """Have TimescaleDB let go of the chunks that hold nothing from `before` on."""
    for table in HOUR_TABLES:
        await connection.execute(_DROP_CHUNKS, {"table": table.name, "before": before})
