"""
The archive in PostgreSQL 18 at size: writing an hour of 100,000 metrics; a year of hours of fewer metrics, as they were
archived and after each month was put in the order of its key: pages of a metric's month, how long a year of one metric
takes, how fast months are rewritten, and how long readers wait for the exchange.
"""

import asyncio
import time
from collections.abc import Iterator
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine

from bench import databases, market
from bench.archive import GRACE
from bench.report import Figure, at_most, beside
from v1.archive import ArchiveReader, connect_archive
from v1.archive.engine import ArchiveBusy
from v1.archive.ordering import OrderingStep, PartitionOrderer
from v1.archive.writer import ArchiveWriter
from v1.market.candles import HourCandle
from v1.model import DAY, HOUR, Metric

MANY, HOURS, CLOSING_SECONDS = 100_000, 3, 30.0
METRICS, DAYS = 240, 365
QUESTIONS, QUESTION_MILLISECONDS = 200, 60.0
MONTH_ROWS = MANY * 730

_YEAR = """
INSERT INTO v1_candles
    (metric, start, open, high, low, close, total, mean, latest, volume, samples, covered, source, closed_at, revision)
SELECT 'KRAKEN:M' || lpad(m::text, 6, '0') || 'USD', h, p, p + 0.01, p - 0.01, p, p * 60, p, p, 1234.56789012, 60, 3600,
    'samples', h + 3690, 1
FROM generate_series({first}::bigint, {last}::bigint, 3600) h, generate_series(0, {most}) m,
    LATERAL (SELECT 46572.5 + (h / 3600 + m) % 977 AS p) price
ORDER BY h, m
"""
_PAGES = """
SELECT count(DISTINCT (ctid::text::point)[0]) FROM v1_candles
WHERE metric = $1 AND start >= $2 AND start < $3
"""


def measure() -> Iterator[Figure]:
    with databases.empty(databases.POSTGRESQL) as address:
        yield uvloop.run(_write_hours(address))
    with databases.empty(databases.POSTGRESQL) as address:
        yield from uvloop.run(_keep_a_year(address))


# ---- an hour of very many metrics -------------------------------------------------------------------------


async def _write_hours(address: str) -> Figure:
    names, first = market.metrics(MANY), int(time.time()) // DAY * DAY
    async with connect_archive(address, "bench", writes=True) as engine:
        archive, seconds = ArchiveWriter(engine), []
        await archive.open()
        await archive.prepare(first)
        for number in range(HOURS):
            hours = [_make_hour(name, first + number * HOUR) for name in names]
            began = perf_counter()
            written = await archive.write(hours)
            seconds.append(perf_counter() - began)
            if written != MANY:
                raise RuntimeError(f"{written} of {MANY} hours were written")
    how = f"worst of {HOURS}, every row new, ten statements in one transaction; reading the samples is not in it"
    return at_most(f"writing an hour of {MANY:,} metrics", max(seconds), CLOSING_SECONDS, " s", how)


def _make_hour(metric: Metric, start: int) -> HourCandle:
    price = f"{46572 + start // HOUR % 977}.{hash(metric) % 89:02}"
    text = (price, f"{price}1", f"{price[:-1]}0", price, f"{price}00", f"{price}0000", price, "1234.56789012")
    return HourCandle(metric, start, *text, 60, HOUR, "samples", start + HOUR + GRACE)


# ---- a year -----------------------------------------------------------------------------------------------


async def _keep_a_year(address: str) -> list[Figure]:
    last = int(time.time()) // DAY * DAY - 70 * DAY
    first = last - DAYS * DAY
    async with connect_archive(address, "bench", writes=True) as engine:
        await _fill(engine, first, last)
        before = await _look(engine, first, last)
        orderer, rows, exchanges = PartitionOrderer(engine), 0, list[float]()
        reading = asyncio.create_task(_read_all_the_while(engine, last))
        began = perf_counter()
        while (progress := await _advance(orderer, exchanges)) is not None:
            rows += progress.rows if progress.step is OrderingStep.COPY else 0
        seconds = perf_counter() - began
        reading.cancel()
        waits = await asyncio.gather(reading, return_exceptions=True)
        after = await _look(engine, first, last)
    return _describe(before, after, rows / seconds, exchanges, waits[0])


