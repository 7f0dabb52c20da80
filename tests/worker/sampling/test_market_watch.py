"""What is noted of markets beside their samples: by real loopback providers, from their answers to the API."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import ClientSession, web

from tests.support.invented import NOON, Invented
from tests.support.loopback import serving
from tests.support.serving import Api
from tests.support.serving import serving as serving_api
from worker.latest import Measure, Metric
from worker.latest.store import Verifier, Writer, connect
from worker.sampling.collect import collect
from worker.sampling.market_watch import MarketWatch
from worker.sampling.tick import commit_tick
from worker.sources.base import Source
from worker.sources.binance import BinanceSource
from worker.sources.cryptowatch import CryptowatchSource
from worker.sources.errors import SourceUnreachable
from worker.sources.kraken import KrakenSource
from worker.sources.supervised import SupervisedSource
from worker.sources.wishes import SourceReport

BTC, ETH = Metric("KRAKEN:BTCUSD"), Metric("KRAKEN:ETHUSD")
USDT = Metric("BINANCE:BTCUSDT")


class Exchange:
    """A server that answers as Kraken, Binance and Cryptowatch do of two markets; the test says what is so."""

    def __init__(self) -> None:
        self.at = NOON
        self.frozen_at: int | None = None
        self.status = {"XBTUSD": "online", "ETHUSD": "online"}
        self.word = "TRADING"
        self.is_kraken_up = True
        self.traded = 0
        """What Kraken counts since midnight."""
        self.is_moving = True

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/0/public/AssetPairs", self.pairs),
            web.get("/0/public/Ticker", self.ticker),
            web.get("/markets/summaries", self.summaries),
            web.get("/api/v3/exchangeInfo", self.info),
            web.get("/api/v3/ticker/24hr", self.day),
        ]

    @property
    def now(self) -> int:
        return self.at if self.frozen_at is None else self.frozen_at

    @property
    def price(self) -> str:
        return f"{46_000 + (self.now - NOON) // 60 * self.is_moving}.5"

    async def pairs(self, _: web.Request) -> web.Response:
        rows = {
            name: {"altname": name, "wsname": f"{name[:3]}/{name[3:]}", "status": status}
            for name, status in self.status.items()
        }
        return web.json_response({"error": [], "result": rows})

    async def ticker(self, request: web.Request) -> web.Response:
        if not self.is_kraken_up:
            return web.Response(status=503)
        asked = request.query.get("pair")
        names = asked.split(",") if asked else list(self.status)
        if any(name not in self.status for name in names):
            return web.json_response({"error": ["EQuery:Unknown asset pair"]})
        row = {"c": [self.price, "1"], "v": [f"{self.traded}", "900"]}
        return web.json_response(
            {"error": [], "result": dict.fromkeys(names, row)},
            headers={"Last-Modified": formatdate(self.now, usegmt=True)},
        )

    async def summaries(self, _: web.Request) -> web.Response:
        price = {"last": float(self.price) + 1, "change": {"percentage": 0.01, "absolute": 1}}
        rows = {name: {"price": price, "volume": 77} for name in ("kraken:btcusd", "kraken:ethusd")}
        return web.json_response({"result": rows, "allowance": {"cost": 0, "remaining": 10}})

    async def info(self, _: web.Request) -> web.Response:
        rows = [
            {"symbol": name, "status": self.word if name == "BTCUSDT" else "TRADING"} for name in ("BTCUSDT", "ETHUSDT")
        ]
        return web.json_response({"symbols": rows, "rateLimits": []})

    async def day(self, request: web.Request) -> web.Response:
        names = [name for name in ("BTCUSDT", "ETHUSDT") if name in request.query.get("symbols", name)]
        row = {
            "lastPrice": self.price,
            "volume": "5",
            "priceChange": "1",
            "priceChangePercent": "1",
            "closeTime": self.now * 1000,
        }
        return web.json_response([{"symbol": name, **row} for name in names])


class Minutes:
    """A worker's ticks over sources that ask a real server, and the API beside it."""

    def __init__(self, exchange: Exchange, sources: Sequence[SupervisedSource], store: Writer, api: Api) -> None:
        self.exchange, self.sources, self.store, self.api = exchange, sources, store, api
        self.watch = MarketWatch(60, lambda: exchange.at + 0.25)
        self.report = SourceReport(sources, ["KRAKEN:*", "BINANCE:*"])

    async def tick(self, minutes: int = 1) -> None:
        """Commit ticks as the sampler does."""
        for _ in range(minutes):
            at = self.exchange.at = self.exchange.at + 60
            heard = await collect(self.sources, at, self.watch)
            session = self.store.session
            delisted = self.report.find_delisted(session.known_metrics)
            session.notes = self.watch.describe(at, self.sources, delisted, session.notes)
            session.feeds = self.watch.feeds
            await commit_tick(at, heard, self.store)

    async def list_again(self) -> None:
        """Have the sources asked what they have, as once an hour."""
        for source in self.sources:
            await source.source.open(source._session)

    async def show(self, metric: Metric = BTC) -> Mapping[str, Any]:
        return cast("Mapping[str, Any]", (await self.api.get(f"/v1/metrics/{metric}")).json)

    async def list_ranked(self) -> set[str]:
        return {row["metric"] for row in (await self.api.get("/v1/ranks")).json["ranks"]}


