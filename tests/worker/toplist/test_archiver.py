"""Full hours of the top list go into the archive: once, also those that were missed, and whatever is away."""

import pytest

from tests.support.top_hours import MARGIN, NOON
from v1.archive import connect_archive
from worker.latest import DAY, HOUR, MINUTE
from worker.latest.archive import TopArchiveWriter
from worker.latest.toplist import ListOrigin, PricedCoin, ProviderList, RankedCoin, merge_lists
from worker.toplist.archiver import TopListArchiver
from worker.toplist.roles import TopListStores


async def put(stores: TopListStores, *minutes: int) -> None:
    for at in minutes:
        prices = ProviderList(ListOrigin("a", at, None, 300, {}), [PricedCoin(1, "2.50", at)])
        ranks = ProviderList(ListOrigin("b", at, None, 300, {}), [RankedCoin(1, "A", "A", "9")])
        await stores.top.write_snapshot(merge_lists(at, prices, ranks, MARGIN))


@pytest.fixture
def keeping(stores: TopListStores) -> TopListArchiver:
    return TopListArchiver(stores.top, stores.archive, MARGIN, None)


async def test_a_full_hour_is_kept_when_its_minute_cannot_come_any_more(
    stores: TopListStores, keeping: TopListArchiver
):
    await put(stores, NOON)

    await keeping.archive_until(NOON + MARGIN)
    assert await stores.archive.read_top_hours(0) == set()
    await keeping.archive_until(NOON + MARGIN + MINUTE)

    assert await stores.archive.read_top_hours(0) == {NOON}
    assert await stores.archive.read_top_list(NOON) == await stores.top.read_snapshot(NOON)
    assert (await stores.top.read_role_states())["keeping"]["list_at"] == NOON


async def test_hours_that_were_missed_are_made_up_for_and_those_that_are_kept_stay(
    stores: TopListStores, keeping: TopListArchiver
):
    hours = [NOON - 3 * HOUR, NOON - 2 * HOUR, NOON]
    await put(stores, *hours[:2], NOON - HOUR - 7 * MINUTE, NOON - HOUR + MINUTE, NOON)
    await keeping.archive_until(NOON - 2 * HOUR + 2 * MINUTE)

    await TopListArchiver(stores.top, stores.archive, MARGIN, None).archive_until(NOON + 2 * MINUTE)

    assert await stores.archive.read_top_hours(0) == {*hours, NOON - HOUR}
    assert (await stores.archive.read_top_list(NOON - HOUR)).at == NOON - HOUR - 7 * MINUTE


async def test_an_hour_whose_minute_is_still_to_be_made_up_for_is_not_kept_before(
    stores: TopListStores, keeping: TopListArchiver
):
    await put(stores, NOON - 2 * HOUR, NOON - HOUR - MINUTE)

    await keeping.archive_until(NOON + 2 * MINUTE)
    assert await stores.archive.read_top_hours(0) == {NOON - 2 * HOUR}
    await put(stores, NOON - HOUR, NOON)
    await keeping.archive_until(NOON + 3 * MINUTE)

    assert await stores.archive.read_top_hours(0) == {NOON - 2 * HOUR, NOON - HOUR, NOON}
    assert (await stores.archive.read_top_list(NOON - HOUR)).at == NOON - HOUR


async def test_an_hour_without_a_list_has_none(stores: TopListStores, keeping: TopListArchiver):
    await put(stores, NOON - 2 * HOUR)

    await keeping.archive_until(NOON + 2 * MINUTE)

    assert await stores.archive.read_top_hours(0) == {NOON - 2 * HOUR}
    assert (await stores.top.read_role_states())["keeping"]["list_at"] == NOON - 2 * HOUR


async def test_what_is_older_than_is_wished_is_let_go_of(stores: TopListStores):
    await put(stores, NOON - 23 * HOUR, NOON)
    keeping = TopListArchiver(stores.top, stores.archive, MARGIN, 2)
    await keeping.archive_until(NOON + 2 * MINUTE)

    await put(stores, NOON + DAY + 3 * HOUR)
    await keeping.archive_until(NOON + DAY + 3 * HOUR + 2 * MINUTE)

    assert await stores.archive.read_top_hours(0) == {NOON, NOON + DAY + 3 * HOUR}


async def test_while_the_archive_is_away_that_is_told_and_made_up_for_later(stores: TopListStores, tmp_path):
    folder = tmp_path / "later"
    async with connect_archive(f"sqlite+aiosqlite:///{folder}/archive.db", "tests", writes=True) as engine:
        archive = TopArchiveWriter(engine)
        keeping = TopListArchiver(stores.top, archive, MARGIN, None)
        await put(stores, NOON)
        folder.write_text("a file where a folder is to be")

        await keeping.archive_until(NOON + 2 * MINUTE)
        told = (await stores.top.read_role_states())["keeping"]
        folder.unlink()
        await keeping.archive_until(NOON + 3 * MINUTE)

        assert (told["state"], told["list_at"]) == ("failing", None)
        assert "archive is away" in told["reason"]
        assert (await stores.top.read_role_states())["keeping"]["state"] == "ok"
        assert await archive.read_top_hours(0) == {NOON}
