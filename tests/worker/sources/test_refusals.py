"""What providers refuse, and in which words: one bad name costs no other, a ban is waited out, packed answers are named."""

import asyncio
import sys
from collections.abc import Callable
from email.utils import formatdate

import brotli
import pytest
from aiohttp import ClientSession, web

from tests.support.loopback import ASKED, FAULTS
from tests.support.loopback.faults import Fault, says
from tests.worker.sources.conftest import MORNING
from worker.latest import DAY, MINUTE, Metric
from worker.sources.binance import BinanceSource, make_refusal
from worker.sources.errors import LONGEST_WAIT, InvalidResponse, RequestRefused, SourceRefused, read_retry_after
from worker.sources.kraken import KrakenSource

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BTC = Metric("BINANCE:BTCUSDT")
DAY_PATH, WINDOW, TICKER = "/api/v3/ticker/24hr", "/api/v3/ticker", "/0/public/Ticker"
ILLEGAL = {"code": -1100, "msg": "Illegal characters found in parameter 'symbols'; legal range is '...'."}


def by_name(status: int, body: object, parameter: str, name: str = "") -> Fault:
    """Refuse a list of names that has `name` in it; let everything else through."""

    async def fault(request: web.Request) -> web.StreamResponse | None:
        listed = request.query.get(parameter)
        return await says(body, status)(request) if listed is not None and name in listed else None

    return fault


@pytest.mark.parametrize(
    "status, body",
    [
        pytest.param(400, ILLEGAL, id="illegal characters"),
        pytest.param(400, {"code": -1121, "msg": "Invalid symbol."}, id="a symbol that is not there"),
        pytest.param(400, {"code": -1130, "msg": "Data sent for parameter is not valid."}, id="not valid"),
        pytest.param(400, "<html>", id="words of a gateway"),
        pytest.param(414, {}, id="an address that is too long"),
        pytest.param(404, {}, id="not found"),
    ],
)
async def test_whatever_one_symbol_of_a_list_causes_costs_the_others_nothing(
    app: web.Application, base: str, session: ClientSession, status: int, body: object
):
    source = BinanceSource(base, (BTC, Metric("BINANCE:ETHUSDT")), MINUTE)
    await source.open(session)
    app[FAULTS][DAY_PATH] = by_name(status, body, "symbols")

    first, second = await source.fetch(session, MORNING), await source.fetch(session, MORNING + MINUTE)

    assert first.keys() == second.keys() == {BTC, "BINANCE:ETHUSDT"}
    listed = ["symbols" in request.query for request in app[ASKED] if request.path == DAY_PATH]
    assert listed == [True, False, False]


async def test_where_the_whole_list_is_refused_too_names_are_asked_for_again(
    app: web.Application, base: str, session: ClientSession
):
    source = BinanceSource(base, (BTC,), MINUTE)
    await source.open(session)
    app[FAULTS][DAY_PATH] = says(ILLEGAL, 400)
    with pytest.raises(RequestRefused, match="-1100"):
        await source.fetch(session, MORNING)
    del app[FAULTS][DAY_PATH]

    assert (await source.fetch(session, MORNING + MINUTE)).keys() == {BTC}
    assert "symbols" in [request.query for request in app[ASKED] if request.path == DAY_PATH][-1]


async def test_one_symbol_that_is_refused_costs_no_other_its_interval_volume_and_is_found_once(
    app: web.Application, base: str, session: ClientSession
):
    source = BinanceSource(base, ("BINANCE:*",), MINUTE)
    await source.open(session)
    app[FAULTS][WINDOW] = by_name(400, ILLEGAL, "symbols", '"BNBBTC"')

    first = await source.fetch(session, MORNING)
    asked = len(app[ASKED])
    second = await source.fetch(session, MORNING)

    bad = Metric("BINANCE:BNBBTC")
    for readings in (first, second):
        assert readings[bad].interval_volume is None
        assert readings[BTC].interval_volume is not None
    assert sum(reading.interval_volume is not None for reading in first.values()) >= 999
    assert len(app[ASKED]) - asked == 11, "one call for all prices, ten for windows"


@pytest.mark.parametrize(
    "said", ["EQuery:Invalid asset pair", "EQuery:Unknown asset pair", "EGeneral:Invalid arguments"]
)
async def test_a_pair_that_kraken_refuses_costs_the_others_nothing(
    app: web.Application, base: str, session: ClientSession, said: str
):
    source = KrakenSource(base, ("KRAKEN:BTCUSD", "KRAKEN:ETHUSD"), MINUTE)
    await source.open(session)
    app[FAULTS][TICKER] = by_name(200, {"error": [said]}, "pair")

    first, second = await source.fetch(session, MORNING), await source.fetch(session, MORNING + MINUTE)

    assert first.keys() == second.keys() == {"KRAKEN:BTCUSD", "KRAKEN:ETHUSD"}