@asynccontextmanager
async def running(
    server: str, archive: str, session: ClientSession, *makers: Callable[[str], Source]
) -> AsyncIterator[Minutes]:
    """Serve an exchange, sources of it in this order, and the API."""
    exchange, app = Exchange(), web.Application()
    app.add_routes(exchange.routes())
    async with (
        serving(app) as base,
        connect(server, "tests") as redis,
        serving_api(lambda: exchange.at + 5.0, server, database_url=archive) as api,
    ):
        store = Writer(redis)
        await store.open()
        yield Minutes(exchange, [SupervisedSource(make(base), session, 30) for make in makers], store, api)


def kraken(base: str) -> Source:
    return KrakenSource(base, ["KRAKEN:*"], 60)


def binance(base: str) -> Source:
    return BinanceSource(base, ["BINANCE:*"], 60)


def cryptowatch(base: str) -> Source:
    return CryptowatchSource(base, ["KRAKEN:*"], 60, None)


@pytest.fixture
def archive(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'archive.db'}"


async def test_a_frozen_feed_is_found_within_two_intervals_and_is_live_again_when_it_moves(
    server: str, archive: str, session: ClientSession
):
    async with running(server, archive, session, binance) as minutes:
        await minutes.tick(2)
        before = await minutes.show(USDT)
        minutes.exchange.frozen_at = minutes.exchange.at + 10
        await minutes.tick(2)
        frozen = await minutes.show(USDT)
        rows = (await minutes.api.get("/v1/snapshot", {"measures": "price"})).json["rows"]
        listed = (await minutes.api.get("/v1/metrics")).json["metrics"]
        minutes.exchange.frozen_at = None
        await minutes.tick()

        assert (before["state"], before["state_since"]) == ("live", None)
        assert frozen["state"] == "frozen"
        assert frozen["state_since"] == NOON + 180
        assert frozen["state_reason"] == f"the provider's time stands still at {NOON + 130}"
        assert {row["state"] for row in [*rows, *listed]} == {"frozen"}
        assert (await minutes.show(USDT))["state"] == "live"
        assert minutes.watch.count_states(minutes.store.session.notes, [USDT])["frozen"] == 0


async def test_the_first_source_down_has_the_second_serve_at_the_same_tick_and_comes_back_after_three_good_ones(
    server: str, archive: str, session: ClientSession
):
    async with running(server, archive, session, kraken, cryptowatch) as minutes:
        shown = []
        for is_up in (True, True, False, False, True, True, True):
            minutes.exchange.is_kraken_up = is_up
            await minutes.tick()
            shown.append(await minutes.show())

        assert [each["source"] for each in shown] == [
            *("kraken", "kraken", "cryptowatch", "cryptowatch"),
            *("cryptowatch", "cryptowatch", "kraken"),
        ]
        assert [each["at"] for each in shown] == [NOON + 60 * minute for minute in range(1, 8)]
        assert {each["age"] for each in shown} == {5}
        assert [each["received_time"] for each in shown] == [NOON + 60 * minute + 0.25 for minute in range(1, 8)]
        assert [each["provider_time"] is None for each in shown] == [False, False, *[True] * 4, False]


