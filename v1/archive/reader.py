"""What can be asked of the archive. Nothing here writes, so whoever holds an `ArchiveReader` cannot."""

import operator
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import reduce
from typing import Any, NamedTuple

from sqlalchemy import CTE, ColumnElement, Select, Text, case, cast, func, literal, literal_column, select, union
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ..market.candles import MIXED, MONDAY, CandleKind, CandleLength, CandleRow, CandleSums, HourCandle
from ..market.exchange_hours import ExchangeHour
from ..model import HOUR, Metric
from .bars import select_bars, select_close_before, select_hours_of
from .engine import ROWS, is_sqlite, translate_errors
from .exact_sql import exact_max, exact_min, exact_sum, hour_coverage
from .revisions import check_revision, read_revision
from .schema import HOUR_TABLES, candles, exchange_candles

_HOUR = [candles.c[name] for name in HourCandle._fields]
_EXCHANGE_HOUR = [exchange_candles.c[name] for name in ExchangeHour._fields]

_IN_PARTS = {"yield_per": ROWS}
"""For questions that are answered with a row for each metric."""


class NewestHours(NamedTuple):
    """The newest hours that there are of a metric."""

    sampled: int | None
    exchange: int | None

    @property
    def newest(self) -> int | None:
        """The newest of both."""
        return max([each for each in self if each is not None], default=None)


class RowFormat(NamedTuple):
    """How a row is written: a text before each column of `Bar`, with the parts of the hour in place of what is covered
    and averaged and the kind in quotation marks, one before whether all of the hour is covered, and one after that; a text in place of nothing; a text
    between rows."""

    texts: Sequence[str]
    nothing: str
    between: str


class ArchiveReader:
    """
    Asks the database; every question is one statement.

    Each method raises `ArchiveAway` when the database does not answer or has no table yet, and `ArchiveError`
    when it cannot be used. Whoever made the engine closes it.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._is_ours = False
        """Whether the schema was looked at, and is this code's."""

    async def read_newest_hours(self, metric: Metric) -> NewestHours:
        """Return the newest hours there are of a metric."""
        if "\0" in metric:  # PostgreSQL takes no such text, so nothing is kept under such a name
            return NewestHours(None, None)
        newest = [
            select(func.max(table.c.start)).where(table.c.metric == metric).scalar_subquery() for table in HOUR_TABLES
        ]
        async with self._connection() as connection:
            return NewestHours(*(await connection.execute(select(*newest))).one())

    async def read_counts(self, hour: int) -> dict[Metric, int]:
        """Return how many samples are behind each metric's sampled candle of an hour."""
        asked = select(candles.c.metric, candles.c.samples).where(candles.c.start == hour)
        async with self._connection() as connection:
            rows = await connection.stream(asked, execution_options=_IN_PARTS)
            return {Metric(metric): samples async for metric, samples in rows}

    async def read_coverage(self, metric: Metric, since: int, until: int) -> dict[int, int]:
        """Return how many seconds of each sampled hour with since <= hour < until are covered, of the hours there are."""
        asked = select(candles.c.start, candles.c.covered).where(*select_hours_of(candles, metric, since, until))
        async with self._connection() as connection:
            return {hour: covered for hour, covered in await connection.execute(asked)}  # noqa: C416  # rows are no pairs to mypy

    async def read_metrics(self, since: int) -> list[Metric]:
        """Return every metric that has an hour from `since` on, by name."""
        asked = union(*[select(table.c.metric).where(table.c.start >= since) for table in HOUR_TABLES])
        async with self._connection() as connection:
            found = await connection.stream_scalars(asked, execution_options=_IN_PARTS)
            return [Metric(metric) for metric in sorted([metric async for metric in found])]

    async def read_hours(self, metric: Metric, since: int, until: int) -> list[HourCandle]:
        """Return the sampled hours with since <= hour < until, oldest first."""
        asked = select(*_HOUR).where(*select_hours_of(candles, metric, since, until)).order_by(candles.c.start)
        async with self._connection() as connection:
            return [HourCandle(*row) for row in await connection.execute(asked)]

    async def read_exchange_hours(self, metric: Metric, since: int, until: int) -> list[ExchangeHour]:
        """Return the exchange's own hours with since <= hour < until, oldest first."""
        wanted = select_hours_of(exchange_candles, metric, since, until)
        asked = select(*_EXCHANGE_HOUR).where(*wanted).order_by(exchange_candles.c.start)
        async with self._connection() as connection:
            return [ExchangeHour(*row) for row in await connection.execute(asked)]

    async def read_exchange_starts(self, metric: Metric, since: int, until: int) -> set[int]:
        """Return which hours with since <= hour < until the exchange's own candle is known of."""
        asked = select(exchange_candles.c.start).where(*select_hours_of(exchange_candles, metric, since, until))
        async with self._connection() as connection:
            return set(await connection.scalars(asked))

    async def read_rows(
        self, metric: Metric, since: int, until: int, kind: CandleKind | None = None
    ) -> Sequence[CandleRow]:
        """Return the hours with since <= hour < until as they are answered, oldest first: of a kind, or each of its better one."""
        bars = select_bars(metric, since, until, kind)
        asked = select(*[bars.c[name] for name in CandleRow._fields]).order_by(bars.c.start)
        async with self._connection() as connection:
            return [CandleRow(*row) for row in await connection.execute(asked)]

    async def read_text(
        self, metric: Metric, since: int, until: int, form: RowFormat, kind: CandleKind | None = None
    ) -> str:
        """
        Return the hours with since <= hour < until as text, oldest first, put together by the database; see `read_rows`.

        A year of hours so takes a third of the time that it takes row by row.
        """
        asked = _select_text(select_bars(metric, since, until, kind), form)
        async with self._connection() as connection:
            return await connection.scalar(asked) or ""

    async def read_sums(
        self, metric: Metric, length: CandleLength, since: int, until: int, kind: CandleKind | None = None
    ) -> list[CandleSums]:
        """
        Return candles of a length, oldest first, of the hours with since <= hour < until: put together by the database.

        Of a `kind`, or of each hour the better one that it has.
        """
        asked = _select_sums(select_bars(metric, since, until, kind), length)
        async with self._connection() as connection:
            return [CandleSums(*row) for row in await connection.execute(asked)]

    async def read_close_before(self, metric: Metric, until: int, kind: CandleKind | None = None) -> str | None:
        """Return the last close before `until`."""
        async with self._connection() as connection:
            close: str | None = await connection.scalar(select_close_before(metric, until, kind))
            return close

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        with translate_errors():
            async with self._engine.connect() as connection:
                if is_sqlite(self._engine):
                    # Else a transaction for reading would be one for writing, too. In PostgreSQL there is one, which
                    # holds a question and its answer together: a pooler may lead every other to another server.
                    await connection.execution_options(isolation_level="AUTOCOMMIT")
                if not self._is_ours:
                    check_revision(await read_revision(connection))
                    self._is_ours = True
                yield connection


