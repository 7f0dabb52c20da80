"""The view of status, and the banner that is its summary on every view."""

import json

import pytest
from playwright.async_api import Page, expect

from tests.support.browsing import Browser, find_barriers
from tests.support.serving import DAY, MINUTE, NOON, Api, Clock, every_minute, fill, serving, tick
from v1.market.replayed import ReplayMark
from v1.store import DataFormat, TopWriter, connect, keys
from v1.store.delivery.outbox import STATE_FIELD

XSS = "<img src=x onerror=alert(1)>"
OK = {"state": "ok", "since": None, "reason": None, "metrics": 3}
FAILING = {
    "state": "failing",
    "since": NOON - 3600,
    "reason": f"kraken said 503 {XSS}",
    "retry_at": NOON + 90,
    "advice": "see whether this machine reaches TRACKER_KRAKEN_URL",
    "metrics": 12,
    "dead": ["KRAKEN:ADEAD"],
    "missing": {"KRAKEN:NOUSD": XSS},
    "rejects": {"no price": 4},
}


@pytest.fixture
async def trouble(server: str, writer) -> None:
    """A provider that fails, a channel that waits, a role of the top list that is slowed, a wish that nobody fulfils."""
    await fill(writer, {"KRAKEN:BTCUSD": every_minute(["1"] * 1440), "KRAKEN:GAPUSD": every_minute(["2"] * 100)})
    await writer.write_source_states(
        {"kraken": FAILING, "binance": OK}, {"KRAKEN:XBTUSD": "it is called KRAKEN:BTCUSD"}
    )
    async with connect(server, "tests") as redis:
        await DataFormat(redis).ensure()
        await redis.hset(keys.CHANNELS, "team", "webhook")
        await redis.hset(keys.sending("team"), STATE_FIELD, json.dumps([3, NOON + 600]))
        await redis.expire(keys.sending("team"), DAY)
        role = {"state": "slowed", "reason": "the plan is short", "source": "coinmarketcap", "at": NOON}
        budget = {
            "interval": 600,
            "planned": 300,
            "used": 9_000,
            "limit": 10_000,
            "unit": "credits",
            "resets": NOON + DAY,
        }
        await TopWriter(redis).write_role_state("prices", role | budget)


@pytest.mark.usefixtures("trouble")
async def test_everything_that_is_wrong_is_said_with_since_when_and_what_to_do(api: Api, browser: Browser):
    page = browser.page
    await page.clock.install(time=NOON + 5)

    await page.goto(f"{api.url}/status")

    reasons = page.locator(".reasons li")
    await expect(reasons.first).to_have_text(
        f"Kraken is failing since 2021-05-17 11:00:00 UTC: kraken said 503 {XSS}; it is asked again at 2021-05-17 12:01:30 "
        "UTC; see whether this machine reaches TRACKER_KRAKEN_URL"
    )
    await expect(page.locator(".overall")).to_contain_text("with these exceptions")
    sources = page.get_by_role("region", name="Sources").locator("tbody tr")
    await expect(sources).to_have_count(2)
    failing = sources.filter(has_text="kraken")
    for words in ("! failing", "2021-05-17 11:00:00 UTC", "12", "no price: 4", f"KRAKEN:NOUSD: {XSS}"):
        await expect(failing).to_contain_text(words)
    await expect(sources.filter(has_text="binance")).to_contain_text("✓ ok")
    channels = page.get_by_role("region", name="Channels of alerts").locator("tbody tr")
    await expect(channels).to_contain_text(["sends nothing until 2021-05-17 12:10:00 UTC"])
    roles = page.get_by_role("region", name="Top list").locator("tbody tr")
    await expect(roles).to_contain_text(["9000 of 10000 credits, 90 %"])
    await expect(roles).to_contain_text(["10 min, planned 5 min"])
    await expect(page.get_by_role("region", name="Metrics that nobody gives")).to_contain_text("KRAKEN:XBTUSD")
    await expect(page.locator("main .card", has_text="Ticks")).to_contain_text("2021-05-17 12:00:00 UTC")

    await page.get_by_role("button", name="Look for gaps").press("Enter")
    gaps = page.get_by_role("region", name="Metrics with gaps").locator("tbody tr")
    await expect(gaps).to_have_count(1)
    await expect(gaps).to_contain_text(["KRAKEN:GAPUSD"])
    await expect(gaps).to_contain_text(["1340"])
    assert await find_barriers(page) == []
    assert browser.complaints == []


async def test_a_provider_that_goes_down_and_comes_back_is_said_on_every_view(
    api: Api, browser: Browser, writer, clock: Clock
):
    page = browser.page
    await fill(writer, {"KRAKEN:BTCUSD": every_minute(["1"] * 10)})
    await writer.write_source_states({"kraken": OK | {"filling": {"done": 34, "of": 100}}})
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/")
    banner = page.locator("#banner p")
    await expect(banner).to_have_text(["Note: Filling the past day: 34 %."])

    await writer.write_source_states({"kraken": FAILING})
    await page.clock.run_for(3_000)
    await expect(banner.first).to_contain_text("Warning: Kraken is failing since 2021-05-17 11:00:00 UTC")
    await page.keyboard.press("g")
    await page.keyboard.press("t")
    await expect(page).to_have_url(f"{api.url}/top")
    await expect(banner.first).to_contain_text("Kraken is failing")

    await writer.write_source_states({"kraken": OK})
    clock.now += 18
    await page.clock.run_for(15_000)
    await expect(banner).to_have_text([])
    assert browser.complaints == []


async def pass_time(page: Page, clock: Clock, seconds: int) -> None:
    """Let time pass for the API and for the browser."""
    clock.now += seconds
    await page.clock.run_for(1000 * seconds)


