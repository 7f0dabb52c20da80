"""Exchanges by ccxt's own classes, against servers on loopback: what is asked, what is read, and what it costs."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, web

from tests.support.budgets import Time
from tests.support.loopback import ASKED, FAULTS, serving
from tests.support.loopback.faults import injected, once, says
from tests.support.missing import needs_package
from tests.worker.sources.conftest import MORNING, Clock
from worker.latest import HOUR, MINUTE, Metric, Reading
from worker.settings.ccxt_names import find_exchange_ids
from worker.sources.base import (
    DescribesItself,
    Hourly,
    Metered,
    NamesClosed,
    NamesDead,
    NamesUnasked,
    ReportsAccess,
    WaitsForProvider,
)
from worker.sources.binance import BinanceSource
from worker.sources.budget import Purpose
from worker.sources.budget.provider import ProviderBudget
from worker.sources.by_ccxt import CcxtSource, describe_exchange, plan_groups
from worker.sources.by_ccxt.library import find_address, find_rows, move_addresses
from worker.sources.by_ccxt.rows import choose_markets, parse_ticker
from worker.sources.errors import InvalidResponse, RequestRefused, SourceRefused
from worker.sources.kraken import KrakenSource
from worker.sources.pair_names import UnknownPair

pytestmark = needs_package("ccxt")

BTC = Metric("KRAKEN:BTCUSD")
TICKER = "/0/public/Ticker"


@pytest.fixture
def make(base: str, clock: Clock) -> Callable[..., CcxtSource]:
    def make(name: str = "ccxt:kraken", wishes: Sequence[str] = ("KRAKEN:*",), **given: Any) -> CcxtSource:
        return CcxtSource(name, base, wishes, MINUTE, clock=clock, **given)

    return make


def make_own(name: str, base: str, wishes: Sequence[str]) -> KrakenSource | BinanceSource:
    return KrakenSource(base, wishes, MINUTE) if name == "kraken" else BinanceSource(base, wishes, MINUTE)


def paths(app: web.Application) -> list[str]:
    return [request.path for request in app[ASKED]]


# ---- beside our own sources ---------------------------------------------------------------------------------------


EXCHANGES = pytest.mark.parametrize(
    "name, wishes",
    [
        pytest.param("kraken", ("KRAKEN:*",), id="kraken, every market"),
        pytest.param("kraken", ("KRAKEN:BTCUSD", "KRAKEN:DOGEUSD"), id="kraken, two markets"),
        pytest.param("binance", ("BINANCE:BTCUSDT", "BINANCE:ETHBTC"), id="binance, two symbols"),
        pytest.param("binance", ("BINANCE:*",), id="binance, every symbol"),
    ],
)


@EXCHANGES
async def test_a_tick_is_digit_for_digit_what_our_own_source_reads(
    base: str, session: ClientSession, app: web.Application, make, name: str, wishes: Sequence[str]
):
    own, theirs = make_own(name, base, wishes), make(f"ccxt:{name}", wishes)
    await own.open(session)
    await theirs.open(session)
    expected = await own.fetch(session, MORNING)
    app[ASKED].clear()

    found = await theirs.fetch(session, MORNING)

    assert {*theirs.metrics} == {*own.metrics}
    assert len(paths(app)) == 1
    assert found == {
        metric: Reading(reading.price, reading.volume, provider_time=reading.provider_time)
        for metric, reading in expected.items()
    }
    assert theirs.dead == own.dead
    assert dict(theirs.rejects) == dict(own.rejects)


@pytest.mark.parametrize("name, metric", [("kraken", BTC), ("binance", Metric("BINANCE:BTCUSDT"))])
async def test_candles_are_digit_for_digit_those_of_our_own_source(
    base: str, session: ClientSession, make, name: str, metric: Metric
):
    own, theirs = make_own(name, base, (metric,)), make(f"ccxt:{name}", (metric,))
    await own.open(session)
    await theirs.open(session)
    hour = MORNING // HOUR * HOUR

    assert await theirs.fetch_candles(session, metric, MORNING - 5 * HOUR, MORNING) == await own.fetch_candles(
        session, metric, MORNING - 5 * HOUR, MORNING
    )
    found = await theirs.fetch_hours(session, metric, hour - 300 * HOUR, hour)
    assert found == await own.fetch_hours(session, metric, hour - 300 * HOUR, hour)
    assert len(found) == 300


async def test_candles_that_are_more_than_an_answer_holds_are_asked_for_page_by_page(
    session: ClientSession, app: web.Application, make
):
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    metric = Metric("BINANCE:BTCUSDT")
    source = make("ccxt:binance", (metric,), sleep=sleep)
    await source.open(session)
    app[ASKED].clear()

    found = await source.fetch_candles(session, metric, MORNING - 2500 * MINUTE, MORNING)

    assert [candle.start for candle in found] == list(range(MORNING - 2500 * MINUTE, MORNING, MINUTE))
    assert len(paths(app)) == 3
    assert slept == [source.pace] * 2


async def test_the_candle_that_is_running_is_not_given(session: ClientSession, make, clock: Clock):
    source = make(wishes=(BTC,))
    await source.open(session)
    clock.now = MORNING + 30.0

    found = await source.fetch_candles(session, BTC, MORNING - HOUR, MORNING + HOUR)

    assert found[-1].start == MORNING - MINUTE


async def test_a_market_that_an_exchange_has_twice_is_two_metrics(session: ClientSession, make):
    source = make(wishes=("KRAKEN:AAVEUSD", "KRAKEN:AAVEUSD-BTNL"))

    assert await source.open(session) == {}
    assert (await source.fetch(session, MORNING)).keys() == {"KRAKEN:AAVEUSD", "KRAKEN:AAVEUSD-BTNL"}


async def test_coins_are_called_as_the_exchange_calls_them(session: ClientSession, make):
    source = make(wishes=("KRAKEN:LUNAUSD", "KRAKEN:LUNCUSD"))

    missing = await source.open(session)

    # ccxt calls Kraken's LUNA LUNC, and its LUNA2 LUNA: the name of one coin for another.
    assert source.metrics == ("KRAKEN:LUNAUSD",)
    assert missing["KRAKEN:LUNCUSD"].startswith("ccxt:kraken has no pair LUNCUSD; nearest: LUNAUSD")


# ---- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault, waits",
    [
        pytest.param(says({}, 429, Retry_After="7"), [7, 7], id="Retry-After is obeyed"),
        pytest.param(says({}, 429), [15, 30], id="429 alone"),
        pytest.param(says({}, 418), [15, 30], id="418"),
        pytest.param(says({"error": ["EAPI:Rate limit exceeded"]}), [15, 30], id="an error inside of a 200"),
        pytest.param(says({"error": ["EGeneral:Temporary lockout"]}), [15, 30], id="a lockout"),
    ],
)
async def test_too_often_says_how_long_to_wait(
    app: web.Application, session: ClientSession, make, fault, waits: list[int]
):
    source = make(wishes=(BTC,))
    await source.open(session)
    app[FAULTS][TICKER] = fault

    for wait in waits:
        with pytest.raises(SourceRefused, match="ccxt:kraken") as caught:
            await source.fetch(session, MORNING)
        assert caught.value.wait == wait
    del app[FAULTS][TICKER]
    await source.fetch(session, MORNING)
    app[FAULTS][TICKER] = fault
    with pytest.raises(SourceRefused) as caught:
        await source.fetch(session, MORNING)
    assert caught.value.wait == waits[0]


@pytest.mark.parametrize(
    "said, kind, wait",
    [
        pytest.param("EQuery:Invalid asset pair", UnknownPair, None, id="BadSymbol"),
        pytest.param("EQuery:Unknown asset pair", RequestRefused, None, id="what ccxt has no class for"),
        pytest.param("EGeneral:Invalid arguments", RequestRefused, None, id="BadRequest"),
        pytest.param("EAPI:Invalid key", SourceRefused, None, id="AuthenticationError"),
        pytest.param("EService:Unavailable", SourceRefused, None, id="ExchangeNotAvailable"),
    ],
)
async def test_errors_of_ccxt_are_ours(
    app: web.Application, session: ClientSession, make, said: str, kind: type[SourceRefused], wait: float | None
):
    source = make(wishes=(BTC,))
    await source.open(session)
    app[FAULTS]["/0/public/OHLC"] = says({"error": [said]})

    with pytest.raises(kind, match=f"ccxt:kraken refused.*{said}") as caught:
        await source.fetch_candles(session, BTC, MORNING - HOUR, MORNING)

    assert type(caught.value) is kind
    assert caught.value.wait == wait


async def test_one_name_that_is_refused_costs_no_other_market(app: web.Application, session: ClientSession, make):
    source = make(wishes=(BTC, "KRAKEN:ETHUSD"))
    await source.open(session)
    app[FAULTS][TICKER] = once(says({"error": ["EQuery:Unknown asset pair"]}))
    app[ASKED].clear()

    for _ in range(2):
        assert (await source.fetch(session, MORNING)).keys() == {BTC, "KRAKEN:ETHUSD"}

    assert [bool(request.query_string) for request in app[ASKED]] == [True, False, False]


async def test_what_is_not_json_is_an_invalid_answer(app: web.Application, session: ClientSession, make):
    source = make(wishes=(BTC,))
    await source.open(session)
    app[FAULTS][TICKER] = says("OK")

    with pytest.raises(InvalidResponse, match="ccxt:kraken sent"):
        await source.fetch(session, MORNING)


# ---- what it costs --------------------------------------------------------------------------------------------------


async def test_each_request_is_claimed_by_its_cost_and_purpose(session: ClientSession, make):
    terms, time = describe_exchange("ccxt:binance").terms, Time(MORNING)
    budget = ProviderBudget("ccxt.binance:here:direct", terms, clock=time, steady=time, sleep=time.sleep)
    metric = Metric("BINANCE:BTCUSDT")
    source = make("ccxt:binance", (metric,), budget=budget)

    await source.open(session)
    await source.fetch(session, MORNING)
    await source.fetch_candles(session, metric, MORNING - HOUR, MORNING)

    assert budget.requests == {Purpose.MARKETS: 1, Purpose.TICK: 1, Purpose.FILL: 1}
    said = budget.describe()
    assert said["unit"] == "calls"
    assert said["limit"] == 60 / describe_exchange("ccxt:binance").spacing
    # By ccxt, the list of markets costs 4 calls, tickers 16 and candles 0.4 or more.
    assert said["units"]["markets"] == 4
    assert said["units"]["tick"] == 16
    assert 0 < said["units"]["fill"] < 4


async def test_who_asks_is_whom_the_session_names(app: web.Application, base: str, clock: Clock):
    async with ClientSession(headers={"User-Agent": "a worker/2"}) as session:
        source = CcxtSource("ccxt:kraken", base, (BTC,), MINUTE, clock=clock)
        await source.open(session)

    assert {request.headers["User-Agent"] for request in app[ASKED]} == {"a worker/2"}


async def test_its_own_throttle_and_retries_do_nothing(app: web.Application, session: ClientSession, make):
    source = make(wishes=(BTC,))
    await source.open(session)
    app[FAULTS][TICKER] = says({}, 503)
    app[ASKED].clear()

    for _ in range(3):
        with pytest.raises(SourceRefused):
            await source.fetch(session, MORNING)

    assert paths(app) == [TICKER] * 3


# ---- exchanges without a call for all tickers -----------------------------------------------------------------------


def make_btcmarkets(states: dict[str, str], price: str) -> web.Application:
    """Answer as BTC Markets does: a ticker for each market, and numbers as numbers."""

    async def markets(_: web.Request) -> web.Response:
        rows = [
            {"marketId": f"{coin}-AUD", "baseAssetName": coin, "quoteAssetName": "AUD", "status": state}
            | {"minOrderAmount": "0.0001", "maxOrderAmount": "1000000", "amountDecimals": "8", "priceDecimals": "2"}
            for coin, state in states.items()
        ]
        return web.json_response(rows)

    async def ticker(request: web.Request) -> web.Response:
        body = {"marketId": request.match_info["market"], "volume24h": "56192.97613335", "lastPrice": "PRICE"}
        body["timestamp"] = "2025-11-11T00:16:59.280000Z"
        return web.Response(text=json.dumps(body).replace('"PRICE"', price), content_type="text/plain")

    app = web.Application(middlewares=[injected])
    app[FAULTS], app[ASKED] = {}, []
    app.add_routes([web.get("/v3/markets", markets), web.get("/v3/markets/{market}/ticker", ticker)])
    return app


@asynccontextmanager
async def open_btcmarkets(
    states: dict[str, str], price: str = "64000.1234567890123450", wishes: str = "*"
) -> AsyncIterator[tuple[CcxtSource, web.Application, list[float]]]:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    app = make_btcmarkets(states, price)
    async with serving(app) as base:
        yield (
            CcxtSource("ccxt:btcmarkets", base, wishes.split(), MINUTE, sleep=sleep, clock=lambda: float(MORNING)),
            app,
            slept,
        )


async def test_numbers_without_quotes_keep_their_digits_too(session: ClientSession):
    async with open_btcmarkets({"BTC": "Online"}) as (source, _, _):
        await source.open(session)
        found = await source.fetch(session, MORNING)

    # Its time is in the answer.
    expected = Reading("64000.1234567890123450", "56192.97613335", provider_time=MORNING - 1)
    assert found == {"BTCMARKETS:BTCAUD": expected}


async def test_where_each_market_is_a_call_those_that_do_not_fit_are_refused_by_name(session: ClientSession):
    coins = {f"C{number:02}": "Online" for number in range(30)}
    groups = plan_groups(describe_exchange("ccxt:btcmarkets").spacing, MINUTE)
    most = groups.size * groups.most
    async with open_btcmarkets(coins, wishes="BTCMARKETS:* BTCMARKETS:C29AUD") as (source, app, slept):
        missing = await source.open(session)
        app[ASKED].clear()
        found = await source.fetch(session, MORNING)

    assert 1 < most < 30
    assert len(found) == len(app[ASKED]) == len(source.metrics) == most
    assert "BTCMARKETS:C29AUD" in found
    assert slept == [groups.seconds] * (groups.most - 1)
    # Never more than ccxt's pace.
    assert groups.size / groups.seconds < 1 / describe_exchange("ccxt:btcmarkets").spacing
    assert {*source.unasked} == missing.keys()
    assert f"is asked for {most} markets at most" in next(iter(missing.values()))


async def test_a_market_that_fails_costs_no_other_one_and_a_limit_ends_the_tick(session: ClientSession):
    async with open_btcmarkets(dict.fromkeys(("AAA", "BBB", "CCC"), "Online")) as (source, app, _):
        await source.open(session)
        app[FAULTS]["/v3/markets/AAA-AUD/ticker"] = says({}, 500)
        assert (await source.fetch(session, MORNING)).keys() == {"BTCMARKETS:BBBAUD", "BTCMARKETS:CCCAUD"}
        assert source.rejects["no ticker (refused)"] == 1

        app[FAULTS]["/v3/markets/BBB-AUD/ticker"] = says({}, 429, Retry_After="9")
        app[ASKED].clear()
        with pytest.raises(SourceRefused) as caught:
            await source.fetch(session, MORNING)
        assert caught.value.wait == 9
        assert "/v3/markets/CCC-AUD/ticker" not in paths(app)


# ---- what is said of it ---------------------------------------------------------------------------------------------


async def test_it_has_what_the_worker_asks_of_a_source(session: ClientSession, make):
    source = make(wishes=(BTC,))

    kinds = (DescribesItself, Hourly, Metered, NamesClosed, NamesDead, NamesUnasked, ReportsAccess, WaitsForProvider)
    assert [kind for kind in kinds if not isinstance(source, kind)] == []
    assert source.profile.exchange == "KRAKEN"
    assert source.profile.requests == "one a tick, for all markets"
    assert source.profile.history == "candles of a minute and of an hour, as far back as it keeps them"
    assert "spot markets" in (await source.read_access(session)).text


def test_every_exchange_of_ccxt_can_be_described():
    for name in find_exchange_ids():
        facts = describe_exchange(f"ccxt:{name}")
        assert facts.address.startswith("https://")
        assert facts.spacing > 0
        assert facts.terms.cap > 0


async def test_a_market_that_does_not_trade_is_named_with_the_word_for_it(session: ClientSession):
    states = {"BTC": "Online", "ETH": "Offline"}
    async with open_btcmarkets(states, wishes="BTCMARKETS:BTCAUD BTCMARKETS:ETHAUD") as (source, _, _):
        missing = await source.open(session)

    assert missing[Metric("BTCMARKETS:ETHAUD")] == "ccxt:btcmarkets has ETHAUD, but it is not trading: not active"
    assert source.closed == {"BTCMARKETS:ETHAUD": "not active"}
    assert source.metrics == ("BTCMARKETS:BTCAUD",)


def test_markets_that_are_not_active_are_closed_and_futures_are_none():
    rows: dict[str, list[dict[str, Any]]] = {
        "a": [{"id": "a", "symbol": "A/USD", "base": "A", "quote": "USD", "spot": True, "active": False}],
        "b": [{"id": "b", "symbol": "B/USD", "base": "B", "quote": "USD", "spot": True, "active": None}],
        "c": [{"id": "c", "symbol": "B/USD:USD", "base": "B", "quote": "USD", "spot": False, "active": True}],
    }

    found = choose_markets(rows, "BITSTAMP")

    assert found.symbols == {"BITSTAMP:BUSD": "B/USD"}
    assert found.closed == {"BITSTAMP:AUSD": "not active"}


@pytest.mark.parametrize(
    "row, reason",
    [
        ({"last": None}, "dead market"),
        ({"last": "-1"}, "negative price"),
        ({"last": "nan"}, "unreadable price"),
        ({"last": "1", "vwap": "9", "low": "1", "high": "2"}, "volume that disagrees with the price"),
    ],
)
def test_a_ticker_without_a_usable_price_is_counted(row: dict[str, Any], reason: str):
    rejects: Counter[str] = Counter()
    dead: set[Metric] = set()

    assert parse_ticker(row, BTC, MORNING, rejects, dead) is None
    assert rejects == {reason: 1}
    assert dead == ({BTC} if reason == "dead market" else set())


def test_another_server_takes_the_place_of_every_address():
    theirs = {"public": "https://{hostname}/api/v1", "private": {"spot": "https://p.example.com"}}

    assert find_address(theirs, "api.example.com") == "https://api.example.com"
    assert move_addresses(theirs, "http://127.0.0.1:80/mirror/") == {
        "public": "http://127.0.0.1:80/mirror/api/v1",
        "private": {"spot": "http://127.0.0.1:80/mirror"},
    }


@pytest.mark.parametrize("features, rows", [(None, None), ({"spot": {"fetchOHLCV": {"limit": 720}}}, 720), ({}, None)])
def test_how_many_candles_an_answer_has_is_known_where_ccxt_says_it(features: object, rows: int | None):
    assert find_rows(features) == rows
