"""The documentation pages in a real browser that can reach this machine and nobody else."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import expect

from tests.support.browsing import Browser, browsing
from tests.support.serving import Api


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with browsing() as made:
        yield made


async def operations(api: Api, **headers: str) -> int:
    """Return how many operations the document has, those that we call included."""
    document = (await api.get("/openapi.json", **headers)).json
    return sum(len(methods) for methods in [*document["paths"].values(), *document["webhooks"].values()])


async def test_the_documentation_shows_every_operation_without_the_internet(api: Api, browser: Browser):
    page = browser.page

    await page.goto(f"{api.url}/docs")
    await expect(page.locator(".opblock")).to_have_count(await operations(api), timeout=60_000)
    await page.locator("#operations-ranks-list_ranks .opblock-summary-control").click()

    await expect(page.locator(".opblock-body").first).to_contain_text("BINANCE:DOGEUSDT")
    assert browser.asked == []
    assert browser.complaints == []


async def test_the_reference_shows_every_operation_without_the_internet(api: Api, browser: Browser):
    await browser.page.goto(f"{api.url}/redoc")

    for words in ("data-tracker v1", "/v1/metrics/{metric}/history", "/health/ready"):
        # It draws the whole document at once, which takes a busy machine many seconds.
        await expect(browser.page.locator("redoc")).to_contain_text(words, timeout=60_000)
    assert browser.asked == []
    assert browser.complaints == []


async def test_the_browser_is_told_to_ask_nobody_else(api: Api):
    for path in ("/", "/docs", "/redoc"):
        policy = (await api.get(path)).headers["Content-Security-Policy"]

        assert policy.startswith("default-src 'none';")
        assert "http" not in policy
    assert "unsafe" not in (await api.get("/")).headers["Content-Security-Policy"]