async def test_a_market_that_is_replayed_is_said_on_every_view_with_how_far_it_is(
    api: Api, browser: Browser, writer, clock: Clock
):
    """The recorded day is years before the clock of the API and of the browser: nothing is late for that."""
    page, years = browser.page, 5 * 365 * DAY
    clock.now += years
    await fill(writer, {"KRAKEN:BTCUSD": every_minute(["1"] * 10)})
    await writer.replays.write(ReplayMark(NOON - 9 * MINUTE, NOON + 10 * MINUTE, 0, "60"))
    await writer.lease.take_or_keep("a replay")
    await page.clock.install(time=NOON + years + 5)
    banner = page.locator("#banner p")

    await page.goto(f"{api.url}/")
    await expect(banner).to_have_text(["Note: Market replayed: 2021-05-17 12:00 UTC at 60 x."])
    await page.get_by_role("link", name="Alerts", exact=True).click()
    await expect(page).to_have_url(f"{api.url}/alerts")
    await expect(banner).to_have_text(["Note: Market replayed: 2021-05-17 12:00 UTC at 60 x."])

    await tick(writer, NOON + 5 * MINUTE, {"KRAKEN:BTCUSD": "2"})
    await pass_time(page, clock, 4)
    await expect(banner).to_have_text(["Note: Market replayed: 2021-05-17 12:05 UTC at 60 x."])
    await writer.lease.release("a replay")
    await pass_time(page, clock, 4)
    await expect(banner).to_have_text(
        ["Trouble: Market replayed: stopped at 2021-05-17 12:05 UTC; the same command goes on with it"]
    )
    await writer.lease.take_or_keep("a replay")
    await tick(writer, NOON + 10 * MINUTE, {"KRAKEN:BTCUSD": "3"})
    await pass_time(page, clock, 20)
    await expect(banner).to_have_text(["Note: Market replayed: 2021-05-17 11:51 to 2021-05-17 12:10 UTC, to its end."])
    assert browser.complaints == []


async def test_a_store_that_is_away_an_api_that_is_gone_and_a_worker_that_stopped_are_said(
    browser: Browser, server: str, writer, clock: Clock, tmp_path
):
    page = browser.page
    banner = page.locator("#banner p").first
    await page.clock.install(time=NOON + 5)
    async with serving(clock, f"unix://{tmp_path}/nobody.sock") as api:
        await page.goto(f"{api.url}/")
        await expect(banner).to_contain_text("Trouble: Redis")
        await page.goto(f"{api.url}/status")
        await expect(page.locator(".overall")).to_have_text("Answers cannot be relied on:")
        await page.goto(f"{api.url}/")
    await page.clock.run_for(15_000)
    await expect(banner).to_contain_text("Trouble: The API does not answer since 2021-05-17 12:00")
    await expect(banner).to_contain_text("asked again every few seconds")

    await fill(writer, {"KRAKEN:BTCUSD": every_minute(["1"] * 10)})
    clock.now = NOON + DAY / 2
    async with serving(clock, server) as api:
        await page.goto(f"{api.url}/alerts")
        await expect(banner).to_have_text(
            "Trouble: The newest tick is 43200 s old, with one every 60 s: is the worker running?"
        )
        await expect(page.locator("#tick")).to_have_text("last tick 12 h ago")


async def test_a_simulated_market_and_clocks_that_differ_are_said_and_ages_follow_the_server(
    api: Api, browser: Browser, writer, clock: Clock
):
    page = browser.page
    by_the_server = "Ages are counted by the server's; set the one that is wrong."
    await fill(writer, {"SIMULATED:BTCUSD": every_minute(["1"] * 10)})
    await writer.write_source_states({"simulated": OK})
    clock.now = NOON + 12
    await page.clock.install(time=NOON + 12 + 300)

    await page.goto(f"{api.url}/")

    await expect(page.locator("#banner p")).to_have_text(
        [
            f"Warning: The clock of this device is 5 min ahead of the server's. {by_the_server}",
            "Note: The market is simulated: no number here is a real one.",
        ]
    )
    await expect(page.locator("#tick")).to_have_text("last tick 12 s ago")
    await page.clock.run_for(2_000)
    await expect(page.locator("#tick")).to_have_text("last tick 14 s ago")

    clock.now = NOON - 10 * MINUTE
    await page.clock.run_for(15_000)
    await expect(page.locator("#banner p").first).to_contain_text("The newest tick lies 600 s in the future")
    await expect(page.locator("#tick")).to_have_text("last tick 10 min ahead of the clock")
    assert browser.complaints == []


async def test_a_source_that_fails_from_the_first_day_on_is_said_with_what_to_do(api: Api, browser: Browser, writer):
    page = browser.page
    advice = "see whether this machine reaches TRACKER_KRAKEN_URL: network, DNS, proxy, firewall"
    await fill(writer, {})
    await writer.write_source_states(
        {"kraken": {"state": "failing", "since": NOON, "reason": "kraken did not answer: no route", "advice": advice}},
        {"KRAKEN:XBTUSD": "kraken's XBTUSD is called KRAKEN:BTCUSD here"},
    )
    await page.clock.install(time=NOON + 5)

    await page.goto(f"{api.url}/status")

    await expect(page.locator(".reasons")).to_contain_text(
        f"Kraken is failing since 2021-05-17 12:00:00 UTC: kraken did not answer: no route; it is asked again at the next "
        f"tick; {advice}"
    )
    await expect(page.locator(".reasons")).to_contain_text(
        "Nothing is sampled as KRAKEN:XBTUSD: kraken's XBTUSD is called KRAKEN:BTCUSD here; change TRACKER_METRICS"
    )
