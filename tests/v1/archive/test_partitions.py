"""The ranges that PostgreSQL's tables are split into: months or weeks, made ahead, dropped whole, never overlapping."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.support.archive_hours import BTC, hour, opened
from tests.support.serving import DAY, NOON
from v1.archive import ArchiveError, connect_archive
from v1.archive.partitions import (
    HeldPartition,
    PartitionLength,
    PartitionRange,
    find_month,
    fit_range,
    is_held,
    read_partitions,
)
from v1.archive.writer import ArchiveWriter

on_postgresql = pytest.mark.parametrize("database", ["postgres", "machine_postgres"], indirect=True)
TABLES = ("v1_candles", "v1_exchange_candles")


def second_of(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp())


async def list_partitions(address: str, table: str = "v1_candles") -> list[HeldPartition]:
    async with connect_archive(address, "tests", writes=False) as engine, engine.connect() as connection:
        return await read_partitions(connection, table)


async def list_names(address: str, table: str = "v1_candles") -> list[str]:
    return [each.name for each in await list_partitions(address, table)]


async def prepare(address: str, length: PartitionLength, *at: int) -> None:
    async with connect_archive(address, "tests", writes=True) as engine:
        archive = ArchiveWriter(engine, length)
        await archive.open()
        for each in at:
            await archive.prepare(each)


@pytest.mark.parametrize(
    "second, month",
    [
        ((2021, 5, 17, 12), ((2021, 5, 1), (2021, 6, 1))),
        ((2021, 12, 31, 23, 59, 59), ((2021, 12, 1), (2022, 1, 1))),
        ((2022, 1, 1), ((2022, 1, 1), (2022, 2, 1))),
        ((1970, 1, 1), ((1970, 1, 1), (1970, 2, 1))),
    ],
)
def test_a_month_begins_where_the_one_before_it_ends(second: tuple[int, ...], month: Sequence[tuple[int, ...]]):
    assert find_month(second_of(*second)) == PartitionRange(*[second_of(*each) for each in month])


@given(some.integers(11 * DAY, 80_000 * DAY))
def test_a_week_is_the_iso_week(second: int):
    at = datetime.fromtimestamp(second, UTC)
    first = at.date() - timedelta(days=at.weekday())

    found = PartitionLength.WEEK.find_range(second)

    assert found == (second_of(*first.timetuple()[:3]), second_of(*first.timetuple()[:3]) + 7 * DAY)


@given(some.lists(some.tuples(some.sampled_from(PartitionLength), some.integers(0, 400)), max_size=40))
def test_however_the_length_changes_every_day_is_in_one_range_and_each_range_has_its_own_name(
    days: list[tuple[PartitionLength, int]],
):
    held: list[PartitionRange] = []
    for length, day in days:
        if not is_held(day, held):
            held.append(fit_range(length.find_range(day * DAY), day * DAY, held))

    for _, day in days:
        assert sum(each.start <= day * DAY < each.end for each in held) == 1
    names = {each.name_partition("t") for each in held}
    assert len(names) == len(held)
    assert all(one.end <= other.start for one, other in pairwise(sorted(held)))


@on_postgresql
async def test_each_month_has_its_partition_made_ahead_and_dropped_whole(database: str):
    hours = [hour("1", start=second_of(2021, 5, 31, 23)), hour("2", start=second_of(2021, 6, 1))]
    async with opened(database) as archive:
        await archive.write([hour("3", start=NOON - 40 * DAY), *hours])
        made = await list_names(database)
        await archive.prepare(hours[1].start)
        ahead = await list_names(database)

        await archive.trim(hours[0].start)

        assert await list_names(database, "v1_exchange_candles") == [
            name.replace("v1_candles", "v1_exchange_candles") for name in ahead[1:]
        ]
        assert made == [f"v1_candles_2021_{month:02}" for month in (4, 5, 6)]
        assert ahead == [*made, "v1_candles_2021_07"]
        assert await list_names(database) == ahead[1:]
        assert await archive.read_hours(BTC, 0, 2**40) == hours


@on_postgresql
async def test_each_week_has_its_partition_made_ahead_and_dropped_whole(database: str):
    await prepare(database, PartitionLength.WEEK, second_of(2021, 5, 17, 12), second_of(2021, 5, 24))

    for table in TABLES:
        assert await list_names(database, table) == [f"{table}_2021_05_{day}" for day in (17, 24, 31)]
    async with opened(database) as archive:
        await archive.trim(second_of(2021, 5, 24))
    assert await list_names(database) == ["v1_candles_2021_05_24", "v1_candles_2021_05_31"]


@on_postgresql
async def test_weeks_follow_months_that_are_there_and_months_weeks(database: str):
    await prepare(database, PartitionLength.MONTH, second_of(2021, 5, 17))
    await prepare(database, PartitionLength.WEEK, second_of(2021, 6, 29), second_of(2021, 7, 1), second_of(2021, 7, 8))
    await prepare(database, PartitionLength.MONTH, second_of(2021, 7, 12), second_of(2021, 7, 19))

    edges = [(5, 1), (6, 1), (7, 1), (7, 5), (7, 12), (7, 19), (8, 1), (9, 1)]
    seconds = [second_of(2021, *edge) for edge in edges]
    expected = [PartitionRange(*pair) for pair in pairwise(seconds)]
    assert [each.range for each in await list_partitions(database)] == expected
    hours = [hour("1", start=start + shift) for start in seconds[:-1] for shift in (0, DAY - 3600)]
    async with opened(database) as archive:
        assert await archive.write(hours) == len(hours)
        assert await archive.read_hours(BTC, 0, 2**40) == hours


@on_postgresql
async def test_a_partition_that_is_no_range_of_seconds_is_named(database: str):
    async with opened(database) as archive:
        async with connect_archive(database, "tests", writes=True) as engine, engine.begin() as connection:
            await connection.exec_driver_sql("CREATE TABLE others PARTITION OF v1_candles DEFAULT")

        with pytest.raises(ArchiveError, match=r"^the partition others is DEFAULT, which is no range of seconds"):
            await archive.write([hour("1")])
