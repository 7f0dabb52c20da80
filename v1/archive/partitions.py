"""
The ranges that PostgreSQL's tables of hours are split into: months or weeks of UTC, made ahead, and let go of whole.

What a partition holds is read from PostgreSQL, never from its name. So the length of new ones may change on data that
is there: a new range ends where the next one that is there begins, and none is made anew.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ..market.candles import MONDAY
from ..model import DAY
from .engine import ArchiveError
from .schema import HOUR_TABLES

WEEK = 7 * DAY

_PARTITIONS = text(
    "SELECT child.relname, pg_get_expr(child.relpartbound, child.oid) "
    "FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid WHERE inhparent = to_regclass(:of)"
)
_BOUND = re.compile(r"FOR VALUES FROM \('(-?\d+)'\) TO \('(-?\d+)'\)")
"""As `pg_get_expr` writes a range of integers."""


class PartitionRange(NamedTuple):
    """The seconds with start <= second < end, both midnights of UTC."""

    start: int
    end: int

    def name_partition(self, table: str) -> str:
        """Return what a table's partition of this range is called: a whole month by its month, others by their first day."""
        first = datetime.fromtimestamp(self.start, UTC)
        return f"{table}_{first:%Y_%m}" if self == find_month(self.start) else f"{table}_{first:%Y_%m_%d}"


class HeldPartition(NamedTuple):
    """A partition that is there."""

    name: str
    range: PartitionRange


class PartitionLength(StrEnum):
    """How long the ranges of new partitions are."""

    MONTH = "month"
    WEEK = "week"

    def find_range(self, second: int) -> PartitionRange:
        """Return the range that a second lies in; weeks begin on Monday."""
        if self is PartitionLength.MONTH:
            return find_month(second)
        start = (second + MONDAY) // WEEK * WEEK - MONDAY
        return PartitionRange(start, start + WEEK)


def find_month(second: int) -> PartitionRange:
    """Return the month of UTC that a second lies in."""
    at = datetime.fromtimestamp(second, UTC)
    ends = (at.year, at.month), (at.year + at.month // 12, at.month % 12 + 1)
    return PartitionRange(*[int(datetime(year, month, 1, tzinfo=UTC).timestamp()) for year, month in ends])


def fit_range(wanted: PartitionRange, second: int, held: Iterable[PartitionRange]) -> PartitionRange:
    """Return the part of a range around a second that no range of `held` lies in; none of them holds the second."""
    start, end = wanted
    for other in held:
        if other.end <= second:
            start = max(start, other.end)
        else:
            end = min(end, other.start)
    return PartitionRange(start, end)


async def read_partitions(connection: AsyncConnection, table: str) -> list[HeldPartition]:
    """Return the partitions of a table, oldest first. Raises `ArchiveError` for one that is not of seconds."""
    found = await connection.execute(_PARTITIONS, {"of": table})
    return sorted([_read_partition(name, bound) for name, bound in found], key=lambda each: each.range)


async def make_partitions(connection: AsyncConnection, days: Iterable[int], length: PartitionLength) -> None:
    """Make partitions of both tables for some days, numbered from 1970-01-01, where there is none yet."""
    wanted = sorted(days)
    for table in HOUR_TABLES:
        held = [each.range for each in await read_partitions(connection, table.name)]
        for day in wanted:
            if not is_held(day, held):
                made = fit_range(length.find_range(day * DAY), day * DAY, held)
                await _make_partition(connection, table.name, made)
                held.append(made)


async def drop_partitions(connection: AsyncConnection, before: int) -> None:
    """Let go of the partitions that hold nothing from `before` on, each in an instant."""
    for table in HOUR_TABLES:
        for partition in await read_partitions(connection, table.name):
            if partition.range.end <= before:
                await connection.execute(text(f"DROP TABLE {partition.name}"))


def is_held(day: int, ranges: Sequence[PartitionRange]) -> bool:
    """Return whether a day lies in one of some ranges."""
    return any(start <= day * DAY < end for start, end in ranges)


def _read_partition(name: str, bound: str | None) -> HeldPartition:
    if not (found := _BOUND.fullmatch(bound or "")):
        raise ArchiveError(
            f"the partition {name} is {bound}, which is no range of seconds as this program makes them; detach it"
        )
    return HeldPartition(name, PartitionRange(*map(int, found.groups())))


async def _make_partition(connection: AsyncConnection, table: str, of: PartitionRange) -> None:
    await connection.execute(
        text(
            f"CREATE TABLE IF NOT EXISTS {of.name_partition(table)} PARTITION OF {table} "
            f"FOR VALUES FROM ({of.start}) TO ({of.end})"
        )
    )
