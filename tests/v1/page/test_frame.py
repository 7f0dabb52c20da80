"""What is on every view: links between them, the state of the connection, help, colours and the zone of times."""

import gzip
from hashlib import sha256
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

import v1
from tests.support.browsing import Browser, browsing, find_barriers
from tests.support.serving import NOON, Api, Clock, every_minute, fill, serving
from v1.routes.page_modules import list_modules
from v1.routes.pages import CHARTS, PAGE

VIEWS = {"Alerts": "/alerts", "Rules": "/rules", "Top list": "/top", "Status": "/status", "Overview": "/"}
ROOM = 300_000
"""Bytes that all of the page may take, compressed."""


@pytest.fixture
async def market(writer) -> None:
    await fill(writer, {"KRAKEN:BTCUSD": every_minute([f"{46000 + minute}.10" for minute in range(1440)])})


async def test_every_view_is_reached_by_its_link_and_by_its_address(api: Api, browser: Browser):
    page = browser.page
    await page.goto(f"{api.url}/")

    for name, path in VIEWS.items():
        await page.get_by_role("navigation", name="Views").get_by_role("link", name=name).click()
        await expect(page).to_have_url(api.url + path)
        await expect(page.locator("header nav [aria-current=page]")).to_have_text(name)
        await page.goto(api.url + path)
        await expect(page.locator("header nav [aria-current=page]")).to_have_text(name)

    assert browser.complaints == []


@pytest.mark.parametrize(
    "path, title",
    [
        ("/?metric=KRAKEN:BTCUSD&measure=volume", "KRAKEN:BTCUSD · data-tracker"),
        ("/m/KRAKEN:BTCUSD", "KRAKEN:BTCUSD · data-tracker"),
        ("/m/KRAKEN%3ABTC%2FUSD", "KRAKEN:BTC/USD · data-tracker"),
    ],
)
async def test_a_metric_has_an_address_of_its_own(api: Api, browser: Browser, path: str, title: str):
    await browser.page.goto(f"{api.url}{path}")

    await expect(browser.page).to_have_title(title)
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_views_are_reached_by_keys_that_a_help_lists_and_that_can_be_switched_off(api: Api, browser: Browser):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/status")
    await expect(page.locator(".overall")).to_be_visible()

    await page.keyboard.press("?")
    dialog = page.get_by_role("dialog")
    await expect(dialog.locator("dl")).to_contain_text("go to the top list")
    assert await find_barriers(page) == []
    await page.keyboard.press("g")
    await page.keyboard.press("t")
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(page).to_have_url(f"{api.url}/status")

    for key, path in (("t", "/top"), ("s", "/status"), ("o", "/"), ("a", "/alerts"), ("r", "/rules")):
        await page.keyboard.press("g")
        await page.keyboard.press(key)
        await expect(page).to_have_url(api.url + path)
        await expect(page.locator("#announcement")).not_to_have_text("")
        await expect(page.locator("main")).to_be_focused()
    await page.go_back()
    await expect(page).to_have_url(f"{api.url}/alerts")

    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_keys_can_be_switched_off(api: Api, browser: Browser):
    page = browser.page
    dialog = page.get_by_role("dialog")
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/alerts")
    await page.get_by_role("button", name="Help").press("Enter")
    await dialog.get_by_label("These keys are switched on").uncheck()
    await dialog.get_by_role("button", name="Close").click()
    await page.keyboard.press("?")
    await page.keyboard.press("g")
    await page.keyboard.press("t")
    await expect(dialog).to_have_count(0)
    await expect(page).to_have_url(f"{api.url}/alerts")
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_colours_and_the_zone_of_times_are_kept_and_drawn_at_once(api: Api):
    async with browsing(timezone_id="Asia/Kolkata") as browser:
        page = browser.page
        await page.clock.install(time=NOON + 5)
        await page.goto(f"{api.url}/status")
        ticks = page.locator("main .card", has_text="Ticks")
        await expect(ticks).to_contain_text("2021-05-17 12:00:00 UTC")

        await page.get_by_text("Settings").press("Enter")
        await page.get_by_label("Times").select_option("local")
        await expect(ticks).to_contain_text("2021-05-17 17:30:00")
        await expect(ticks).not_to_contain_text("UTC")
        await page.get_by_label("Colours").select_option("dark")
        assert await find_ground(page) == "rgb(17, 21, 26)"
        await page.keyboard.press("Escape")
        await expect(page.get_by_label("Colours")).to_be_hidden()
        await page.reload()
        assert await find_ground(page) == "rgb(17, 21, 26)"
        await expect(ticks).to_contain_text("2021-05-17 17:30:00")
        assert browser.complaints == []


async def find_ground(page: Page) -> str:
    return str(await page.evaluate("getComputedStyle(document.body).backgroundColor"))