async def _fill(engine: AsyncEngine, first: int, last: int) -> None:
    archive = ArchiveWriter(engine)
    await archive.open()
    for month in range(first, last, 10 * DAY):
        end = min(month + 10 * DAY, last)
        for day in range(month, end, DAY):
            await archive.prepare(day)
        async with engine.begin() as connection:
            statement = _YEAR.format(first=month, last=end - HOUR, most=METRICS - 1)
            await connection.exec_driver_sql(statement)
    async with engine.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).exec_driver_sql("VACUUM ANALYZE")


class _Look:
    """What was found of the year."""

    def __init__(self, pages: int, month_pages: int, seconds: list[float]) -> None:
        self.pages, self.month_pages, self.seconds = pages, month_pages, seconds


async def _look(engine: AsyncEngine, first: int, last: int) -> _Look:
    archive, seconds = ArchiveReader(engine), list[float]()
    for number in range(QUESTIONS):
        began = perf_counter()
        rows = await archive.read_rows(_name(number * 7), first, last)
        seconds.append(perf_counter() - began)
        if len(rows) != DAYS * 24:
            raise RuntimeError(f"{len(rows)} hours of {DAYS * 24} were read")
    pages = await _count_pages(engine, first, last)
    month = first // DAY * DAY + 40 * DAY
    return _Look(pages, await _count_pages(engine, month, month + 28 * DAY), seconds)


async def _count_pages(engine: AsyncEngine, since: int, until: int) -> int:
    async with engine.connect() as connection:
        found: Any = await connection.exec_driver_sql(_PAGES, (_name(5), since, until))
        return int(found.scalar_one())


def _name(number: int) -> Metric:
    return Metric(f"KRAKEN:M{number % METRICS:06}USD")


async def _advance(orderer: PartitionOrderer, exchanges: list[float]) -> Any:
    while True:
        began = perf_counter()
        try:
            progress = await orderer.advance(int(time.time()))
        except ArchiveBusy:
            continue
        if progress is not None and progress.step is OrderingStep.EXCHANGE:
            exchanges.append(perf_counter() - began)
        return progress


async def _read_all_the_while(engine: AsyncEngine, last: int) -> list[float]:
    """Ask for a month of a metric again and again until cancelled, and return how long each answer took."""
    archive, seconds = ArchiveReader(engine), list[float]()
    try:
        while True:
            began = perf_counter()
            await archive.read_rows(_name(len(seconds)), last - 300 * DAY, last - 270 * DAY)
            seconds.append(perf_counter() - began)
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        return seconds


def _describe(before: _Look, after: _Look, rate: float, exchanges: list[float], waits: Any) -> list[Figure]:
    how = f"{METRICS:,} metrics, {DAYS} days; {QUESTIONS} questions in this process, warm"
    p99 = [quantiles(each.seconds, n=100)[98] * 1e3 for each in (before, after)]
    hours = MONTH_ROWS / rate / 3600
    return [
        beside("pages of 28 days of a metric", f"{before.month_pages:,} before, {after.month_pages:,} after", how),
        beside("pages of a year of a metric", f"{before.pages:,} before, {after.pages:,} after", how),
        at_most(
            f"a year of one metric, p99, in the order of its key ({p99[0]:.0f} ms before)",
            p99[1],
            QUESTION_MILLISECONDS,
            " ms",
            how,
        ),
        beside(
            "a year of one metric, median",
            f"{median(before.seconds) * 1e3:.1f} ms before, {median(after.seconds) * 1e3:.1f} ms after",
            how,
        ),
        beside(
            "rewriting, copied and compared",
            f"{rate:,.0f} rows a second",
            f"a month of {MANY:,} metrics would take {hours:.1f} hours of the database, extrapolated",
        ),
        beside(
            "the exchange of two partitions",
            f"{max(exchanges) * 1e3:.0f} ms at most",
            f"{len(exchanges)} of them, with the wait for who reads; a month of a metric asked for meanwhile took {median(waits) * 1e3:.0f} ms in the median, {max(waits) * 1e3:.0f} ms at most, of {len(waits):,}",
        ),
    ]
