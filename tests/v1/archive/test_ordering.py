"""Partitions of PostgreSQL that are over are rewritten in the order of their key, and nobody who reads or writes loses a row."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support import postgres
from tests.support.archive_hours import hour, some_hours
from tests.support.serving import DAY, HOUR
from v1.archive import ArchiveAway, ArchiveError, connect_archive
from v1.archive.engine import ArchiveBusy
from v1.archive.ordering import OrderingStep, PartitionOrderer, copying, orderer
from v1.archive.partitions import PartitionLength
from v1.archive.writer import ArchiveWriter
from v1.market.candles import HourCandle
from v1.market.exchange_hours import ExchangeHour
from v1.model import Metric

ROOT = Path(__file__).resolve().parents[3]
MAY, JUNE, JULY = (int(datetime(2021, month, 1, tzinfo=UTC).timestamp()) for month in (5, 6, 7))
NAMES = [Metric(f"KRAKEN:{letter}USD") for letter in "DACB"]

on_postgresql = pytest.mark.parametrize("database", ["postgres", "machine_postgres", "pgbouncer"], indirect=True)
on_one = pytest.mark.parametrize("database", ["postgres"], indirect=True)


class Archive(NamedTuple):
    writer: ArchiveWriter
    engine: AsyncEngine

    async def ask(self, question: str) -> list[tuple[object, ...]]:
        async with self.engine.connect() as connection:
            return [tuple(row) for row in await connection.exec_driver_sql(question)]

    async def tell(self, *statements: str) -> None:
        async with self.engine.begin() as connection:
            for statement in statements:
                await connection.exec_driver_sql(statement)

    async def read_all(self) -> list[HourCandle]:
        return [row for metric in sorted(NAMES) for row in await self.writer.read_hours(metric, 0, 2**40)]

    async def is_in_order(self, partition: str, before: int = 2**40) -> bool:
        """
        Return whether the rows lie in the order of their key, of hours before one.

        Up to one of 20 may not: PostgreSQL fills up a page that another connection has left.
        """
        rows = await self.ask(f"SELECT metric, start FROM {partition} WHERE start < {before} ORDER BY ctid")
        return sum(one > other for one, other in pairwise(rows)) * 20 <= len(rows)

    async def list_beside(self) -> list[tuple[object, ...]]:
        """Return the tables of hours that are no part of another one, and the triggers there are."""
        tables = (
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'v1%candles%' AND NOT relispartition"
        )
        return [*await self.ask(tables), *await self.ask("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")]


@asynccontextmanager
async def opened(address: str, length: PartitionLength = PartitionLength.MONTH) -> AsyncIterator[Archive]:
    async with connect_archive(address, "tests", writes=True) as engine:
        writer = ArchiveWriter(engine, length)
        await writer.open()
        yield Archive(writer, engine)


@pytest.fixture
async def archive(database: str) -> AsyncIterator[Archive]:
    async with opened(database) as archive:
        yield archive


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "PIECE", 20)
    monkeypatch.setattr(orderer, "FEW_CHANGES", 3)


async def write_hours(archive: Archive, count: int = 40, start: int = MAY) -> list[HourCandle]:
    """Write hours of each metric hour by hour, as they are archived, and return them by their keys."""
    hours = [each for name in NAMES for each in some_hours(count, name, start)]
    await archive.writer.write(sorted(hours, key=lambda each: each.start))
    return sorted(hours)


async def nothing(_piece: int) -> None:
    pass


async def order_all(archive: Archive, before: int, between: Callable[[int], Awaitable[None]] = nothing) -> list[str]:
    """Do every piece, and something after each; return the steps, each as often as it comes in a row once."""
    ordering, steps, done = PartitionOrderer(archive.engine), [""], 0
    while (progress := await ordering.advance(before)) is not None:
        await between(done := done + 1)
        if steps[-1] != progress.step:
            steps.append(progress.step)
    return steps[1:]


async def advance_to(ordering: PartitionOrderer, step: OrderingStep) -> None:
    """Do pieces up to the first one of a step."""
    while (progress := await ordering.advance(JUNE)) is not None:
        if progress.step is step:
            return
    raise AssertionError(f"there was no piece of the step {step}")


@on_postgresql
async def test_a_month_that_is_over_lies_in_the_order_of_its_key_digit_for_digit(archive: Archive):
    hours = await write_hours(archive, 40)
    later = await write_hours(archive, 5, JUNE)
    assert not await archive.is_in_order("v1_candles_2021_05")

    steps = await order_all(archive, JULY - 1)

    assert steps == ["copy", "compare", "exchange", "drop"]
    assert await archive.is_in_order("v1_candles_2021_05")
    assert not await archive.is_in_order("v1_candles_2021_06")
    assert await archive.read_all() == sorted([*hours, *later])
    assert await archive.list_beside() == []


@on_one
async def test_what_is_rewritten_is_a_partition_as_every_other_one(archive: Archive):
    await write_hours(archive)
    await write_hours(archive, 1, JUNE)

    async def describe(partition: str) -> list[list[tuple[object, ...]]]:
        of = f"'{partition}'::regclass"
        return [
            await archive.ask(f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = {of} ORDER BY 1"),
            await archive.ask(
                "SELECT indisprimary, indkey::text, i.inhparent::regclass::text "
                f"FROM pg_index JOIN pg_inherits i ON i.inhrelid = indexrelid WHERE indrelid = {of} ORDER BY 1"
            ),
            await archive.ask(
                "SELECT attname, atttypid, attnotnull, attgenerated FROM pg_attribute "
                f"WHERE attrelid = {of} AND attnum > 0 ORDER BY attnum"
            ),
        ]

    await order_all(archive, JUNE)

    assert await describe("v1_candles_2021_05") == await describe("v1_candles_2021_06")


@on_one
async def test_the_exchanges_own_hours_are_rewritten_too(archive: Archive):
    numbers = ("1.50", "2", "1", "1.0", None, "kraken", MAY, 1)
    hours = [ExchangeHour(name, MAY + at * HOUR, *numbers) for at in range(30) for name in NAMES]
    await archive.writer.write_exchange_hours(hours)

    await order_all(archive, JUNE)

    assert await archive.is_in_order("v1_exchange_candles_2021_05")
    read = [each for name in NAMES for each in await archive.writer.read_exchange_hours(name, 0, 2**40)]
    assert sorted(read) == sorted(hours)


@on_one
async def test_weeks_are_rewritten_one_after_the_other(database: str):
    async with opened(database, PartitionLength.WEEK) as archive:
        hours = [hour("1", start=MAY + at * 6 * HOUR, metric=name) for name in sorted(NAMES) for at in range(80)]
        await archive.writer.write(sorted(hours, key=lambda each: each.start))

        await order_all(archive, MAY + 20 * DAY)

        assert await archive.read_all() == hours
        names = [f"v1_candles_2021_{day}" for day in ("04_26", "05_03", "05_10", "05_17")]
        assert [await archive.is_in_order(name) for name in names] == [True, True, True, False]


@on_one
async def test_a_month_in_order_is_left_as_it_is_until_much_was_added(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
):
    await write_hours(archive)
    await order_all(archive, JUNE)
    revised = await archive.read_all()

    changed = [each._replace(samples=each.samples + 1) for each in revised[:5]]
    await archive.writer.write(changed)
    assert await order_all(archive, JUNE) == []

    monkeypatch.setattr("v1.archive.ordering.tables.LEAST_GROWTH", 0)
    for samples in range(2, 12):
        await archive.writer.write([each._replace(samples=each.samples + samples) for each in revised])
    assert "exchange" in await order_all(archive, JUNE)
    assert await archive.is_in_order("v1_candles_2021_05")


@on_one
async def test_what_is_written_between_any_two_pieces_is_not_lost(archive: Archive):
    hours = {(each.metric, each.start): each for each in await write_hours(archive)}
    written = [0]

    async def write(piece: int) -> None:
        name = NAMES[piece % len(NAMES)]
        fresh = [hour(str(piece), start=MAY + (50 + piece) * HOUR, metric=name)]
        key = list(hours)[piece * 7 % 100]
        revised = [hours[key]._replace(samples=hours[key].samples + 100 * piece)]
        written[0] += await archive.writer.write([*fresh, *revised])
        hours.update({(each.metric, each.start): each for each in [*fresh, *revised]})

    await order_all(archive, JUNE, write)

    assert written[0] > 30
    found = [each._replace(revision=0) for each in await archive.read_all()]
    assert found == sorted(each._replace(revision=0) for each in hours.values())
    assert await archive.list_beside() == []


@on_one
async def test_hours_that_are_dropped_meanwhile_stay_dropped(archive: Archive):
    hours = await write_hours(archive)

    async def trim(piece: int) -> None:
        await archive.writer.trim(MAY + min(piece, 10) * HOUR)

    await order_all(archive, JUNE, trim)

    assert await archive.read_all() == [each for each in hours if each.start >= MAY + 10 * HOUR]


@on_one
async def test_who_reads_and_writes_all_the_while_sees_every_row_once(archive: Archive):
    hours = await write_hours(archive, 30)
    expected = {name: [each.start for each in hours if each.metric == name] for name in NAMES}
    is_over, reads, writes = asyncio.Event(), [0], [0]

    async def read(name: Metric) -> None:
        while not is_over.is_set():
            starts = [each.start for each in await archive.writer.read_hours(name, 0, JUNE - 10 * DAY)]
            assert starts == expected[name]
            reads[0] += 1

    async def write() -> None:
        while not is_over.is_set():
            at = JUNE - 10 * DAY + writes[0] % 200 * HOUR
            assert await archive.writer.write([hour(str(writes[0] + 1), start=at, metric=NAMES[0])]) == 1
            writes[0] += 1

    async def order() -> None:
        try:
            ordering = PartitionOrderer(archive.engine)
            await advance_to(ordering, OrderingStep.DROP)
        finally:
            is_over.set()

    await asyncio.gather(*map(read, NAMES[:2]), write(), order())

    late = await archive.writer.read_hours(NAMES[0], JUNE - 10 * DAY, JUNE)
    assert reads[0] > 2
    assert len(late) == min(writes[0], 200)
    assert sum(each.revision for each in late) == writes[0]


@on_one
async def test_the_exchange_waits_shortly_for_who_reads_and_comes_again(archive: Archive):
    hours = await write_hours(archive)
    ordering = PartitionOrderer(archive.engine)
    await advance_to(ordering, OrderingStep.COMPARE)

    async with archive.engine.connect() as connection:
        await connection.exec_driver_sql("SELECT count(*) FROM v1_candles")
        with pytest.raises(ArchiveBusy):
            await advance_to(ordering, OrderingStep.EXCHANGE)
        await archive.writer.write([hour("7", start=MAY + 100 * HOUR, metric=NAMES[0])])
        assert len(await archive.read_all()) == len(hours) + 1

    await advance_to(ordering, OrderingStep.EXCHANGE)
    assert len(await archive.read_all()) == len(hours) + 1


@on_one
async def test_a_copy_goes_on_where_the_process_before_was(archive: Archive):
    hours = await write_hours(archive)
    for pieces in (3, 2, 4, 5, 4, 3):
        ordering = PartitionOrderer(archive.engine)
        for _ in range(pieces):
            await ordering.advance(JUNE)
    copied = await archive.ask("SELECT count(*) FROM v1_candles_2021_05_ordered")

    steps = await order_all(archive, JUNE)

    assert copied == [(len(hours),)]
    assert steps == ["copy", "compare", "exchange", "drop"]
    assert await archive.read_all() == hours


@on_one
async def test_two_that_do_pieces_at_once_do_each_of_them_once(archive: Archive):
    hours = await write_hours(archive)

    async def order() -> None:
        ordering, idle = PartitionOrderer(archive.engine), 0
        while idle < 5:
            idle = 0 if await ordering.advance(JUNE) else idle + 1

    await asyncio.gather(order(), order())
    await order_all(archive, JUNE)

    assert await archive.read_all() == hours
    assert await archive.is_in_order("v1_candles_2021_05")
    assert await archive.list_beside() == []


@on_one
async def test_a_copy_of_which_another_process_has_begun_a_new_one_is_not_taken_for_compared(archive: Archive):
    hours = await write_hours(archive)
    first, second = PartitionOrderer(archive.engine), PartitionOrderer(archive.engine)
    await advance_to(first, OrderingStep.COMPARE)
    await second.drop_copies()
    await second.advance(JUNE)

    progress = await first.advance(JUNE)

    assert progress
    assert progress.step is OrderingStep.COPY
    await order_all(archive, JUNE)
    assert await archive.read_all() == hours


@on_one
@pytest.mark.parametrize(
    "wrong",
    [
        "DELETE FROM v1_candles_2021_05_ordered WHERE start = {}",
        "UPDATE v1_candles_2021_05_ordered SET volume = coalesce(volume, 0) * 1.0 WHERE start = {}",
        "UPDATE v1_candles_2021_05_ordered SET metric = 'Z' || metric WHERE start = {}",
    ],
)
async def test_a_copy_that_differs_is_never_exchanged(archive: Archive, wrong: str):
    hours = await write_hours(archive)
    ordering = PartitionOrderer(archive.engine)
    await advance_to(ordering, OrderingStep.COMPARE)

    await archive.tell(wrong.format(hours[-1].start))

    with pytest.raises(ArchiveError, match=r"the copy of v1_candles_2021_05 in the order of its key differs from it"):
        await advance_to(ordering, OrderingStep.EXCHANGE)
    await ordering.drop_copies()
    assert await archive.list_beside() == []
    await order_all(archive, JUNE)
    assert await archive.read_all() == hours


@on_one
async def test_a_copy_whose_partition_is_gone_or_made_anew_is_let_go_of(archive: Archive):
    await write_hours(archive)
    ordering = PartitionOrderer(archive.engine)
    await advance_to(ordering, OrderingStep.COMPARE)
    await archive.writer.trim(JUNE)
    again = [hour("1", start=MAY, metric=NAMES[0])]
    await archive.writer.open()
    await archive.writer.write(again)

    await order_all(archive, JUNE)

    assert await archive.read_all() == again
    assert await archive.list_beside() == []


@on_one
@pytest.mark.parametrize("end", ["changes", "ordered"])
async def test_tables_that_somebody_drops_meanwhile_stop_no_write_and_the_copy_is_made_anew(archive: Archive, end: str):
    hours = await write_hours(archive)
    ordering = PartitionOrderer(archive.engine)
    await advance_to(ordering, OrderingStep.COMPARE)

    await archive.tell(f"DROP TABLE v1_candles_2021_05_{end}")

    added = [hour("3", start=MAY + 200 * HOUR, metric=name) for name in NAMES]
    assert await archive.writer.write(added) == len(added)
    await advance_to(ordering, OrderingStep.DROP)
    assert await archive.list_beside() == []
    await order_all(archive, JUNE)
    assert await archive.read_all() == sorted([*hours, *added])


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_in_sqlite_there_is_nothing_to_do(archive: Archive):
    hours = await write_hours(archive)

    assert await PartitionOrderer(archive.engine).advance(JULY) is None
    assert await archive.read_all() == hours
    assert await archive.ask("SELECT count(*) FROM sqlite_master WHERE sql LIKE '%v1_candles (%WITHOUT ROWID%'") == [
        (1,)
    ]


ORDERS = """
import asyncio, sys
from v1.archive import connect_archive
from v1.archive.ordering import PartitionOrderer, copying