@pytest.mark.usefixtures("market")
@pytest.mark.parametrize("path", ["/top", "/status", "/nowhere"])
async def test_every_view_fits_a_phone_and_a_place_that_is_not_there_says_so(api: Api, path: str):
    async with browsing(360, 740, color_scheme="dark") as browser:
        page = browser.page
        await page.clock.install(time=NOON + 5)
        await page.goto(api.url + path.replace("/nowhere", "/"))
        if path == "/nowhere":
            await page.evaluate("history.pushState(null, '', 'nowhere'); dispatchEvent(new PopStateEvent('popstate'))")
            await expect(page.locator("main")).to_contain_text("There is no page at this address.")
            await expect(page).to_have_title("There is no such page · data-tracker")
            await page.get_by_role("link", name="Go to the overview").click()
            await expect(page).to_have_url(f"{api.url}/")
            await page.go_back()
        await expect(page.locator("#tick")).to_have_text("last tick 5 s ago")
        await page.get_by_text("Settings").click()

        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        await expect(page.get_by_label("Sound at alerts")).to_be_in_viewport(ratio=1)
        assert await find_ground(page) == "rgb(17, 21, 26)"
        assert await find_barriers(page) == []


async def test_the_first_key_press_offers_to_skip_to_the_content(api: Api, browser: Browser):
    page = browser.page
    await page.goto(f"{api.url}/status")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()

    await page.keyboard.press("Enter")

    await expect(page.locator("main")).to_be_focused()
    await expect(page.locator(".overall")).to_be_visible()


@pytest.mark.usefixtures("market")
async def test_the_page_works_below_the_path_of_a_proxy(server: str, browser: Browser, clock: Clock):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    async with serving(clock, server, root_path="/team/tracker") as api:
        home = f"{api.url}/team/tracker"
        await page.goto(f"{home}/m/KRAKEN:BTCUSD")
        for name in ("Top list", "Status"):
            await page.get_by_role("link", name=name).click()
            await expect(page).to_have_url(home + VIEWS[name])
        await expect(page.locator("main .card", has_text="Live connection")).to_contain_text("✓ ok")
        await page.goto(f"{home}/top")
        await expect(page.locator("main .trouble")).to_be_visible()
        csv = await page.get_by_role("link", name="CSV").get_attribute("href") or ""

    assert csv.startswith(f"{home}/v1/top.csv")
    assert len(asked) > 10
    assert [url for url in asked if "/team/tracker/" not in url] == []
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_a_view_that_cannot_be_loaded_is_said_and_tried_again(browser: Browser, server: str, clock: Clock):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    async with serving(clock, server) as api:
        await page.goto(f"{api.url}/status")
        await page.route("**/views/top/*", lambda route: route.abort())
        await page.get_by_role("link", name="Top list").click()
        await expect(page.locator("main .trouble")).to_contain_text("This view could not be loaded")
        await page.unroute("**/views/top/*")
        await page.get_by_role("link", name="Status").click()
        await expect(page.locator(".overall")).to_be_visible()
    assert [text for text in browser.complaints if "ERR_FAILED" not in text] == []


# ---- what is served -------------------------------------------------------------------------------------------


async def test_the_browser_is_told_to_ask_nobody_else_and_to_ask_again_for_each_file(api: Api):
    for path in ("/", "/m/KRAKEN:BTCUSD", "/docs", "/redoc"):
        answer = await api.get(path)
        policy = answer.headers["Content-Security-Policy"]

        assert policy.startswith("default-src 'none';")
        assert "http" not in policy
        assert answer.headers["Cache-Control"] == "no-cache"
    assert "unsafe" not in (await api.get("/")).headers["Content-Security-Policy"]
    script = await api.get("/page/main.js")
    assert script.headers["Cache-Control"] == "no-cache"
    again = await api.get("/page/main.js", If_None_Match=script.headers["ETag"])
    assert again.status == 304


@pytest.mark.parametrize("path", ["/", "/top", "/m/KRAKEN:BTCUSD"])
async def test_the_document_names_every_module_that_its_view_is_made_of(api: Api, browser: Browser, path: str):
    page = browser.page
    # Others are loaded later; what is loaded first is all that there is while the clock stands.
    await page.clock.install(time=NOON + 5)
    await page.clock.pause_at(NOON + 6)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(api.url + path)
    await expect(page.locator("#tick")).not_to_have_text("")
    named = await page.evaluate("[...document.querySelectorAll('link[rel=modulepreload]')].map((each) => each.href)")

    loaded = {url for url in asked if url.endswith(".js") and "/lib/" not in url}
    assert f"{api.url}/page/main.js" in named
    # That of all tabs is loaded by itself, and what it imports is named.
    assert loaded - {f"{api.url}/page/app/live-worker.js"} == set(named)
    assert browser.complaints == []


def test_a_module_that_is_missing_or_imported_by_no_view_does_not_hide():
    named = {name for view in PAGE.joinpath("views").iterdir() for name in list_modules(PAGE, view.name)}
    there = {str(file.relative_to(PAGE)) for file in PAGE.rglob("*.js")}

    # The worker of all tabs is no module of any, and no view is left that draws no chart.
    assert there - named <= {"app/live-worker.js", "charts/library.js"}


def test_all_of_the_page_is_small():
    files = [file for file in PAGE.rglob("*") if file.is_file()]
    assert sum(len(gzip.compress(file.read_bytes())) for file in [*files, CHARTS]) < ROOM


def test_the_library_of_charts_is_the_one_that_was_read():
    assert sha256(Path(CHARTS).read_bytes()).hexdigest().startswith("756b0ba9f5893022")


def test_no_file_of_the_page_asks_for_the_root_of_a_host():
    """Below the path of a proxy that would be another program's."""
    for file in PAGE.rglob("*.js"):
        text = file.read_text()
        assert not any(word in text for word in ('"/v1', '"/page', '"/health', 'fetch("/')), file
    assert Path(v1.__file__).parent / "page" == PAGE