async def test_what_was_traded_at_a_switch_follows_from_one_counter(server: str, archive: str, session: ClientSession):
    async with running(server, archive, session, kraken, cryptowatch) as minutes:
        for is_up, counter in [(True, 10), (True, 12), (False, 15), (True, 19), (True, 24), (True, 30)]:
            minutes.exchange.is_kraken_up, minutes.exchange.traded = is_up, counter
            await minutes.tick()

        samples = await minutes.store.read_samples(BTC, NOON, minutes.exchange.at)
        # Cryptowatch counts nothing; Kraken's counter was not seen at the third tick, so neither is its fourth known.
        traded = [each.value(Measure.INTERVAL_VOLUME) for each in samples]
        assert traded == [None, "2", None, None, None, "6"]
        assert [each.value(Measure.VOLUME) for each in samples] == ["900", "900", "77", "77", "77", "900"]


async def test_a_halted_market_is_told_by_the_providers_own_word(server: str, archive: str, session: ClientSession):
    async with running(server, archive, session, kraken, binance) as minutes:
        await minutes.tick(2)
        minutes.exchange.status["XBTUSD"], minutes.exchange.word = "cancel_only", "BREAK"
        await minutes.list_again()
        await minutes.tick(2)

        shown = [await minutes.show(metric) for metric in (BTC, USDT, ETH)]
        assert [each["state"] for each in shown] == ["halted", "halted", "live"]
        assert [each["state_reason"] for each in shown] == ["kraken says cancel_only", "binance says BREAK", None]
        assert [each["state_since"] for each in shown] == [NOON + 180, NOON + 180, None]


async def test_a_delisted_market_has_no_rank_and_keeps_its_history(server: str, archive: str, session: ClientSession):
    async with running(server, archive, session, kraken) as minutes:
        await minutes.tick(2)
        assert await minutes.list_ranked() == {BTC, ETH}
        del minutes.exchange.status["ETHUSD"]
        minutes.exchange.status["SOLUSD"] = "online"
        await minutes.list_again()
        await minutes.tick()

        assert await minutes.list_ranked() == {BTC, "KRAKEN:SOLUSD"}
        assert (await minutes.show(ETH))["state"] == "delisted"
        reason = (await minutes.api.get(f"/v1/metrics/{ETH}/rank")).json["detail"]
        assert "it is delisted since 2021-05-17 12:03:00 UTC: kraken no longer lists it" in reason
        assert (await minutes.show(ETH))["day"]["samples"] == 2
        # Neither a fill, nor a check, nor a worker that starts again ranks it.
        await minutes.store.update_rankings(minutes.exchange.at)
        assert (await Verifier(minutes.store._redis).verify(repair=False)).is_clean
        await minutes.store.open()
        assert minutes.store.session.unranked == {ETH}
        minutes.exchange.status["ETHUSD"] = "online"
        await minutes.list_again()
        await minutes.tick()
        assert await minutes.list_ranked() == {BTC, ETH, "KRAKEN:SOLUSD"}


async def test_a_market_in_which_nothing_is_traded_is_quiet_and_not_frozen(
    server: str, archive: str, session: ClientSession
):
    async with running(server, archive, session, kraken) as minutes:
        minutes.exchange.is_moving = False
        await minutes.tick(7)

        shown = await minutes.show()
        assert (shown["state"], shown["state_since"]) == ("quiet", NOON + 60)


async def test_what_a_provider_said_stays_noted_until_a_worker_that_starts_again_has_asked_it(
    server: str, archive: str, session: ClientSession
):
    async with running(server, archive, session, kraken) as minutes:
        await minutes.tick()
        del minutes.exchange.status["ETHUSD"]
        await minutes.list_again()
        await minutes.tick()
        again = Minutes(minutes.exchange, [SupervisedSource(BrokenListing(), session, 30)], minutes.store, minutes.api)
        await minutes.store.open()
        await again.tick()

        assert (await minutes.show(ETH))["state"] == "delisted"


class BrokenListing(Invented):
    """It cannot say what it has."""

    async def open(self, _session: ClientSession) -> Mapping[Metric, str]:
        raise SourceUnreachable("gone")
