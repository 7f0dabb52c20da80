"""The view of a metric: its day and its past on a chart, in words and exact digits, what the rules said of it."""

import json
import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, expect
from redis.asyncio import Redis

from tests.support import alerts
from tests.support.browsing import Browser, find_barriers
from tests.support.serving import DAY, HOUR, MINUTE, NOON, Api, Clock, every_minute, fill, sample, serving, tick
from tests.v1.routes.test_candles import hour
from v1.market.exchange_hours import ExchangeHour
from v1.market.metric_state import SourceReading
from v1.market.slot_marking import TickEvidence
from v1.market.slots import SlotReason
from v1.model import Metric, Reading
from v1.rules import RuleEngine, parse_rule
from v1.store import Writer, connect, keys
from worker.sampling.tick import commit_tick

XSS = "<img src=x onerror=alert(1)>"
BTC = "/m/KRAKEN:BTCUSD"


@pytest.fixture
async def redis(server: str) -> AsyncIterator[Redis]:
    async with connect(server, "tests") as client:
        yield client


@pytest.fixture
async def market(writer) -> None:
    """A metric of a whole day, and one of tiny prices with a gap of an hour before eleven."""
    tiny = every_minute([f"0.0000{100 + minute % 40}" for minute in range(1440)], interval_volume="1.5")
    big = every_minute([f"{46000 + minute}.10" for minute in range(1440)], interval_volume="2.50")
    gapped = [each for each in tiny if not NOON - 7200 < each.tick < NOON - 3600]
    await fill(writer, {"KUCOIN:SHIBUSDT": gapped, "KRAKEN:BTCUSD": big})


def labelled(words: str) -> re.Pattern[str]:
    return re.compile(f"^{re.escape(words)}")


async def ink(page: Page, colour: str = "--line") -> list[int]:
    """Return how many pixels of a colour each column of the upper pane has."""
    counted = await page.evaluate(
        """(colour) => {
            const probe = document.createElement("span"), pen = document.createElement("canvas").getContext("2d");
            document.body.append(probe);
            probe.style.color = `var(${colour})`;
            pen.fillStyle = getComputedStyle(probe).color;
            probe.remove();
            pen.fillRect(0, 0, 1, 1);
            const wanted = pen.getImageData(0, 0, 1, 1).data;
            const canvas = [...document.querySelectorAll(".chart canvas")].sort((a, b) => b.width * b.height - a.width * a.height)[0];
            // A copy is read: the browser warns of a canvas that is read again and again and was not made for that.
            const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
            const reader = copy.getContext("2d", { willReadFrequently: true });
            reader.drawImage(canvas, 0, 0);
            const { data, width, height } = reader.getImageData(0, 0, canvas.width, canvas.height);
            const near = (at) => [0, 1, 2].every((part) => Math.abs(data[at + part] - wanted[part]) < 40);
            return Array.from({ length: width }, (_, x) => {
                let count = 0;
                for (let y = 0; y < height; y++) if (near((y * width + x) * 4)) count++;
                return count;
            });
        }""",
        colour,
    )
    return [int(count) for count in counted]


async def drawn_empty(page: Page, fewest: int, most: int) -> list[int]:
    """Return the columns that stay empty, once so many are: what was asked for is drawn a frame later."""
    empty: list[int] = []
    for _ in range(600):
        columns = await ink(page)
        empty = [index for index in range(20, len(columns) - 20) if not columns[index]]
        if fewest <= len(empty) <= most:
            return empty
        await page.evaluate("new Promise((resume) => requestAnimationFrame(() => setTimeout(resume, 20)))")
    raise AssertionError(f"{len(empty)} columns are empty, not {fewest} to {most}")


async def read_by_keys(page: Page) -> None:
    """Read points of a day that ends at noon by every key that moves."""
    moves = {"ArrowLeft": "11:59", "PageUp": "10:59", "Home": "12:01", "PageDown": "13:01", "End": "12:00"}
    for key, time in moves.items():
        await page.locator(".chart").press(key)
        await expect(page.locator("#reading")).to_contain_text(f"{time} UTC: ")


