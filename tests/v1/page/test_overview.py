"""The overview: every metric as a row, what moves now first, found and kept by name, by pointer and by keys."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Locator, Page, expect
from playwright.async_api import TimeoutError as TookTooLong

from tests.support import alerts
from tests.support.browsing import Browser, find_barriers
from tests.support.serving import DAY, HOUR, MINUTE, NOON, Api, Clock, every_minute, fill, sample, tick
from v1.market.metric_state import SourceReading
from v1.model import Metric, Reading, Sample
from v1.rules import RuleEngine, parse_rule
from v1.store import connect, keys
from worker.sampling.tick import commit_tick

XSS = "<img src=x onerror=alert(1)>"
ODD = "KRAKEN:<IMG/SRC=X/ONERROR=ALERT(1)>USD"
MANY = 10_000


def moving(prices: list[str], volume: str, last: str, returned: str) -> list[Sample]:
    """Make a day of quiet minutes, of which the last one is different."""
    day = [
        sample(each.tick, each.values[0], interval_volume=volume, interval_return=str((index % 3 - 1) / 10))
        for index, each in enumerate(every_minute(prices))
    ]
    return [*day[:-1], sample(NOON, prices[-1], interval_volume=last, interval_return=returned)]


@pytest.fixture
async def market(writer) -> None:
    """Five metrics: one that jumps with volume, a large quiet one, a tiny one, an odd name, and one that stopped."""
    quiet = [f"{46000 + minute % 50}.10" for minute in range(1440)]
    await fill(
        writer,
        {
            "KRAKEN:BTCUSD": moving(quiet, "2.0", "2.0", "0"),
            "BINANCE:DOGEUSDT": moving(["0.5"] * 1439 + ["0.6"], "1000", "42000", "20"),
            "KUCOIN:SHIBUSDT": moving(["0.00000000028925"] * 1440, "5", "7.5", "0.1"),
            ODD: moving([str(1 + minute % 7) for minute in range(1440)], "1", "1", "-0.1"),
            "KRAKEN:OLDEUR": every_minute(["1", "2"], NOON - 2 * HOUR),
        },
    )


async def names(page: Page) -> list[str]:
    """Return the metrics that are shown, from above."""
    shown: list[str] = await page.evaluate(
        """[...document.querySelectorAll(".body .row:not([hidden])")]
            .sort((one, other) => one.getAttribute("aria-rowindex") - other.getAttribute("aria-rowindex"))
            .map((row) => row.querySelector(".name").textContent)"""
    )
    return shown


async def expect_names(page: Page, *expected: str) -> None:
    await expect(page.locator(".rows")).to_have_attribute("aria-rowcount", str(len(expected) + 1))
    try:
        await page.wait_for_function(
            """(expected) => [...document.querySelectorAll(".body .row:not([hidden])")]
                .sort((one, other) => one.getAttribute("aria-rowindex") - other.getAttribute("aria-rowindex"))
                .map((row) => row.querySelector(".name").textContent).join() === expected""",
            arg=",".join(expected),
        )
    except TookTooLong:
        assert await names(page) == [*expected]
        raise


def row(page: Page, metric: str) -> Locator:
    return page.locator(".body .row:not([hidden])").filter(has=page.get_by_text(metric, exact=True))


@pytest.mark.usefixtures("market")
async def test_it_opens_on_what_moves_now_with_exact_digits_beside_what_is_shortened(
    api: Api, browser: Browser, server: str
):
    page = browser.page
    said = alerts.alert("KUCOIN:SHIBUSDT", at=NOON - HOUR, name=XSS)
    async with connect(server, "tests") as redis:
        await redis.zadd(keys.ALERTS, {json.dumps(said._asdict()): said.at})
        await redis.expire(keys.ALERTS, DAY)
    await page.clock.install(time=NOON + 5)

    await page.goto(f"{api.url}/")

    await expect_names(page, "BINANCE:DOGEUSDT", "KUCOIN:SHIBUSDT", ODD, "KRAKEN:BTCUSD", "KRAKEN:OLDEUR")
    doge, tiny, old = row(page, "BINANCE:DOGEUSDT"), row(page, "KUCOIN:SHIBUSDT"), row(page, "KRAKEN:OLDEUR")
    await expect(doge.locator(".ratio")).to_have_text("42.0\u202f×")
    await expect(doge.locator(".hour")).to_have_text("▲\u202f+20.00\u202f%")
    await expect(doge.locator(".hour")).to_have_attribute("title", "20.000 %")
    await expect(tiny.locator(".price")).to_have_text("0.0₉28925")
    await expect(tiny.locator(".price")).to_have_attribute("title", "0.00000000028925, 2021-05-17 12:00:00 UTC")
    await expect(old.locator(".state")).to_have_text("stale, 2 h")
    await expect(doge.locator(".state")).to_have_text("5 s")
    await expect(row(page, "KRAKEN:BTCUSD").locator(".rank")).to_have_text("1 of 5")
    await expect(doge.locator(".spark")).to_have_attribute("title", "hours of the day from 0.5 to 0.6")
    await expect(page.locator(".count")).to_have_text("5 of 5 shown")
    await expect(page.locator(".movers h3")).to_have_text("Movers of this minute")
    await expect(page.locator(".movers li").first).to_contain_text("BINANCE:DOGEUSDT ▲\u202f+20.00\u202f% volume 42.0")
    await expect(page.locator(".news li")).to_contain_text(f"KUCOIN:SHIBUSDT {XSS} 11:00")
    assert await find_barriers(page) == []
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_every_column_is_sorted_by_both_ways_and_the_address_says_so(api: Api, browser: Browser):
    page = browser.page
    await page.set_viewport_size({"width": 1440, "height": 900})
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/")
    await expect(page.locator(".count")).to_have_text("5 of 5 shown")

    await page.get_by_role("columnheader", name="1 h").get_by_role("button").click()
    await expect_names(page, ODD, "BINANCE:DOGEUSDT", "KRAKEN:BTCUSD", "KUCOIN:SHIBUSDT", "KRAKEN:OLDEUR")
    await page.get_by_role("columnheader", name="1 h").get_by_role("button").press("Enter")
    await expect(page.get_by_role("columnheader", name="1 h")).to_have_attribute("aria-sort", "ascending")
    assert parse_qs(urlsplit(page.url).query) == {"sort": ["hour"], "order": ["asc"]}
    shown = await names(page)
    assert shown[-1] == "KRAKEN:OLDEUR", "what is not known is last both ways"
    for column in ("Metric", "Price", "24 h", "Volume", "× mean", "Score", "Rank", "CV", "State", "Known"):
        header = page.get_by_role("columnheader", name=column, exact=True)
        await header.get_by_role("button").click()
        await expect(header).to_have_attribute(
            "aria-sort", "ascending" if column in ("Metric", "Rank", "Known") else "descending"
        )
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_what_is_searched_and_filtered_is_in_the_address_too(api: Api, browser: Browser):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/?sort=name")
    await expect(page.locator(".count")).to_have_text("5 of 5 shown")
    await page.locator(".rows").focus()
    await page.keyboard.press("/")
    await expect(page.get_by_label("Search")).to_be_focused()
    await page.keyboard.type("kraken usd")
    await expect_names(page, ODD, "KRAKEN:BTCUSD")
    await expect(page.locator(".count")).to_have_text("2 of 5 shown")
    await page.get_by_label("Search").fill("")
    await page.get_by_role("combobox", name="Exchange").select_option("KRAKEN")
    await page.get_by_role("combobox", name="Quote").select_option("EUR")
    await page.get_by_role("combobox", name="State").select_option("stale")
    await expect_names(page, "KRAKEN:OLDEUR")
    kept = page.url
    assert parse_qs(urlsplit(kept).query) == {
        "sort": ["name"],
        "exchange": ["KRAKEN"],
        "quote": ["EUR"],
        "state": ["stale"],
    }
    await page.reload()
    await expect_names(page, "KRAKEN:OLDEUR")
    await expect(page.get_by_role("combobox", name="State")).to_have_value("stale")


@pytest.mark.usefixtures("market")
async def test_what_of_an_address_cannot_be_is_said(api: Api, browser: Browser):
    page = browser.page
    await page.goto(f"{api.url}/?sort=size&order=up&state=ill&quote=XYZ")
    trouble = page.locator("main .trouble")
    await expect(trouble).to_have_count(3)
    await expect(trouble.first).to_contain_text("there is no column “size”; there are name, price, hour")
    await expect(page.locator(".empty")).to_have_text("No metric fits. Change the search and the filters, or show all.")
    await page.get_by_role("button", name="Show all").click()
    await expect(page.locator(".count")).to_have_text("5 of 5 shown")
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_pinned_metrics_are_above_all_others_here_or_where_a_link_says_so(api: Api, browser: Browser):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/")
    await page.get_by_role("button", name="Pin KRAKEN:BTCUSD").click()
    await expect_names(page, "KRAKEN:BTCUSD", "BINANCE:DOGEUSDT", "KUCOIN:SHIBUSDT", ODD, "KRAKEN:OLDEUR")
    await page.goto(f"{api.url}/?sort=name&exchange=KRAKEN")
    await expect_names(page, "KRAKEN:BTCUSD", ODD, "KRAKEN:OLDEUR")

    await page.goto(f"{api.url}/?sort=name&pins=KRAKEN:OLDEUR,KUCOIN:SHIBUSDT")
    await expect_names(page, "KRAKEN:OLDEUR", "KUCOIN:SHIBUSDT", "BINANCE:DOGEUSDT", ODD, "KRAKEN:BTCUSD")
    await page.get_by_role("button", name="Unpin KRAKEN:OLDEUR").click()
    await expect_names(page, "KUCOIN:SHIBUSDT", "BINANCE:DOGEUSDT", ODD, "KRAKEN:BTCUSD", "KRAKEN:OLDEUR")
    await page.goto(f"{api.url}/?sort=name")
    await expect_names(page, "KRAKEN:BTCUSD", "BINANCE:DOGEUSDT", ODD, "KRAKEN:OLDEUR", "KUCOIN:SHIBUSDT")
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_views_are_saved_opened_renamed_and_deleted_by_name(api: Api, browser: Browser):
    page, menu = browser.page, browser.page.locator("main details.menu")
    await page.goto(f"{api.url}/?sort=name&exchange=KRAKEN")
    await expect_names(page, ODD, "KRAKEN:BTCUSD", "KRAKEN:OLDEUR")

    await menu.locator("summary").click()
    await page.get_by_label("Name", exact=True).fill(XSS)
    await page.get_by_role("button", name="Save this view").click()
    await expect(menu.get_by_role("link", name=XSS)).to_have_attribute("href", f"{api.url}/?exchange=KRAKEN&sort=name")
    await page.get_by_role("button", name="Copy the link, with pins").click()
    await menu.get_by_role("link", name="What moves now").click()
    await expect(page.locator(".count")).to_have_text("5 of 5 shown")
    await page.reload()
    await menu.locator("summary").click()
    await page.get_by_role("button", name=f"Rename {XSS}").click()
    await page.get_by_label(f"New name of {XSS}").fill("Kraken by name")
    await page.get_by_label(f"New name of {XSS}").press("Enter")
    await menu.get_by_role("link", name="Kraken by name").click()
    await expect_names(page, ODD, "KRAKEN:BTCUSD", "KRAKEN:OLDEUR")
    await menu.locator("summary").click()
    assert await find_barriers(page) == []
    await page.get_by_role("button", name="Delete Kraken by name").click()
    await expect(menu.locator("li")).to_have_count(1)
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_a_tick_changes_the_rows_that_are_there(api: Api, browser: Browser, writer, clock: Clock):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/?sort=name")
    price = row(page, "KRAKEN:BTCUSD").locator(".price")
    await expect(price).to_have_text("46\u202f039.10")
    await expect(page.locator(".count")).to_have_text("5 of 5 shown")
    element = await price.element_handle()
    assert element is not None

    clock.now = NOON + MINUTE + 1
    await tick(writer, NOON + MINUTE, {"KRAKEN:BTCUSD": "47500.250", "KRAKEN:NEWUSD": "0.10"})

    await expect(price).to_have_text("47\u202f500.250")
    assert await element.text_content() == "47\u202f500.250", "the row is the one that was there"
    await expect(row(page, "KRAKEN:NEWUSD").locator(".price")).to_have_text("0.10")
    await expect(page.locator(".count")).to_have_text("6 of 6 shown")
    await page.get_by_role("link", name="Status").click()
    await expect(page.locator(".overall")).to_be_visible()
    assert browser.complaints == []


async def test_before_the_first_sample_it_says_what_to_do_and_while_the_day_is_filled_how_far(
    api: Api, browser: Browser, writer
):
    page = browser.page
    told = {"state": "ok", "since": None, "reason": None, "metrics": 3}
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/")
    await expect(page.locator(".empty")).to_contain_text("No metric has a sample yet. The worker takes one every 60 s")
    assert await find_barriers(page) == []

    await fill(writer, {"SIMULATED:EURUSD": every_minute(["1.08", "1.09"])})
    await writer.write_source_states({"simulated": told | {"filling": {"done": 34, "of": 100}}})
    await page.clock.run_for(15_000)
    await expect(page.locator(".count")).to_have_text("1 of 1 shown, filling, 34 %")

    await fill(writer, {"SIMULATED:BTCUSD": every_minute(["46000", "47000"])})
    await writer.write_source_states({"simulated": told})
    await page.clock.run_for(3_000)
    # It pauses between two reads; what a read took counts by the clock of the page, which goes on in steps here.
    await page.clock.run_for(25_000)
    await expect(page.locator(".count")).to_have_text("2 of 2 shown")
    assert browser.complaints == []


async def test_of_ten_thousand_metrics_only_those_that_are_seen_are_in_the_document(api: Api, browser: Browser, writer):
    page = browser.page
    await fill(
        writer, {f"X:{index:05}USD": [sample(NOON, str(1 + index), interval_volume="1")] for index in range(MANY)}
    )
    await page.goto(f"{api.url}/?sort=name")
    await expect(page.locator(".rows")).to_have_attribute("aria-rowcount", str(MANY + 1))

    most = await page.evaluate(
        """async () => {
            const grid = document.querySelector(".rows"), end = grid.scrollHeight;
            let most = 0;
            for (let top = 0; top < end; top += end / 40) {
                grid.scrollTop = top;
                await new Promise((resume) => requestAnimationFrame(() => requestAnimationFrame(resume)));
                most = Math.max(most, document.querySelectorAll(".body .row").length);
                for (const row of document.querySelectorAll(".body .row:not([hidden])")) {
                    const index = row.getAttribute("aria-rowindex") - 2;
                    if (row.querySelector(".name").textContent !== `X:${String(index).padStart(5, "0")}USD`) return -1;
                    if (Math.abs(row.offsetHeight * index - new DOMMatrix(getComputedStyle(row).transform).f) > 1) return -2;
                }
            }
            return most;
        }"""
    )

    assert 20 < most <= 80
    grid = page.locator(".rows")
    await grid.focus()
    for key, active in (
        ("End", 9999),
        ("ArrowUp", 9998),
        ("PageUp", None),
        ("Home", 0),
        ("ArrowDown", 1),
        ("PageDown", None),
    ):
        await page.keyboard.press(key)
        chosen = page.locator(".body .row.active:not([hidden])")
        if active is not None:
            await expect(chosen.locator(".name")).to_have_text(f"X:{active:05}USD")
        await expect(chosen).to_be_in_viewport()
        await expect(grid).to_have_attribute("aria-activedescendant", await chosen.get_attribute("id") or "")
    await page.keyboard.press("Home")
    await page.keyboard.press("p")
    await expect(page.get_by_role("button", name="Unpin X:00000USD")).to_have_count(1)
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{api.url}/m/X:00000USD")
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_a_phone_has_name_price_change_and_ratio_and_a_wall_has_all_and_turns(api: Api, browser: Browser):
    page = browser.page
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.goto(f"{api.url}/")
    first = page.locator(".body .row:not([hidden])").first
    for shown in ("name", "price", "day", "ratio"):
        await expect(first.locator(f".{shown}").first).to_be_visible()
    for folded in ("hour", "line", "volume", "score", "rank", "cv", "state", "coverage"):
        await expect(first.locator(f".{folded}").first).to_be_hidden()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    assert await find_barriers(page) == []

    await page.set_viewport_size({"width": 2560, "height": 1440})
    await page.goto(f"{api.url}/?wall")
    for shown in ("hour", "line", "volume", "score", "rank", "cv", "state", "coverage"):
        await expect(first.locator(f".{shown}").first).to_be_visible()
    await expect(page.locator("main .bar")).to_be_hidden()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 2560


@pytest.mark.usefixtures("market")
async def test_the_snapshot_is_asked_for_what_is_shown_and_for_nothing_else(api: Api, browser: Browser):
    async with browser.page.expect_request("**/v1/snapshot.csv*") as asking:
        await browser.page.goto(f"{api.url}/")
    query = parse_qs(urlsplit((await asking.value).url).query)

    assert query.keys() == {"fields", "limit"}
    assert {*query["fields"][0].split(",")} == {
        *("metric", "at", "state", "source", "price.value", "price.change_1h", "price.change_24h"),
        *("price.rank", "price.of", "price.cv", "price.stddev", "price.coverage"),
        *("interval_volume.value", "interval_volume.hour_mean", "interval_return.value", "interval_return.stddev"),
    }


@pytest.mark.usefixtures("market")
async def test_when_the_snapshot_is_refused_the_rows_of_the_tick_stay_and_it_is_said(
    api: Api, browser: Browser, writer
):
    page = browser.page
    await tick(writer, NOON + MINUTE, {"KRAKEN:BTCUSD": "46001"})
    refusal = json.dumps({"title": "Too Many Requests", "status": 429, "detail": "100 requests a minute are allowed"})
    await page.route(
        "**/v1/snapshot.csv*", lambda route: route.fulfill(status=429, body=refusal, headers={"Retry-After": "3600"})
    )

    await page.goto(f"{api.url}/")

    trouble = page.locator("main .trouble")
    await expect(trouble).to_contain_text("could not be read: 100 requests a minute are allowed")
    await expect(row(page, "KRAKEN:BTCUSD").locator(".price")).to_have_text("46\u202f001")
    await page.unroute("**/v1/snapshot.csv*")
    await trouble.get_by_role("button", name="Try now").click()
    await expect(trouble).to_have_count(0)
    await expect(row(page, "KRAKEN:BTCUSD").locator(".rank")).to_have_text("1 of 1")


async def test_a_wall_shows_the_rows_a_screen_at_a_time_and_then_the_next_view(api: Api, browser: Browser, writer):
    page = browser.page
    await fill(writer, {f"X:{index:02}USD": [sample(NOON, str(1 + index))] for index in range(40)})
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/?wall&views=overview,status&sort=name")
    await expect(page.locator(".rows")).to_have_attribute("aria-rowcount", "41")
    await expect(row(page, "X:00USD")).to_be_in_viewport()

    await page.clock.run_for(20_000)
    await expect(row(page, "X:39USD")).to_be_in_viewport()
    assert "/?wall=20" in page.url

    await page.clock.run_for(20_000)
    await expect(page).to_have_url(f"{api.url}/status?wall=20&views=overview%2Cstatus")
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_an_alert_shows_the_moment_it_happens_and_says_when_it_is_over(
    api: Api, browser: Browser, writer, clock: Clock
):
    page = browser.page
    above = RuleEngine([parse_rule({"id": "above", "kind": "threshold", "above": 47000, "name": XSS})], [], MINUTE)
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/")
    news = page.get_by_role("region", name="Newest alerts")
    await expect(news).to_contain_text("none in the last day")

    for minute, price in enumerate(("47001.5", "46000"), 1):
        clock.now = NOON + minute * MINUTE + 5
        heard = {Metric("KRAKEN:BTCUSD"): SourceReading(Reading(price), "tests")}
        await commit_tick(NOON + minute * MINUTE, heard, writer, above)
        over = ", over" if minute > 1 else ""
        await expect(news.locator("li")).to_have_text([f"warning KRAKEN:BTCUSD {XSS}{over} 12:01 UTC"])

    await expect(news.get_by_role("link", name="KRAKEN:BTCUSD")).to_have_attribute("href", f"{api.url}/m/KRAKEN:BTCUSD")
    await expect(news.get_by_role("link", name="all alerts")).to_be_visible()
    assert browser.complaints == []
