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
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ..market.candles import HourCandle
from ..market.exchange_hours import ExchangeHour
from ..model import HOUR
from . import partitions
from .engine import is_sqlite, open_transaction
from .migrate import LOCK, migrate
from .reader import ArchiveReader
from .schema import HOUR_TABLES, candles, exchange_candles

_WHEN = ("metric", "start", "closed_at", "fetched_at", "revision")
"""When and how often a candle was said is not part of what it says."""


class ArchiveWriter(ArchiveReader):
    """Feeds one archive. Whatever a method writes is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine)
        self._months: set[partitions.Month] = set()
        """Those that were seen to have a partition."""

    async def open(self) -> None:
        """
        Make the tables, or bring them up to this code's; of several processes, the first one does.

        Raises `ArchiveAway` where that can be tried again, and `ArchiveError` where somebody has to do something.
        After either, it is opened again: another server may have taken the place of the one that was known.
        """
        self._months.clear()
        await migrate(self._engine)

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
        """Make the partitions of this month and the next, so that no hour has to wait for its own."""
        month = partitions.find_month(at)
        if is_sqlite(self._engine) or {month, month.next_month} <= self._months:
            return
        async with open_transaction(self._engine) as connection:
            made = await self._ensure_partitions(connection, {month, month.next_month})
        self._months |= made

    async def trim(self, before: int) -> None:
        """Let go of every hour that starts before `before`."""
        async with open_transaction(self._engine) as connection:
            if not is_sqlite(self._engine):
                await partitions.drop_partitions(connection, before)
            for table in HOUR_TABLES:
                await connection.execute(delete(table).where(table.c.start < before))
        self._months = {month for month in self._months if month.end > before}

    async def drop_future(self, now: int) -> int:
        """Drop every hour that was not over at `now`, which only a clock that was wrong can have closed; return how many."""
        async with open_transaction(self._engine) as connection:
            dropped = [
                await connection.execute(delete(table).where(table.c.start > now - HOUR)) for table in HOUR_TABLES
            ]
            return sum(each.rowcount for each in dropped)

    async def _upsert(self, table: Table, hours: Sequence[HourCandle] | Sequence[ExchangeHour]) -> int:
        if not hours:
            return 0
        rows = await asyncio.to_thread(_json, hours)
        statement = _make_upsert(table, sqlite if is_sqlite(self._engine) else postgresql)
        async with open_transaction(self._engine) as connection:
            made = await self._ensure_partitions(connection, {partitions.find_month(hour.start) for hour in hours})
            changed = (await connection.execute(statement, {"rows": rows})).rowcount
        self._months |= made
        return changed

    async def _ensure_partitions(
        self, connection: AsyncConnection, needed: set[partitions.Month]
    ) -> set[partitions.Month]:
        """See that some months have a partition, and return them."""
        if not is_sqlite(self._engine) and not needed <= self._months:
            # Alone, because of two that make the same one at once the second fails.
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            await partitions.make_partitions(connection, needed)
        return needed


def _json(hours: Sequence[HourCandle] | Sequence[ExchangeHour]) -> str:
    return json.dumps([hour._asdict() for hour in hours])


def _make_upsert(table: Table, dialect: Any) -> Any:
    """Make the one statement that writes any number of rows."""
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