async def resize(page: Page) -> None:
    """Make the window a phone's and a wall's: nothing is cut off, and a larger window is no wish for more of the past."""
    before = page.url
    for width in (390, 1440, 2560):
        await page.set_viewport_size({"width": width, "height": 1000})
        # A chart takes its new size a frame later.
        await page.wait_for_function("(width) => document.documentElement.scrollWidth <= width", arg=width)
    await drawn_empty(page, 0, 60)
    assert page.url == before


@pytest.mark.usefixtures("market")
async def test_the_day_is_drawn_explained_read_by_keys_and_told_in_exact_digits(
    api: Api, browser: Browser, redis: Redis
):
    page = browser.page
    said = alerts.alert(at=NOON - 90 * MINUTE, name=XSS, measure="interval_volume", value="421.0", reference=None)
    for each in (said, alerts.alert("KUCOIN:SHIBUSDT", at=NOON)):
        await redis.zadd(keys.ALERTS, {json.dumps(each._asdict()): each.at})
    await redis.expire(keys.ALERTS, DAY)
    await page.clock.install(time=NOON + 5)

    await page.goto(f"{api.url}{BTC}")

    chart, reading = page.locator(".chart"), page.locator("#reading")
    await expect(chart).to_have_attribute(
        "aria-label", "KRAKEN:BTCUSD, price: 1440 samples, 0 missing, from 46\u202f000.1 to 47\u202f439.1"
    )
    await expect(reading).to_have_text("2021-05-17 12:00 UTC: 47\u202f439.10, volume 2.50")
    await expect(page.locator(".headline .price")).to_have_attribute("title", "47\u202f439.10")
    for words in ("live samples come as they should", "5 s old", "tests", "1\u202f440 of 1\u202f440", "1.00\u202f×"):
        await expect(page.locator(".metric-facts")).to_contain_text(words)
    await expect(page.locator(".metric-facts")).to_contain_text(
        "Rank by price1 of 2 by deviation, 2 of 2 by coefficient of variation"
    )
    await expect(page.locator("figcaption")).to_contain_text("3 × that mean")
    await drawn_empty(page, 0, 10)
    assert sum(await ink(page, "--warn")) > 100, "means of the hour, and the marker of the alert"
    await read_by_keys(page)
    await page.locator(".alerts .time").click()
    await expect(page.locator(".alerts li")).to_have_count(1)
    await expect(page.locator(".alerts li")).to_contain_text(f"{XSS}: interval volume 421.0, 3.4 × its mean of 123.8")
    await expect(reading).to_contain_text(f"10:30 UTC: 47\u202f349.10, volume 2.50; {XSS}: interval volume 421.0")
    assert await find_barriers(page) == []
    await page.emulate_media(color_scheme="dark")
    await drawn_empty(page, 0, 10)
    await resize(page)
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_tiny_prices_are_readable_and_gaps_are_gaps(api: Api, browser: Browser):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/m/kucoin:shibusdt")

    await expect(page.locator(".headline .price")).to_have_text("0.0₄139")
    await expect(page.locator(".headline .price")).to_have_attribute("title", "0.0000139")
    await expect(page.locator(".chart")).to_have_attribute(
        "aria-label", labelled("KUCOIN:SHIBUSDT, price: 1381 samples, 59 missing, from 0.0₄1 to 0.0₄139")
    )
    width = len(await ink(page))
    empty = await drawn_empty(page, width * 50 // 1440, width * 61 // 1440)
    assert empty == [*range(empty[0], empty[-1] + 1)]
    await page.locator(".chart").press("PageUp")
    await page.locator(".chart").press("ArrowLeft")

    await expect(page.locator("#reading")).to_have_text("2021-05-17 10:59 UTC: no sample")
    assert browser.complaints == []


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
        await page.goto(f"{api.url}{BTC}")
        await expect(page.locator("#reading")).to_have_text("2021-05-17 12:00 UTC: 2.5")
        said = await page.locator(".chart").get_attribute("aria-label")
        await drawn_empty(page, 0, 10)
        await page.get_by_role("button", name="1 h", exact=True).click()
        await expect(page.locator(".chart")).not_to_have_attribute("aria-label", said or "")
        await page.locator(".chart").press("ArrowLeft")
        newest_but_one = {5: "11:59:55", 45: "11:59:15"}[interval]
        await expect(page.locator("#reading")).to_have_text(f"2021-05-17 {newest_but_one} UTC: 2.5")
        assert page.url == f"{api.url}{BTC}?range=1h"

    assert said == f"KRAKEN:BTCUSD, price: {DAY // apart} samples, 0 missing, from 1.5 to 2.5"
    assert browser.complaints == []


async def test_hours_of_which_one_price_is_known_are_dashed_and_explained(api: Api, browser: Browser, writer):
    page = browser.page
    hours = [sample(NOON - DAY + 3600 * each, "1") for each in range(1, 13)]
    minutes = every_minute([f"1.{minute:03}" for minute in range(720)], interval_volume="1")
    await fill(writer, {"KRAKEN:BTCUSD": [*hours, *minutes]})
    await page.clock.install(time=NOON + 5)

    await page.goto(f"{api.url}{BTC}")
    await expect(page.locator("figcaption")).to_contain_text(
        "Dashed: 12 hours of which one price is known, that of their end; the source keeps no minutes that old."
    )
    await expect(page.locator(".chart")).to_have_attribute(
        "aria-label",
        labelled("KRAKEN:BTCUSD, price: 732 samples, 12 of them one for an hour, 708 missing, from 1 to 1.719"),
    )
    half = len(await ink(page)) // 2
    empty = await drawn_empty(page, half - 45, half + 25)
    assert max(empty) < half + 25, "no minutes are drawn where there are none, and all where there are"
    assert sum(await ink(page, "--muted")) > 100, "rings and dashes"
    await page.locator(".chart").press("Home")
    for _ in range(59):
        await page.locator(".chart").press("ArrowRight")

    await expect(page.locator("#reading")).to_have_text("2021-05-16 13:00 UTC: 1, the one price known of this hour")
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_the_day_goes_on_into_the_archive_when_zoomed_out_and_a_link_shows_the_same(
    api: Api, browser: Browser, archive
):
    page = browser.page
    await archive.write([hour(NOON - DAY - each * HOUR, "5.10", "7.0", "4.25") for each in range(1, 200) if each != 20])
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}{BTC}?style=candles")
    chart = page.locator(".chart")
    await expect(chart).to_have_attribute("aria-label", labelled("KRAKEN:BTCUSD, price by 15m: 96 candles, 0 missing"))
    await expect(page.locator("#reading")).to_contain_text(
        "11:45 UTC: open 47\u202f425.10, high 47\u202f439.10, low 47\u202f425.10, close 47\u202f439.10, 15 samples, of sampled prices, volume 37.50"
    )

    async with page.expect_response(re.compile("candles.*interval=1h")):
        for _ in range(2):
            await chart.press("-")

    await expect(page).to_have_url(f"{api.url}{BTC}?style=candles&range=1w")
    week = "KRAKEN:BTCUSD, price by 1h: 167 candles, 1 missing, from "
    await expect(chart).to_have_attribute("aria-label", labelled(week))
    await expect(page.locator("figcaption")).to_contain_text("Faint candles are not whole")
    table = await api.get(
        urlsplit(await page.locator("a.csv").get_attribute("href") or "")._replace(scheme="", netloc="").geturl()
    )
    assert len(table.text.splitlines()) == 168
    command = await page.locator("code").text_content() or ""
    assert command == f"curl -s '{await page.locator('a.csv').get_attribute('href')}'"
    await page.reload()
    await expect(chart).to_have_attribute("aria-label", labelled(week))
    await page.get_by_role("button", name="1 month").click()
    await expect(chart).to_have_attribute("aria-label", labelled("KRAKEN:BTCUSD, price by 4h: "))
    await page.get_by_role("button", name="Line").click()
    await expect(page.locator("#reading")).to_contain_text("08:00 UTC: 47\u202f439.10, 240 samples")
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_candles_say_whose_highs_and_lows_are_drawn(api: Api, browser: Browser, archive):
    page = browser.page
    metric = Metric("KRAKEN:BTCUSD")
    await archive.write([hour(NOON - each * HOUR, "5.10", "7.0", "4.25") for each in range(2, 169)])
    await archive.write_exchange_hours(
        [ExchangeHour(metric, at, "5", "9", "4", "5.5", "3.5", "kraken", at) for at in (NOON - 168 * HOUR, NOON - DAY)]
    )

    await page.goto(f"{api.url}{BTC}?style=candles&range=1w")
    await expect(page.locator("figcaption")).to_contain_text("2 of 168 are the exchange's own candles")
    await page.locator(".chart").press("Home")

    await expect(page.locator("#reading")).to_contain_text(
        "high 9, low 4, close 5.5, 3 samples, the exchange's own candle, volume 3.5"
    )
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_another_measure_is_asked_for_when_chosen_and_what_fits_none_is_said(api: Api, browser: Browser):
    page = browser.page
    await page.goto(f"{api.url}{BTC}?range=1w&interval=5m")
    await expect(page.locator("main .warning")).to_have_text(
        "interval: '5m' is not accepted here; accepted: 1h, 4h, 1d. The usual is shown instead."
    )

    await page.get_by_label("Measure").select_option("volume")
    await expect(page.locator("#reading")).to_have_text("no samples in the time that is shown")
    await expect(page.locator(".chart")).to_have_attribute("aria-label", "KRAKEN:BTCUSD, volume of 24 h: no samples")
    await expect(page.get_by_role("button", name="1 week")).to_be_disabled()
    await page.get_by_label("Measure").focus()
    await page.get_by_label("Measure").select_option("interval_volume")

    await expect(page.locator("#reading")).to_contain_text(": 2.50")
    assert page.url == f"{api.url}{BTC}?measure=interval_volume"
    assert await page.locator(":focus").get_attribute("name") == "measure"
    assert browser.complaints == []


