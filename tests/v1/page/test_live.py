"""What happens as it happens: one connection of a browser, that comes back; signals; and a page that is left open."""

import asyncio

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.support.browsing import Browser
from tests.support.serving import MINUTE, NOON, Api, Clock, every_minute, fill, serving, tick
from v1.market.metric_state import SourceReading
from v1.model import Metric, Reading
from v1.rules import RuleEngine, parse_rule
from v1.store import Writer
from worker.sampling.tick import commit_tick

PATIENCE = 60.0
TICKS = 200
MOST_GROWN = 1_000_000
"""Bytes that the heap of a page may grow by in so many ticks: a listener or a row that is kept each time is far more."""
NO_SHARED_WORKER = "delete window.SharedWorker"
RECORDED_NOTIFICATIONS = """
    window.shown = [];
    window.Notification = class {
        static permission = "granted";
        static async requestPermission() { return "granted"; }
        constructor(title, options) { window.shown.push(`${title}: ${options.body}`); }
    };
"""


@pytest.fixture
async def market(writer: Writer) -> Writer:
    await fill(writer, {"KRAKEN:BTCUSD": every_minute(["1"] * 10)})
    return writer


def find_context(browser: Browser) -> BrowserContext:
    return browser.page.context


async def count_streams(api: Api) -> int:
    text = (await api.get("/metrics")).text
    found = [line for line in text.splitlines() if line.startswith("data_tracker_api_stream_clients{")]
    return sum(int(float(line.rpartition(" ")[2])) for line in found)