@pytest.mark.parametrize("said", ["EService:Unavailable", "EGeneral:Internal error", "EAPI:Rate limit exceeded"])
async def test_what_kraken_says_of_itself_is_not_asked_in_other_words(
    app: web.Application, base: str, session: ClientSession, said: str
):
    source = KrakenSource(base, ("KRAKEN:BTCUSD",), MINUTE)
    await source.open(session)
    app[FAULTS][TICKER] = says({"error": [said]})

    with pytest.raises(SourceRefused):
        await source.fetch(session, MORNING)

    assert len([request for request in app[ASKED] if request.path == TICKER]) == 1


NOW = 1_795_811_764


@pytest.mark.parametrize(
    "status, said, wait",
    [
        (418, "Way too many requests; IP(203.0.113.7) banned until 1795812064784. Please use the websocket.", 301),
        (429, "Way too much request weight used; IP banned until 1795812064784.", 301),
        (403, "IP banned until 1795812064784", 301),
        (418, "IP banned until 1795812064", 300),
        (418, "IP banned until 1795811000000", 1),
        (418, f"IP banned until {(NOW + 40 * DAY) * 1000}", LONGEST_WAIT),
        (418, "IP banned until 9999999999999999", LONGEST_WAIT),
        (418, "IP banned until further notice", 120),
        (429, "Too many requests.", 60),
        (200, "Too many requests.", 60),
    ],
)
def test_a_ban_lasts_as_long_as_its_words_say(status: int, said: str, wait: int):
    error = make_refusal(status, {"code": "-1003", "msg": said}, None, "klines", float(NOW))

    assert error.wait == wait


def test_a_header_says_better_how_long_a_ban_lasts():
    assert (
        make_refusal(418, {"code": "-1003", "msg": "banned until 1795812064784"}, 17, "klines", float(NOW)).wait == 17
    )


async def test_a_ban_is_measured_by_the_clock_of_whoever_says_it(
    app: web.Application, base: str, session: ClientSession
):
    source = BinanceSource(base, (BTC,), MINUTE)
    await source.open(session)
    body = {"code": -1003, "msg": "Way too many requests; IP banned until 1795812064784."}
    app[FAULTS][DAY_PATH] = says(body, 418, Date=formatdate(NOW, usegmt=True))

    with pytest.raises(SourceRefused) as caught:
        await source.fetch(session, MORNING)

    assert caught.value.wait == 301  # not a millisecond too early


@pytest.mark.parametrize(
    "after, wait",
    [
        ("7", 7),
        ("0", 1),
        ("999999999999", LONGEST_WAIT),
        (formatdate(NOW + 90, usegmt=True), 90),
        (formatdate(NOW - 90, usegmt=True), 1),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_how_long_to_stay_away_may_be_seconds_or_a_date_and_is_bounded(after: str, wait: int | None):
    assert read_retry_after({"Retry-After": after, "Date": formatdate(NOW, usegmt=True)}) == wait


@pytest.mark.parametrize("encoding, pack", [("br", brotli.compress), ("zstd", zstd.compress)])
async def test_an_answer_in_an_encoding_of_today_is_read(
    app: web.Application, base: str, session: ClientSession, encoding: str, pack: Callable[[bytes], bytes]
):
    source = KrakenSource(base, ("KRAKEN:BTCUSD",), MINUTE)
    await source.open(session)
    plain = await source.fetch(session, MORNING)
    async with session.get(f"{base}{TICKER}") as answer:
        body = await answer.read()

    async def packed(_: web.Request) -> web.StreamResponse:
        return web.Response(body=pack(body), headers={"Content-Encoding": encoding, "Content-Type": "application/json"})

    app[FAULTS][TICKER] = packed

    # Nor does it say when it was made.
    undated = {metric: reading._replace(provider_time=None) for metric, reading in plain.items()}
    assert await source.fetch(session, MORNING) == undated


async def test_an_answer_in_an_encoding_that_was_not_asked_for_is_named(
    app: web.Application, base: str, session: ClientSession
):
    encoding = "snappy"
    source = KrakenSource(base, ("KRAKEN:BTCUSD",), MINUTE)
    await source.open(session)

    async def packed(_: web.Request) -> web.StreamResponse:
        headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
        return web.Response(body=b"\x8b\x02\x80{}\x03", headers=headers)

    app[FAULTS][TICKER] = packed

    with pytest.raises(InvalidResponse, match=f"answered in encoding {encoding}, which was not asked for"):
        await source.fetch(session, MORNING)


async def test_an_answer_that_is_not_packed_as_it_says_is_named(
    app: web.Application, base: str, session: ClientSession
):
    source = KrakenSource(base, ("KRAKEN:BTCUSD",), MINUTE)
    await source.open(session)

    async def packed(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"{}", headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})

    app[FAULTS][TICKER] = packed

    with pytest.raises(InvalidResponse, match="kraken sent an answer that is not gzip"):
        await source.fetch(session, MORNING)


async def test_what_is_no_answer_of_http_is_not_called_a_status(session: ClientSession):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(InvalidResponse, match="kraken sent what is not HTTP"):
            await KrakenSource(f"http://127.0.0.1:{port}", ("KRAKEN:BTCUSD",), MINUTE).open(session)
