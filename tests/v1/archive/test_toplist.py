"""Hourly top lists in both databases: what comes back, what is kept once, and what is let go of."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.serving import HOUR, NOON
from v1.archive import ArchiveAway, TopArchiveReader, connect_archive
from v1.archive.toplist import HourRange, TopArchiveWriter
from v1.toplist.model import ListOrigin, PricedCoin, ProviderList, RankedCoin, TopList, merge_lists

PRICES = [PricedCoin(1, "56507.38254720854", NOON - 58), PricedCoin(825, "1.00008821772940", None)]
RANKS = [
    RankedCoin(825, "USDT", "Tether", "172251665280.04504"),
    RankedCoin(None, "=X", "柴'犬\"", "0"),
    RankedCoin(1, "BTC", "Bitcoin", "68130148004.21379"),
]


def snapshot(at: int = NOON) -> TopList:
    prices = ProviderList(ListOrigin("coinmarketcap", at - 60, at - 2, 300, {"dead market": 1}), PRICES)
    return merge_lists(at, prices, ProviderList(ListOrigin("cryptocompare", at, None, 540, {}), RANKS), 60)


@pytest.fixture
async def archive(database: str) -> AsyncIterator[TopArchiveWriter]:
    async with connect_archive(database, "tests", writes=True) as engine:
        writer = TopArchiveWriter(engine)
        await writer.open()
        yield writer


async def test_a_list_comes_back_as_it_went_in_digit_for_digit(archive: TopArchiveWriter):
    assert await archive.write(NOON, snapshot())

    assert await archive.read_top_list(NOON) == snapshot()
    assert [coin.price_usd for coin in (await archive.read_top_list(NOON)).coins] == [
        "1.00008821772940",
        None,
        "56507.38254720854",
    ]


async def test_exponents_are_written_out(archive: TopArchiveWriter):
    prices = ProviderList(ListOrigin("a", NOON, None, 300, {}), [PricedCoin(1, "1.10e-05", None)])
    ranks = ProviderList(ListOrigin("b", NOON, None, 300, {}), [RankedCoin(1, "A", "A", "1.5E+9")])
    await archive.write(NOON, merge_lists(NOON, prices, ranks, 60))

    (coin,) = (await archive.read_top_list(NOON)).coins
    assert (coin.price_usd, coin.volume_24h_usd) == ("0.0000110", "1500000000")


async def test_an_hour_that_is_kept_stays_as_it_is_whoever_writes_it_again(database: str, archive: TopArchiveWriter):
    async with connect_archive(database, "other", writes=True) as engine:
        other = TopArchiveWriter(engine)
        new = await asyncio.gather(*[each.write(NOON, snapshot()) for each in (archive, other, archive)])

    assert sorted(new) == [False, False, True]
    assert not await archive.write(NOON, snapshot(NOON - 60))
    assert await archive.read_top_list(NOON) == snapshot()


async def test_the_list_of_an_hour_stands_for_its_minutes_and_no_others(archive: TopArchiveWriter):
    await archive.write(NOON, snapshot(NOON - 60))

    assert await archive.read_top_list(NOON + HOUR - 1) == snapshot(NOON - 60)
    assert await archive.read_top_list(NOON + HOUR) is None
    assert await archive.read_top_list(NOON - 1) is None


async def test_which_hours_there_are_is_told_and_old_ones_are_let_go_of(archive: TopArchiveWriter):
    assert (await archive.read_top_range(), await archive.read_top_hours(0)) == (None, set())
    hours = [NOON - 2 * HOUR, NOON - HOUR, NOON]
    for hour in hours:
        await archive.write(hour, snapshot(hour))

    assert await archive.read_top_range() == HourRange(hours[0], NOON)
    assert await archive.read_top_hours(NOON - HOUR) == {NOON - HOUR, NOON}
    await archive.trim(NOON)
    assert await archive.read_top_hours(0) == {NOON}
    assert await archive.read_top_list(NOON - HOUR) is None


async def test_a_list_without_coins_is_a_list(archive: TopArchiveWriter):
    nothing = snapshot()._replace(coins=[])
    await archive.write(NOON, nothing)

    assert await archive.read_top_list(NOON) == nothing


async def test_before_there_are_tables_a_reader_is_told_to_wait(tmp_path):
    async with connect_archive(f"sqlite+aiosqlite:///{tmp_path}/archive.db", "tests", writes=False) as engine:
        with pytest.raises(ArchiveAway, match="not there yet"):
            await TopArchiveReader(engine).read_top_list(NOON)