async def main(address, before):
    copying.PIECE = 20
    async with connect_archive(address, "tests", writes=True) as engine:
        ordering = PartitionOrderer(engine)
        while progress := await ordering.advance(int(before)):
            print(progress.step, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""
"""Rewrites what there is, and says each piece."""


@pytest.mark.parametrize("pieces", [1, 5, 11, 16])
async def test_killed_at_any_piece_nothing_is_lost_and_the_next_one_finishes(
    pieces: int, request: pytest.FixtureRequest
):
    server: postgres.Server = request.getfixturevalue("postgres")
    await postgres.told(server, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    async with opened(server.address()) as archive:
        hours = await write_hours(archive)
        words = [sys.executable, "-c", ORDERS, server.address(), str(JUNE)]
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            for _ in range(pieces):
                await asyncio.to_thread(process.stdout.readline)
            process.send_signal(signal.SIGKILL)
        assert await archive.read_all() == hours
        added = [hour("3", start=MAY + 200 * HOUR, metric=name) for name in NAMES]
        await archive.writer.write(added)

        await order_all(archive, JUNE)

        assert await archive.read_all() == sorted([*hours, *added])
        assert await archive.is_in_order("v1_candles_2021_05", added[0].start)
        assert await archive.list_beside() == []


async def test_postgresql_killed_between_pieces_goes_on_afterwards():
    with postgres.running(postgres.wheel(), postgres.DURABLE) as server:
        async with opened(server.address()) as archive:
            hours = await write_hours(archive)
            ordering = PartitionOrderer(archive.engine)
            for pieces in (5, 9):
                for _ in range(pieces):
                    await ordering.advance(JUNE)
                server.kill()
                with pytest.raises(ArchiveAway):
                    await ordering.advance(JUNE)
                server.start()
                assert await archive.read_all() == hours
            await order_all(archive, JUNE)

            assert await archive.read_all() == hours
            assert await archive.is_in_order("v1_candles_2021_05")
            assert await archive.list_beside() == []