async def read_line(page: Page) -> list[int]:
    """Return how far below the top the line is in each column of the upper pane that it crosses."""
    return [
        int(height)
        for height in await page.evaluate(
            """() => {
                const probe = document.createElement("span");
                document.body.append(probe);
                probe.style.color = "var(--line)";
                const [red, green, blue] = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
                probe.remove();
                const canvas = [...document.querySelectorAll(".chart canvas")].sort((a, b) => b.width * b.height - a.width * a.height)[0];
                const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
                const reader = copy.getContext("2d", { willReadFrequently: true });
                reader.drawImage(canvas, 0, 0);
                const { data, width, height } = reader.getImageData(0, 0, canvas.width, canvas.height);
                const isLine = (at) => Math.abs(data[at] - red) + Math.abs(data[at + 1] - green) + Math.abs(data[at + 2] - blue) < 60 && data[at + 3] > 200;
                const heights = [];
                for (let x = 0; x < width; x++) {
                    for (let y = 0; y < height; y++) {
                        if (isLine((y * width + x) * 4)) { heights.push(y); break; }
                    }
                }
                return heights;
            }"""
        )
    ]


async def sample_places(writer: Writer) -> None:
    """Sample three metrics for 45 minutes: all are alike at first, then two of them move, then the third does."""
    await writer.open()
    for minute in range(46):
        prices = {"BTC": 100 + 90 * (minute > 40), "ETH": 100 + 30 * (minute % 2), "LTC": 100 + 20 * (minute % 2)}
        heard = {
            Metric(f"KRAKEN:{name}USD"): SourceReading(Reading(str(price)), "kraken") for name, price in prices.items()
        }
        await commit_tick(NOON - 45 * MINUTE + minute * MINUTE, heard, writer)


