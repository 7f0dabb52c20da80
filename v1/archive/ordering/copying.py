"""
A copy of a partition in the order of its key, made and compared piece by piece.

From its beginning on, a trigger notes the key of each row that is written into the partition, in the transaction that
writes it. A row that is noted is taken over anew; the others are in the copy as they were when their turn came.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Subquery,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from .tables import TRIGGER, OrderedPartition

PIECE = 10_000
"""Rows of one statement, at most."""

# Each row costs a look at its place in the partition; to sort all of a partition for every piece would cost more.
_IN_KEY_ORDER = ("SET LOCAL enable_seqscan = off", "SET LOCAL enable_sort = off")
_NOTE_CHANGE = f"""
CREATE OR REPLACE FUNCTION {TRIGGER}() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    note text := format('INSERT INTO %I.%I (metric, start) VALUES ($1, $2)', TG_TABLE_SCHEMA, TG_ARGV[0]);
BEGIN
    IF to_regclass(format('%I.%I', TG_TABLE_SCHEMA, TG_ARGV[0])) IS NULL THEN
        RETURN NULL;  -- Somebody has dropped it, and the copy is made anew.
    END IF;
    IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND (OLD.metric, OLD.start) <> (NEW.metric, NEW.start)) THEN
        EXECUTE note USING OLD.metric, OLD.start;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        EXECUTE note USING NEW.metric, NEW.start;
    END IF;
    RETURN NULL;
END $$
"""  # noqa: S608  # a name of ours


class RowKey(NamedTuple):
    """The key of an hour."""

    metric: str
    start: int


class ComparedRows(NamedTuple):
    """What a comparison found."""

    rows: int
    different: int
    """Those that differ, and were not noted as changed."""


FIRST = RowKey("", -1)
"""Before every row."""


async def begin_copy(connection: AsyncConnection, partition: OrderedPartition) -> None:
    """Make an empty copy of a partition, and note what is written into it from now on. Waits for who writes into it."""
    start, end = partition.range
    name, copy, changes = partition.name, partition.copy.name, partition.changes.name
    # With what it may hold as a condition, it becomes a partition without being read.
    is_within = f"CONSTRAINT {copy}_range CHECK (start >= {start} AND start < {end})"
    writes = "AFTER INSERT OR UPDATE OR DELETE"
    for statement in (
        f"CREATE TABLE {copy} (LIKE {partition.table.name} INCLUDING ALL, {is_within})",
        f"CREATE TABLE {changes} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, metric text, start bigint)",
        _NOTE_CHANGE,
        f"DROP TRIGGER IF EXISTS {TRIGGER} ON {name}",
        f"CREATE TRIGGER {TRIGGER} {writes} ON {name} FOR EACH ROW EXECUTE FUNCTION {TRIGGER}('{changes}')",
    ):
        await connection.exec_driver_sql(statement)


async def copy_piece(connection: AsyncConnection, partition: OrderedPartition) -> int:
    """Copy the next rows, and return how many; fewer than a piece: there were no more."""
    await _read_in_key_order(connection)
    copy, names = partition.copy, _list_stored(partition.copy)
    newest = select(copy.c.metric, copy.c.start).order_by(copy.c.metric.desc(), copy.c.start.desc()).limit(1)
    row = (await connection.execute(newest)).one_or_none()
    rows = _select_piece(partition.held, names, FIRST if row is None else RowKey(*row))
    return (await connection.execute(insert(copy).from_select(names, rows))).rowcount


async def find_piece_end(connection: AsyncConnection, partition: OrderedPartition, after: RowKey) -> RowKey | None:
    """Return the last key of the piece that follows a key; `None`: all that follow are no whole piece."""
    await _read_in_key_order(connection)
    asked = _select_piece(partition.held, ("metric", "start"), after).offset(PIECE - 1).limit(1)
    row = (await connection.execute(asked)).one_or_none()
    return None if row is None else RowKey(*row)


async def compare_piece(
    connection: AsyncConnection, partition: OrderedPartition, after: RowKey, last: RowKey | None
) -> ComparedRows:
    """Compare the rows of a piece with the copy's, every digit of them."""
    await _read_in_key_order(connection)
    held, copied = (_select_written(each, after, last) for each in (partition.held, partition.copy))
    keys = and_(held.c.metric == copied.c.metric, held.c.start == copied.c.start)
    changes = partition.changes.c
    is_noted = exists().where(
        changes.metric == func.coalesce(held.c.metric, copied.c.metric),
        changes.start == func.coalesce(held.c.start, copied.c.start),
    )
    is_different = and_(held.c.written.is_distinct_from(copied.c.written), ~is_noted)
    counts = func.count(), func.count().filter(is_different)
    asked = select(*counts).select_from(held.join(copied, keys, full=True))
    return ComparedRows(*(await connection.execute(asked)).one())


