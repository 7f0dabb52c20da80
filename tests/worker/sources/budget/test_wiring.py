"""Every source that asks a provider has a budget, whose name says whose it is; a tick is one request where that can be."""

import pytest
from aiohttp import ClientSession, web
from redis.asyncio import Redis

from tests.support.loopback import ASKED, FAULTS
from tests.support.loopback.faults import says
from tests.worker.sources.conftest import MORNING, Clock
from worker.cli.wiring import TERMS, make_budgets, make_sources, open_sources
from worker.clock.wall import WatchedClock
from worker.latest.store import BudgetStore
from worker.reporting.metrics.states import list_source_metrics
from worker.settings import SOURCES, WorkerSettings
from worker.sources.binance import BinanceSource
from worker.sources.budget import NoBudget, ProviderBudget
from worker.sources.cryptowatch import CryptowatchSource
from worker.sources.kraken import KrakenSource
from worker.sources.supervised import SupervisedSource
from worker.sources.wishes import SourceReport

PROXY = {"proxy": "http://me:secret@proxy.invalid:3128"}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def make_settings(**given: object) -> WorkerSettings:
    return WorkerSettings(sources=SOURCES, metrics=("*",), cryptowatch_url="http://watch.invalid:8000", **given)


@pytest.mark.parametrize(
    "given, way", [({}, "direct"), ({"egress": "second-line"}, "second-line"), (PROXY, "proxy.invalid:3128")]
)
def test_every_source_that_asks_a_provider_has_a_budget_of_its_own(fake: Redis, given: dict[str, str], way: str):
    settings = make_settings(**given)

    budgets = make_budgets(settings, BudgetStore(fake), WatchedClock())
    sources = {source.name: source for source in make_sources(settings, budgets)}

    assert budgets.keys() == TERMS.keys() == {*SOURCES} - {"simulated"}
    assert all(getattr(sources[name], "budget", None) is budget for name, budget in budgets.items())
    assert budgets["cryptowatch"]._name == f"cryptowatch:watch.invalid:8000:{way}"
    assert budgets["kraken"]._name == f"kraken:api.kraken.com:{way}"


def test_how_much_is_used_is_a_setting(fake: Redis):
    budgets = make_budgets(make_settings(budget_percent=20), BudgetStore(fake), WatchedClock())

    assert budgets["binance"].describe() | {"limit": 6000, "margin": 0.8} == budgets["binance"].describe()
    assert budgets["binance"].count_room() == 1200


@pytest.mark.parametrize("percent", [0, 96, 100])
def test_the_margin_cannot_be_given_away(percent: int):
    with pytest.raises(ValueError, match="budget_percent"):
        make_settings(budget_percent=percent)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "a:b"])
def test_the_name_of_a_way_out_is_a_word(name: str):
    with pytest.raises(ValueError, match="egress"):
        make_settings(egress=name)


@pytest.mark.parametrize(
    "make, requests",
    [
        pytest.param(lambda base, budget: KrakenSource(base, ("*",), 60, budget), 1, id="kraken"),
        pytest.param(
            lambda base, budget: CryptowatchSource(base, ("KRAKEN:*",), 60, None, budget), 1, id="cryptowatch"
        ),
        pytest.param(lambda base, budget: BinanceSource(base, ("*",), 60, budget), 1 + 10, id="binance, 1000 windows"),
    ],
)
async def test_a_tick_is_one_request_for_all_metrics(
    make, requests: int, base: str, app: web.Application, session: ClientSession, fake: Redis, clock: Clock
):
    source = make(base, None)
    budget = ProviderBudget(f"{source.name}:loopback:direct", TERMS[source.name], store=BudgetStore(fake), clock=clock)
    source.budget = budget
    watched = SupervisedSource(source, session, timeout=60)
    await watched.open(MORNING)
    app[ASKED].clear()

    readings = await watched.read(MORNING)

    assert len(readings) > 100
    assert len(app[ASKED]) == requests == watched.describe_state()["budget"]["tick_requests"]


async def test_what_a_budget_is_shows_in_the_metrics(
    base: str, app: web.Application, session: ClientSession, fake: Redis, clock: Clock
):
    budget = ProviderBudget("kraken:loopback:direct", TERMS["kraken"], store=BudgetStore(fake), clock=clock)
    watched = SupervisedSource(KrakenSource(base, ("KRAKEN:BTCUSD",), 60, budget), session, timeout=60)
    await watched.read(MORNING)
    app[FAULTS]["/0/public/Ticker"] = says("", 429, Retry_After="90")
    await watched.read(MORNING + 60)

    shown = {
        (
            sample.name.removeprefix("data_tracker_"),
            *(value for label, value in sorted(sample.labels.items()) if label != "source"),
        ): sample.value
        for metric in list_source_metrics(SourceReport([watched]).describe())
        for sample in metric.samples
    }

    assert shown["tick_requests",] == 1
    assert shown["budget_requests_total", "tick"] == 2
    assert shown["budget_requests_total", "markets"] == 1
    assert shown["budget_units_total", "tick", "calls"] == 2
    assert (shown["budget_limit", "calls"], shown["budget_spent", "calls"]) == (70, 3)
    assert shown["budget_banned_until_timestamp_seconds",] == MORNING + 90
    assert shown["budget_shared",] == 1


async def test_a_closed_budget_asks_a_provider_not_even_for_the_time(base: str, app: web.Application, server: str):
    app[FAULTS]["/0/public/AssetPairs"] = says("", 429, Retry_After="90")
    clock = WatchedClock()
    settings = WorkerSettings(kraken_url=base, redis_url=server)
    async with open_sources(settings, 60, WatchedClock()) as (source,):
        await source.open(MORNING)
    asked = len(app[ASKED])

    async with open_sources(settings, 60, clock):
        assert clock._asks
        for ask in clock._asks:
            await ask()

    assert len(app[ASKED]) == asked
    assert source.describe_state()["budget"]["banned_until"] is not None


async def test_without_a_budget_nothing_is_counted():
    budget = NoBudget()
    budget.set_amount(1)

    assert (budget.count_room() > 10**6, budget.count_tick_requests(), budget.describe()) == (True, 0, None)
