"""A source whose ticks come from streams: real connections on loopback, a clock that the test sets, and what can go wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import ClientSession, TCPConnector, web

from tests.support.loopback import serving
from tests.support.loopback.streams import BinanceStreams, KrakenStreams, StreamServer
from worker.latest import HOUR, Candle, Metric, Reading
from worker.sources.errors import SourceRefused, SourceUnreachable
from worker.sources.rejects import Rejects
from worker.sources.streams import connection, slot
from worker.sources.streams.binance import BinanceStream
from worker.sources.streams.connection import Clocks
from worker.sources.streams.feed import StreamFeed
from worker.sources.streams.kraken import KrakenStream
from worker.sources.streams.streamed_ticks import DIFFERS, LATE, LOST, StreamedTicks

NOON = 1_762_862_400
ENOUGH = 60.0
"""Seconds that whatever must happen may take."""
BTC, ETH = Metric("X:BTCUSD"), Metric("X:ETHUSD")


class Clock:
    def __init__(self) -> None:
        self.now = NOON + 0.0
        self.steady = 0.0

    def wall(self) -> float:
        return self.now

    def even(self) -> float:
        return self.steady


class Rest:
    """The requests of a source: what they answer, and at which ticks they were made."""

    def __init__(self) -> None:
        self.answers: dict[Metric, Reading] = {}
        self.asked: list[int] = []
        self.fails: Exception | None = None
        self.hangs = False

    async def __call__(self, at: int) -> Mapping[Metric, Reading]:
        self.asked.append(at)
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails is not None:
            raise self.fails
        return self.answers


class Bench:
    """Everything of one test."""

    def __init__(self, server: StreamServer, clock: Clock, feed: StreamFeed, rejects: Rejects, interval: int) -> None:
        self.server, self.clock, self.feed, self.rejects, self.rest = server, clock, feed, rejects, Rest()
        self.ticks = StreamedTicks(feed, interval, rejects)
        # What must not expire here is longer than any load; what is to expire is set by the test.
        self.ticks._grace, self.ticks._longest_answer = ENOUGH, ENOUGH
        self.symbols = (
            {BTC: "BTC/USD", ETH: "ETH/USD"} if isinstance(server, KrakenStreams) else {BTC: "BTCUSDT", ETH: "ETHUSDT"}
        )

    async def start(self) -> None:
        """Connect, and have both markets trusted, with REST in agreement."""
        for metric, price in ((BTC, "100"), (ETH, "10")):
            await self.server.publish(self.symbols[metric], price, "1")
            self.rest.answers[metric] = Reading(price, "5")
        self.ticks.follow(self.symbols)
        await self.wait_for(self.is_live)
        for metric, price in ((BTC, "100"), (ETH, "10")):
            await self.server.quote(self.symbols[metric], price, "5")
        await self.wait_for(lambda: all(market._ticker for market in self.feed._markets.values()))

    def is_live(self) -> bool:
        return any(each.current.live.is_set() for each in self.feed._slots)

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(ENOUGH):
            while not condition():
                await asyncio.sleep(0.01)

    async def tick(self, at: int, dead: frozenset[Metric] = frozenset()) -> dict[Metric, Reading]:
        self.clock.now = at + 0.01
        return await self.ticks.fetch(at, self.symbols, dead, self.rest)

    def expire_soon(self) -> None:
        """Let what is waited for now fail after a moment."""
        self.ticks._grace = self.ticks._longest_answer = 0.05


@asynccontextmanager
async def running(kind: type[StreamServer], interval: int = 1) -> AsyncIterator[Bench]:
    clock, rejects = Clock(), Rejects()
    server, app = kind(clock.wall), web.Application()
    app.add_routes(server.routes())
    protocol = KrakenStream() if kind is KrakenStreams else BinanceStream()
    async with serving(app) as base, ClientSession(connector=TCPConnector(limit=0)) as session:
        address = base.replace("http", "ws") + ("/v2" if kind is KrakenStreams else "")
        feed = StreamFeed(
            protocol, address, session, interval=interval, rejects=rejects, clocks=Clocks(clock.wall, clock.even)
        )
        try:
            yield Bench(server, clock, feed, rejects, interval)
        finally:
            tasks = list(feed._slots.values())
            feed.stop()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task


@pytest.fixture(params=[KrakenStreams, BinanceStreams])
async def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(slot, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(slot, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(connection, "WATCH_SECONDS", 0.01)
    monkeypatch.setattr(connection, "CLOSE_SECONDS", 0.05)
    monkeypatch.setattr(BinanceStream, "pause", 0.0)
    async with running(request.param) as opened:
        await opened.start()
        yield opened


async def checked(bench: Bench) -> None:
    """Pass the comparison that is due first."""
    await bench.tick(NOON + 2)
    assert bench.rest.asked == [NOON + 2]


async def test_ticks_are_answered_from_the_stream_without_a_request(bench: Bench):
    await checked(bench)
    bench.clock.now = NOON + 2.5
    await bench.server.publish(bench.symbols[BTC], "101.50", "0.25")
    await bench.server.publish(bench.symbols[BTC], "101.25", "0.50")
    readings = await bench.tick(NOON + 3)

    assert (readings[BTC].price, readings[BTC].volume, readings[BTC].interval_volume) == ("101.25", "5", "0.75")
    assert readings[ETH].interval_volume == "0"
    assert readings[BTC].provider_time == NOON + 3
    assert bench.rest.asked == [NOON + 2]


async def test_the_interval_volume_is_the_sum_of_trades_at_every_second(bench: Bench):
    await checked(bench)
    sums = []
    for second in range(3, 9):
        for part in range(second):
            bench.clock.now = NOON + second - 1 + part / 10
            await bench.server.publish(bench.symbols[BTC], "100", "0.1")
        sums.append((await bench.tick(NOON + second))[BTC].interval_volume)

    assert sums == ["0.3", "0.4", "0.5", "0.6", "0.7", "0.8"]


async def test_before_a_stream_is_live_requests_are_made():
    async with running(KrakenStreams) as bench:
        bench.server.status = 503
        bench.rest.answers = {BTC: Reading("1")}
        bench.ticks.follow(bench.symbols)

        assert await bench.tick(NOON + 1) == {BTC: Reading("1")}
        assert await bench.tick(NOON + 2) == {BTC: Reading("1")}
        assert bench.rest.asked == [NOON + 1, NOON + 2]


async def test_a_stream_that_stays_open_and_silent_is_found_at_the_next_tick(bench: Bench):
    await checked(bench)
    for each in bench.server.subscribers:
        each.is_silent = True
    await bench.server.publish(bench.symbols[BTC], "200", "1")
    bench.rest.answers[BTC] = Reading("200", "6")
    bench.ticks._grace = 0.05
    readings = await bench.tick(NOON + 3)

    assert bench.rest.asked == [NOON + 2, NOON + 3]
    assert readings[BTC] == Reading("200", "6")


async def test_a_silent_connection_is_given_up_and_another_one_opened(bench: Bench):
    await checked(bench)
    for each in bench.server.subscribers:
        each.is_silent = True
    bench.clock.steady += 16
    await bench.wait_for(lambda: bench.server.opened == 2 and bench.is_live())

    await bench.server.publish(bench.symbols[BTC], "102", "1")
    await bench.wait_for(lambda: market_price(bench, BTC) == "102")


async def test_a_stream_that_answers_pings_and_sends_nothing_is_found_by_a_market_that_should_have_moved(bench: Bench):
    await checked(bench)
    for part in range(200):
        bench.clock.now = NOON + 2 + part / 100
        await bench.server.publish(bench.symbols[BTC], "100", "1")
    await bench.tick(NOON + 4)
    assert bench.rest.asked == [NOON + 2]
    for each in bench.server.subscribers:
        each.is_frozen = True
    bench.clock.now = NOON + 4.2
    await bench.server.publish(bench.symbols[BTC], "200", "1")
    bench.rest.answers[BTC] = Reading("200", "6", provider_time=NOON + 6)
    found = [(await bench.tick(NOON + second))[BTC].price for second in (5, 6)]

    assert found[-1] == "200"


async def test_what_differs_from_rest_is_counted_and_the_value_of_rest_is_taken(bench: Bench):
    await checked(bench)
    bench.rest.answers[BTC] = Reading("150", "7", provider_time=NOON + 62)
    readings = await bench.tick(NOON + 62)

    assert readings[BTC] == Reading("150", "7", provider_time=NOON + 62)
    assert bench.rejects[DIFFERS] == 1
    (reject, *_) = [each for each in bench.rejects.list_newest() if each.reason == DIFFERS]
    assert (reject.metric, reject.text) == (BTC, "100 streamed, 150 by REST")
    # It is asked until something newer comes.
    await bench.tick(NOON + 63)
    assert bench.rest.asked[-1] == NOON + 63
    bench.clock.now = NOON + 63.5
    await bench.server.publish(bench.symbols[BTC], "151", "1")
    assert (await bench.tick(NOON + 64))[BTC].price == "151"
    assert bench.rest.asked[-1] == NOON + 63


async def test_an_answer_that_is_two_seconds_old_does_not_differ(bench: Bench):
    await checked(bench)
    bench.clock.now = NOON + 61
    await bench.server.publish(bench.symbols[BTC], "101", "1")
    bench.rest.answers[BTC] = Reading("100", "5", provider_time=NOON + 60)
    readings = await bench.tick(NOON + 62)

    assert readings[BTC].price == "101"
    assert bench.rejects[DIFFERS] == 0


async def test_an_answer_of_before_the_stream_began_says_nothing_about_it(bench: Bench):
    bench.clock.now = NOON + 1.5
    await bench.server.publish(bench.symbols[BTC], "101", "1")
    bench.rest.answers[BTC] = Reading("99", "5", provider_time=NOON + 1)
    readings = await bench.tick(NOON + 2)

    assert readings[BTC].price == "99"
    assert bench.rejects[DIFFERS] == 0


async def test_each_minute_everything_is_compared(bench: Bench):
    await checked(bench)
    for second in range(3, 130):
        await bench.tick(NOON + second)

    assert bench.rest.asked == [NOON + 2, NOON + 62, NOON + 122]


async def test_the_24_hour_volume_of_a_quiet_market_is_that_of_rest(bench: Bench):
    await checked(bench)
    bench.rest.answers[BTC] = Reading("100", "4.5")
    await bench.tick(NOON + 62)

    assert (await bench.tick(NOON + 63))[BTC].volume == "4.5"


async def test_a_cut_is_bridged_by_requests_and_never_gives_a_wrong_interval_volume(bench: Bench):
    await checked(bench)
    bench.clock.now = NOON + 2.5
    await bench.server.publish(bench.symbols[BTC], "101", "1")
    assert (await bench.tick(NOON + 3))[BTC].interval_volume == "1"
    bench.server.status = 503
    await bench.server.cut()
    await bench.wait_for(lambda: not bench.is_live())
    bench.clock.now = NOON + 3.5
    await bench.server.publish(bench.symbols[BTC], "102", "2")
    bench.rest.answers[BTC] = Reading("102", "8", interval_volume="2")

    assert (await bench.tick(NOON + 4))[BTC] == Reading("102", "8", interval_volume="2")
    bench.server.status = 101
    bench.clock.now = NOON + 4.2
    await bench.wait_for(bench.is_live)
    bench.clock.now = NOON + 4.5
    await bench.server.publish(bench.symbols[BTC], "103", "4")
    await bench.wait_for(lambda: market_price(bench, BTC) == "103")
    bench.rest.answers[BTC] = Reading("103", "8")
    after = [(await bench.tick(NOON + second))[BTC].interval_volume for second in (5, 6, 7)]

    # Kraken tells what was traded meanwhile; of Binance it is unknown until a whole interval was delivered.
    assert after[0] == ("4" if isinstance(bench.server, KrakenStreams) else None)
    assert after[2] == "0"


async def test_a_lost_trade_leaves_its_interval_without_a_volume_and_is_counted(bench: Bench):
    await checked(bench)
    bench.clock.now = NOON + 2.3
    await bench.server.publish(bench.symbols[BTC], "100", "1")
    await bench.server.publish(bench.symbols[BTC], "100", "1", lost=True)
    await bench.server.publish(bench.symbols[BTC], "100", "1")
    volumes = [(await bench.tick(NOON + second))[BTC].interval_volume for second in (3, 4, 5)]

    assert volumes == [None, "0", "0"]
    assert bench.rejects[LOST] == 1


async def test_trades_out_of_order_and_twice_are_counted_once_each(bench: Bench):
    await checked(bench)
    bench.clock.now = NOON + 2.3
    symbol = bench.symbols[BTC]
    await bench.server.publish(symbol, "100", "8")
    for amount in ("1", "2", "4"):
        await bench.server.publish(symbol, "100", amount, lost=True)
    for place in (-1, -3, -3, -2, -1):
        await bench.server.send(bench.server.traded[symbol][place])

    assert (await bench.tick(NOON + 3))[BTC].interval_volume == "15"


async def test_a_trade_that_comes_after_its_tick_is_counted(bench: Bench):
    await checked(bench)
    bench.clock.now = NOON + 2.3
    symbol = bench.symbols[BTC]
    await bench.server.publish(symbol, "100", "1", lost=True)
    await bench.tick(NOON + 3)
    await bench.server.send(bench.server.traded[symbol][-1])
    await bench.tick(NOON + 4)

    assert bench.rejects[LATE] == 1


async def test_garbage_frames_are_counted_and_cost_nothing_else(bench: Bench):
    await checked(bench)
    for garbage in (
        "{",
        "null",
        '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD"}]}',
        '{"data":{"e":"trade"}}',
    ):
        await bench.server.send_text(garbage)
    bench.clock.now = NOON + 2.5
    await bench.server.publish(bench.symbols[BTC], "101", "1")

    assert (await bench.tick(NOON + 3))[BTC].price == "101"
    assert bench.rejects["unreadable frame"] >= 2
    assert bench.server.opened == 1


async def test_a_market_that_is_refused_is_asked_by_rest_while_others_are_streamed():
    async with running(KrakenStreams) as bench:
        bench.server.refused = {"ETH/USD"}
        await bench.server.publish("BTC/USD", "100", "1")
        bench.rest.answers = {BTC: Reading("100", "0"), ETH: Reading("10")}
        bench.ticks.follow(bench.symbols)
        await bench.wait_for(bench.is_live)
        await bench.tick(NOON + 2)
        readings = await bench.tick(NOON + 3)

        assert readings[ETH] == Reading("10")
        assert readings[BTC].interval_volume == "0"
        assert bench.rest.asked == [NOON + 2, NOON + 3]
        assert bench.rejects["subscription refused"] == 1


async def test_a_market_that_is_dead_is_no_reason_to_ask():
    async with running(KrakenStreams) as bench:
        await bench.server.publish("BTC/USD", "100", "1")
        bench.rest.answers = {BTC: Reading("100", "0")}
        bench.ticks.follow(bench.symbols)
        await bench.wait_for(bench.is_live)
        for second in (2, 3):
            await bench.tick(NOON + second, frozenset({ETH}))

        assert bench.rest.asked == [NOON + 2]


async def test_a_market_that_a_stream_leaves_out_is_asked_by_rest_and_its_connection_replaced():
    async with running(KrakenStreams) as bench:
        bench.server.ignored = {"ETH/USD"}
        await bench.server.publish("BTC/USD", "100", "1")
        bench.rest.answers = {BTC: Reading("100", "0"), ETH: Reading("10")}
        bench.ticks.follow(bench.symbols)
        await bench.wait_for(bench.is_live)

        assert (await bench.tick(NOON + 2))[ETH] == Reading("10")


async def test_rest_that_fails_does_not_cost_what_was_streamed(bench: Bench):
    await checked(bench)
    bench.rest.fails = SourceRefused("too often", 30)
    readings = [await bench.tick(NOON + second) for second in (62, 63)]

    assert [each[BTC].price for each in readings] == ["100", "100"]
    assert bench.rest.asked == [NOON + 2, NOON + 62]
    assert bench.rejects["no answer by REST (refused)"] == 1


async def test_rest_that_hangs_does_not_cost_what_was_streamed(bench: Bench):
    await checked(bench)
    bench.rest.hangs = True
    bench.ticks._longest_answer = 0.05

    assert (await bench.tick(NOON + 62))[BTC].price == "100"
    assert bench.rejects["no answer by REST (too slow)"] == 1


async def test_where_both_fail_the_failure_of_rest_is_told():
    async with running(KrakenStreams) as bench:
        bench.rest.fails = SourceUnreachable("gone")
        with pytest.raises(SourceUnreachable, match="gone"):
            await bench.tick(NOON + 1)


async def test_a_connection_is_replaced_before_the_cut_and_no_trade_is_missed(bench: Bench):
    await checked(bench)
    first = next(iter(bench.feed._slots)).current
    assert first._state is not None
    first._state.opened_at -= 23 * 3600
    await bench.wait_for(lambda: next(iter(bench.feed._slots)).current is not first)
    bench.clock.now = NOON + 2.5
    await bench.server.publish(bench.symbols[BTC], "101", "1")
    await bench.wait_for(lambda: len(bench.server.subscribers) == 1)
    await bench.server.publish(bench.symbols[BTC], "102", "2")
    readings = await bench.tick(NOON + 3)

    assert (bench.server.opened, readings[BTC].price, readings[BTC].interval_volume) == (2, "102", "3")
    assert bench.rest.asked == [NOON + 2]


async def test_other_markets_are_followed_without_a_gap(bench: Bench):
    await checked(bench)
    before = next(iter(bench.feed._slots))
    bench.ticks.follow({BTC: bench.symbols[BTC]})
    del bench.symbols[ETH]
    await bench.wait_for(lambda: before not in bench.feed._slots)
    bench.clock.now = NOON + 2.5
    await bench.server.publish(bench.symbols[BTC], "101", "1")

    assert (await bench.tick(NOON + 3))[BTC].interval_volume == "1"


ONE = NOON + HOUR
"""The first hour that begins while the streams deliver."""


async def trade_an_hour(bench: Bench, *, lost: bool = False) -> None:
    """Trade around and in the hour of `ONE`, and let ticks show that everything of it has come."""
    await checked(bench)
    trades = [
        (-0.5, "90", "7"),
        (0, "101.50", "0.25"),
        (1800, "99.00", "1.5"),
        (1801, "103.25", "1"),
        (3599.9, "102", "2"),
    ]
    for place, (second, price, amount) in enumerate([*trades, (3600, "500", "9")]):
        bench.clock.now = ONE + second
        await bench.server.publish(bench.symbols[BTC], price, amount, lost=lost and place == 2)
    bench.rest.answers[BTC] = Reading("500", "5")
    await bench.tick(ONE + HOUR + 1)


async def test_an_hour_of_which_every_trade_came_is_the_exchanges_candle(bench: Bench):
    await trade_an_hour(bench)

    found = [bench.ticks.find_hour(BTC, ONE + place * HOUR) for place in (-2, 0, 1)]

    assert found == [None, Candle(ONE, "101.50", "103.25", "99.00", "102", "4.75"), None]
    assert bench.ticks.find_hour(ETH, ONE) is None, "without a trade the exchange says which candle there is"
    assert bench.ticks.find_hour(Metric("X:XRPUSD"), ONE) is None


async def test_an_hour_of_which_a_trade_was_lost_is_asked_for(bench: Bench):
    await trade_an_hour(bench, lost=True)
    await bench.tick(ONE + HOUR + 2)

    assert bench.rejects[LOST] == 1
    assert bench.ticks.find_hour(BTC, ONE) is None


async def test_an_hour_in_which_the_stream_was_cut_is_asked_for(bench: Bench):
    await checked(bench)
    bench.clock.now = ONE + 10
    await bench.server.publish(bench.symbols[BTC], "101", "1")
    await bench.tick(ONE + 11)
    bench.server.status = 503
    await bench.server.cut()
    await bench.wait_for(lambda: not bench.is_live())
    bench.clock.now = ONE + 1000
    for _ in range(60):  # more than a subscription begins with
        await bench.server.publish(bench.symbols[BTC], "102", "1")
    bench.server.status = 101
    await bench.wait_for(bench.is_live)
    bench.clock.now = ONE + 2000
    await bench.server.publish(bench.symbols[BTC], "103", "1")
    await bench.wait_for(lambda: market_price(bench, BTC) == "103")
    bench.rest.answers[BTC] = Reading("103", "8")
    await bench.tick(ONE + HOUR + 1)

    assert bench.ticks.find_hour(BTC, ONE) is None


async def test_an_hour_in_which_the_stream_differed_from_rest_is_asked_for(bench: Bench):
    await checked(bench)
    bench.clock.now = ONE + 10
    await bench.server.publish(bench.symbols[BTC], "101", "1")
    bench.rest.answers[BTC] = Reading("150", "7", provider_time=ONE + 100)
    await bench.tick(ONE + 100)
    assert bench.rejects[DIFFERS] == 1
    bench.clock.now = ONE + 200
    await bench.server.publish(bench.symbols[BTC], "151", "1")
    bench.rest.answers[BTC] = Reading("151", "7")
    await bench.tick(ONE + HOUR + 1)

    assert bench.ticks.find_hour(BTC, ONE) is None


def market_price(bench: Bench, metric: Metric) -> str | None:
    market = bench.feed.find_market(metric)
    return None if market is None else market.price
