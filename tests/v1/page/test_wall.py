"""A page on the wall: no controls, one view after another, and back."""

import pytest
from playwright.async_api import expect

from tests.support.browsing import Browser, browsing
from tests.support.serving import NOON, Api, every_minute, fill


@pytest.fixture
async def market(writer) -> None:
    await fill(writer, {"SIMULATED:BTCUSD": every_minute(["1"] * 10)})
    await writer.write_source_states({"simulated": {"state": "ok", "since": None, "reason": None, "metrics": 1}})


@pytest.mark.usefixtures("market")
async def test_a_wall_hides_all_controls_turns_by_itself_and_escape_ends_it(api: Api):
    async with browsing(2560, 1440, reduced_motion="reduce") as browser:
        page = browser.page
        await page.clock.install(time=NOON + 5)

        await page.goto(f"{api.url}/top?wall&views=top,status")

        await expect(page).to_have_url(f"{api.url}/top?wall=20&views=top%2Cstatus")
        for hidden in ("header", "footer", ".bar"):
            await expect(page.locator(hidden).first).to_be_hidden()
        await expect(page.locator("#banner")).to_contain_text("The market is simulated")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 2560
        assert await page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)") > 20

        await page.clock.run_for(20_000)
        await expect(page).to_have_url(f"{api.url}/status?wall=20&views=top%2Cstatus")
        await expect(page.locator(".overall")).to_be_visible()
        await page.clock.run_for(60_000)
        await expect(page).to_have_url(f"{api.url}/top?wall=20&views=top%2Cstatus")

        await page.keyboard.press("Escape")
        await expect(page).to_have_url(f"{api.url}/top")
        await expect(page.locator("header")).to_be_visible()
        await page.clock.run_for(120_000)
        await expect(page).to_have_url(f"{api.url}/top")
        assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_a_wall_shows_each_page_of_a_view_for_as_long_as_it_is_told(api: Api, browser: Browser):
    page = browser.page
    await page.emulate_media(reduced_motion="reduce")
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/status?wall=60&views=status,nonsense,metric,top")
    await expect(page.locator(".overall")).to_be_visible()
    await page.evaluate(
        """() => {
            const tall = document.createElement("div");
            tall.style.height = "10000px";
            document.querySelector("main").append(tall);
        }"""
    )

    for screens in (0, 9, 18):
        assert await page.evaluate("Math.round(scrollY / innerHeight * 10)") == screens
        assert "/status?" in page.url
        await page.clock.run_for(60_000)

    await expect(page).to_have_url(f"{api.url}/top?wall=60&views=status%2Cnonsense%2Cmetric%2Ctop")
    assert await page.evaluate("scrollY") == 0
