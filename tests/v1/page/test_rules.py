"""The view of rules: sentences, forms, trials on the past, on and off, all of them as a file, and what a key may not do."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from redis.asyncio import Redis

from tests.support.browsing import Browser, find_barriers
from tests.support.serving import NOON, Api, Clock, every_minute, fill, serving
from v1.store import ApiKeyStore, KeyScope, connect, keys

XSS = "<img src=x onerror=alert(1)>"


@pytest.fixture
async def redis(server: str) -> AsyncIterator[Redis]:
    async with connect(server, "tests") as client:
        yield client


@pytest.fixture
async def market(writer) -> None:
    """Ten hours of two metrics; one jumps twice, the second time half an hour after the first."""
    prices = [*["1"] * 500, "4.00", *["1"] * 29, "5", *["1"] * 69]
    await fill(writer, {"KRAKEN:BTCUSD": every_minute(prices), "KRAKEN:ETHUSD": every_minute(["1"] * 600)})


def card(page: Page, rule: str):
    return page.locator(f'[data-rule="{rule}"]')


async def type_into(page: Page, label: str, text: str) -> None:
    """Type into a field by the keyboard alone: everything before it is passed by the tab key."""
    for _ in range(80):
        name = await page.evaluate("document.activeElement?.labels?.[0]?.textContent ?? ''")
        if name == label:
            break
        await page.keyboard.press("Tab")
    else:
        raise AssertionError(f"{label} is not reached by keys")
    await page.keyboard.press("Control+a")
    await page.keyboard.type(text)


async def read_rule(api: Api, rule: str):
    return (await api.get(f"/v1/rules/{rule}")).json


async def read_trial(page: Page) -> None:
    """See that a trial says in words, on the chart and in tables what it came to."""
    trial = page.locator(".trial")
    await expect(trial.locator(".summary")).to_contain_text(
        "It would have fired 1 time in 9 h, on 1 of 2 metrics: 1 message, about 2.4 a day"
    )
    await expect(trial.locator(".chart")).to_have_attribute(
        "aria-label", "KRAKEN:BTCUSD: it would have fired 1 time: 2021-05-17 10:21 UTC"
    )
    await expect(trial.locator("canvas").first).to_be_visible()
    await expect(trial.locator(".messages li")).to_contain_text("KRAKEN:BTCUSD price is 4 x its hour mean")
    await expect(trial.locator("table.sweep").first.get_by_role("row", name=re.compile("^3 "))).to_contain_text(
        "▸ 1 (1)"
    )
    await expect(trial.locator("table.sweep")).to_have_count(4)
    await expect(trial.locator("caption").last).to_contain_text("must hold for 1 h")
    await page.set_viewport_size({"width": 390, "height": 900})
    await page.wait_for_function("document.documentElement.scrollWidth <= 390")


@pytest.mark.usefixtures("market")
async def test_a_rule_is_made_by_keyboard_after_a_trial_on_the_past_and_what_is_wrong_is_told_at_its_field(
    api: Api, browser: Browser
):
    page = browser.page
    await page.clock.install(time=NOON + 5)
    await page.goto(f"{api.url}/rules")
    await expect(card(page, "price-3x")).to_contain_text(
        "Tells when the price of any metric is more than 3 × its mean of the 1 h before."
    )
    await page.keyboard.press("n")
    await expect(page.get_by_label("Kind")).to_be_focused()
    assert page.url == f"{api.url}/rules?new=ratio"

    await type_into(page, "Id", "Spike")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Id", exact=True)).to_be_focused()
    await expect(page.locator("#rule-id-wrong")).to_contain_text(
        '"Spike" is not accepted; accepted: 1 to 64 small letters'
    )
    await type_into(page, "Id", "spike")
    await type_into(page, "Least samples", "2")
    await page.keyboard.press("Enter")

    await read_trial(page)
    assert await find_barriers(page) == []
    await page.get_by_role("button", name="Save", exact=True).press("Enter")
    await expect(card(page, "spike")).to_contain_text("more than 3 × its mean")
    assert page.url == f"{api.url}/rules"
    assert (await read_rule(api, "spike"))["min_samples"] == 2
    assert browser.complaints == []


async def test_another_kind_is_chosen_and_saved_by_keyboard(api: Api, browser: Browser):
    page = browser.page
    await page.goto(f"{api.url}/rules")
    await expect(card(page, "stale")).to_be_visible()
    await page.keyboard.press("n")
    await page.get_by_label("Kind").press("t")
    await type_into(page, "Id", "cheap")
    await type_into(page, "Below", "0.50")
    await page.get_by_role("button", name="Save", exact=True).press("Enter")

    await expect(card(page, "cheap")).to_contain_text("the price of any metric is below 0.50")
    assert (await read_rule(api, "cheap"))["kind"] == "threshold"
    assert browser.complaints == []


async def test_a_form_of_every_kind_writes_a_rule_that_is_shown_again_as_it_was(api: Api, browser: Browser):
    page = browser.page
    needed = {"threshold": ("Above", "70000.10"), "change": ("Percent", "7.50")}
    for kind in ("ratio", "threshold", "change", "deviation", "rank", "stale", "frozen"):
        await page.goto(f"{api.url}/rules?new={kind}")
        await page.get_by_label("Id", exact=True).fill(f"of-{kind}")
        if kind in needed:
            await page.get_by_label(needed[kind][0], exact=True).fill(needed[kind][1])
        await page.get_by_label("Muted from").fill("22:00")
        await page.get_by_label("Muted until").fill("07:00")
        await page.get_by_role("button", name="Save", exact=True).click()
        await expect(card(page, f"of-{kind}")).to_contain_text("Not sent from 22:00 to 07:00 UTC.")
        before = (await api.get(f"/v1/rules/of-{kind}")).text

        await card(page, f"of-{kind}").get_by_role("link", name="Open").click()
        async with page.expect_response(re.compile(f"rules/of-{kind}$")):
            await page.get_by_role("button", name="Save", exact=True).click()

        await expect(page.locator("form.rule")).to_have_count(0)
        assert (await api.get(f"/v1/rules/of-{kind}")).text == before
    assert "70000.10" in (await api.get("/v1/rules/of-threshold")).text
    assert browser.complaints == []


async def test_rules_are_switched_off_and_on_and_deleted_and_those_of_the_file_only_shown(
    api: Api, browser: Browser, redis: Redis
):
    page = browser.page
    await api.send("POST", "/v1/rules", {"id": "mine", "kind": "stale", "name": XSS})
    await redis.hset(keys.FILE_RULES, "filed", json.dumps({"id": "filed", "kind": "stale", "name": XSS}))
    await page.goto(f"{api.url}/rules?q=e")

    await expect(card(page, "filed")).to_contain_text("change it there")
    await expect(card(page, "filed").get_by_role("button", name="Switch off")).to_be_disabled()
    await expect(card(page, "mine").locator("h3")).to_have_text(XSS)
    await card(page, "mine").get_by_role("button", name="Switch off").press("Enter")
    await expect(card(page, "mine").get_by_role("button", name="Switch on")).to_be_focused()
    assert (await read_rule(api, "mine"))["enabled"] is False
    await card(page, "mine").get_by_role("button", name="Switch on").press("Enter")
    await expect(card(page, "mine").get_by_role("button", name="Switch off")).to_be_focused()
    page.once("dialog", lambda dialog: dialog.dismiss())
    await card(page, "mine").get_by_role("button", name="Delete").press("Enter")
    await expect(card(page, "mine")).to_have_count(1)
    page.once("dialog", lambda dialog: dialog.accept())
    await card(page, "mine").get_by_role("button", name="Delete").press("Enter")
    await expect(card(page, "mine")).to_have_count(0)
    await card(page, "filed").get_by_role("link", name="Open").click()
    await expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
    await page.goto(f"{api.url}/rules?rule={XSS}")
    await expect(page.locator("main .trouble")).to_contain_text(f"There is no rule {XSS}.")
    assert browser.complaints == []


async def test_a_test_of_a_rule_is_sent_and_what_became_of_it_or_why_not_is_said(
    api: Api, browser: Browser, redis: Redis, clock: Clock
):
    page, filed = browser.page, {"id": "filed", "kind": "stale", "channels": ["hook", "phone"]}
    await redis.hset(keys.FILE_RULES, "filed", json.dumps(filed))
    await redis.hset(keys.CHANNELS, mapping={"hook": "webhook", "phone": "pushover"})
    await page.goto(f"{api.url}/rules")
    test = card(page, "filed").get_by_role("button", name="Send a test of filed")
    said = card(page, "filed").locator(".test-result")

    await test.press("Enter")
    await expect(said).to_contain_text("No test: nothing is sent: no worker runs; start it, and ask again.")
    await redis.set(keys.LEASE, "worker", ex=600)
    await test.press("Enter")
    await expect(said.locator("li")).to_have_text(["hook: not sent yet", "phone: not sent yet"])
    await page.get_by_label("Search rules").fill("filed")
    sent = (await api.get("/v1/rules/filed/test")).json["id"]
    for channel, status in (("hook", "refused"), ("phone", "sent")):
        attempt = {"at": NOON + 6.5, "channel": channel, "status": status, "answer": XSS, "message": sent}
        await redis.rpush(keys.deliveries(sent), json.dumps(attempt))
    await redis.expire(keys.deliveries(sent), 600)
    clock.now += 1
    await expect(said.locator("li")).to_have_text(
        [f"hook: refused, and not sent again: {XSS}", f"phone: sent; it answered {XSS}"]
    )
    await expect(page.locator("#announcement")).to_contain_text("hook: refused, and not sent again")
    assert await find_barriers(page) == []
    await test.press("Enter")
    await expect(said).to_contain_text("the rule 'filed' was tested less than a minute ago; ask again in 59 seconds")
    assert browser.complaints == []


async def test_what_was_typed_stays_when_the_view_is_left_and_filters_are_in_the_address(api: Api, browser: Browser):
    page = browser.page
    await page.goto(f"{api.url}/rules?new=change")
    await page.get_by_label("Id", exact=True).fill("fall")
    await page.get_by_label("Percent").fill("12.50")
    await page.get_by_role("link", name="Status").click()
    await page.go_back()

    await expect(page.get_by_label("Percent")).to_have_value("12.50")
    await page.get_by_label("Search rules").fill("stale")
    await expect(page.locator("ol.rules > li")).to_have_count(1)
    await expect(page.get_by_label("Id", exact=True)).to_have_value("fall")
    assert page.url == f"{api.url}/rules?new=change&q=stale"
    for width in (390, 1440, 2560):
        await page.set_viewport_size({"width": width, "height": 900})
        await page.wait_for_function("(width) => document.documentElement.scrollWidth <= width", arg=width)
    assert browser.complaints == []


async def test_all_rules_and_silences_are_saved_as_a_file_and_put_back(api: Api, browser: Browser, tmp_path: Path):
    page = browser.page
    await api.send("POST", "/v1/rules", '{"id": "mine", "kind": "ratio", "factor": 2.50}')
    await page.goto(f"{api.url}/rules")
    await page.get_by_text("All rules and silences as a file").click()
    async with page.expect_download() as begun:
        await page.get_by_role("link", name="Save as a file").click()
    kept = tmp_path / "rules.json"
    await (await begun.value).save_as(kept)
    await api.send("DELETE", "/v1/rules/mine")
    await api.send("POST", "/v1/rules", {"id": "other", "kind": "stale"})

    await page.get_by_label("Put a file back").set_input_files(kept)
    await expect(page.get_by_text("Rules: 1 new: mine; 1 deleted: other.")).to_be_visible()
    assert (await api.get("/v1/rules/mine")).status == 404
    assert await find_barriers(page) == []
    await page.get_by_role("button", name="Put it back").press("Enter")

    await expect(card(page, "mine")).to_contain_text("more than 2.50 ×")
    await expect(card(page, "other")).to_have_count(0)
    await expect(page.locator("details .note")).to_have_text("The file is put back.")
    kept.write_text(json.dumps({"rules": [{"id": XSS, "kind": "stale"}], "silences": []}))
    await page.get_by_label("Put a file back").set_input_files(kept)
    await expect(page.locator("details .trouble")).to_contain_text("Nothing was changed")
    await expect(page.locator("details .trouble li")).to_contain_text("rules.0.id")
    assert browser.complaints == []


async def test_who_may_read_only_may_try_and_is_told_why_nothing_can_be_saved(
    server: str, browser: Browser, clock: Clock, redis: Redis
):
    page = browser.page
    text, _ = await ApiKeyStore(redis).add_key("ann", KeyScope.READ, NOON, None)
    async with serving(clock, server, keys_required=True) as api:
        await page.goto(f"{api.url}/rules")
        await page.get_by_label("Key", exact=True).fill(text)
        await page.get_by_role("button", name="Sign in").press("Enter")

        await expect(page.get_by_role("button", name="New rule")).to_be_disabled()
        await expect(card(page, "stale").get_by_role("button", name="Switch off")).to_be_disabled()
        await expect(card(page, "stale").get_by_role("button", name="Send a test")).to_be_disabled()
        await card(page, "stale").get_by_role("link", name="Open").click()
        await expect(page.locator("form.rule .note")).to_contain_text("The key of ann may read only")
        await expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
        await page.get_by_role("button", name="Try it").press("Enter")
        await expect(page.locator(".trial .summary")).to_contain_text("It would not have fired: there are no samples")
    assert browser.complaints == []


@pytest.mark.usefixtures("market")
async def test_a_trial_waits_while_others_try_rules(api: Api, browser: Browser):
    page = browser.page
    asked: list[str] = []

    async def refuse_once(route):
        asked.append(route.request.url)
        if len(asked) > 1:
            await route.continue_()
            return
        problem = {"detail": "rules are being tried already, one call at a time", "errors": []}
        await route.fulfill(status=429, json=problem, headers={"Retry-After": "1"})

    await page.route("**/rules/backtest", refuse_once)
    await page.goto(f"{api.url}/rules?rule=stale")
    await page.get_by_role("button", name="Try it").press("Enter")

    await expect(page.locator(".trial > p")).to_contain_text("Not yet: rules are being tried already")
    await expect(page.locator(".trial .summary")).to_contain_text("It would not have fired in 9 h, on 0 of 2 metrics")
    assert browser.complaints == []
