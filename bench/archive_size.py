"""
The archive in PostgreSQL 18 at size: writing an hour of 100,000 metrics; a year of hours of fewer metrics, as they were
archived and after each month was put in the order of its key: pages of a metric's month, how long a year of one metric
takes, how fast months are rewritten, and how long readers wait for the exchange.
"""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, process_time
from typing import Any, NamedTuple

import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine

from bench import databases, market
from bench.archive import GRACE
from bench.report import Figure, at_most, beside
from v1.archive import ArchiveReader, RowFormat, connect_archive
from v1.archive import engine as archive_engine
from v1.archive.engine import ArchiveBusy
from v1.archive.ordering import OrderingProgress, OrderingStep, PartitionOrderer
from v1.archive.writer import ArchiveWriter
from v1.market.candles import CandleRow, HourCandle
from v1.model import DAY, HOUR, Metric

MANY, HOURS, CLOSING_SECONDS = 100_000, 3, 30.0
METRICS, DAYS = 240, 365
QUESTIONS, QUESTION_MILLISECONDS = 200, 60.0
MONTH_ROWS = MANY * 730
FORM = RowFormat(["", *[","] * len(CandleRow._fields), ""], "", "\n")

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
SELECT count(DISTINCT (tableoid, (ctid::text::point)[0])) FROM v1_candles
WHERE metric = $1 AND start >= $2 AND start < $3
"""


class TimedWork(NamedTuple):
    """When something began and ended."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    def overlaps(self, other: "TimedWork") -> bool:
        """Return whether some time is in both."""
        return self.began < other.ended and other.began < self.ended


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
        before = await _look(address, first, last)
        orderer, rows, exchanges = PartitionOrderer(engine), 0, list[TimedWork]()
        reading = asyncio.create_task(_read_all_the_while(engine, last))
        began = perf_counter()
        while (progress := await _advance(orderer, exchanges)) is not None:
            rows += progress.rows if progress.step is OrderingStep.COPY else 0
        seconds = perf_counter() - began
        reading.cancel()
        reads = await reading
        after = await _look(address, first, last)
    return _describe(before, after, rows / seconds, exchanges, reads)


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


class YearLook(NamedTuple):
    """What was found of the year."""

    pages: int
    month_pages: int
    seconds: Sequence[float]
    """How long each question took."""
    processor: float
    """Seconds of processor time of a question, here and of the server's process."""


async def _look(address: str, first: int, last: int) -> YearLook:
    seconds = []
    # One connection to the end: the processor time of its process is read.
    archive_engine.RECYCLE_SECONDS = 3600
    async with connect_archive(address, "bench", writes=False) as engine:
        archive = ArchiveReader(engine)
        async with engine.connect() as connection:
            server = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
        # All questions are asked one after the other, over the one connection that there is.
        used = _read_processor_time(server) + process_time()
        for number in range(QUESTIONS):
            began = perf_counter()
            text = await archive.read_text(_name(number * 7), first, last, FORM)
            seconds.append(perf_counter() - began)
            if text.count("\n") != DAYS * 24 - 1:
                raise RuntimeError(f"{text.count(chr(10)) + 1} hours of {DAYS * 24} were read")
        used = _read_processor_time(server) + process_time() - used
        month = first + 40 * DAY
        pages = await _count_pages(engine, first, last), await _count_pages(engine, month, month + 28 * DAY)
    return YearLook(*pages, seconds, used / QUESTIONS)


def _read_processor_time(process: int) -> float:
    """Return the seconds of processor time that a process has used: the fields `utime` and `stime` of proc(5)."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _count_pages(engine: AsyncEngine, since: int, until: int) -> int:
    async with engine.connect() as connection:
        found: Any = await connection.exec_driver_sql(_PAGES, (_name(5), since, until))
        return int(found.scalar_one())


def _name(number: int) -> Metric:
    return Metric(f"KRAKEN:M{number % METRICS:06}USD")


async def _advance(orderer: PartitionOrderer, exchanges: list[TimedWork]) -> OrderingProgress | None:
    while True:
        began = perf_counter()
        try:
            progress = await orderer.advance(int(time.time()))
        except ArchiveBusy:
            continue
        if progress is not None and progress.step is OrderingStep.EXCHANGE:
            exchanges.append(TimedWork(began, perf_counter()))
        return progress


async def _read_all_the_while(engine: AsyncEngine, last: int) -> list[TimedWork]:
    """Ask for a month of a metric again and again until cancelled, and return when each answer was waited for."""
    archive, reads = ArchiveReader(engine), list[TimedWork]()
    try:
        while True:
            began = perf_counter()
            await archive.read_text(_name(len(reads)), last - 300 * DAY, last - 270 * DAY, FORM)
            reads.append(TimedWork(began, perf_counter()))
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        return reads


def _describe(
    before: YearLook, after: YearLook, rate: float, exchanges: Sequence[TimedWork], reads: Sequence[TimedWork]
) -> list[Figure]:
    how = f"{METRICS:,} metrics, {DAYS} days, {QUESTIONS} questions for the text that the API answers, warm"
    p99 = [quantiles(each.seconds, n=100)[98] * 1e3 for each in (before, after)]
    medians = [median(each.seconds) * 1e3 for each in (before, after)]
    waited = [each.seconds for each in reads if any(each.overlaps(other) for other in exchanges)]
    others = [each.seconds for each in reads if each.seconds not in waited]
    month = f"a month of {MANY:,} metrics would take {MONTH_ROWS / rate / 3600:.1f} hours of such time, extrapolated"
    return [
        beside("pages of 28 days of a metric", f"{before.month_pages:,} before, {after.month_pages:,} after", how),
        beside("pages of a year of a metric", f"{before.pages:,} before, {after.pages:,} after", how),
        at_most(
            "a year of one metric in the order of its key, p99",
            p99[1],
            QUESTION_MILLISECONDS,
            " ms",
            f"{p99[0]:.0f} ms before; medians {medians[0]:.1f} ms before, {medians[1]:.1f} ms after; {how}",
        ),
        beside(
            "the same in processor time, client and server",
            f"{before.processor * 1e3:.1f} ms before, {after.processor * 1e3:.1f} ms after",
            how,
        ),
        beside("rewriting: rows copied and compared a second", f"{rate:,.0f}", month),
        beside(
            "the exchange of two partitions",
            f"{max(each.seconds for each in exchanges) * 1e3:.0f} ms at most",
            f"{len(exchanges)} exchanges; a month of a metric that was asked for meanwhile took at most "
            f"{max(waited, default=0) * 1e3:.0f} ms beside one, {max(others) * 1e3:.0f} ms beside none, "
            f"of {len(reads):,} questions, {median(others) * 1e3:.0f} ms in the median",
        ),
    ]
