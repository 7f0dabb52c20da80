"""
Which partitions are in the order of their key, and what is left of rewriting one: as PostgreSQL's catalogue has it.

Beside a partition `v1_candles_2021_05` there are, while it is rewritten:

    v1_candles_2021_05_ordered     its copy in the order of the key
    v1_candles_2021_05_changes     the keys of rows that were written since the copy was begun, by a trigger
    v1_candles_2021_05_replaced    what it was before, from the exchange of the two until it is dropped

Nothing else is remembered: whoever goes on after a kill finds here how far it was.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, MetaData, Table, Text, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ..partitions import PartitionRange, read_partitions
from ..schema import HOUR_TABLES, VERSION

COPY, CHANGES, REPLACED = "_ordered", "_changes", "_replaced"
TRIGGER = f"{VERSION}_note_change"
"""What the trigger is called, and its function."""
GROWTH, LEAST_GROWTH = 1.25, 1024**2
"""A partition is rewritten again when it is that many times as large as when it was ordered, and that many bytes larger."""

_BESIDE = re.compile(rf"_\d{{4}}_\d\d(_\d\d)?({COPY}|{CHANGES}|{REPLACED})")
"""What the names of tables beside partitions end with."""
_MARK = re.compile(r"in key order, (\d+) bytes")
_TABLES = text(
    """
    SELECT c.relname, c.oid::bigint, obj_description(c.oid, 'pg_class'), pg_relation_size(c.oid),
        EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = :trigger)
    FROM pg_class c
    WHERE c.relkind = 'r' AND starts_with(c.relname, :prefix)
        AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass(:of))
    """
)


class OrderedPartition(NamedTuple):
    """A partition, and what stands beside it while it is rewritten."""

    table: Table
    """The table that it is a part of."""
    name: str
    range: PartitionRange
    copy_id: int | None
    """PostgreSQL's own number of the copy, of which no other copy has the same; `None`: none was begun."""

    @property
    def held(self) -> Table:
        """The partition itself."""
        return self.table.to_metadata(MetaData(), name=self.name)

    @property
    def copy(self) -> Table:
        return self.table.to_metadata(MetaData(), name=self.name + COPY)

    @property
    def changes(self) -> Table:
        columns = Column("id", BigInteger, primary_key=True), Column("metric", Text), Column("start", BigInteger)
        return Table(self.name + CHANGES, MetaData(), *columns)


class OrderingWork(NamedTuple):
    """What there is to do for one table."""

    noted: Sequence[str]
    """Partitions whose changes are noted without need."""
    leftovers: Sequence[str]
    """Tables that nothing needs any more."""
    begun: OrderedPartition | None
    """The partition that a copy was begun of."""
    next: OrderedPartition | None
    """The oldest partition that is to be rewritten."""


class _FoundTable(NamedTuple):
    id: int
    comment: str | None
    size: int
    has_trigger: bool

    @property
    def is_ordered(self) -> bool:
        """Whether it is in order, or empty. What was added since lies behind the rest."""
        mark = _MARK.fullmatch(self.comment or "")
        ordered = int(mark[1]) if mark else 0
        return self.size == 0 or (mark is not None and self.size <= ordered * GROWTH + LEAST_GROWTH)


def format_mark(size: int) -> str:
    """Return the comment of a partition that was in order when it had that many bytes."""
    return f"in key order, {size} bytes"


async def find_work(connection: AsyncConnection, before: int) -> OrderingWork | None:
    """Return what is to be done for partitions that are over at `before`; `None`: nothing."""
    for table in HOUR_TABLES:
        work = await _find_work(connection, table, before)
        if any(work):
            return work
    return None


async def _find_work(connection: AsyncConnection, table: Table, before: int) -> OrderingWork:
    partitions = await read_partitions(connection, table.name)
    asked = {"trigger": TRIGGER, "prefix": f"{table.name}_", "of": table.name}
    found = {name: _FoundTable(*facts) for name, *facts in await connection.execute(_TABLES, asked)}
    begun, over, noted, needed = None, [], [], set()
    for name, covered in partitions:
        # Without its trigger a copy lacks what was written meanwhile.
        is_begun = {name, name + COPY, name + CHANGES} <= found.keys() and found[name].has_trigger
        partition = OrderedPartition(table, name, covered, found[name + COPY].id if is_begun else None)
        if is_begun:
            begun = begun or partition
            needed |= {name + COPY, name + CHANGES}
        elif name in found and found[name].has_trigger:
            noted.append(name)
        if covered.end <= before and name in found and not found[name].is_ordered:
            over.append(partition)
    leftovers = sorted(
        name for name in found if _BESIDE.fullmatch(name.removeprefix(table.name)) and name not in needed
    )
    return OrderingWork(noted, leftovers, begun, over[0] if over else None)
