"""The view of the top list: the list, its minute, its parts, and why there is none."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import expect

from tests.support.browsing import Browser, find_barriers
from tests.support.serving import MINUTE, NOON, Api, Clock, tick
from tests.support.top_made import RANKS, made
from v1.store import DataFormat, TopWriter, connect
from v1.toplist.model import RankedCoin

XSS = "<img src=x onerror=alert(1)>"


@pytest.fixture
async def top(server: str) -> AsyncIterator[TopWriter]:
    async with connect(server, "tests") as redis:
        await DataFormat(redis).ensure()
        yield TopWriter(redis)


async def test_the_list_has_every_coin_the_age_of_both_parts_and_exact_digits(
    api: Api, browser: Browser, top: TopWriter, monkeypatch: pytest.MonkeyPatch
):
    page = browser.page
    monkeypatch.setattr("tests.support.top_made.RANKS", [RANKS[0], RankedCoin(5994, XSS, XSS, "1.5E+9"), RANKS[2]])
    await top.write_snapshot(made(NOON, prices_at=NOON - 120))
    await page.clock.install(time=NOON + 5)

    await page.goto(f"{api.url}/top")

    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(3)
    await expect(rows.nth(0)).to_contain_text("56\u202f507.38254720854")
    await expect(rows.nth(0).locator("td.number").nth(2)).to_have_attribute(
        "title", "68\u202f130\u202f148\u202f004.21379"
    )
    await expect(rows.nth(0)).to_contain_text("68.1\u202fB")
    await expect(rows.nth(1).locator("th")).to_have_text(XSS)
    await expect(rows.nth(1).locator("td.number").nth(1)).to_have_attribute("title", "0.000011")
    await expect(rows.nth(2).locator("td.number").nth(1)).to_have_attribute("title", "not known")
    cards = page.locator("main .card")
    await expect(cards.nth(0)).to_contain_text("3 coins, 1 of them without a price")
    await expect(cards.nth(1)).to_contain_text("Prices: coinmarketcap")
    await expect(cards.nth(1)).to_contain_text("2 min old now, asked every 5 min")
    await expect(cards.nth(1)).to_contain_text("Left out: dead market: 2.")
    await expect(cards.nth(2)).to_contain_text("Ranks and volumes: cryptocompare")
    table = await api.get(
        (await page.get_by_role("link", name="CSV").get_attribute("href") or "").removeprefix(api.url)
    )
    assert table.text.splitlines()[0].replace('"', "") == (
        "Rank,Symbol,Name,Id,Price USD,Volume 24h USD,Price Time,Volume Time"
    )
    assert len(table.text.splitlines()) == 4
    assert await find_barriers(page) == []
    assert browser.complaints == []


async def test_a_minute_is_picked_kept_in_the_address_and_left_again(api: Api, browser: Browser, top: TopWriter):
    page = browser.page
    for at in (NOON - 2 * MINUTE, NOON - MINUTE, NOON):
        await top.write_snapshot(made(at))
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/top")
    heading = page.locator("main .card h3").first
    await expect(heading).to_have_text("List of 2021-05-17 12:00 UTC")

    await page.get_by_label("At", exact=True).fill("2021-05-17T11:58")
    await expect(heading).to_have_text("List of 2021-05-17 11:58 UTC")
    assert page.url == f"{api.url}/top?at={NOON - 2 * MINUTE}"
    await page.get_by_role("button", name="A minute later").press("Enter")
    await expect(heading).to_have_text("List of 2021-05-17 11:59 UTC")
    await page.reload()
    await expect(heading).to_have_text("List of 2021-05-17 11:59 UTC")
    await expect(page.get_by_label("At", exact=True)).to_have_value("2021-05-17T11:59")

    await page.get_by_label("At", exact=True).fill("2021-05-10T11:59")
    trouble = page.locator("main .trouble")
    await expect(trouble).to_contain_text(
        "No top list of 2021-05-10 11:59 UTC: there are lists of minutes from 2021-05-17 11:58 UTC to 2021-05-17 12:00 UTC"
    )
    await trouble.get_by_role("button", name="Show 2021-05-17 11:58 UTC").click()
    await expect(heading).to_have_text("List of 2021-05-17 11:58 UTC")
    await page.get_by_role("button", name="Now").click()
    await expect(heading).to_have_text("List of 2021-05-17 12:00 UTC")
    assert page.url == f"{api.url}/top"


async def test_the_next_list_shows_by_itself_and_before_the_first_it_is_said_why_there_is_none(
    api: Api, browser: Browser, top: TopWriter, writer, clock: Clock
):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/top")
    await expect(page.locator("main .trouble")).to_have_text(
        "There is no top list: the worker makes it where TRACKER_COINMARKETCAP_API_KEY and "
        "TRACKER_CRYPTOCOMPARE_API_KEY are set."
    )
    await top.write_snapshot(made(NOON))
    await page.clock.run_for(6_000)
    await expect(page.locator("main .card h3").first).to_have_text("List of 2021-05-17 12:00 UTC")

    clock.now = NOON + MINUTE + 1
    await top.write_snapshot(made(NOON + MINUTE))
    await page.clock.run_for(MINUTE * 1000)
    await tick(writer, NOON + MINUTE, {"KRAKEN:BTCUSD": "1"})

    await expect(page.locator("main .card h3").first).to_have_text("List of 2021-05-17 12:01 UTC")
    assert browser.complaints == []
