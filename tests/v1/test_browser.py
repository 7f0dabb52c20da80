"""The pages in a real browser that can reach this machine and nobody else."""

from collections.abc import AsyncIterator
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from playwright.async_api import ConsoleMessage, Page, Route, async_playwright, expect

from tests.support import missing
from tests.support.serving import DAY, MINUTE, NOON, Api, Clock, every_minute, fill, sample, serving, tick
from tests.support.units import commit

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Browser(NamedTuple):
    """A page of the browser, whom else it asked, and what it complained of."""

    page: Page
    asked: list[str]
    complaints: list[str]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    chromium = missing.program("chromium")
    if chromium is None:
        missing.skip("chromium")
    asked: list[str] = []
    complaints: list[str] = []

    async def stay_at_home(route: Route) -> None:
        if urlsplit(route.request.url).hostname == "127.0.0.1":
            await route.continue_()
        else:
            asked.append(route.request.url)
            await route.abort()

    def complain(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    async with async_playwright() as playwright:
        program = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = await program.new_page(viewport={"width": 1000, "height": 900})
        await page.route("**/*", stay_at_home)
        page.on("console", complain)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield Browser(page, asked, complaints)
        await program.close()


@pytest.fixture
async def market(writer) -> None:
    """Two metrics of tiny prices and a whole day, one that stopped at noon of yesterday, and a gap."""
    day = [f"0.0000{100 + minute % 40}" for minute in range(1440)]
    gapped = [each for each in every_minute(day) if not NOON - 7200 < each.tick < NOON - 3600]
    big = every_minute([f"{46000 + minute}.10" for minute in range(1440)])
    await fill(
        writer,
        {"KUCOIN:SHIBUSDT": gapped, "KRAKEN:BTCUSD": big, "KRAKEN:OLDUSD": every_minute(["1", "2"], NOON - 7200)},
    )


async def ink(page: Page) -> list[int]:
    """Return how many pixels of the curve's colour each column of the chart has."""
    counted = await page.evaluate(
        """() => {
            const canvas = document.getElementById("chart"), pen = canvas.getContext("2d");
            const probe = document.createElement("canvas").getContext("2d");
            probe.fillStyle = getComputedStyle(canvas).getPropertyValue("--line");
            probe.fillRect(0, 0, 1, 1);
            const wanted = probe.getImageData(0, 0, 1, 1).data;
            const { data, width, height } = pen.getImageData(0, 0, canvas.width, canvas.height);
            const near = (at) => [0, 1, 2].every((part) => Math.abs(data[at + part] - wanted[part]) < 8);
            return Array.from({ length: width }, (_, x) => {
                let count = 0;
                for (let y = 0; y < height; y++) if (data[(y * width + x) * 4 + 3] > 64 && near((y * width + x) * 4)) count++;
                return count;
            });
        }"""
    )
    return [int(count) for count in counted]


async def shown_in_time(page: Page, seconds: int, reading: str) -> None:
    """Pass so many seconds of the page's own clock, one by one: a timer that is set late on a busy machine runs, too."""
    for _ in range(seconds):
        await page.clock.run_for(1000)
        if await page.locator("#reading").text_content() == reading:
            return
    await expect(page.locator("#reading")).to_have_text(reading)


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


@pytest.mark.usefixtures("market")
async def test_the_page_shows_ranks_and_the_day_of_the_first(api: Api, browser: Browser):
    page = browser.page
    await page.clock.install(time=NOON + 5)

    await page.goto(f"{api.url}/")

    await expect(page.locator("#ranks tr")).to_have_count(3)
    first = page.locator("#ranks tr").first
    await expect(first).to_contain_text("KRAKEN:BTCUSD")
    await expect(first.locator("td").nth(2)).to_have_text("47439.10")
    await expect(page.locator("#status")).to_have_text("Tick of 2021-05-17 12:00 UTC. 3 metrics ranked.")
    await expect(page.locator("#reading")).to_have_text("2021-05-17 12:00 UTC: 47439.10")
    await expect(page.locator("#ranks")).to_contain_text("stale, 2 h")
    assert sum(column > 0 for column in await ink(page)) > 900
    assert browser.asked == []
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_tiny_prices_are_readable_gaps_are_gaps_and_keys_do(api: Api, browser: Browser):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/")
    await expect(page.locator("#ranks tr")).to_have_count(3)

    await page.get_by_role("button", name="KUCOIN:SHIBUSDT").press("Enter")
    await expect(page.locator("#chosen")).to_have_text("KUCOIN:SHIBUSDT, price")
    await expect(page.locator("#reading")).to_have_text("2021-05-17 12:00 UTC: 0.0000139")
    columns = await ink(page)
    await page.locator("#chart").press("ArrowLeft")
    await page.locator("#chart").press("PageUp")

    await expect(page.locator("#reading")).to_have_text("2021-05-17 10:59 UTC: no sample")
    empty = [index for index in range(20, len(columns) - 20) if not columns[index]]
    assert 30 <= len(empty) <= 50
    assert empty == [*range(empty[0], empty[-1] + 1)]
    assert "e-" not in await page.locator("#ranks").inner_text()
    assert page.url.endswith("metric=KUCOIN%3ASHIBUSDT")


@pytest.mark.parametrize("interval, apart", [(5, 60), (45, 180)])
async def test_a_day_that_was_filled_in_by_the_minute_is_a_line_at_any_interval(
    server: str, browser: Browser, writer, clock: Clock, interval: int, apart: int
):
    page = browser.page
    filled = [sample(at, "1.5") for at in range(NOON - DAY + apart, NOON - 3599, apart)]
    live = [sample(at, "2.5") for at in range(NOON - 3600 + interval, NOON + 1, interval)]
    await fill(writer, {"KRAKEN:BTCUSD": [*filled, *live]})
    await page.clock.install(time=NOON + 5)

    async with serving(clock, server, interval=interval) as api:
        await page.goto(f"{api.url}/")
        await expect(page.locator("#reading")).to_have_text("2021-05-17 12:00 UTC: 2.5")
        columns = await ink(page)
        said = await page.locator("#chart").get_attribute("aria-label")
        table = await api.get((await page.locator("#csv").get_attribute("href") or "").removeprefix(api.url))

    assert said == f"KRAKEN:BTCUSD, price: {DAY // apart} samples, 0 missing, from 1.5 to 2.5"
    assert len(table.text.splitlines()) == 1 + DAY // apart
    assert all(columns[40:-10]), "beside what is written on it"
    assert browser.complaints == []


async def test_hours_of_which_one_price_is_known_are_dashed_and_explained(api: Api, browser: Browser, writer):
    page = browser.page
    hours = [sample(NOON - DAY + 3600 * hour, "1") for hour in range(1, 13)]
    minutes = every_minute([f"1.{minute:03}" for minute in range(720)], interval_volume="1")
    await fill(writer, {"KRAKEN:BTCUSD": [*hours, *minutes]})
    await page.clock.install(time=NOON + 5)

    await page.goto(f"{api.url}/")
    await expect(page.locator("#hourly")).to_have_text(
        "Dashed: 12 hours of which one price is known, that of their end; the source keeps no minutes that old."
    )
    columns = await ink(page)
    said = await page.locator("#chart").get_attribute("aria-label")
    await page.locator("#chart").press("Home")
    for _ in range(59):
        await page.locator("#chart").press("ArrowRight")

    assert said
    assert said.startswith("KRAKEN:BTCUSD, price: 732 samples, 12 of them one for an hour, 708 missing")
    assert not any(columns[60 : len(columns) // 2 - 5]), "no minutes are drawn where there are none"
    assert all(columns[len(columns) // 2 + 5 : -10])
    await expect(page.locator("#reading")).to_have_text("2021-05-16 13:00 UTC: 1, the one price known of this hour")


async def test_while_the_day_is_filled_the_page_says_how_far_and_moves_on_by_itself(api: Api, browser: Browser, writer):
    page = browser.page
    told = {"state": "ok", "since": None, "reason": None, "metrics": 3}
    await fill(writer, {"SIMULATED:EURUSD": every_minute(["1.08", "1.09"])})
    await writer.write_source_states({"simulated": told | {"filling": {"done": 34, "of": 100}}})
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/")
    await expect(page.locator("#status")).to_have_text(
        "Tick of 2021-05-17 12:00 UTC. 1 metric ranked. Filling the past day: 34 %."
    )
    await expect(page.locator("#chosen")).to_have_text("SIMULATED:EURUSD, price")

    await fill(writer, {"SIMULATED:BTCUSD": every_minute(["46000", "47000"])})
    await writer.write_source_states({"simulated": told})
    await page.clock.run_for(3_000)

    await expect(page.locator("#status")).to_have_text("Tick of 2021-05-17 12:00 UTC. 2 metrics ranked.")
    await expect(page.locator("#chosen")).to_have_text("SIMULATED:BTCUSD, price")
    assert browser.complaints == []


async def test_whoever_has_chosen_a_metric_keeps_it_while_others_come(api: Api, browser: Browser, writer):
    page = browser.page
    told = {"state": "ok", "since": None, "reason": None, "metrics": 3, "filling": {"done": 1, "of": 3}}
    await fill(writer, {"SIMULATED:EURUSD": every_minute(["1.08", "1.09"])})
    await writer.write_source_states({"simulated": told})
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/")
    await page.locator("#ranks button", has_text="SIMULATED:EURUSD").click()

    await fill(writer, {"SIMULATED:BTCUSD": every_minute(["46000", "47000"])})
    await page.clock.run_for(3_000)

    await expect(page.locator("#ranks tr")).to_have_count(2)
    await expect(page.locator("#chosen")).to_have_text("SIMULATED:EURUSD, price")


async def test_a_source_that_fails_from_the_first_day_on_is_said_on_the_page(api: Api, browser: Browser, writer):
    page = browser.page
    failing = {
        "state": "failing",
        "since": NOON,
        "reason": "kraken did not answer: no route",
        "advice": "see whether this machine reaches TRACKER_KRAKEN_URL: network, DNS, proxy, firewall",
    }
    await commit(writer, NOON)
    await writer.write_source_states(
        {"kraken": failing}, {"KRAKEN:XBTUSD": "kraken's XBTUSD is called KRAKEN:BTCUSD here"}
    )
    await page.clock.install(time=NOON + 5)

    await page.goto(f"{api.url}/")

    await expect(page.locator("#reasons li")).to_have_text(
        [
            (
                "kraken is failing since 2021-05-17 12:00:00 UTC: kraken did not answer: no route; it is asked again at the "
                "next tick; see whether this machine reaches TRACKER_KRAKEN_URL: network, DNS, proxy, firewall"
            ),
            "nothing is sampled as KRAKEN:XBTUSD: kraken's XBTUSD is called KRAKEN:BTCUSD here; change TRACKER_METRICS",
            "no metric has a sample of the last day",
        ]
    )
    await expect(page.locator("#chosen")).to_have_text("No metric has a sample yet")


@pytest.mark.usefixtures("market")
async def test_another_measure_and_another_order_are_asked_for_when_chosen(api: Api, browser: Browser):
    page = browser.page
    await page.goto(f"{api.url}/")
    await expect(page.locator("#ranks tr").first).to_contain_text("KRAKEN:BTCUSD")

    await page.get_by_label("by").select_option("cv")
    await expect(page.locator("#ranks tr").first).to_contain_text("KRAKEN:OLDUSD")
    await page.get_by_label("Measure").select_option("volume")

    await expect(page.locator("#ranks tr")).to_have_count(0)
    await expect(page.locator("#leaf")).to_have_text("no ranks yet")
    await expect(page.locator("#reading")).to_have_text("no samples in the last day")


@pytest.mark.usefixtures("market")
async def test_the_next_tick_shows_by_itself(api: Api, browser: Browser, writer, clock: Clock):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/")
    await expect(page.locator("#reading")).to_have_text("2021-05-17 12:00 UTC: 47439.10")

    clock.now = NOON + MINUTE + 1
    prices = {"KRAKEN:BTCUSD": "47500.25", "KUCOIN:SHIBUSDT": "0.0000108", "KRAKEN:OLDUSD": "1"}
    await tick(writer, NOON + MINUTE, prices)
    # The browser's own cache keeps real time, so what the page's clock skips it must be told to skip too.
    await page.route(
        "**/v1/**", lambda route: route.continue_(headers={**route.request.headers, "cache-control": "no-cache"})
    )

    await shown_in_time(page, 60, "2021-05-17 12:01 UTC: 47500.25")


@pytest.mark.usefixtures("market")
async def test_whoever_looks_at_another_metric_late_in_a_minute_is_shown_the_next_tick_as_soon(
    api: Api, browser: Browser, writer, clock: Clock
):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/")
    await expect(page.locator("#reading")).to_have_text("2021-05-17 12:00 UTC: 47439.10")
    await page.clock.run_for(50_000)
    await page.locator("#ranks button", has_text="KUCOIN:SHIBUSDT").click()
    await expect(page.locator("#chosen")).to_contain_text("KUCOIN:SHIBUSDT")

    clock.now = NOON + MINUTE + 1
    await tick(writer, NOON + MINUTE, {"KRAKEN:BTCUSD": "1", "KUCOIN:SHIBUSDT": "0.0000117", "KRAKEN:OLDUSD": "1"})
    await page.route(
        "**/v1/**", lambda route: route.continue_(headers={**route.request.headers, "cache-control": "no-cache"})
    )

    await shown_in_time(page, 10, "2021-05-17 12:01 UTC: 0.0000117")


async def test_a_store_that_is_away_is_said_on_the_page(browser: Browser, clock: Clock, tmp_path):
    async with serving(clock, f"unix://{tmp_path}/nobody.sock") as api:
        await browser.page.goto(f"{api.url}/")

        await expect(browser.page.locator("#status")).to_have_text(
            "No news: the store is away; ask again in 5 seconds."
        )


async def test_a_worker_that_stopped_is_said_on_the_page(api: Api, browser: Browser, writer, clock: Clock):
    await fill(writer, {"KRAKEN:BTCUSD": every_minute(["1"] * 10)})
    clock.now = NOON + DAY / 2
    await browser.page.clock.install(time=clock.now)

    await browser.page.goto(f"{api.url}/")

    await expect(browser.page.locator("#status")).to_have_text("The newest tick is 12 h old. Is the worker running?")


@pytest.mark.usefixtures("market")
async def test_the_page_fits_a_phone_and_the_dark(api: Api, browser: Browser):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.emulate_media(color_scheme="dark")
    await page.goto(f"{api.url}/")
    await expect(page.locator("#ranks tr")).to_have_count(3)

    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    await expect(page.locator("#ranks td:last-child").first).to_be_in_viewport(ratio=1)
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 29)"


@pytest.mark.usefixtures("market")
async def test_a_key_typed_into_the_dialog_of_the_browser_opens_page_and_documentation(
    server: str, browser: Browser, clock: Clock
):
    owner = browser.page.context.browser
    assert owner
    async with serving(clock, server, api_keys="secret-of-16-or-more") as api:
        page = await owner.new_page(http_credentials={"username": "anybody", "password": "secret-of-16-or-more"})
        await page.goto(f"{api.url}/")
        await expect(page.locator("#ranks tr")).to_have_count(3)
        await page.goto(f"{api.url}/docs")

        await expect(page.locator(".opblock")).to_have_count(
            await operations(api, X_API_Key="secret-of-16-or-more"), timeout=60_000
        )
        await page.close()


@pytest.mark.usefixtures("market")
async def test_page_and_documentation_work_below_the_path_of_a_proxy(server: str, browser: Browser, clock: Clock):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    async with serving(clock, server, root_path="/team/tracker") as api:
        await page.goto(f"{api.url}/team/tracker/")
        await expect(page.locator("#ranks tr")).to_have_count(3)
        csv = await page.locator("#csv").get_attribute("href") or ""
        await page.get_by_role("link", name="API").click()
        await expect(page.locator(".opblock")).to_have_count(await operations(api), timeout=60_000)
        await page.goto(f"{api.url}/team/tracker/redoc")
        await expect(page.locator("h1")).to_contain_text("data-tracker", timeout=60_000)
        asked = await page.evaluate("performance.getEntriesByType('resource').map((each) => each.name)")

    assert csv.startswith("/team/tracker/v1/metrics/")
    assert [name for name in asked if name.startswith(api.url) and "/team/tracker/" not in name] == []
    assert browser.asked == []
    assert browser.complaints == []


async def test_the_browser_is_told_to_ask_nobody_else(api: Api):
    for path in ("/", "/docs", "/redoc"):
        policy = (await api.get(path)).headers["Content-Security-Policy"]

        assert policy.startswith("default-src 'none';")
        assert "http" not in policy
    assert "unsafe" not in (await api.get("/")).headers["Content-Security-Policy"]