async def expect_first_on_top(page: Page) -> None:
    """Expect a line that begins and ends at the first place, and is further down in between."""
    line: list[int] = []
    for _ in range(600):
        line = await read_line(page)
        if line and min(max(line) - line[-1], max(line) - line[0]) > 100:
            return
        await page.evaluate("new Promise((resume) => requestAnimationFrame(() => setTimeout(resume, 20)))")
    raise AssertionError(f"1 is not on top: {line}")


async def test_the_rank_is_drawn_through_the_day_with_1_on_top(api: Api, browser: Browser, writer: Writer):
    page = browser.page
    await sample_places(writer)
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}{BTC}")
    await page.get_by_role("button", name="Rank").press("Enter")

    chart, reading = page.locator(".chart"), page.locator("#reading")
    await expect(chart).to_have_attribute(
        "aria-label", re.compile("^KRAKEN:BTCUSD, rank by price: 4 places, from 1 to")
    )
    assert page.url == f"{api.url}{BTC}?style=rank"
    await expect(reading).to_have_text("2021-05-17 12:00 UTC: rank 1 of 3")
    await expect(page.locator("figcaption")).to_contain_text("1, on top, moves most")
    await expect(page.get_by_role("button", name="1 week")).to_be_enabled()
    await expect(page.locator("a.csv")).to_have_attribute("href", re.compile("/rank-history.csv"))
    await expect_first_on_top(page)
    assert await find_barriers(page) == []
    await page.get_by_role("button", name="1 week").press("Enter")
    await expect(page.get_by_role("button", name="Rank")).to_be_disabled()
    assert "style" not in page.url
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_a_name_that_no_metric_has_is_told_with_near_ones(api: Api, browser: Browser):
    page = browser.page
    await page.goto(f"{api.url}/m/KRAKEN:BTCUS")

    trouble = page.locator("main .trouble")
    await expect(trouble).to_contain_text("There is no metric KRAKEN:BTCUS: ")
    await expect(trouble.get_by_role("link", name="Search for it")).to_have_attribute("href", f"{api.url}/?q=BTCUS")
    await trouble.get_by_role("link", name="KRAKEN:BTCUSD").click()
    await expect(page.locator("#reading")).to_contain_text("47\u202f439.10")

    await page.goto(f"{api.url}/m/{XSS.replace('<', '%3C').replace('>', '%3E').replace(' ', '%20')}")
    await expect(page.locator("main .trouble")).to_contain_text(XSS.upper())
    assert await page.locator("main img").count() == 0
    assert browser.complaints == []


