"""Which roles run, what is said of those that do not, what a plan says, and the demonstration."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.support.loopback import TopProviders
from tests.support.top_hours import NOON, Clock
from worker.cli.plan import describe_plan
from worker.latest import DAY, HOUR, MINUTE
from worker.settings import WorkerSettings
from worker.sources.coinmarketcap import CoinMarketCap
from worker.sources.cryptocompare import CryptoCompare
from worker.sources.list_provider import CallMeter
from worker.sources.simulated.toplists import SimulatedPrices, SimulatedRanks
from worker.toplist import roles
from worker.toplist.roles import RoleClock, TopListProviders, TopListStores

KEYS = {"coinmarketcap_api_key": "a", "cryptocompare_api_key": "b"}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """Keep the settings of whoever runs the tests out."""
    monkeypatch.chdir(tmp_path)
    for name in ("COINMARKETCAP_API_KEY", "CRYPTOCOMPARE_API_KEY", "TOP_SIZE", "SOURCES"):
        monkeypatch.delenv(f"TRACKER_{name}", raising=False)


def settings(**given: Any) -> WorkerSettings:
    return WorkerSettings.load(**given)


@pytest.mark.parametrize(
    "given, only, missing",
    [
        pytest.param({}, roles.NAMES, ("TRACKER_COINMARKETCAP_API_KEY", "TRACKER_CRYPTOCOMPARE_API_KEY"), id="no key"),
        pytest.param({"coinmarketcap_api_key": "a"}, roles.NAMES, ("TRACKER_CRYPTOCOMPARE_API_KEY",), id="one key"),
        pytest.param({"coinmarketcap_api_key": "a"}, ["pricing"], None, id="its own key is enough for one"),
        pytest.param({}, ["merging"], None, id="merging needs none"),
        pytest.param(KEYS, roles.NAMES, None, id="both keys"),
        pytest.param({"sources": "simulated"}, roles.NAMES, None, id="simulated"),
        pytest.param({"sources": "kraken,simulated"}, ["pricing"], ("TRACKER_COINMARKETCAP_API_KEY",), id="not only simulated"),
        pytest.param(KEYS | {"coinmarketcap_credits": 30}, roles.NAMES, ("TRACKER_COINMARKETCAP_CREDITS", "TRACKER_TOP_SIZE"), id="a plan that is too small"),
    ],
)  # fmt: skip
def test_roles_are_off_where_nothing_can_come_of_them(given: dict, only: list[str], missing: tuple[str, ...] | None):
    why = roles.find_obstacle(settings(**given), only)

    assert (why and why.settings) == missing


async def test_roles_that_are_off_say_so_and_ask_nobody(
    providers: TopProviders, base: str, session: ClientSession, stores: TopListStores
):
    listers = TopListProviders(CoinMarketCap(session, base, "", 200), CryptoCompare(session, base, "", 200))

    await roles.run_roles(settings(), roles.NAMES, stores, listers, RoleClock(lambda: NOON))

    said = await stores.top.read_role_states()
    assert {role: state["state"] for role, state in said.items()} == dict.fromkeys(roles.NAMES, "off")
    assert "TRACKER_COINMARKETCAP_API_KEY and TRACKER_CRYPTOCOMPARE_API_KEY are not set" in said["pricing"]["reason"]
    assert sum(providers.prices.made.values()) == 0


async def test_all_roles_run_in_one_process(base: str, session: ClientSession, stores: TopListStores):
    clock = Clock(NOON)
    done = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0.05)
        clock.now += max(0, seconds) / 3  # all three sleep
        if clock.now > NOON + 420:
            done.set()
            await asyncio.Event().wait()

    listers = TopListProviders(
        CoinMarketCap(session, base, "key", 200), CryptoCompare(session, base, "key", 200, pause=0)
    )
    running = asyncio.create_task(
        roles.run_roles(settings(**KEYS), roles.NAMES, stores, listers, RoleClock(clock, sleep))
    )
    await asyncio.wait_for(done.wait(), 60)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running

    first, later = await stores.top.read_snapshot(NOON), await stores.top.read_snapshot(NOON + 360)
    assert (first.at, first.prices.at, first.ranks.at) == (NOON, NOON, NOON)
    assert (later.at, later.prices.at, later.ranks.at) == (NOON + 360, NOON + 300, NOON)


async def test_the_demonstration_has_a_whole_day_at_once_through_the_same_code(stores: TopListStores):
    now = NOON + 17.0

    async def never(_: float) -> None:
        await asyncio.Event().wait()

    size = 10  # what it says of a small list it says of a large one
    listers = TopListProviders(SimulatedPrices(size), SimulatedRanks(size))
    given = settings(sources="simulated", top_size=size)
    running = asyncio.create_task(roles.run_roles(given, roles.NAMES, stores, listers, RoleClock(lambda: now, never)))
    while (await stores.top.read_snapshot(NOON)) is None or (await stores.top.read_range()).newest < NOON:
        await asyncio.sleep(0.05)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running

    span = await stores.top.read_range()
    assert span.newest == NOON
    assert span.oldest <= NOON - DAY + 600
    for at in range(span.oldest, NOON, HOUR):
        snapshot = await stores.top.read_snapshot(at)
        asked = snapshot.prices.at
        told = {coin.id: coin.price for coin in (await SimulatedPrices(size).fetch_list(asked, CallMeter())).coins}
        assert (snapshot.at, snapshot.prices.source) == (at, "simulated")
        assert at - asked < 300
        assert [coin.price_usd for coin in snapshot.coins] == [told.get(coin.id) for coin in snapshot.coins]


async def test_the_simulated_world_says_the_same_whenever_it_is_asked_and_lacks_what_the_real_one_lacks():
    prices, ranks = SimulatedPrices(200), SimulatedRanks(200)
    meter = CallMeter()

    one, other = await prices.fetch_list(NOON, CallMeter()), await ranks.fetch_list(NOON, meter)
    later = await prices.fetch_list(NOON + MINUTE, CallMeter())

    assert (len(one.coins), len(other.coins), meter.calls) == (200, 200, 2)
    assert await prices.fetch_list(NOON, CallMeter()) == one
    assert sum(a.price != b.price for a, b in zip(one.coins, later.coins, strict=True)) > 150
    everything = await SimulatedRanks(5000).fetch_list(NOON, CallMeter())
    assert 0 < sum(coin.id is None for coin in everything.coins) < 20
    assert [coin.symbol for coin in other.coins[:2]] in (["USDT", "BTC"], ["BTC", "USDT"])


def test_a_plan_says_calls_credits_and_bytes():
    lines = list(describe_plan(settings(sources="kraken,binance", metrics="KRAKEN:BTCUSD,BINANCE:BTCUSDT")))

    said = "\n".join(lines)
    assert "kraken       1 call a tick: 1 a minute, 1,440 a day" in said
    assert "binance      2 calls a tick: 2 a minute, 2,880 a day" in said
    assert "Redis        2 metrics, 8,640 numbers a day of 13 bytes: 225 kB" in said
    assert "for 1 credit, every 5 min: 8,928 of 10,000 credits in a month of 31 days (89 %)" in said
    assert "for 2 calls, every 9 min: 9,920 of 11,000 calls in a month of 31 days (90 %)" in said
    assert "152 MB a year" in said
    assert lines[-1].startswith("  off          TRACKER_COINMARKETCAP_API_KEY and TRACKER_CRYPTOCOMPARE")


@pytest.mark.parametrize(
    "given, words",
    [
        pytest.param({"sources": "simulated", "metrics": "SIMULATED:*"}, "simulated    0 calls a tick", id="simulated"),
        pytest.param({"metrics": "KRAKEN:*"}, "each metric, 8,640 numbers", id="a star"),
        pytest.param({"interval": 5}, "1 call a tick: 12 a minute, 17,280 a day", id="every five seconds"),
        pytest.param({"top_size": 5000}, "5000 coins for 25 credits, every 120 min", id="many coins"),
        pytest.param({"coinmarketcap_credits": 20}, "more than 20 a month pay for", id="too small a plan"),
        pytest.param({"coinmarketcap_rows": 1000}, "1000 coins for 5 credits, every 24 min", id="more prices"),
    ],
)
def test_a_plan_follows_the_settings(given: dict, words: str):
    assert words in "\n".join(describe_plan(settings(**given)))
