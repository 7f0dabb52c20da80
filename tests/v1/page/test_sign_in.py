"""Signing in with a key, what it may do, and what is said when it is refused, ends or is revoked."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest
from multidict import CIMultiDictProxy
from playwright.async_api import expect

from tests.support.browsing import Browser, find_barriers
from tests.support.serving import MINUTE, NOON, Answer, Api, Clock, every_minute, fill, serving, tick
from v1.store import ApiKeyStore, KeyScope, connect

SETTING = "ключ-от-всех-дверей"
XSS = "<b>bob</b>"


@pytest.fixture
async def locked(server: str, clock: Clock, writer) -> AsyncIterator[Api]:
    await fill(writer, {"KRAKEN:BTCUSD": every_minute(["1"] * 10)})
    async with serving(clock, server, api_keys=SETTING) as api:
        yield api


async def test_a_key_is_taken_by_a_form_kept_for_the_session_and_sent_with_every_question(
    locked: Api, browser: Browser
):
    page = browser.page
    await page.clock.install(time=NOON + 5)

    await page.goto(f"{locked.url}/status")

    form = page.locator("#sign-in form")
    await expect(form.get_by_label("Key")).to_be_visible()
    await expect(page.locator("#view")).to_have_text("This is shown once you have signed in.")
    assert await find_barriers(page) == []
    await form.get_by_role("button", name="Sign in").click()
    await expect(form.get_by_role("alert")).to_have_text("Put in a key.")
    await form.get_by_label("Key").fill("not-a-key-of-anybody")
    await form.get_by_label("Key").press("Enter")
    await expect(form.get_by_role("alert")).to_contain_text(
        "this key is not accepted: it is mistyped, has ended, or was"
    )
    await expect(form.get_by_label("Key")).to_have_value("not-a-key-of-anybody")

    assert browser.complaints == []


async def test_a_session_lasts_until_its_tab_is_closed_or_somebody_signs_out(locked: Api, browser: Browser):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{locked.url}/status")
    form = page.locator("#sign-in form")
    await form.get_by_label("Key").fill(f" {SETTING} ")
    await form.get_by_label("Key").press("Enter")

    await expect(form).to_have_count(0)
    await expect(page.locator("#caller")).to_contain_text("Key of TRACKER_API_KEYS: admin")
    await expect(page.locator(".overall")).to_be_visible()
    await expect(page.locator("main .card", has_text="Live connection")).to_contain_text("✓ ok")
    await page.reload()
    await expect(page.locator("#caller")).to_contain_text("TRACKER_API_KEYS")
    assert await page.evaluate("Object.keys(localStorage).filter((name) => /key/.test(name))") == []

    await page.get_by_role("button", name="Sign out").click()
    await expect(form).to_contain_text("You are signed out.")
    await page.reload()
    await expect(form).to_be_visible()
    assert browser.complaints == []


async def test_a_key_that_ends_while_somebody_looks_is_said_and_another_one_goes_on(
    locked: Api, server: str, clock: Clock, browser: Browser, writer
):
    page = browser.page
    async with connect(server, "tests") as redis:
        text, _ = await ApiKeyStore(redis).add_key(XSS, KeyScope.RULES, NOON, NOON + 30)
    async with asyncio.timeout(60):
        while (await locked.get("/v1/whoami", X_API_Key=text)).status != 200:
            await asyncio.sleep(0.02)  # until the process has heard of the key
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{locked.url}/top")
    key = page.locator("#sign-in").get_by_label("Key")
    await key.fill(text)
    await key.press("Enter")
    await expect(page.locator("#caller")).to_contain_text(f"Key of {XSS}: rules, until 2021-05-17 12:00 UTC")
    title = await page.locator("#caller span").get_attribute("title")
    assert title == ("This key may read everything, and change rules, silences and alerts, until 2021-05-17 12:00 UTC.")

    # Before the server's: where the stream ends first, the page cannot know yet that the key has.
    await page.clock.set_system_time(NOON + MINUTE + 1)
    clock.now = NOON + MINUTE + 1
    await tick(writer, NOON + MINUTE, {"KRAKEN:BTCUSD": "1"})
    await page.get_by_role("combobox", name="Coins").select_option("500")

    await expect(page.locator("#sign-in .reason")).to_have_text("The key has ended. Ask for another one.")
    await expect(page.get_by_role("combobox", name="Coins")).to_have_value("500")
    await key.fill(SETTING)
    await key.press("Enter")
    await expect(page.locator("#caller")).to_contain_text("TRACKER_API_KEYS")
    await expect(page.locator("#sign-in form")).to_have_count(0)


async def test_a_file_is_fetched_with_the_key_and_no_dialog_of_the_browser_opens(locked: Api, browser: Browser):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{locked.url}/top")
    await page.locator("#sign-in").get_by_label("Key").fill(SETTING)
    await page.locator("#sign-in").get_by_label("Key").press("Enter")
    await expect(page.locator("#caller")).to_contain_text("TRACKER_API_KEYS")

    await page.evaluate(
        """() => {
            const link = document.createElement("a");
            Object.assign(link, { href: "v1/ranks.csv", download: "ranks.csv", textContent: "Ranks" });
            document.querySelector("main").append(link);
        }"""
    )
    async with page.expect_download() as waiting:
        await page.get_by_role("link", name="Ranks").click()

    download = await waiting.value
    assert download.suggested_filename == "ranks.csv"
    assert (await download.path()).read_text().startswith("rank,")


def list_challenges(answer: Answer) -> list[str]:
    """Return by which schemes a key may be sent."""
    assert answer.status == 401
    headers = cast("CIMultiDictProxy[str]", answer.headers)
    return [challenge.split()[0] for challenge in headers.getall("WWW-Authenticate")]


async def test_documents_of_the_page_need_no_key_and_basic_is_offered_to_who_goes_to_an_address_alone(locked: Api):
    for path in ("/", "/alerts", "/rules", "/top", "/status", "/m/KRAKEN:BTCUSD", "/page/main.js"):
        assert (await locked.get(path)).status == 200, path
        assert (await locked.get(path, method="HEAD")).status == 200, path
    for path in ("/docs", "/redoc", "/openapi.json", "/v1/ranks", "/metrics", "/page", "/nothing"):
        assert list_challenges(await locked.get(path)) == ["Bearer", "Basic"], path
    for headers in ({"Sec_Fetch_Dest": "empty"}, {"X_Requested_With": "XMLHttpRequest"}):
        assert list_challenges(await locked.get("/v1/ranks", **headers)) == ["Bearer"]
    assert (await locked.send("POST", "/", {})).status == 401


async def test_a_key_typed_into_the_dialog_of_the_browser_opens_the_documentation_and_then_the_page(
    locked: Api, browser: Browser
):
    owner = browser.page.context.browser
    assert owner
    context = await owner.new_context(http_credentials={"username": "anybody", "password": SETTING})
    page = await context.new_page()
    await page.goto(f"{locked.url}/docs")
    await expect(page.locator(".opblock").first).to_be_visible(timeout=60_000)

    await page.goto(f"{locked.url}/status")

    await expect(page.locator("#caller")).to_contain_text("TRACKER_API_KEYS")
    await expect(page.get_by_role("button", name="Sign out")).to_have_count(0)
    await context.close()
