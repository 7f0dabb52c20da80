"""What the worker does to the archive: makes its tables, writes hours, lets go of old ones."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    column,
    delete,
    func,
    or_,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ..market.candles import HourCandle
from ..market.exchange_hours import ExchangeHour
from ..model import DAY, HOUR
from ..numbers.chunks import split_into_chunks
from . import partitions
from .engine import ROWS, is_sqlite, open_transaction
from .extensions import TableLayout, drop_chunks, read_layout
from .migrate import LOCK, migrate
from .partitions import PartitionLength
from .reader import ArchiveReader
from .schema import HOUR_TABLES, candles, exchange_candles

_WHEN = ("metric", "start", "closed_at", "fetched_at", "revision")
"""When and how often a candle was said is not part of what it says."""


class ArchiveWriter(ArchiveReader):
    """Feeds one archive. Whatever `write` and its like write is one transaction. In PostgreSQL new partitions have a `length`."""

    def __init__(self, engine: AsyncEngine, length: PartitionLength = PartitionLength.MONTH) -> None:
        super().__init__(engine)
        self._length = length
        self._days: set[int] = set()
        """Those that were seen to have a partition, numbered from 1970-01-01."""
        self.layout = TableLayout.PARTITIONS
        """How the tables are kept, as it was when the archive was opened."""

    async def open(self) -> None:
        """
        Make the tables, or bring them up to this code's; of several processes, the first one does.

        Raises `ArchiveAway` where that can be tried again, and `ArchiveError` where somebody has to do something.
        After either, it is opened again: another server may have taken the place of the one that was known.
        """
        self._days.clear()
        await migrate(self._engine)
        if not is_sqlite(self._engine):
            async with open_transaction(self._engine) as connection:
                self.layout = await read_layout(connection)

    async def check(self) -> None:
        """See that the archive takes writes, and has its tables. Raises as `open`."""
        await migrate(self._engine)

    async def write(self, hours: Sequence[HourCandle]) -> int:
        """
        Write hours, each metric and hour once among them, and return how many rows that changed.

        A row that is there stays where it knows more: more of the hour, more samples, more minutes by their range, or a volume. One that
        says the same stays as it is; else it is replaced, with the next revision.
        """
        return await self._upsert(candles, hours)

    async def write_exchange_hours(self, hours: Sequence[ExchangeHour]) -> int:
        """
        Write the exchanges' own hours, each metric and hour once among them, and return how many rows that changed.

        One that says the same as the row that is there changes nothing; else it replaces it, with the next revision.
        """
        return await self._upsert(exchange_candles, hours)

    async def prepare(self, at: int) -> None:
        """Make the partitions of this month or week and the next, so that no hour has to wait for its own."""
        needed = {at // DAY, self._length.find_range(at).end // DAY}
        if not self._has_partitions or needed <= self._days:
            return
        async with open_transaction(self._engine) as connection:
            await self._ensure_partitions(connection, needed)
        self._days |= needed

    async def trim(self, before: int) -> None:
        """Let go of every hour that starts before `before`, in as many transactions as there are parts of them."""
        if not is_sqlite(self._engine):
            drop = partitions.drop_partitions if self._has_partitions else drop_chunks
            async with open_transaction(self._engine) as connection:
                await drop(connection, before)
        for table in HOUR_TABLES:
            await self._drop(table, table.c.start < before)
        self._days = {day for day in self._days if day * DAY >= before}

    async def drop_future(self, now: int) -> int:
        """Drop every hour that was not over at `now`, which only a clock that was wrong can have closed; return how many."""
        return sum([await self._drop(table, table.c.start > now - HOUR) for table in HOUR_TABLES])

    async def _drop(self, table: Table, which: ColumnElement[bool]) -> int:
        """Drop rows part by part, each a transaction, and return how many there were."""
        key, dropped = (table.c.metric, table.c.start), 0
        part = delete(table).where(tuple_(*key).in_(select(*key).where(which).limit(ROWS)))
        while True:
            async with open_transaction(self._engine) as connection:
                count = (await connection.execute(part)).rowcount
            dropped += count
            if count < ROWS:
                return dropped

    async def _upsert(self, table: Table, hours: Sequence[HourCandle | ExchangeHour]) -> int:
        if not hours:
            return 0
        parts = [await asyncio.to_thread(_json, part) for part in split_into_chunks(hours, ROWS)]
        days = {hour.start // DAY for hour in hours}
        statement = _make_upsert(table, sqlite if is_sqlite(self._engine) else postgresql)
        async with open_transaction(self._engine) as connection:
            await self._ensure_partitions(connection, days)
            changed = sum([(await connection.execute(statement, {"rows": rows})).rowcount for rows in parts])
        self._days |= days
        return changed

    @property
    def _has_partitions(self) -> bool:
        return not is_sqlite(self._engine) and self.layout.has_partitions

    async def _ensure_partitions(self, connection: AsyncConnection, days: set[int]) -> None:
        """See that some days have a partition."""
        if self._has_partitions and not days <= self._days:
            # Alone, because of two that make the same one at once the second fails.
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            await partitions.make_partitions(connection, days, self._length)


def _json(hours: Sequence[HourCandle | ExchangeHour]) -> str:
    return json.dumps([hour._asdict() for hour in hours])


def _make_upsert(table: Table, dialect: Any) -> Any:
    """Make the statement that writes a part of the rows."""
    columns = [each for each in table.columns if each.computed is None]
    said = [each.name for each in columns if each.name not in _WHEN]
    when = next(each.name for each in columns if each.name.endswith("_at"))
    rows = _rows_of_sqlite(columns) if dialect is sqlite else _rows_of_postgresql(columns)
    statement = dialect.insert(table).from_select([each.name for each in columns], rows)
    come = statement.excluded
    differs = _make_difference_condition(table, come, said)
    return statement.on_conflict_do_update(
        index_elements=["metric", "start"],
        set_={name: come[name] for name in [*said, when]} | {"revision": table.c.revision + 1},
        where=and_(_make_completeness_condition(come), differs) if table is candles else differs,
    )


def _rows_of_postgresql(columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
    given = cast(bindparam("rows", type_=Text), JSON)
    typed = [column(each.key or "", each.type) for each in columns]
    rows = func.json_to_recordset(given).table_valued(*typed, name="come").render_derived(with_types=True)
    return select(*[rows.c[each.name] for each in typed])


def _rows_of_sqlite(columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
    rows = func.json_each(bindparam("rows", type_=Text)).table_valued("value")
    # Without a WHERE, SQLite would take the ON of ON CONFLICT for a join's.
    return select(*[func.json_extract(rows.c.value, f"$.{each.key}") for each in columns]).where(true())


def _make_completeness_condition(come: Any) -> ColumnElement[bool]:
    """Tell of a new row that it replaces nothing better: an hour in Redis is trimmed when its day is over."""
    held = candles.c
    fuller = come.covered > held.covered
    as_full = and_(come.covered == held.covered, come.samples >= held.samples, come.ranged >= held.ranged)
    return and_(or_(fuller, as_full), or_(come.volume.is_not(None), held.volume.is_(None)))


def _make_difference_condition(table: Table, come: Any, said: Sequence[str]) -> ColumnElement[bool]:
    """Compare digits, not numbers: to PostgreSQL 1.5 and 1.50 are the same."""
    return or_(*[cast(table.c[name], Text).is_distinct_from(cast(come[name], Text)) for name in said])