async def take_over_changes(connection: AsyncConnection, partition: OrderedPartition) -> int:
    """Take rows over anew that were noted as changed, a piece of them, and return how many notes that were."""
    changes, held, copy = partition.changes, partition.held, partition.copy
    noted = (await connection.execute(select(changes).order_by(changes.c.id).limit(PIECE))).all()
    if not noted:
        return 0
    ids, metrics, starts = zip(*noted, strict=True)
    # What is read now is as new as the note, or newer: then there is another note.
    await connection.execute(delete(copy).where(_make_listed_condition(copy)), {"metrics": metrics, "starts": starts})
    names = _list_stored(copy)
    rows = select(*[held.c[name] for name in names]).where(_make_listed_condition(held))
    await connection.execute(insert(copy).from_select(names, rows), {"metrics": metrics, "starts": starts})
    is_read = changes.c.id == func.any(bindparam("ids", type_=ARRAY(BigInteger)))
    await connection.execute(delete(changes).where(is_read), {"ids": ids})
    return len(noted)


async def count_changes(connection: AsyncConnection, partition: OrderedPartition) -> int:
    """Return how many notes of changes there are; a piece of them at most."""
    few = select(partition.changes.c.id).limit(PIECE).subquery()
    return (await connection.execute(select(func.count()).select_from(few))).scalar_one()


async def _read_in_key_order(connection: AsyncConnection) -> None:
    for setting in _IN_KEY_ORDER:
        await connection.exec_driver_sql(setting)


def _list_stored(table: Table) -> list[str]:
    """Return the columns that are written, and not worked out by the database."""
    return [each.name for each in table.columns if each.computed is None]


def _select_piece(table: Table, names: Sequence[str], after: RowKey) -> Select[Any]:
    key = table.c.metric, table.c.start
    return (
        select(*[table.c[name] for name in names])
        .where(_make_after_condition(table, after))
        .order_by(*key)
        .limit(PIECE)
    )


def _select_written(table: Table, after: RowKey, last: RowKey | None) -> Subquery:
    """Return the keys of a piece's rows, and each row as it is written: to PostgreSQL 1.5 and 1.50 are the same number."""
    written = cast(func.row(*table.columns), Text).label("written")
    rows = select(table.c.metric, table.c.start, written).where(_make_after_condition(table, after))
    return (rows if last is None else rows.where(~_make_after_condition(table, last))).subquery()


def _make_after_condition(table: Table, key: RowKey) -> ColumnElement[bool]:
    return tuple_(table.c.metric, table.c.start) > tuple_(literal(key.metric, Text), literal(key.start, BigInteger))


def _make_listed_condition(table: Table) -> ColumnElement[bool]:
    """Tell of a row that its key is one of `metrics` and `starts`."""
    arrays = bindparam("metrics", type_=ARRAY(Text)), bindparam("starts", type_=ARRAY(BigInteger))
    given = func.unnest(*arrays).table_valued("metric", "start", name="given").render_derived()
    return tuple_(table.c.metric, table.c.start).in_(select(given.c.metric, given.c.start))
