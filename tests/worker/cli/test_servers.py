"""Several servers of one source, and exchanges of ccxt, as the worker puts them together and its commands show them."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientSession, ThreadedResolver, web
from redis.asyncio import Redis

from tests.support.loopback import FAULTS, providers, serving
from tests.support.loopback.faults import page, says
from tests.support.missing import needs_package
from tests.support.shared import shared
from tests.worker.cli.test_doctor import look
from tests.worker.cli.test_source_list import type_words
from tests.worker.sampling.test_replay import dump_values, unseen
from worker.cli.answer_replays import apply_header, read_answers
from worker.cli.plan import describe_plan
from worker.cli.recordings import choose_source
from worker.cli.wiring import make_budgets, make_expectation, make_sources, open_sessions, open_sources
from worker.clock.wall import WatchedClock
from worker.delivery.notify.sessions import make_heartbeat_session, make_pushover_session, make_webhook_session
from worker.latest import HOUR, MINUTE, Metric
from worker.latest.store import BudgetStore, Writer
from worker.sampling.absences import AbsenceLog, note_absences
from worker.sampling.answer_replay import replay_answers
from worker.sampling.collect import collect
from worker.sampling.market_watch import MarketWatch
from worker.sampling.reading_checks import ReadingChecks
from worker.sampling.tick import commit_tick
from worker.settings import WorkerSettings
from worker.settings.servers import list_servers
from worker.sources.answers.files import AnswerFiles, AnswerLimits
from worker.sources.answers.keeper import AnswerKeeper, run_keeper
from worker.sources.answers.lines import AnswersHeader
from worker.sources.answers.player import AnswerPlayer, open_player
from worker.sources.base import Metered
from worker.sources.supervised import supervise

BTC = Metric("KRAKEN:BTCUSD")
NOON = 1621252800
LONG = 120.0
"""Seconds that nothing takes here; a process of tests may be held up."""
TICKER = "/0/public/Ticker"

pytestmark = pytest.mark.usefixtures("nothing_is_set")
needs_ccxt = needs_package("ccxt")


@pytest.fixture
async def second() -> AsyncIterator[tuple[str, web.Application]]:
    app = providers(shared("recorded"), time.time)
    async with serving(app) as served:
        yield served, app


async def test_the_second_server_serves_at_the_tick_at_which_the_first_fails_and_until_that_is_good_three_times(
    exchange: web.Application, base: str, second: tuple[str, web.Application]
):
    settings = WorkerSettings.load(kraken_url=f"{base},{second[0]}", metrics=BTC, redis_url="redis://127.0.0.1:9")
    start, watch, checks = int(time.time()) // MINUTE * MINUTE, MarketWatch(MINUTE, time.time), ReadingChecks(3)
    served = []
    async with open_sources(settings, LONG, WatchedClock()) as sources:
        for number, is_up in enumerate((True, False, True, True, True)):
            exchange[FAULTS].update({} if is_up else {TICKER: page(502)})
            heard = await collect(sources, start + number, watch, checks)
            exchange[FAULTS].clear()
            served.append(heard[BTC].source)

        assert [source.name for source in sources] == ["kraken", "kraken-2"]
        assert sources[0].describe_state()["failures"] == 1
        assert sources[1].describe_state()["failures"] == 0
    assert served == ["kraken", "kraken-2", "kraken-2", "kraken-2", "kraken"]


async def test_each_server_has_a_budget_of_its_own(fake: Redis):
    settings = WorkerSettings.load(kraken_url="http://a.invalid,http://b.invalid:8000", egress="office")

    budgets = make_budgets(settings, BudgetStore(fake), WatchedClock())
    sources = make_sources(settings, budgets)

    assert {name: budget._name for name, budget in budgets.items()} == {
        "kraken": "kraken:a.invalid:office",
        "kraken-2": "kraken:b.invalid:8000:office",
    }
    assert [source.budget for source in sources if isinstance(source, Metered)] == [*budgets.values()]


def test_samples_of_every_server_are_still_expected():
    settings = WorkerSettings.load(kraken_url="http://a.invalid,http://b.invalid")
    is_expected = make_expectation([server.source for server in list_servers(settings)], settings.metrics)

    for source, is_asked in (("kraken", True), ("kraken-2", True), ("kraken-3", False)):
        step: Any = SimpleNamespace(metric=BTC, record=SimpleNamespace(source=source))
        assert is_expected(step) is is_asked


async def test_doctor_looks_at_each_server(exchange: web.Application, base: str, second: tuple[str, web.Application]):
    exchange[FAULTS]["/0/public/SystemStatus"] = says({"error": ["EService:Unavailable"]})

    found = await look(kraken_url=f"{base},{second[0]}")

    assert found["kraken"].level.name == "PROBLEM"
    assert "TRACKER_KRAKEN_URL" in found["kraken"].advice
    assert found["kraken-2"].text == "it says that it is online"
    assert "127.0.0.1" in found["clock"].text


def test_the_plan_has_the_calls_of_each_server():
    lines = "\n".join(describe_plan(WorkerSettings.load(kraken_url="http://a.invalid,http://b.invalid")))

    assert "  kraken       1 call a tick: 1 a minute, 1,440 a day\n" in lines
    assert "  kraken-2     1 call a tick: 1 a minute, 1,440 a day\n" in lines


def test_the_plan_says_which_ticks_come_by_streams():
    given = {"sources": "kraken,coinbase", "metrics": "*"}
    words = "ticks come by its stream"

    assert "\n".join(describe_plan(WorkerSettings.load(source_streams="yes", **given))).count(words) == 1
    assert words not in "\n".join(describe_plan(WorkerSettings.load(**given)))


def test_the_list_of_sources_has_the_addresses_of_all_servers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRACKER_KRAKEN_URL", "http://a.invalid, http://b.invalid")

    _, said = type_words()

    assert "  address   http://a.invalid/, http://b.invalid/\n" in said
    assert "kraken-2" not in said


async def test_names_of_hosts_are_looked_up_as_the_machine_does_it_whatever_is_installed():
    async with open_sessions(WorkerSettings.load().proxies, WatchedClock()) as session_for:
        asking = [session_for("http://a.invalid")]
        sending = [make_pushover_session(), make_webhook_session(private=True), make_heartbeat_session()]
        connectors: list[Any] = [session.connector for session in (*asking, *sending)]
        kinds = [type(connector._resolver) for connector in connectors]
        for session in sending:
            await session.close()

    assert kinds == [ThreadedResolver] * 4


# ---- exchanges of ccxt ----------------------------------------------------------------------------------------------


@needs_ccxt
async def test_ccxt_serves_where_our_own_source_fails(base: str):
    settings = WorkerSettings.load(
        sources="kraken,ccxt:kraken",
        metrics=BTC,
        kraken_url="http://127.0.0.1:9",
        ccxt_urls=f"kraken={base}",
        redis_url="redis://127.0.0.1:9",
    )
    at = int(time.time())
    async with open_sources(settings, LONG, WatchedClock()) as sources:
        heard = await collect(sources, at, MarketWatch(MINUTE, time.time), ReadingChecks(3))
        state = sources[1].describe_state()

    assert heard[BTC].source == "ccxt:kraken"
    assert state["state"] == "ok"
    assert state["budget"]["tick_requests"] == 1
    assert (state["budget"]["unit"], state["budget"]["limit"]) == ("calls", 60)


@needs_ccxt
async def test_doctor_asks_an_exchange_of_ccxt_for_its_markets(exchange: web.Application, base: str):
    found = await look(sources="ccxt:kraken", metrics=BTC, ccxt_urls=f"kraken={base}")

    assert found["ccxt:kraken"].text.endswith("spot markets")

    exchange[FAULTS]["/0/public/AssetPairs"] = page(503)
    found = await look(sources="ccxt:kraken", metrics=BTC, ccxt_urls=f"kraken={base}")

    assert found["ccxt:kraken"].level.name == "PROBLEM"
    assert "TRACKER_CCXT_URLS" in found["ccxt:kraken"].advice


@needs_ccxt
def test_an_exchange_of_ccxt_that_is_sampled_is_described_and_all_others_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRACKER_SOURCES", "ccxt:bitstamp")
    monkeypatch.setenv("TRACKER_METRICS", "BITSTAMP:BTCUSD")

    _, said = type_words()

    assert (
        "ccxt:bitstamp: sampled: BITSTAMP:BTCUSD\n  address   https://www.bitstamp.net\n  markets   BITSTAMP:*\n"
        in said
    )
    assert "  history   candles of a minute and of an hour, as far back as it keeps them\n" in said
    assert "  requests  one a tick, for all markets\n" in said
    assert " kraken, " in said.partition("ccxt:ID: any of ")[2]


@needs_ccxt
def test_a_name_of_ccxt_that_is_wrong_is_refused_with_the_nearest():
    code, said = type_words("ccxt:bitstmp")

    assert code == 2
    assert said.startswith("'ccxt:bitstmp' is not a source; accepted: cryptowatch,")
    assert "ccxt:bitstamp" in said.partition("nearest: ")[2]


def test_without_ccxt_the_list_says_what_to_type(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("worker.cli.source_list.find_exchange_ids", lambda: ())

    _, said = type_words()
    code, refused = type_words("ccxt:kraken")

    assert "ccxt:ID: ccxt is not installed\n  next      python3 -m pip " in said
    assert code == 2
    assert refused.startswith("'ccxt:kraken' needs the package ccxt, which is not installed; type: python3 -m pip ")


@needs_ccxt
@pytest.mark.parametrize(
    "source, calls", [("ccxt:kraken", "1 call a tick"), ("ccxt:btcmarkets", "2 calls a tick: 2 a minute")]
)
def test_the_plan_has_the_calls_of_an_exchange_of_ccxt(source: str, calls: str):
    place = source.partition(":")[2].upper()
    settings = WorkerSettings.load(sources=source, metrics=f"{place}:BTCAUD,{place}:ETHAUD")

    assert calls in "\n".join(describe_plan(settings))


@needs_ccxt
def test_candles_are_recorded_by_ccxt_where_it_is_a_source():
    settings = WorkerSettings.load(sources="ccxt:bitstamp", metrics="BITSTAMP:*")

    assert choose_source([Metric("BITSTAMP:BTCUSD")], settings) == "ccxt:bitstamp"
    with pytest.raises(ValueError, match="or ccxt:gemini is in TRACKER_SOURCES"):
        choose_source([Metric("GEMINI:BTCUSD")], settings)


# ---- their answers, played again ------------------------------------------------------------------------------------


class Market:
    """Two servers whose time is set by a test."""

    def __init__(self) -> None:
        self.now = NOON
        self.first, self.second = (providers(shared("recorded"), lambda: self.now) for _ in range(2))


async def sample(market: Market, settings: WorkerSettings, folder: Path, store: Writer) -> None:
    """Sample four ticks as the worker does, at the second of which the first server fails, and keep the answers."""
    servers = list_servers(settings)
    header = AnswersHeader("1", MINUTE, tuple(each.source for each in servers), settings.metrics, 3)
    files = AnswerFiles(folder, header, AnswerLimits(24 * HOUR, 2**30))
    keeper = AnswerKeeper(files, {each.source: str(each.address) for each in servers}, clock=lambda: market.now)
    async with run_keeper(keeper), ClientSession(middlewares=[keeper.keep]) as session:
        checks, watch = ReadingChecks(3), MarketWatch(MINUTE, lambda: market.now)
        absences = AbsenceLog(MINUTE)
        made = [(source, session) for source in make_sources(settings)]
        with supervise(made, LONG, keeper.note_tick) as sources:
            for number in range(4):
                market.now = NOON + number * MINUTE
                market.first[FAULTS].clear()
                market.first[FAULTS].update({TICKER: page(502)} if number == 1 else {})
                readings = await collect(sources, market.now, watch, checks)
                assert readings.keys() == {BTC, "BINANCE:BTCUSDT"}
                absences.note_tick(market.now, note_absences(sources))
                evidence = absences.describe_tick(market.now, market.now - MINUTE if number else 0, lambda: False)
                await commit_tick(market.now, readings, store, evidence=evidence)


@needs_ccxt
async def test_answers_of_every_server_are_played_again(fake: Redis, tmp_path: Path):
    market, store = Market(), Writer(fake)
    await store.open()
    async with serving(market.first) as base, serving(market.second) as further:
        settings = WorkerSettings.load(
            sources="kraken,ccxt:binance",
            metrics="KRAKEN:BTCUSD,BINANCE:BTCUSDT",
            kraken_url=f"{base},{further}",
            ccxt_urls=f"binance={base}",
        )
        await sample(market, settings, tmp_path / "kept", store)
    live = await dump_values(fake)
    await fake.flushall()

    recording, player = read_answers(tmp_path / "kept", {}), AnswerPlayer()
    then = apply_header(WorkerSettings.load(), recording)
    assert then.sources == ("kraken", "ccxt:binance")
    async with open_player(player) as session:
        with supervise([(source, session) for source in make_sources(then)], LONG) as sources:
            assert await replay_answers(recording, player, sources, Writer(fake), unseen) == 4
    assert await dump_values(fake) == live
