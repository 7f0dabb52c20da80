"""The months that PostgreSQL's tables of hours are split into: what each is called, made ahead, and let go of whole."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from .schema import HOUR_TABLES

_PARTITIONS = text(
    "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid WHERE inhparent = to_regclass(:of)"
)


class Month(NamedTuple):
    """A month of UTC."""

    year: int
    number: int

    def name_partition(self, table: str) -> str:
        """Return the name of a table's partition."""
        return f"{table}_{self.year:04}_{self.number:02}"

    @property
    def start(self) -> int:
        return int(datetime(self.year, self.number, 1, tzinfo=UTC).timestamp())

    @property
    def next_month(self) -> "Month":
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    @property
    def end(self) -> int:
        return self.next_month.start


def find_month(second: int) -> Month:
    at = datetime.fromtimestamp(second, UTC)
    return Month(at.year, at.month)


async def make_partitions(connection: AsyncConnection, months: Iterable[Month]) -> None:
    """Make the partitions of some months, of both tables, where they are not there yet."""
    wanted = sorted(months)
    for table in HOUR_TABLES:
        held = set(await connection.scalars(_PARTITIONS, {"of": table.name}))
        for month in wanted:
            name = month.name_partition(table.name)
            if name not in held:
                await connection.execute(
                    text(
                        f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table.name} "
                        f"FOR VALUES FROM ({month.start}) TO ({month.end})"
                    )
                )


async def drop_partitions(connection: AsyncConnection, before: int) -> None:
    """Let go of the partitions that hold nothing from `before` on, each in an instant."""
    for table in HOUR_TABLES:
        for name in await connection.scalars(_PARTITIONS, {"of": table.name}):
            year, number = map(int, name.removeprefix(f"{table.name}_").split("_"))
            if Month(year, number).end <= before:
                await connection.execute(text(f"DROP TABLE {name}"))
