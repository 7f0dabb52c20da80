"""The view of alerts: the live list, its filters, what became of messages, acknowledging and silencing."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import expect
from redis.asyncio import Redis

from tests.support import alerts
from tests.support.browsing import Browser, browsing, find_barriers
from tests.support.serving import DAY, MINUTE, NOON, Api, Clock, every_minute, fill, serving
from v1.market.metric_state import SourceReading
from v1.model import Metric, Reading
from v1.rules import Alert, RuleEngine, parse_rule, parse_silence
from v1.store import Acknowledgement, AdminStore, AlertQuery, ApiKeyStore, KeyScope, connect, keys
from v1.store.changes import ChangeKind
from worker.sampling.tick import commit_tick

XSS = "<img src=x onerror=alert(1)>"
BTC, DOGE = "KRAKEN:BTCUSD", "BINANCE:DOGEUSDT"
SENT = {"at": NOON + 1.5, "channel": "pushover", "status": "failed", "answer": XSS, "message": "m"}


async def record(redis: Redis, *said: Alert) -> None:
    """Put alerts into the history as a tick does."""
    for each in said:
        await redis.zadd(keys.ALERTS, {json.dumps(each._asdict(), separators=(",", ":")): each.at})
    await redis.expire(keys.ALERTS, DAY)


@pytest.fixture
async def redis(server: str) -> AsyncIterator[Redis]:
    async with connect(server, "tests") as made:
        yield made


@pytest.fixture
async def market(writer, redis: Redis) -> None:
    await fill(writer, {BTC: every_minute(["1", "2", "3"])})
    told = alerts.alert(BTC, at=NOON, name=XSS, severity="critical")
    await record(
        redis,
        told,
        alerts.alert(DOGE, at=NOON - MINUTE, rule="doge", name="doge moves", severity="info"),
        alerts.alert(DOGE, at=NOON - 2 * DAY, rule="old", name="of before", suppressed_by="mute hours"),
    )
    await redis.rpush(keys.deliveries(told.id), json.dumps(SENT))
    await redis.expire(keys.deliveries(told.id), DAY)


@pytest.mark.usefixtures("market")
async def test_alerts_are_listed_with_their_words_and_what_became_of_their_messages(api: Api, browser: Browser):
    page = browser.page
    await page.clock.install(time=NOON + 5)

    await page.goto(f"{api.url}/alerts")

    cards = page.locator(".alert-list > li")
    await expect(cards).to_have_count(3)
    await expect(cards.nth(0)).to_contain_text("2021-05-17 12:00 UTC")
    await expect(cards.nth(0)).to_contain_text(XSS)
    await expect(cards.nth(0).get_by_role("link", name=BTC)).to_have_attribute(
        "href", f"{api.url}/m/{BTC}?measure=price"
    )
    await expect(cards.nth(2)).to_contain_text("not sent: mute hours")
    await cards.nth(0).locator("summary").focus()
    await page.keyboard.press("Enter")
    await expect(cards.nth(0).locator(".alert-facts")).to_contain_text("mean 123.8")
    await expect(cards.nth(0).locator("tbody td")).to_have_text(
        ["2021-05-17 12:00:01 UTC", "pushover", "failed, tried again", XSS]
    )
    assert await find_barriers(page) == []
    await page.set_viewport_size({"width": 390, "height": 800})
    await page.wait_for_function("() => document.documentElement.scrollWidth <= 390")
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_the_filters_are_in_the_address_and_a_link_shows_the_same(api: Api, browser: Browser):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/alerts?metric=doge")
    cards = page.locator(".alert-list > li.card")
    await expect(cards).to_have_count(2)
    await expect(page.get_by_role("searchbox", name="Metric")).to_have_value("doge")

    await page.locator("select[name=since]").select_option("-1d")
    await expect(cards).to_have_count(1)
    assert page.url == f"{api.url}/alerts?metric=doge&since=-1d"
    await page.reload()
    await expect(cards).to_have_count(1)
    await page.locator("select[name=severity]").select_option("critical")
    await expect(page.locator(".alert-list")).to_have_text("No alert is like this.")
    await page.get_by_role("searchbox", name="Metric").fill("")
    await page.get_by_role("searchbox", name="Metric").press("Enter")
    await expect(cards).to_have_count(1)
    await expect(cards).to_contain_text(BTC)

    await page.goto(f"{api.url}/alerts?since=yesterday")
    await expect(page.locator("main .trouble")).to_contain_text("This is not understood")
    await page.get_by_role("button", name="Show all alerts").click()
    await expect(cards).to_have_count(3)


@pytest.mark.usefixtures("market")
async def test_an_alert_is_acknowledged_by_keyboard(api: Api, browser: Browser):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/alerts?severity=critical")
    card = page.locator(".alert-list > li").first
    await card.locator("summary").press("Enter")

    await card.get_by_label("Your name").fill("ann")
    await card.get_by_label("Comment").fill(XSS)
    await card.get_by_label("Comment").press("Enter")

    await expect(card.locator("summary")).to_contain_text("seen by ann")
    await expect(card).to_contain_text(f"by ann: {XSS}")
    await expect(card.get_by_role("form", name="Acknowledge")).to_have_count(0)
    await page.locator("select[name=state]").select_option("open")
    await expect(page.locator(".alert-list")).to_have_text("No alert is like this.")
    await page.locator("select[name=state]").select_option("seen")
    await expect(card).to_have_count(1)
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_that_an_alert_is_seen_is_taken_back(api: Api, browser: Browser, redis: Redis):
    page = browser.page
    told = (await AdminStore(redis).read_alerts(AlertQuery(10, metric=BTC, rule="spike"))).alerts[0]
    await AdminStore(redis).acknowledge(told.alert, Acknowledgement(NOON, "ann", until_over=True))
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/alerts?severity=critical")
    card = page.locator(".alert-list > li").first
    await card.locator("summary").press("Enter")
    await expect(card.locator("summary")).to_contain_text("seen by ann no more messages until it is over")
    back = card.get_by_role("button", name="Take back that it is seen")
    assert await find_barriers(page) == []

    await back.press("Enter")

    await expect(card.locator("summary")).not_to_contain_text("seen by ann")
    await expect(card.locator("summary")).to_be_focused()
    await expect(back).to_have_count(0)
    await expect(card.get_by_role("form", name="Acknowledge")).to_have_count(1)
    assert await redis.exists(keys.ACKNOWLEDGED) == 0
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_an_alert_is_acknowledged_until_it_is_over_at_once_or_later(api: Api, browser: Browser, redis: Redis):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/alerts")
    first, second = page.locator(".alert-list > li.card").first, page.locator(".alert-list > li.card").nth(1)
    for card in (first, second):
        await card.locator("summary").press("Enter")
        await card.get_by_role("form", name="Acknowledge").get_by_label("Your name").fill("ann")

    await first.get_by_role("checkbox", name="No more messages until it is over").check()
    await first.get_by_role("button", name="Acknowledge").press("Enter")
    await expect(first.locator("summary")).to_contain_text("seen by ann no more messages until it is over")
    await expect(first.get_by_role("button", name="No more messages")).to_have_count(0)
    await second.get_by_role("button", name="Acknowledge").press("Enter")
    await expect(second.locator("summary")).to_contain_text("seen by ann")
    await expect(second.locator("summary")).not_to_contain_text("no more messages")
    quiet = second.get_by_role("form", name="No more messages until it is over")
    await quiet.get_by_label("Your name").fill("bob")
    assert await find_barriers(page) == []
    await quiet.get_by_role("button").press("Enter")
    await expect(second.locator("summary")).to_contain_text("seen by ann no more messages until it is over")

    written = await redis.hgetall(keys.ACKNOWLEDGED)
    assert {field: json.loads(value)[2] for field, value in written.items()} == {
        f"spike {BTC}": "ann",
        f"doge {DOGE}": "bob",
    }
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_messages_are_silenced_from_an_alert_until_somebody_ends_that(api: Api, browser: Browser):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/alerts?severity=critical")
    card = page.locator(".alert-list > li").first
    await card.locator("summary").press("Enter")
    await card.locator("select[name=subject]").select_option("exchange")
    await card.locator("select[name=span]").select_option("+6h")
    await card.get_by_label("Why").fill("maintenance")
    await card.get_by_role("button", name="Silence").press("Enter")

    silence = page.locator(".silences li")
    await expect(silence).to_contain_text("every rule on KRAKEN:* until 2021-05-17 18:00 UTC")
    await expect(silence).to_contain_text("maintenance")
    await expect(card.locator("summary")).to_contain_text("silenced until 2021-05-17 18:00 UTC")
    await silence.get_by_role("button").press("Enter")
    await expect(silence).to_have_text("Nothing is silenced.")
    await expect(card.locator("summary")).not_to_contain_text("silenced")
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_an_alert_shows_as_it_happens_and_what_somebody_types_stays(
    api: Api, browser: Browser, writer, clock: Clock
):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/alerts?severity=critical")
    cards = page.locator(".alert-list > li.card")
    await expect(cards).to_have_count(1)
    above = {"id": "above", "kind": "threshold", "measure": "price", "above": 2, "severity": "critical"}
    clock.now = NOON + MINUTE + 1

    reading = {Metric(BTC): SourceReading(Reading("900"), "tests")}
    await commit_tick(NOON + MINUTE, reading, writer, RuleEngine([parse_rule(above, MINUTE)], [], MINUTE))

    await expect(cards).to_have_count(2)
    await expect(cards.first).to_contain_text("2021-05-17 12:01 UTC")
    await expect(page.locator("#announcement")).to_contain_text(BTC)
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_alerts_that_came_while_nothing_was_pushed_are_shown_and_read_aloud(
    api: Api, browser: Browser, redis: Redis
):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.route("**/v1/stream*", lambda route: route.abort())
    await page.add_init_script("delete window.SharedWorker")  # its requests pass by the route above
    await page.goto(f"{api.url}/alerts?severity=critical")
    cards = page.locator(".alert-list > li.card")
    await expect(cards).to_have_count(1)
    await record(redis, *[alerts.alert(DOGE, at=NOON + 1, rule=rule, severity="critical") for rule in ("a", "b")])
    await redis.publish(keys.CHANGES, ChangeKind.ALERTS)
    async with asyncio.timeout(30):
        while len((await api.get("/v1/alerts?severity=critical&limit=50")).json["alerts"]) < 3:
            pass  # what was kept of the answer is still sent

    await page.unroute("**/v1/stream*")
    await page.evaluate("dispatchEvent(new Event('online'))")

    await expect(cards).to_have_count(3)
    await expect(page.locator("#announcement")).to_have_text("2 new alerts")


@pytest.mark.usefixtures("market")
async def test_a_key_that_may_read_alone_is_told_so(server: str, browser: Browser, clock: Clock, redis: Redis):
    text, _ = await ApiKeyStore(redis).add_key("ann", KeyScope.READ, NOON, None)
    async with serving(clock, server, keys_required=True) as api:
        page = browser.page
        await page.clock.install(time=NOON + 5)
        await page.goto(f"{api.url}/alerts")
        await page.locator("#sign-in form").get_by_label("Key").fill(text)
        await page.locator("#sign-in form").get_by_label("Key").press("Enter")

        card = page.locator(".alert-list > li").first
        await card.locator("summary").click()

        await expect(card).to_contain_text("it needs the scope rules")
        await expect(card.get_by_role("button", name="Acknowledge")).to_be_disabled()
        await expect(card.get_by_role("button", name="Silence")).to_be_disabled()


@pytest.mark.usefixtures("market")
async def test_what_somebody_types_stays_while_alerts_go_on(
    api: Api, browser: Browser, writer, redis: Redis, clock: Clock
):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/alerts")
    cards = page.locator(".alert-list > li.card")
    card = page.locator(".alert-list > li", has_text=XSS)
    await card.locator("summary").press("Enter")
    await card.get_by_label("Comment").fill("half a sen")
    await card.get_by_label("Why").press_sequentially("maint")
    above = {"id": "above", "kind": "threshold", "measure": "price", "above": 2}
    clock.now = NOON + MINUTE + 1

    reading = {Metric(BTC): SourceReading(Reading("900"), "tests")}
    await commit_tick(NOON + MINUTE, reading, writer, RuleEngine([parse_rule(above, MINUTE)], [], MINUTE))
    await expect(cards).to_have_count(4)
    await expect(card.get_by_label("Why")).to_be_focused()
    await page.keyboard.type("enance")
    # Somebody else is faster: the card says so, and what was begun there goes on.
    told = (await AdminStore(redis).read_alerts(AlertQuery(10, metric=BTC, rule="spike"))).alerts[0]
    await AdminStore(redis).acknowledge(told.alert, Acknowledgement(NOON + MINUTE, "bob"))

    await expect(card.locator("summary")).to_contain_text("seen by bob")
    await expect(card.get_by_role("form", name="Acknowledge")).to_have_count(0)
    await expect(card.get_by_label("Why")).to_have_value("maintenance")
    await expect(card.get_by_label("Why")).to_be_focused()
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_the_keyboard_stays_where_it_was_used(api: Api, browser: Browser):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/alerts?severity=critical")
    card = page.locator(".alert-list > li").first
    await card.locator("summary").press("Enter")
    await card.get_by_label("Your name").fill("ann")

    await card.get_by_label("Your name").press("Enter")
    await expect(card.locator("summary")).to_contain_text("seen by ann")
    await expect(card.locator("summary")).to_be_focused()

    for why in ("one", "two"):
        await card.get_by_label("Why").fill(why)
        await card.get_by_label("Why").press("Enter")
        await expect(page.locator(".silences li", has_text=why)).to_have_count(1)
    await expect(card.get_by_label("Why")).to_have_value("")
    ends = page.get_by_role("button", name="End the silence")
    await ends.first.press("Enter")
    await expect(ends).to_have_count(1)
    await expect(ends).to_be_focused()
    await ends.press("Enter")
    await expect(page.locator(".silences")).to_contain_text("Nothing is silenced.")
    await expect(page.get_by_role("heading", name="Silences")).to_be_focused()


@pytest.mark.usefixtures("market")
async def test_the_end_of_a_silence_is_of_the_zone_that_is_shown(api: Api):
    async with browsing(timezone_id="Asia/Tokyo") as browser:
        page = browser.page
        await page.clock.install(time=NOON + 5)
        await page.goto(f"{api.url}/alerts?severity=critical")
        card = page.locator(".alert-list > li").first
        await card.locator("summary").press("Enter")
        await card.locator("select[name=span]").select_option("")
        await card.get_by_role("button", name="Silence").press("Enter")
        await expect(page.locator(".silences li")).to_have_text("Nothing is silenced.")

        await card.get_by_label("End (UTC)").fill("2021-05-18T09:30")
        await card.get_by_role("button", name="Silence").press("Enter")

        await expect(page.locator(".silences li")).to_contain_text("until 2021-05-18 09:30 UTC")
        await expect(card.get_by_label("End (UTC)")).to_be_hidden()

        await page.get_by_text("Settings").press("Enter")
        await page.get_by_label("Times").select_option("local")
        await page.keyboard.press("Escape")
        await expect(page.locator(".silences li")).to_contain_text("until 2021-05-18 18:30 ")
        await expect(card.locator("summary")).to_contain_text("silenced until 2021-05-18 18:30")
        await expect(card.locator("time")).to_have_text("2021-05-17 21:00")
        await card.locator("select[name=span]").select_option("")
        await card.get_by_label("End (local time)").fill("2021-05-18T20:00")
        await card.get_by_role("button", name="Silence").press("Enter")
        await expect(page.locator(".silences li", has_text="until 2021-05-18 20:00 ")).to_have_count(1)
        assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_silences_are_asked_for_once_a_tick(api: Api, browser: Browser, writer, redis: Redis, clock: Clock):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/v1/silences" in request.url else None)
    await page.goto(f"{api.url}/alerts?severity=critical")
    card = page.locator(".alert-list > li").first
    await expect(page.locator(".silences li")).to_have_text("Nothing is silenced.")
    before = len(asked)
    silence = parse_silence({"id": "quiet", "rule": "spike", "metrics": BTC, "from": NOON, "to": NOON + DAY})
    await page.clock.run_for(3 * MINUTE * 1000)
    assert len(asked) <= before + 1  # the first tick of the connection
    await AdminStore(redis).put_silence(silence, NOON)
    clock.now = NOON + MINUTE + 1

    await commit_tick(NOON + MINUTE, {Metric(BTC): SourceReading(Reading("4"), "tests")}, writer)

    await expect(page.locator(".silences li")).to_contain_text(f"spike on {BTC}")
    await expect(card.locator("summary")).to_contain_text("silenced until")
