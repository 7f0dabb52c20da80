"""What is on every view: links between them, the state of the connection, colours and the zone of times."""

import pytest
from playwright.async_api import expect

from tests.support.browsing import Browser
from tests.support.serving import Api

VIEWS = {"Alerts": "/alerts", "Rules": "/rules", "Top list": "/top", "Status": "/status", "Overview": "/"}


async def test_every_view_is_reached_by_its_link_and_by_its_address(api: Api, browser: Browser):
    page = browser.page
    await page.goto(f"{api.url}/")

    for name, path in VIEWS.items():
        await page.get_by_role("navigation", name="Views").get_by_role("link", name=name).click()
        await expect(page).to_have_url(api.url + path)
        await expect(page.locator("header nav [aria-current]")).to_have_text(name)
        await page.goto(api.url + path)
        await expect(page.locator("header nav [aria-current]")).to_have_text(name)

    assert browser.complaints == []


@pytest.mark.parametrize(
    "path, title",
    [("/m/KRAKEN:BTCUSD", "KRAKEN:BTCUSD · data-tracker"), ("/m/KRAKEN%3ABTC%2FUSD", "KRAKEN:BTC/USD · data-tracker")],
)
async def test_a_metric_has_an_address_of_its_own(api: Api, browser: Browser, path: str, title: str):
    await browser.page.goto(f"{api.url}{path}")

    await expect(browser.page).to_have_title(title)
    assert browser.complaints == []
