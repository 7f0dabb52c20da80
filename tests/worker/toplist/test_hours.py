"""Hours of the top list: the merged list equals an independent join, faults cost what they must, budgets hold."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.support.loopback import FAULTS, TopProviders, serving, top_providers
from tests.support.loopback.coinmarketcap import PATH as LISTINGS
from tests.support.loopback.cryptocompare import PATH as TOP_LIST
from tests.support.loopback.faults import Fault, hang, page, reset, says
from tests.support.shared import SHARED, shared
from tests.support.top_hours import MARGIN, NOON, Clock, Roles
from tests.support.top_killing import joined
from v1.store import StoreError, connect
from worker.latest import HOUR, MINUTE
from worker.latest.store import StoreAway
from worker.latest.toplist import (
    ListOrigin,
    ListStore,
    PricedCoin,
    ProviderList,
    QuotaStore,
    TopList,
    TopWriter,
    is_late_list,
)
from worker.sources import list_provider
from worker.toplist.roles import TopListStores

MONTH_END = 1_622_505_600
"""2021-06-01T00:00:00Z."""


def rows(snapshot: TopList | None) -> list[tuple[int, str, str | None]]:
    assert snapshot
    return [(coin.rank, coin.symbol, coin.price_usd) for coin in snapshot.coins]


@pytest.mark.parametrize("coins", ["april", "page"])
async def test_the_merged_list_is_an_independent_join_digit_for_digit(
    clock: Clock, session: ClientSession, stores: TopListStores, coins: str
):
    shared("market-data", "toplists")
    providers = top_providers(SHARED, clock, coins=coins)
    async with serving(providers.app) as base:
        await Roles(base, session, stores, clock).pass_minute()

    snapshot = await stores.top.read_snapshot(NOON)

    assert rows(snapshot) == joined(providers, NOON, NOON)
    assert snapshot.count_unpriced == len(providers.coins.all) // 37
    assert {coin.volume_time for coin in snapshot.coins} == {NOON}
    exponents = sum("e" in (coin.price_usd or "") for coin in snapshot.coins)
    assert exponents == (6 if coins == "page" else 0)


async def test_every_minute_has_a_snapshot_of_the_newest_lists(
    providers: TopProviders, base: str, session: ClientSession, stores: TopListStores, clock: Clock
):
    roles = Roles(base, session, stores, clock)

    minutes = [await roles.pass_minute() for _ in range(30)]

    for at in minutes:
        snapshot = await stores.top.read_snapshot(at)
        assert snapshot
        assert (snapshot.at, snapshot.prices.at, snapshot.ranks.at) == (
            at,
            NOON + (at - NOON) // 300 * 300,
            NOON + (at - NOON) // 540 * 540,
        )
        assert rows(snapshot) == joined(providers, snapshot.prices.at, snapshot.ranks.at)
    assert (providers.prices.spent["2021-05"], providers.ranks.made["2021-05"]) == (6, 4)


FAULTY = [
    pytest.param(hang(), "no answer", id="late"),
    pytest.param(reset(), "no answer", id="down"),
    pytest.param(page(503), "refused", id="503"),
    pytest.param(says({"status": {"error_code": 1008}, "Err": {"type": 99, "message": "over"}}, 429), "rate limited", id="rate limited"),
    pytest.param(says({"status": {"error_code": 500}, "data": [], "Data": {"LIST": []}, "Err": {"type": 2}}), "refused", id="an error with 200"),
    pytest.param(says({"status": {"error_code": 0}, "data": [None] * 200, "Data": {"LIST": [None] * 100}, "Err": {}}), "too few rows", id="half empty"),
    pytest.param(says({"status": {"error_code": 0}, "data": [], "Data": {"LIST": []}, "Err": {}}), "too few rows", id="shorter than asked"),
    pytest.param(says("<html>"), "unreadable", id="unreadable"),
]  # fmt: skip


@pytest.mark.parametrize("path", [LISTINGS, TOP_LIST], ids=["prices", "ranks"])
@pytest.mark.parametrize("fault, kind", FAULTY)
async def test_while_a_provider_fails_its_last_good_list_stays_and_its_age_is_told(
    providers: TopProviders,
    base: str,
    session: ClientSession,
    stores: TopListStores,
    clock: Clock,
    path: str,
    fault: Fault,
    kind: str,
):
    roles = Roles(base, session, stores, clock)
    await roles.pass_minute()
    asked = roles.pricing if path == LISTINGS else roles.ranking
    usual, asked.list_seconds = asked.list_seconds, 0.25 if kind == "no answer" else asked.list_seconds
    providers.app[FAULTS][path] = fault

    last = NOON
    while clock.now < NOON + 1200:
        last = await roles.pass_minute()

    snapshot, said = await stores.top.read_snapshot(last), await stores.top.read_role_states()
    failing, well = ("pricing", "ranking") if path == LISTINGS else ("ranking", "pricing")
    assert snapshot
    assert rows(snapshot) == joined(providers, snapshot.prices.at, snapshot.ranks.at)
    part = snapshot.prices if path == LISTINGS else snapshot.ranks
    assert (snapshot.at, part.at, is_late_list(part, last, MARGIN)) == (last, NOON, True)
    assert (said[failing]["state"], said[failing]["list_at"]) == ("failing", NOON)
    assert set(said[failing]["faults"]) == {kind}
    assert said[failing]["faults"][kind] >= 4
    assert said[well]["state"] == "ok"
    assert said["merging"]["state"] == "late"

    providers.app[FAULTS].clear()
    asked.list_seconds = usual
    while clock.now < NOON + 2000:
        last = await roles.pass_minute()
    assert (await stores.top.read_role_states())[failing]["state"] == "ok"
    assert (await stores.top.read_snapshot(last)).prices.at > NOON


@pytest.mark.parametrize("used", [(9_990, 10_990), (9_999, 10_999)], ids=["nearly used up", "used up"])
async def test_nothing_is_asked_beyond_the_budget_and_every_minute_knows_its_ages(
    clock: Clock, session: ClientSession, stores: TopListStores, used: tuple[int, int]
):
    """Three hours, in whose middle the month ends; `bench/toplist.py` runs whole days."""
    shared("market-data", "toplists")
    providers = top_providers(SHARED, clock, coins="april")
    providers.prices.spent["2021-05"], providers.ranks.made["2021-05"] = used
    for provider, spent in zip(("coinmarketcap", "cryptocompare"), used, strict=True):
        await stores.plans.update_usage(provider, lambda use, spent=spent: use._replace(month="2021-05", spent=spent))
    clock.now = MONTH_END - HOUR - 1800
    async with serving(providers.app) as base:
        before = Roles(base, session, stores, clock)
        minutes = [await before.pass_minute() for _ in range(40)]
        after_a_restart = Roles(base, session, stores, clock)
        minutes += [await after_a_restart.pass_minute() for _ in range(140)]

    assert providers.prices.spent["2021-05"] in (10_000, 9_999)
    assert max(used[1], 10_996) <= providers.ranks.made["2021-05"] <= 11_000
    kept = [await stores.plans.update_usage(name, lambda use: use) for name in ("coinmarketcap", "cryptocompare")]
    assert [use.spent for use in kept] == [providers.prices.spent["2021-06"], providers.ranks.made["2021-06"]]
    assert [use.faults for use in kept] == [{}, {}], "nobody was asked who would have refused"
    snapshots = [await stores.top.read_snapshot(at) for at in minutes]
    there = [(at, snapshot) for at, snapshot in zip(minutes, snapshots, strict=True) if snapshot]
    assert len(there) >= 90
    assert all(snapshot.at == at for at, snapshot in there)
    assert all(at - snapshot.prices.at <= snapshot.prices.interval for at, snapshot in there if at >= MONTH_END)


async def test_a_role_that_was_killed_before_it_put_down_its_list_does_not_ask_twice(
    providers: TopProviders, base: str, session: ClientSession, stores: TopListStores, clock: Clock
):
    class Killed(QuotaStore):
        async def update_usage(self, provider, change):
            if getattr(change, "func", None) is not None and change.func.__name__ == "settle_call":
                raise KeyboardInterrupt
            return await super().update_usage(provider, change)

    roles = Roles(base, session, stores, clock)
    roles.pricing._plans = Killed(stores.plans._redis)
    with pytest.raises(KeyboardInterrupt):
        await roles.pricing.poll(NOON)
    again = Roles(base, session, stores, clock)

    for minute in range(5):
        await again.pricing.poll(NOON + minute * MINUTE)

    assert providers.prices.spent["2021-05"] == 1
    assert (await stores.listings.read_prices(NOON)).about.at == NOON


async def test_of_two_processes_with_the_same_role_one_asks(
    providers: TopProviders, base: str, session: ClientSession, stores: TopListStores, clock: Clock
):
    one, other = Roles(base, session, stores, clock), Roles(base, session, stores, clock)

    for _ in range(11):
        at = int(clock.now)
        for roles in (one, other):
            await roles.pricing.poll(at)
            await roles.ranking.poll(at)
        clock.now = at + MINUTE
        await one.merging.merge_until(at)
        await other.merging.merge_until(at)

    assert (providers.prices.spent["2021-05"], providers.ranks.made["2021-05"]) == (3, 2)
    assert [(await stores.top.read_snapshot(NOON + minute * MINUTE)).at for minute in range(11)] == [
        NOON + minute * MINUTE for minute in range(11)
    ]


async def test_minutes_that_nobody_merged_are_made_up_for_as_they_were(
    providers: TopProviders, base: str, session: ClientSession, stores: TopListStores, clock: Clock
):
    roles = Roles(base, session, stores, clock)
    await roles.pass_minute()
    for at in range(NOON + MINUTE, NOON + HOUR, MINUTE):
        clock.now = at
        await roles.pricing.poll(at)
        await roles.ranking.poll(at)
    again = Roles(base, session, stores, clock)

    await again.pass_minute()

    for at in range(NOON, NOON + HOUR, MINUTE):
        snapshot = await stores.top.read_snapshot(at)
        assert snapshot.at == at
        assert rows(snapshot) == joined(providers, NOON + (at - NOON) // 300 * 300, NOON + (at - NOON) // 540 * 540)


async def test_a_minute_does_not_wait_for_a_list_behind_which_a_later_one_has_come(
    base: str, session: ClientSession, stores: TopListStores, clock: Clock
):
    roles = Roles(base, session, stores, clock)
    await roles.pass_minute()
    await stores.listings.add_prices(
        ProviderList(ListOrigin("a", NOON + 360, None, 300, {}), [PricedCoin(1, "2.5", NOON)])
    )
    roles.merging._margin = 300
    looks = 0

    class Counted(ListStore):
        async def read_prices(self, until: int) -> ProviderList[PricedCoin] | None:
            nonlocal looks
            looks += 1
            return await super().read_prices(until)

    roles.merging._listings = Counted(stores.listings._redis)
    clock.now = NOON + 300.0
    await asyncio.wait_for(roles.merging.merge_until(NOON + 300), 60)

    assert looks < 10
    assert (await stores.top.read_snapshot(NOON + 300)).prices.at == NOON


async def test_a_minute_waits_for_a_list_that_is_due_and_no_longer_than_the_margin(
    base: str, session: ClientSession, stores: TopListStores, clock: Clock
):
    roles = Roles(base, session, stores, clock)
    await roles.pass_minute()
    waited: list[float] = []

    class Waiting(ListStore):
        async def wait_for_news(self, prices_at: int, ranks_at: int, seconds: float) -> tuple[int, int]:
            waited.append(seconds)
            clock.now += 20
            if len(waited) == 2:
                await roles.pricing.poll(NOON + 300)
            return prices_at, ranks_at

    roles.merging._listings = Waiting(stores.listings._redis)
    clock.now = NOON + 240.0
    await roles.merging.merge_until(NOON + 240)
    assert waited == []

    clock.now = NOON + 300.0
    await roles.merging.merge_until(NOON + 300)
    assert waited == [60, 40]
    assert (await stores.top.read_snapshot(NOON + 300)).prices.at == NOON + 300

    clock.now = NOON + 540.0
    await roles.merging.merge_until(NOON + 540)
    assert waited[2:] == [60, 40, 20]
    assert (await stores.top.read_snapshot(NOON + 540)).ranks.at == NOON


async def test_without_redis_nobody_is_asked_and_with_it_all_goes_on(
    providers: TopProviders, base: str, session: ClientSession, stores: TopListStores, clock: Clock, tmp_path
):
    async with connect(f"unix://{tmp_path}/nobody.sock", "tests") as redis:
        away = Roles(
            base,
            session,
            stores._replace(listings=ListStore(redis), plans=QuotaStore(redis), top=TopWriter(redis)),
            clock,
        )
        await away.pass_minute()
        await away.pass_minute()

        assert sum(providers.prices.made.values()) == 0
        with pytest.raises(StoreError):
            await TopWriter(redis).read_range()

    roles = Roles(base, session, stores, clock)
    at = await roles.pass_minute()
    assert (await stores.top.read_snapshot(at)).at == at


async def test_a_list_that_was_paid_for_is_kept_when_redis_comes_back(
    base: str, session: ClientSession, stores: TopListStores, clock: Clock
):
    roles = Roles(base, session, stores, clock)
    tries: list[int] = []
    put = stores.listings.add_prices

    async def shaky(listing):
        tries.append(len(tries))
        if len(tries) < 3:
            raise StoreAway("Redis is away: in a test")
        return await put(listing)

    roles.pricing._role = replace(roles.pricing._role, put=shaky)
    await roles.pricing.poll(NOON)

    assert len(tries) == 3
    assert (await stores.listings.read_prices(NOON)).about.at == NOON


def test_what_is_taken_is_at_least_nine_tenths_of_what_was_asked():
    assert list_provider.ENOUGH == (9, 10)


async def test_a_list_that_cannot_be_true_is_refused_and_the_one_before_it_stays_late(
    providers: TopProviders, base: str, session: ClientSession, stores: TopListStores, clock: Clock
):
    """First of other coins, then dated a week ago; then the provider is well again."""
    roles = Roles(base, session, stores, clock)
    first = await roles.pass_minute()
    other = {"id": 0, "quote": {"USD": {"price": 1.5, "last_updated": "2021-05-17T12:00:00.000Z"}}}
    strangers: dict[str, Any] = {
        "status": {"error_code": 0, "credit_count": 1},
        "data": [other | {"id": 10**6 + n} for n in range(200)],
    }
    providers.app[FAULTS][LISTINGS] = says(strangers)
    said = [await _after_minutes(roles, stores, 10)]
    dated = strangers | {"status": strangers["status"] | {"timestamp": "2021-05-10T12:00:00.000Z"}}
    providers.app[FAULTS][LISTINGS] = says(dated)
    said.append(await _after_minutes(roles, stores, 10))
    held = await stores.top.read_snapshot(int(clock.now) - MINUTE)
    del providers.app[FAULTS][LISTINGS]
    well = await _after_minutes(roles, stores, 10)

    assert [(each["pricing"]["state"], each["merging"]["state"]) for each in said] == [("failing", "late")] * 2
    assert said[0]["pricing"]["reason"].startswith("coinmarketcap: its list shares 0 of ")
    assert " s ago, and 3600 s are the most" in said[1]["pricing"]["reason"]
    assert said[1]["pricing"]["faults"].keys() == {"implausible"}
    assert held
    assert (held.prices.at, held.count_unpriced) == (first, len(providers.coins.all) // 37)
    assert (well["pricing"]["state"], well["merging"]["state"]) == ("ok", "ok")


async def _after_minutes(roles: Roles, stores: TopListStores, count: int) -> Mapping[str, dict[str, Any]]:
    for _ in range(count):
        await roles.pass_minute()
    return await stores.top.read_role_states()
