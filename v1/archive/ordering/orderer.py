"""
One piece after the other of rewriting partitions, each a transaction of its own.

A partition is copied in the order of its key beside itself, the copy is compared with it row by row, what was written
meanwhile is taken over, and the two are exchanged. Only the exchange locks who reads, for as long as PostgreSQL's
catalogue is changed; where somebody reads or writes for longer than it waits, it is left, to be tried again.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ..engine import ArchiveError, is_sqlite, open_transaction
from ..extensions import TableLayout, read_layout
from ..migrate import LOCK
from . import copying
from .copying import FIRST, RowKey
from .tables import CHANGES, COPY, REPLACED, TRIGGER, OrderedPartition, OrderingWork, find_work, format_mark

ONE_AT_A_TIME = LOCK + 1
"""What PostgreSQL's advisory lock is called that whoever does a piece holds."""
PIECE_SECONDS = 30
"""One statement takes no longer."""
LOCK_MILLISECONDS = 250
"""How long the exchange waits for who reads or writes; whoever comes after it waits for it as long."""
FEW_CHANGES = 1_000
"""So many rows are taken over while the exchange holds its lock, at most: some hundredths of a second."""


class OrderingStep(StrEnum):
    """What was done to a partition."""

    COPY = "copy"
    COMPARE = "compare"
    EXCHANGE = "exchange"
    DROP = "drop"


class OrderingProgress(NamedTuple):
    """A piece that was done."""

    partition: str
    step: OrderingStep
    rows: int
    """How many were copied, compared, or taken over."""


class _Comparison(NamedTuple):
    """How far a copy that is whole was compared: up to a key, or to the end."""

    copy_id: int | None
    last: RowKey | None


_NOTHING = _Comparison(None, FIRST)


class PartitionOrderer:
    """
    Rewrites partitions one at a time; SQLite keeps all rows in the order of their key by itself.

    Several processes may have one: who does a piece is alone, and goes on where the one before was. Methods raise
    what `ArchiveWriter`'s do, and `ArchiveBusy` where somebody else keeps a partition locked.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._compared = _NOTHING

    async def advance(self, before: int) -> OrderingProgress | None:
        """Do one piece for the partitions that are over at `before`; `None`: there is none to do, or somebody else does."""
        if is_sqlite(self._engine):
            return None
        async with self._open_alone() as connection:
            # TimescaleDB puts chunks in order by a policy of its own, and Citus takes no trigger.
            if connection is None or await read_layout(connection) is not TableLayout.PARTITIONS:
                return None
            work = await find_work(connection, before)
            if work is None:
                return None
            progress, compared = await self._do_piece(connection, work)
        # Not before it is committed.
        self._compared = compared
        return progress

    async def drop_copies(self) -> None:
        """Let go of every copy that was begun; the partitions stay as they are."""
        async with self._open_alone() as connection:
            while connection is not None and (work := await find_work(connection, 0)) is not None:
                await _drop_leftovers(connection, work)
                if work.begun:
                    await _drop_copy(connection, work.begun)

    @asynccontextmanager
    async def _open_alone(self) -> AsyncIterator[AsyncConnection | None]:
        """Return a connection for one piece; `None` while somebody else does one."""
        async with open_transaction(self._engine) as connection:
            await connection.exec_driver_sql(f"SET LOCAL statement_timeout = {PIECE_SECONDS * 1000}")
            await connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
            asked = text("SELECT pg_try_advisory_xact_lock(:lock)")
            is_alone = await connection.scalar(asked, {"lock": ONE_AT_A_TIME})
            yield connection if is_alone else None

    async def _do_piece(
        self, connection: AsyncConnection, work: OrderingWork
    ) -> tuple[OrderingProgress | None, _Comparison]:
        if work.noted or work.leftovers:
            await _drop_leftovers(connection, work)
            return OrderingProgress([*work.leftovers, *work.noted][0], OrderingStep.DROP, 0), self._compared
        if work.begun is not None:
            return await self._advance_copy(connection, work.begun)
        if work.next is None:
            return None, self._compared
        await copying.begin_copy(connection, work.next)
        return OrderingProgress(work.next.name, OrderingStep.COPY, 0), _NOTHING

    async def _advance_copy(
        self, connection: AsyncConnection, partition: OrderedPartition
    ) -> tuple[OrderingProgress, _Comparison]:
        name, compared = partition.name, self._compared
        if compared.copy_id != partition.copy_id:
            copied = await copying.copy_piece(connection, partition)
            is_whole = copied < copying.PIECE
            return (
                OrderingProgress(name, OrderingStep.COPY, copied),
                _Comparison(partition.copy_id, FIRST) if is_whole else _NOTHING,
            )
        if await copying.count_changes(connection, partition) > FEW_CHANGES:
            taken = await copying.take_over_changes(connection, partition)
            return OrderingProgress(name, OrderingStep.COPY, taken), compared
        if compared.last is None:
            taken = await _exchange(connection, partition)
            return OrderingProgress(name, OrderingStep.EXCHANGE, taken), _NOTHING
        last = await copying.find_piece_end(connection, partition, compared.last)
        rows, different = await copying.compare_piece(connection, partition, compared.last, last)
        if different:
            raise ArchiveError(f"the copy of {name} in the order of its key differs from it in {different:,} rows")
        return OrderingProgress(name, OrderingStep.COMPARE, rows), _Comparison(partition.copy_id, last)


async def _exchange(connection: AsyncConnection, partition: OrderedPartition) -> int:
    """Put the copy in the partition's place, and return how many changes it took over; the partition is to be dropped."""
    table, name, (start, end) = partition.table.name, partition.name, partition.range
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    # First the table, as everybody does who comes through it: so nobody waits for us who is waited for.
    await connection.exec_driver_sql(f"LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE")
    await connection.exec_driver_sql(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
    taken = 0
    while some := await copying.take_over_changes(connection, partition):
        taken += some
    size = await connection.scalar(text("SELECT pg_relation_size(to_regclass(:name))"), {"name": name + COPY})
    for statement in (
        f"ALTER TABLE {table} DETACH PARTITION {name}",
        f"DROP TRIGGER {TRIGGER} ON {name}",
        f"DROP TABLE {name}{CHANGES}",
        f"ALTER TABLE {name} RENAME TO {name}{REPLACED}",
        f"ALTER TABLE {name}{COPY} RENAME TO {name}",
        f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})",
        f"ALTER TABLE {name} DROP CONSTRAINT {name}{COPY}_range",
        f"COMMENT ON TABLE {name} IS '{format_mark(size)}'",
    ):
        await connection.exec_driver_sql(statement)
    return taken


async def _drop_leftovers(connection: AsyncConnection, work: OrderingWork) -> None:
    for name in work.noted:
        await connection.exec_driver_sql(f"DROP TRIGGER {TRIGGER} ON {name}")
    for name in work.leftovers:
        await connection.exec_driver_sql(f"DROP TABLE {name}")


async def _drop_copy(connection: AsyncConnection, partition: OrderedPartition) -> None:
    for statement in (
        f"DROP TRIGGER {TRIGGER} ON {partition.name}",
        f"DROP TABLE {partition.name}{COPY}, {partition.name}{CHANGES}",
    ):
        await connection.exec_driver_sql(statement)