def _select_text(bars: CTE, form: RowFormat) -> Select[Any]:
    *before, last = [literal(each, Text) for each in form.texts]
    whole = case((bars.c.covered == HOUR, literal_column("'true'")), else_=literal_column("'false'"))
    cells = [*[_format_cell(bars, name, form.nothing) for name in CandleRow._fields], whole]
    pairs = [pair for text, cell in zip(before, cells, strict=True) for pair in (text, cell)]
    line = reduce(operator.add, [*pairs, last])
    lines = select(line.label("line")).order_by(bars.c.start).subquery("lines")
    return select(func.aggregate_strings(lines.c.line, form.between))


def _format_cell(bars: CTE, name: str, nothing: str) -> ColumnElement[str]:
    column = bars.c[name]
    match name:
        case "averaged":
            return case((column == 0, literal_column("'0.0'")), else_=hour_coverage(column))
        case "covered":
            return hour_coverage(column)
        case "kind":
            return literal('"', Text) + column + literal('"', Text)
        case _:
            return func.coalesce(cast(column, Text), nothing)


def _select_sums(bars: CTE, length: CandleLength) -> Select[Any]:
    """
    Put the hours of one metric into groups.

    What a group's first and last hour say is joined to it: neither database has an aggregate for that which the
    other has, too.
    """
    c = bars.c
    counted = case((c.total.is_not(None), c.samples), else_=0)
    # Integers are divided as integers by both databases.
    group = ((c.start + MONDAY) // length.seconds * length.seconds - MONDAY).label("group_start")
    groups = (
        select(
            group,
            func.min(c.start).label("first"),
            func.max(c.start).label("last"),
            exact_max(c.high).label("high"),
            exact_min(c.low).label("low"),
            exact_sum(c.total).label("total"),
            func.sum(counted).label("counted"),
            exact_sum(c.volume).label("volume"),
            func.sum(c.samples).label("samples"),
            func.sum(c.covered).label("covered"),
            func.sum(c.averaged).label("averaged"),
            func.sum(c.revision).label("revision"),
            case((func.min(c.kind) == func.max(c.kind), func.min(c.kind)), else_=MIXED).label("kind"),
        )
        .group_by(group)
        .subquery("groups")
    )
    g, first, last = groups.c, bars.alias("first_hour"), bars.alias("last_hour")
    joined = groups.join(first, first.c.start == g.first).join(last, last.c.start == g.last)
    opened, closed = first.c.open, last.c.close
    middle = (g.total, g.counted, last.c.latest, g.volume, g.samples, g.covered, g.averaged, g.revision, g.kind)
    return select(g.group_start, opened, g.high, g.low, closed, *middle).select_from(joined).order_by(g.group_start)