async def wait_for_streams(api: Api, wanted: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while await count_streams(api) != wanted:
            await asyncio.sleep(0.02)


async def commit(writer: Writer, clock: Clock, at: int, price: str = "1") -> None:
    clock.now = at + 1.0
    await tick(writer, at, {"KRAKEN:BTCUSD": price})


def show_tick(page: Page, at: int):
    return expect(page.locator("#tick")).to_have_attribute("title", write_time(at), timeout=PATIENCE * 1000)


def write_time(at: int) -> str:
    minutes = (at - NOON) // MINUTE
    return f"2021-05-17 {12 + minutes // 60:02}:{minutes % 60:02}:00 UTC"


async def test_all_tabs_of_a_browser_have_one_connection_and_each_sees_every_tick(
    api: Api, browser: Browser, market: Writer, clock: Clock
):
    context = find_context(browser)
    tabs = [browser.page, await context.new_page(), await context.new_page()]
    for page in tabs:
        await page.clock.install(time=NOON + 5)
        await page.goto(f"{api.url}/status")
        await show_tick(page, NOON)

    assert await count_streams(api) == 1
    await commit(market, clock, NOON + MINUTE)
    for page in tabs:
        await show_tick(page, NOON + MINUTE)

    await tabs[1].close()
    await tabs[2].goto("about:blank")
    await commit(market, clock, NOON + 2 * MINUTE)
    await show_tick(tabs[0], NOON + 2 * MINUTE)
    assert await count_streams(api) == 1
    await tabs[0].goto("about:blank")
    await wait_for_streams(api, 0)
    assert browser.complaints == []


@pytest.mark.parametrize("event", ["online", "visibilitychange", "resume"])
async def test_a_connection_that_was_lost_is_made_anew_as_soon_as_the_machine_is_awake(
    server: str, browser: Browser, market: Writer, clock: Clock, event: str
):
    page = browser.page
    # The clock of the page stands, so that nothing but the event can make it connect.
    await page.add_init_script(NO_SHARED_WORKER)
    await page.clock.install(time=NOON + 5)
    async with serving(clock, server) as api:
        await page.goto(f"{api.url}/status")
        live = page.locator("main .card", has_text="Live connection")
        await expect(live).to_contain_text("✓ ok")
        await page.clock.pause_at(NOON + 60)
        address = api.url.removeprefix("http://")
    await expect(live).to_contain_text("lost, and tried again")
    await expect(live).to_contain_text("no: this browser cannot")
    await commit(market, clock, NOON + MINUTE)

    async with serving(clock, server, bind=address):
        await page.evaluate("(name) => (name === 'online' ? window : document).dispatchEvent(new Event(name))", event)
        await expect(live).to_contain_text("✓ ok")
        await show_tick(page, NOON + MINUTE)


async def test_a_server_that_dies_and_comes_back_is_told_and_found_again(
    server: str, browser: Browser, market: Writer, clock: Clock
):
    page = browser.page
    await page.add_init_script("window.alerts = []")
    await page.clock.install(time=NOON + 5)
    async with serving(clock, server) as api:
        await page.goto(f"{api.url}/alerts")
        await show_tick(page, NOON)
        await page.evaluate(
            """async () => {
                const { listen } = await import("./page/app/live.js");
                listen("alert", ({ metric }) => window.alerts.push(metric));
            }"""
        )
        address = api.url.removeprefix("http://")
    await page.clock.run_for(20_000)
    await expect(page.locator("#banner p").first).to_contain_text("Trouble: The API does not answer since")
    # What happened meanwhile is told afterwards, once.
    rule = RuleEngine([parse_rule({"id": "above", "kind": "threshold", "above": 0.5, "cooldown": 0})], (), MINUTE)
    await raise_alert(market, rule, NOON + MINUTE)
    clock.now = NOON + MINUTE + 1

    async with serving(clock, server, bind=address):
        await page.clock.run_for(20_000)
        await show_tick(page, NOON + MINUTE)
        await page.clock.run_for(20_000)
        await expect(page.locator("#banner .trouble")).to_have_count(0)
        # After the next tick nothing of this one is still to come.
        await commit(market, clock, NOON + 2 * MINUTE)
        await show_tick(page, NOON + 2 * MINUTE)
        assert await page.evaluate("window.alerts") == ["KRAKEN:BTCUSD"]


async def raise_alert(writer: Writer, rule: RuleEngine, at: int, metric: str = "KRAKEN:BTCUSD") -> None:
    await commit_tick(at, {Metric(metric): SourceReading(Reading("1"), "tests")}, writer, rule)


async def test_signals_are_off_until_asked_for_and_given_by_one_tab(api: Api, browser: Browser, market: Writer):
    context = find_context(browser)
    await context.add_init_script(RECORDED_NOTIFICATIONS)
    tabs = [browser.page, await context.new_page()]
    for page in tabs:
        await page.clock.install(time=NOON + 5)
        await page.goto(f"{api.url}/status")
        await show_tick(page, NOON)
    rule = RuleEngine([parse_rule({"id": "above", "kind": "threshold", "above": 0.5, "cooldown": 0})], (), MINUTE)
    await raise_alert(market, rule, NOON + MINUTE, "KRAKEN:AAAUSD")
    for page in tabs:
        await show_tick(page, NOON + MINUTE)
        assert await page.evaluate("window.shown") == []

    await tabs[0].get_by_text("Settings").click()
    await tabs[0].get_by_label("Notifications of alerts").check()
    await tabs[0].get_by_label("Sound at alerts").check()
    await expect(tabs[0].get_by_label("Sound at alerts")).to_be_checked()
    await tabs[1].reload()
    await show_tick(tabs[1], NOON + MINUTE)
    await raise_alert(market, rule, NOON + 2 * MINUTE, "KRAKEN:BBBUSD")

    await tick(market, NOON + 3 * MINUTE, {"KRAKEN:BTCUSD": "1"})
    for page in tabs:
        await show_tick(page, NOON + 3 * MINUTE)
    shown = [text for page in tabs for text in await page.evaluate("window.shown")]
    assert len(shown) == 1
    assert "KRAKEN:BBBUSD: 1" in shown[0]
    await tabs[0].get_by_label("Notifications of alerts").uncheck()
    assert '"notifications":false' in await tabs[0].evaluate("localStorage.getItem('data-tracker preferences')")


@pytest.mark.parametrize("path", ["/", "/status"])
async def test_the_heap_of_a_page_that_is_left_open_does_not_grow(
    api: Api, browser: Browser, market: Writer, clock: Clock, path: str
):
    page = browser.page
    session = await find_context(browser).new_cdp_session(page)
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}{path}")

    async def measure() -> int:
        await session.send("HeapProfiler.collectGarbage")
        return int((await session.send("Runtime.getHeapUsage"))["usedSize"])

    async def pass_ticks(first: int, count: int) -> None:
        for index in range(first, first + count):
            await commit(market, clock, NOON + index * MINUTE, str(index))
            await show_tick(page, NOON + index * MINUTE)

    await pass_ticks(1, 50)
    before = await measure()
    await pass_ticks(51, TICKS)

    grown = await measure() - before
    assert grown < MOST_GROWN, f"{grown} bytes more after {TICKS} ticks"
    assert browser.complaints == []
