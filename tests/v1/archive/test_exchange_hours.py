"""The exchange's own hours beside the sampled ones: what is kept, what is answered, and what an older archive becomes."""

from collections.abc import AsyncIterator
from random import Random

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from tests.support.archive_hours import BTC, ETH, hour, opened, some_hours
from tests.support.serving import DAY, HOUR, NOON
from v1.archive import RowFormat, connect_archive
from v1.archive.engine import open_transaction
from v1.archive.migrate import MIGRATIONS
from v1.archive.schema import SCHEMA_TABLE, candles, exchange_candles, top, top_coins
from v1.archive.writer import ArchiveWriter
from v1.market.candles import (
    CandleKind,
    CandleLength,
    CandleRow,
    CandleSums,
    HourCandle,
    group_hours,
    make_row,
    start_sums,
)
from v1.market.exchange_hours import ExchangeHour, merge_exchange_hour

pytestmark = pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
async def archive(database: str) -> AsyncIterator[ArchiveWriter]:
    async with opened(database) as writer:
        yield writer


def told(start: int = NOON, volume: str | None = "9.50", source: str = "kraken") -> ExchangeHour:
    return ExchangeHour(BTC, start, "5.00", "9.000", "0.1", "6.0", volume, source, start + HOUR + 100)


def some_told(count: int) -> list[ExchangeHour]:
    dice = Random(count)
    places = sorted(dice.sample(range(count), count // 2))
    return [
        told(NOON + place * HOUR, volume=None if dice.random() < 0.2 else f"{dice.random():.9f}")._replace(
            high=f"{dice.randrange(10**6)}.{dice.randrange(100):02}0", low=f"0.{dice.randrange(10**9):09}"
        )
        for place in places
    ]


def some_ranged(count: int) -> list[HourCandle]:
    """Make sampled hours, of which some have minutes that were filled in."""
    dice = Random(count)
    return [
        each._replace(ranged_open="3.10", ranged_high="1000000000.50", ranged_low="0.000000001", ranged=ranged)
        if (ranged := dice.choice((0, 0, 60, HOUR)))
        else each
        for each in some_hours(count)
    ]


def expected(sampled: list[HourCandle], exchange: list[ExchangeHour], kind: CandleKind | None) -> list[CandleSums]:
    """Return the hours that are to be answered."""
    known = {each.start: start_sums(each, kind=kind) for each in sampled}
    better = {each.start: merge_exchange_hour(known.get(each.start), each) for each in exchange}
    whole = {start: each for start, each in known.items() if each.kind == CandleKind.EXCHANGE}
    chosen = {None: known | better, CandleKind.SAMPLED: known, CandleKind.EXCHANGE: whole | better}[kind]
    return [chosen[start] for start in sorted(chosen)]


async def test_an_hour_of_the_exchange_is_kept_as_it_was_told_and_once(archive):
    hours = some_told(40)

    first = await archive.write_exchange_hours(hours)
    again = await archive.write_exchange_hours([each._replace(fetched_at=each.fetched_at + 60) for each in hours])
    changed = await archive.write_exchange_hours([hours[3]._replace(high="7.0"), hours[4]])

    assert (first, again, changed) == (20, 0, 1)
    hours[3] = hours[3]._replace(high="7.0", revision=2)
    assert await archive.read_exchange_hours(BTC, 0, 2**40) == hours
    assert await archive.read_exchange_starts(BTC, NOON, NOON + 9 * HOUR) == {
        each.start for each in hours if each.start < NOON + 9 * HOUR
    }
    assert await archive.read_exchange_hours(ETH, 0, 2**40) == []


async def test_what_was_sampled_stays_beside_it(archive):
    sampled = hour("5.5", "6.0")

    await archive.write_exchange_hours([told()])
    await archive.write([sampled])

    assert await archive.read_hours(BTC, 0, 2**40) == [sampled]
    assert await archive.read_exchange_hours(BTC, 0, 2**40) == [told()]
    assert await archive.read_counts(NOON) == {BTC: 2}


@pytest.mark.parametrize("kind", [None, *CandleKind])
@pytest.mark.parametrize("length", [CandleLength.HOUR, CandleLength.FOUR_HOURS, CandleLength.WEEK])
async def test_candles_of_any_length_are_those_of_the_kind_that_is_asked_for(archive, kind, length):
    sampled, exchange = some_ranged(200), some_told(200)
    await archive.write([*sampled, *some_hours(9, ETH)])
    await archive.write_exchange_hours(exchange)
    hours = expected(sampled, exchange, kind)

    rows = await archive.read_rows(BTC, NOON, NOON + 200 * HOUR, kind)
    sums = await archive.read_sums(BTC, length, 0, 2**40, kind)

    # A candle of many hours says the mean of all, one of an hour that which it was kept with.
    assert [row._replace(mean=None) for row in rows] == [make_row(each)._replace(mean=None) for each in hours]
    assert [row.mean for row in rows] == [make_row(each).mean for each in hours]
    assert [make_row(each) for each in sums] == [make_row(each) for each in group_hours(hours, length)]


@pytest.mark.parametrize("kind", [None, *CandleKind])
async def test_the_database_writes_them_as_they_would_be_written_here(archive, kind):
    sampled, exchange = some_ranged(60), some_told(60)
    await archive.write(sampled)
    await archive.write_exchange_hours(exchange)
    form = RowFormat(["", *[","] * len(CandleRow._fields), ";"], "null", "\n")

    lines = (await archive.read_text(BTC, 0, 2**40, form, kind)).split("\n")

    assert lines == [
        ",".join(
            [
                *["null" if cell is None else str(cell) for cell in row[:9]],
                str(row.covered / HOUR),
                str(row.averaged / HOUR),
                str(row.revision),
                f'"{row.kind}"',
                "true;" if row.covered == HOUR else "false;",
            ]
        )
        for row in map(make_row, expected(sampled, exchange, kind))
    ]


async def test_the_newest_hour_and_the_last_close_are_those_of_both(archive):
    await archive.write([hour("1", "2"), hour("7.0", start=NOON + HOUR)])
    await archive.write_exchange_hours(
        [told(NOON), told(NOON + 3 * HOUR)._replace(close="8.0"), told()._replace(metric=ETH)]
    )

    newest = await archive.read_newest_hours(BTC)

    assert (newest, newest.newest) == ((NOON + HOUR, NOON + 3 * HOUR), NOON + 3 * HOUR)
    closes = [await archive.read_close_before(BTC, NOON + place * HOUR) for place in (0, 1, 2, 4)]
    assert closes == [None, "6.0", "7.0", "8.0"]
    assert await archive.read_close_before(BTC, NOON + HOUR, CandleKind.SAMPLED) == "2"
    assert await archive.read_close_before(BTC, NOON + 2 * HOUR, CandleKind.EXCHANGE) == "6.0"
    assert await archive.read_metrics(0) == [BTC, ETH]
    assert await archive.read_metrics(NOON + 2 * HOUR) == [BTC]


async def test_an_hour_whose_minutes_were_all_filled_in_is_the_exchanges_also_where_it_is_looked_for(archive):
    whole = hour("5.5", "6.0")._replace(ranged_open="5", ranged_high="9", ranged_low="4", ranged=HOUR)
    await archive.write([whole, hour("7", start=NOON + HOUR)])

    assert await archive.read_hours(BTC, NOON, NOON + HOUR) == [whole]
    assert await archive.read_close_before(BTC, NOON + 2 * HOUR, CandleKind.EXCHANGE) == "6.0"
    assert await archive.read_close_before(BTC, NOON + 2 * HOUR) == "7"


async def test_a_range_that_is_known_is_not_lost_to_the_same_hour_without_it(archive):
    bare, ranged = hour("5.5", "6.0"), hour("5.5", "6.0")._replace(ranged_open="5", ranged_high="9", ranged_low="4")
    ranged = ranged._replace(ranged=120)

    changed = [await archive.write([each]) for each in (bare, ranged, bare, ranged)]

    assert changed == [1, 1, 0, 0]
    assert await archive.read_hours(BTC, 0, 2**40) == [ranged._replace(revision=2)]


async def test_both_are_let_go_of_together(archive):
    starts = [NOON - 50 * DAY, NOON, NOON + HOUR]
    for start in starts:
        await archive.write([hour("1", start=start)])
        await archive.write_exchange_hours([told(start)])

    await archive.trim(NOON - DAY)
    dropped = await archive.drop_future(NOON + HOUR)

    assert dropped == 2
    assert [each.start for each in await archive.read_hours(BTC, 0, 2**40)] == [NOON]
    assert [each.start for each in await archive.read_exchange_hours(BTC, 0, 2**40)] == [NOON]


def bring_back_to(connection: Connection, revision: str) -> None:
    """Bring the schema back to a revision."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes.update(connection=connection, version_table=SCHEMA_TABLE, candles=candles.name)
    config.attributes.update(exchange_candles=exchange_candles.name, top=top.name, top_coins=top_coins.name)
    command.downgrade(config, revision)


INSERT = """
    INSERT INTO v1_candles
    (metric, start, open, high, low, close, total, mean, latest, volume, samples, covered, source, closed_at, revision)
    VALUES {}
"""
AS_BEFORE = [
    ("samples", "'1.0', '3.0', '1.0', '2.0', '6.0', '2.00000', '2.0', '7.50', 3, 180, 'samples', 1, 1"),
    ("its hour", "'1.10', '4.0', '0.5', '2.0', NULL, NULL, '2.0', '7.50', 1, 3600, 'kraken', 2, 1"),
    ("its minutes", "'1.20', '4.0', '0.5', '2.0', '120.0', '2.00000', '2.0', NULL, 60, 3600, 'binance', 3, 2"),
    ("some minutes", "'1.30', '4.0', '0.5', '2.0', '60.0', '2.00000', '2.0', '1', 30, 1800, 'binance', 4, 1"),
]


async def test_what_a_provider_told_before_becomes_the_exchanges_and_nothing_is_lost(database):
    starts = [NOON, NOON + HOUR, NOON + 2 * HOUR, NOON + 40 * DAY]
    rows = [f"('{BTC}', {start}, {row})" for start, (_, row) in zip(starts, AS_BEFORE, strict=True)]
    async with opened(database) as made:
        await made.prepare(NOON)
        await made.prepare(NOON + 40 * DAY)
    async with connect_archive(database, "tests", writes=True) as engine:
        async with open_transaction(engine) as connection:
            await connection.run_sync(bring_back_to, "0002")
        async with open_transaction(engine) as connection:
            await connection.execute(text(INSERT.format(", ".join(rows))))

    async with opened(database) as archive:
        sampled = await archive.read_hours(BTC, 0, 2**40)
        exchange = await archive.read_exchange_hours(BTC, 0, 2**40)
        written = await archive.write_exchange_hours([told(NOON + 40 * DAY)])

    assert [(each.start, each.source, each.open) for each in sampled] == [
        (starts[0], "samples", "1.0"),
        (starts[2], "binance", "1.20"),
        (starts[3], "binance", "1.30"),
    ]
    assert exchange == [
        ExchangeHour(BTC, starts[1], "1.10", "4.0", "0.5", "2.0", "7.50", "kraken", 2, 1),
        ExchangeHour(BTC, starts[2], "1.20", "4.0", "0.5", "2.0", None, "binance", 3, 2),
    ]
    assert written == 1, "the months of what was there have partitions of both tables"


async def test_the_step_back_keeps_what_only_the_exchange_told(database):
    async with opened(database) as archive:
        await archive.write([hour("5.5")])
        await archive.write_exchange_hours([told(), told(NOON + HOUR)])
    async with connect_archive(database, "tests", writes=True) as engine, open_transaction(engine) as connection:
        await connection.run_sync(bring_back_to, "0002")
        rows = await connection.execute(
            text("SELECT start, source, samples, covered, total FROM v1_candles ORDER BY start")
        )

        assert [tuple(row) for row in rows] == [
            (NOON, "samples", 1, 60, "5.5"),
            (NOON + HOUR, "kraken", 1, HOUR, None),
        ]
