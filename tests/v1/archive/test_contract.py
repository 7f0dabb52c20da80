"""What the archive promises, on SQLite and on PostgreSQL alike: the newest, the machine's own, and behind a pooler."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from sqlalchemy import text

from tests.support.archive_hours import BTC, ETH, hour, opened, some_hours
from tests.support.serving import DAY, HOUR, NOON
from v1.archive import ArchiveAway, ArchiveError, ArchiveReader, RowFormat, connect_archive
from v1.archive.revisions import REVISIONS
from v1.archive.writer import ArchiveWriter
from v1.market import candles
from v1.market.candles import CandleLength, CandleRow, HourCandle
from v1.model import Metric

pytestmark = pytest.mark.parametrize("database", ["sqlite", "postgres", "machine_postgres", "pgbouncer"], indirect=True)

numbers = some.builds(
    lambda units, places: f"{units // 10**places}.{units % 10**places:0{places}}" if places else str(units),
    some.integers(0, 10**40),
    some.integers(0, 30),
)


@pytest.fixture
async def archive(database: str) -> AsyncIterator[ArchiveWriter]:
    async with opened(database) as writer:
        yield writer


async def all_of(archive: ArchiveReader, *metrics: str) -> list[HourCandle]:
    return [row for metric in metrics or (BTC,) for row in await archive.read_hours(Metric(metric), 0, 2**40)]


async def test_what_is_written_is_read_back_as_it_was(archive):
    hours = some_hours(30)

    changed = await archive.write(hours)

    assert changed == len(hours)
    assert await all_of(archive) == hours


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(some.lists(numbers, min_size=8, max_size=8), some.integers(0, 1000))
async def test_every_digit_of_every_number_comes_back(archive, digits, place):
    written = hour("1", start=NOON + place * HOUR)._replace(**dict(zip(HourCandle._fields[2:10], digits, strict=True)))
    await archive.trim(2**40)

    await archive.write([written])

    assert await all_of(archive) == [written]


async def test_the_same_again_changes_nothing_not_even_when_it_was_closed(archive):
    hours = some_hours(20)
    await archive.write(hours)

    changed = await archive.write([each._replace(closed_at=each.closed_at + 60) for each in hours])

    assert changed == 0
    assert await all_of(archive) == hours


async def test_what_differs_is_replaced_and_counts_as_a_revision(archive):
    await archive.write([hour("1", "2"), hour("7", start=NOON + HOUR)])

    changed = await archive.write([hour("1", "2", "3", at=NOON + DAY), hour("7", start=NOON + HOUR)])

    assert changed == 1
    assert await all_of(archive) == [
        hour("1", "2", "3", at=NOON + DAY)._replace(revision=2),
        hour("7", start=NOON + HOUR),
    ]


async def test_other_digits_of_the_same_number_are_a_change(archive):
    await archive.write([hour("1.5")])

    assert await archive.write([hour("1.50")]) == 1
    assert (await all_of(archive))[0].open == "1.50"


@pytest.mark.parametrize(
    "held, come, is_taken",
    [
        pytest.param(hour("1", "2"), hour("2"), False, id="fewer samples: the hour was trimmed"),
        pytest.param(hour("1", "2"), hour("3", "2"), True, id="as many samples"),
        pytest.param(hour("1"), hour("1")._replace(volume=None, open="2"), False, id="a volume less"),
        pytest.param(hour("1")._replace(volume=None), hour("1"), True, id="a volume more"),
        pytest.param(hour("1"), hour("2")._replace(covered=HOUR, source="kraken"), True, id="a whole hour for a part"),
        pytest.param(hour("1")._replace(covered=HOUR), hour("1", "2"), False, id="a part for a whole hour"),
        pytest.param(
            hour("1")._replace(covered=HOUR, source="kraken"), hour(*["1"] * 60), True, id="all samples for a candle"
        ),
    ],
)
async def test_a_row_is_never_replaced_by_one_that_knows_less(archive, held, come, is_taken):
    await archive.write([held])

    assert await archive.write([come]) == int(is_taken)
    assert (await all_of(archive))[0] == (come._replace(revision=2) if is_taken else held)


async def test_a_write_is_all_or_nothing(archive):
    impossible = hour("5", metric=ETH)._replace(start=NOON + 1)

    with pytest.raises(ArchiveError):
        await archive.write([hour("1"), impossible])

    assert await all_of(archive, BTC, ETH) == []
    assert await archive.write([hour("1")]) == 1


async def test_nothing_to_write_is_nothing_done(archive):
    assert await archive.write([]) == 0


@pytest.mark.parametrize("length", CandleLength)
async def test_longer_candles_are_those_that_their_hours_make(archive, length):
    hours = some_hours(400)
    await archive.write([*hours, *some_hours(400, ETH)])
    since, until = length.find_start(NOON + 3 * DAY), length.find_start(NOON + 12 * DAY)

    found = await archive.read_sums(BTC, length, since, until)

    expected = candles.group_hours([candles.start_sums(each) for each in hours if since <= each.start < until], length)
    assert [candles.make_row(each) for each in found] == [candles.make_row(each) for each in expected]


async def test_hours_are_answered_as_they_are_kept(archive):
    hours = some_hours(50)
    await archive.write(hours)

    found = await archive.read_rows(BTC, NOON + 5 * HOUR, NOON + 40 * HOUR)

    within = [each for each in hours if NOON + 5 * HOUR <= each.start < NOON + 40 * HOUR]
    assert found == [candles.make_row(candles.start_sums(each)) for each in within]


async def test_the_database_writes_hours_as_they_would_be_written_here(archive):
    hours = [*some_hours(60), hour("1", "2", start=NOON + 70 * HOUR)._replace(covered=3540)]
    await archive.write([*hours, *some_hours(9, ETH)])
    form = RowFormat([f"'{name}\\\":%" for name in (*CandleRow._fields, "complete", "end")], "nothing", "\n")

    found = await archive.read_text(BTC, NOON, NOON + 2**30, form)

    expected = []
    for each in hours:
        parts_of_hour = {"covered": each.covered / HOUR, "averaged": each.averaged / HOUR, "kind": '"sampled"'}
        cells = [parts_of_hour[name] if name in parts_of_hour else getattr(each, name) for name in CandleRow._fields]
        cells.append("true" if each.covered == HOUR else "false")
        *texts, last = form.texts
        parts = [f"{text}{'nothing' if cell is None else cell}" for text, cell in zip(texts, cells, strict=True)]
        expected.append("".join([*parts, last]))
    assert found.split("\n") == expected
    assert await archive.read_text(BTC, 0, NOON, form) == ""


@pytest.mark.parametrize("seconds", [1, 5, 60, 720, 1800, 3540, 3599, 3600])
async def test_coverage_is_the_nearest_double_in_its_shortest_text(archive, seconds):
    await archive.write([hour("1")._replace(covered=seconds)])
    form = RowFormat(["", *[","] * len(CandleRow._fields), ""], "", "")

    assert (await archive.read_text(BTC, 0, 2**40, form)).split(",")[9] == repr(seconds / 3600)


async def test_the_questions_of_the_worker_are_answered(archive):
    await archive.write([hour("1", "2"), hour("7.0", start=NOON + HOUR), hour("4", metric=ETH)])

    assert await archive.read_newest_hours(BTC) == (NOON + HOUR, None)
    assert await archive.read_newest_hours(ETH) == (NOON, None)
    assert await archive.read_newest_hours(Metric("KRAKEN:NOPE")) == (None, None)
    assert await archive.read_newest_hours(Metric("KRAKEN:\0")) == (None, None)
    assert await archive.read_counts(NOON) == {BTC: 2, ETH: 1}
    assert await archive.read_coverage(BTC, NOON, NOON + 2 * HOUR) == {NOON: 120, NOON + HOUR: 60}
    assert await archive.read_metrics(NOON + HOUR) == [BTC]
    assert await archive.read_metrics(0) == [BTC, ETH]
    assert [await archive.read_close_before(BTC, NOON + place * HOUR) for place in range(3)] == [None, "2", "7.0"]


async def test_old_hours_are_let_go_of_and_new_ones_stay(archive):
    hours = [hour("1", start=NOON + place * 10 * DAY) for place in range(12)]
    await archive.write(hours)

    await archive.trim(hours[7].start)

    assert await all_of(archive) == hours[7:]
    assert await archive.write(hours[:1]) == 1, "and may come again"


async def test_the_database_makes_the_coverage_out_of_what_is_covered(archive, database):
    await archive.write([hour("1", "2", "3")])

    async with connect_archive(database, "tests", writes=False) as engine, engine.connect() as connection:
        coverage = await connection.scalar(text("SELECT coverage FROM v1_candles"))

    assert coverage == 180 / 3600


# ---- opening ----------------------------------------------------------------------------------------------


async def test_opened_by_several_at_once_the_tables_are_made_once(database):
    async with connect_archive(database, "a", writes=True) as one, connect_archive(database, "b", writes=True) as other:
        archives = [ArchiveWriter(engine) for engine in (one, other, one, other)]

        await asyncio.gather(*[archive.open() for archive in archives])

        assert await archives[0].write([hour("1")]) == 1
        assert await all_of(archives[1]) == [hour("1")]


async def test_opened_again_it_keeps_what_it_has(database):
    async with opened(database) as archive:
        await archive.write([hour("1")])

    async with opened(database) as archive:
        assert await all_of(archive) == [hour("1")]


async def test_before_the_worker_has_made_it_a_reader_is_told_to_wait(database):
    async with connect_archive(database, "tests", writes=False) as engine:
        with pytest.raises(ArchiveAway, match="not there yet"):
            await ArchiveReader(engine).read_metrics(0)

        async with opened(database) as archive:
            await archive.write([hour("1")])
        assert await ArchiveReader(engine).read_metrics(0) == [BTC]


async def test_a_schema_that_a_newer_version_made_is_refused_and_left_as_it_is(database):
    known = ", ".join(REVISIONS)
    async with connect_archive(database, "tests", writes=True) as engine:
        archive = ArchiveWriter(engine)
        await archive.open()
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE v1_schema SET version_num = '0815'"))

        for asks in (archive.open(), ArchiveReader(engine).read_metrics(0)):
            with pytest.raises(
                ArchiveError, match=rf"schema is '0815', and this code knows {known}: a newer version"
            ) as told:
                await asks
            assert not isinstance(told.value, ArchiveAway)