async def test_a_store_that_is_away_is_said_and_asked_again(browser: Browser, clock: Clock, tmp_path):
    async with serving(clock, f"unix://{tmp_path}/nobody.sock") as api:
        await browser.page.goto(f"{api.url}{BTC}")

        await expect(browser.page.locator("main .trouble")).to_contain_text("It is asked again in 5 seconds.")


@pytest.mark.usefixtures("market")
async def test_the_next_tick_shows_by_itself_with_its_alert_and_keeps_the_zoom(
    api: Api, browser: Browser, writer, clock: Clock
):
    page = browser.page
    await page.goto(f"{api.url}{BTC}")
    chart, reading = page.locator(".chart"), page.locator("#reading")
    await expect(reading).to_have_text("2021-05-17 12:00 UTC: 47\u202f439.10, volume 2.50")
    for _ in range(4):
        await chart.press("+")
    before = await read_left(page)
    assert before > "2021-05-17 09:00"

    clock.now = NOON + MINUTE + 1
    above = {"id": "above", "kind": "threshold", "name": XSS, "metrics": "KRAKEN:BTCUSD", "above": "47500.1"}
    heard = {"KRAKEN:BTCUSD": "47500.25", "KUCOIN:SHIBUSDT": "0.0000108"}
    readings = {Metric(name): SourceReading(Reading(price), "kraken") for name, price in heard.items()}
    await commit_tick(NOON + MINUTE, readings, writer, RuleEngine([parse_rule(above)], [], MINUTE))

    await expect(page.locator(".alerts li")).to_contain_text(
        f"{XSS}: price 47\u202f500.25, above the bound of 47\u202f500.1"
    )
    await expect(reading).to_contain_text("2021-05-17 12:01 UTC: 47\u202f500.25")
    await expect(page.locator(".headline .price")).to_have_text("47\u202f500.25")
    await expect(chart).to_have_attribute("aria-label", labelled("KRAKEN:BTCUSD, price: 1441 samples, 0 missing"))
    after = await read_left(page)
    assert before <= after <= before[:-2] + f"{int(before[-2:]) + 2:02}"
    assert f"{api.url}{BTC}" == page.url

    assert browser.complaints == []


