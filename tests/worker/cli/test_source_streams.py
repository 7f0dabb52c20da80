"""TRACKER_SOURCE_STREAMS: the sources that the worker is made of read their ticks from streams."""

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import web

from tests.support.loopback import providers, serving
from tests.support.loopback.faults import ASKED
from tests.support.loopback.streams import KrakenStreams
from tests.support.shared import shared
from worker.cli.wiring import open_sources
from worker.clock.wall import WatchedClock
from worker.latest import Metric
from worker.latest.settings import InvalidSettings
from worker.settings import WorkerSettings
from worker.sources.supervised import SupervisedSource

MORNING = 1_762_820_220
BTC = Metric("KRAKEN:BTCUSD")


class Clock:
    def __init__(self) -> None:
        self.now = MORNING + 0.0

    def __call__(self) -> float:
        return self.now


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.01)


def count_tickers(app: web.Application) -> int:
    return sum(1 for request in app[ASKED] if request.path == "/0/public/Ticker")


async def read_price(source: SupervisedSource, clock: Clock, at: int) -> str:
    clock.now = at + 0.01
    return (await source.read(at))[BTC].price


@pytest.mark.parametrize("streams", ["yes", "no"])
async def test_ticks_come_from_streams_where_the_settings_say_so(streams: str):
    clock = Clock()
    app, server = providers(shared("recorded"), clock), KrakenStreams(clock)
    app.add_routes(server.routes())
    async with serving(app) as base:
        settings = WorkerSettings.load(
            metrics=(BTC,),
            interval=1,
            kraken_url=base,
            source_streams=streams,
            kraken_stream_url=f"{base.replace('http', 'ws')}/v2",
        )
        watched = WatchedClock(wall=clock)
        async with open_sources(settings, 30.0, watched) as (source,):
            # What a tick waits for on a machine under load must not expire here.
            if source.streamed is not None:
                source.streamed._grace = 60.0
            first = await read_price(source, clock, MORNING)
            if streams == "yes":
                await server.publish("BTC/USD", first, "1")
                await server.quote("BTC/USD", first, "5")
                await until(lambda: server.opened == 1 and source.streamed is not None)
                feed = source.streamed._feed if source.streamed is not None else None
                await until(lambda: feed is not None and any(each.current.live.is_set() for each in feed._slots))
                await server.quote("BTC/USD", "30000.5", "5")
                await until(lambda: feed is not None and feed._markets["BTC/USD"].price == "30000.5")
            second = await read_price(source, clock, MORNING + 1)
            asked = count_tickers(app)

    assert asked == (1 if streams == "yes" else 2)
    assert (second == "30000.5") is (streams == "yes")
    assert not server.subscribers


async def test_a_stream_is_an_address_of_a_websocket(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRACKER_KRAKEN_STREAM_URL", "https://ws.kraken.com/v2")

    with pytest.raises(InvalidSettings, match="TRACKER_KRAKEN_STREAM_URL"):
        WorkerSettings.load()