async def test_a_day_that_was_filled_meanwhile_is_shown_with_the_next_tick(
    api: Api, browser: Browser, writer, clock: Clock
):
    page = browser.page
    day = every_minute(["1.25"] * 1440)
    await fill(writer, {"KRAKEN:BTCUSD": day[-2:]})
    await page.goto(f"{api.url}{BTC}")
    await expect(page.locator(".chart")).to_have_attribute("aria-label", labelled("KRAKEN:BTCUSD, price: 2 samples"))

    clock.now = NOON + MINUTE + 1
    await fill(writer, {"KRAKEN:BTCUSD": day})
    await tick(writer, NOON + MINUTE, {"KRAKEN:BTCUSD": "1.50"})

    whole = "KRAKEN:BTCUSD, price: 1440 samples, 0 missing, from 1.25 to 1.5"
    await expect(page.locator(".chart")).to_have_attribute("aria-label", whole)
    assert (await read_left(page)).startswith("2021-05-16 12:0"), "all of it is in sight"
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_nothing_is_asked_of_a_metric_that_was_left(api: Api, browser: Browser, writer, clock: Clock):
    page = browser.page
    await page.goto(f"{api.url}{BTC}")
    await expect(page.locator("#reading")).to_contain_text("47\u202f439.10")
    await page.get_by_role("link", name="Overview").first.click()
    await expect(page.locator(".chart")).to_have_count(0)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    clock.now = NOON + MINUTE + 1
    await tick(writer, NOON + MINUTE, {"KRAKEN:BTCUSD": "47600", "KUCOIN:SHIBUSDT": "0.0000108"})
    await page.evaluate(
        "(at) => new Promise(async (resume) => (await import('./page/app/live.js')).listen('tick', (tick) => tick.at === at && resume()))",
        str(NOON + MINUTE),
    )
    assert [url for url in asked if "KRAKEN" in url] == []
    assert browser.complaints == []


async def read_left(page: Page) -> str:
    """Return the time of the point at the left of the chart."""
    box = await page.locator(".chart").bounding_box()
    assert box
    await page.mouse.move(box["x"] + 3, box["y"] + 80)
    await page.mouse.move(box["x"] + 4, box["y"] + 80)
    await expect(page.locator("#reading")).not_to_contain_text("12:00 UTC")
    words = await page.locator("#reading").text_content() or ""
    await page.mouse.move(1, 1)
    await expect(page.locator("#reading")).to_contain_text(re.compile(r"12:0\d UTC"))
    return words.split(" UTC")[0]


async def test_a_metric_of_which_only_the_archive_knows_has_its_past(api: Api, browser: Browser, archive, writer):
    page = browser.page
    await fill(writer, {"KRAKEN:ETHUSD": every_minute(["1", "2"])})
    await archive.write([hour(NOON - 3 * DAY, "5.10", "7.0", "4.25")])
    await page.goto(f"{api.url}{BTC}?range=1w")

    await expect(page.locator(".headline")).to_have_text("no sample of the last day; the archive has its past")
    await expect(page.locator("#reading")).to_have_text(
        "2021-05-14 12:00 UTC: 4.25, 3 samples, 5 % of its time known, volume 1.50"
    )
    assert browser.complaints == []


async def test_what_was_filled_is_told_apart_and_what_is_missing_says_why(api: Api, browser: Browser, writer):
    page, metric = browser.page, Metric("KRAKEN:BTCUSD")
    await fill(writer, {metric: every_minute(["1.5"] * 1380, until=NOON - HOUR)}, NOON - HOUR, is_marked=True)
    for at in range(NOON - HOUR + MINUTE, NOON + MINUTE, MINUTE):
        readings = {} if at <= NOON - 50 * MINUTE else {metric: SourceReading(Reading("2.5"), "kraken")}
        evidence = TickEvidence(MINUTE, at - MINUTE, lambda _metric, _source: SlotReason.REFUSED)
        await commit_tick(at, readings, writer, evidence=evidence)

    await page.goto(f"{api.url}{BTC}")

    chart, reading = page.locator(".chart"), page.locator("#reading")
    await expect(chart).to_have_attribute("aria-label", labelled("KRAKEN:BTCUSD, price: 1430 samples, 10 missing"))
    await expect(chart).to_have_attribute("aria-label", re.compile("; 1380 filled afterwards$"))
    await expect(page.locator("figcaption")).to_contain_text(
        "Bar at the lower edge: 1380 samples that were filled afterwards (high); each point says why."
    )
    await chart.press("PageUp")
    await expect(reading).to_have_text(
        labelled("2021-05-17 11:00 UTC: 1.5, filled afterwards from the source's candles")
    )
    await chart.press("ArrowRight")
    await expect(reading).to_have_text("2021-05-17 11:01 UTC: no sample, the source refused to answer")
    assert await find_barriers(page) == []
