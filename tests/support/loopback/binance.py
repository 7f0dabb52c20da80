"""
Answers as Binance does, and weighs what is asked. Recorded are the symbols; the rows have the shape of the
documentation's example, and the prices and volumes that Cryptowatch recorded of Binance's markets.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any
from zlib import crc32

from aiohttp import web

from tests.support.loopback.market import DAY, HOUR, MINUTE, Bar, Market, text
from tests.support.loopback.recordings import Json, Recordings

LIMIT = 6000
"""Weight a minute, of today; the recording is of 2021 and says 1200."""
LENGTHS = {"1s": 1, "1m": MINUTE, "1h": HOUR}
WINDOWS = {f"{minutes}m": minutes * MINUTE for minutes in range(1, 60)} | {"1h": 3600}


class Binance:
    def __init__(self, found: Recordings, now: Callable[[], float]) -> None:
        self._now = now
        limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": LIMIT}]
        self._info = {**found.binance_info, "rateLimits": limits}
        self._markets = _markets(found)
        self._used = {0: 0}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/v3/time", self.time),
            web.get("/api/v3/exchangeInfo", self.exchange_info),
            web.get("/api/v3/ticker/24hr", self.day),
            web.get("/api/v3/ticker", self.window),
            web.get("/api/v3/klines", self.klines),
        ]

    async def time(self, _: web.Request) -> web.Response:
        return self._answer({"serverTime": self._ms()}, 1)

    async def exchange_info(self, _: web.Request) -> web.Response:
        return self._answer({**self._info, "serverTime": self._ms()}, 20)

    async def day(self, request: web.Request) -> web.Response:
        symbols = self._symbols(request)
        if symbols is None:
            return _error(-1121, "Invalid symbol.")
        now = self._now()
        weight = 80 if "symbols" not in request.query or len(symbols) > 100 else 40 if len(symbols) > 20 else 2
        return self._answer([_statistics(symbol, self._markets[symbol], now - DAY, now) for symbol in symbols], weight)

    async def window(self, request: web.Request) -> web.Response:
        symbols, size = self._symbols(request), WINDOWS.get(request.query.get("windowSize", ""))
        if "symbols" not in request.query:
            return _error(-1102, "Mandatory parameter 'symbols' was not sent, was empty/null, or malformed.")
        if symbols is None:
            return _error(-1121, "Invalid symbol.")
        if len(symbols) > 100:
            return _error(-1101, "Too many values sent for parameter 'symbols', maximum allowed up to 100.")
        if size is None:
            return _error(-1100, "Illegal characters found in parameter 'windowSize'.")
        now = self._now()
        opened = (now - size) // MINUTE * MINUTE
        rows = [_statistics(symbol, self._markets[symbol], opened, now) for symbol in symbols]
        return self._answer(rows, min(4 * len(symbols), 200))

    async def klines(self, request: web.Request) -> web.Response:
        market = self._markets.get(request.query.get("symbol", ""))
        if market is None:
            return _error(-1121, "Invalid symbol.")
        length = LENGTHS.get(request.query.get("interval", ""))
        if length is None:
            return _error(-1120, "Invalid interval.")
        first = -(-int(request.query["startTime"]) // (length * 1000)) * length
        last = min(int(request.query.get("endTime", self._ms())), self._ms()) // 1000
        most = min(int(request.query.get("limit", "500")), 1000)
        starts = list(range(first, last + 1, length))[:most]
        return self._answer([_kline(market.candle(start, length), length) for start in starts], 2)

    def _symbols(self, request: web.Request) -> list[str] | None:
        """Return what is asked for, all of none; `None` where one of it does not exist."""
        asked = request.query.get("symbols")
        symbols = json.loads(asked) if asked else list(self._markets)
        return symbols if all(symbol in self._markets for symbol in symbols) else None

    def _answer(self, body: Any, weight: int) -> web.Response:
        """Answer, unless the minute's weight is used up."""
        now = self._now()
        minute = int(now // MINUTE)
        self._used = {minute: self._used.get(minute, 0) + weight}
        headers = {"X-MBX-USED-WEIGHT-1M": f"{self._used[minute]}"}
        if self._used[minute] > LIMIT:
            said = f"Too much request weight used; current limit is {LIMIT} request weight per 1 MINUTE."
            return _error(-1003, said, 429, headers | {"Retry-After": f"{MINUTE - int(now) % MINUTE}"})
        return web.json_response(body, headers=headers)

    def _ms(self) -> int:
        return int(self._now() * 1000)


def _error(code: int, said: str, status: int = 400, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"code": code, "msg": said}, status=status, headers=headers)


@cache
def _markets(found: Recordings) -> dict[str, Market]:
    return {row["symbol"]: _market(row, found) for row in found.binance_info["symbols"]}


def _market(row: Json, found: Recordings) -> Market:
    """Make a symbol's market: with the recorded price, with an invented one where none is, or halted."""
    name = f"binance:{row['symbol'].lower()}"
    summary = found.summaries.get(name)
    if row["status"] != "TRADING":
        return Market(name, "0.00000000", "0")
    if summary is None:
        seed = crc32(name.encode())
        return Market(name, f"{Decimal(seed % 9000 + 1000).scaleb(-(seed % 7)):.8f}", f"{seed % 100_000}")
    return Market(name, f"{Decimal(str(summary['price']['last'])):.8f}", str(summary["volume"]))


def _statistics(symbol: str, market: Market, opened: float, now: float) -> Json:
    first, last = market.price(int(opened)), market.price(int(now))
    volume = market.traded(opened, now)
    percent = (last - first) / first * 100 if first else Decimal(0)
    return {
        "symbol": symbol,
        "priceChange": text(last - first),
        "priceChangePercent": f"{percent:.3f}",
        "weightedAvgPrice": text(last),
        "prevClosePrice": text(first),
        "lastPrice": text(last),
        "lastQty": "0.00100000",
        "bidPrice": text(last),
        "bidQty": "0.00100000",
        "askPrice": text(last),
        "askQty": "0.00100000",
        "openPrice": text(first),
        "highPrice": text(max(first, last)),
        "lowPrice": text(min(first, last)),
        "volume": text(volume),
        "quoteVolume": f"{volume * last:.8f}",
        "openTime": int(opened * 1000),
        "closeTime": int(now * 1000),
        "firstId": 28385,
        "lastId": 28460,
        "count": 76,
    }


def _kline(bar: Bar, length: int) -> list[Any]:
    prices = [text(price) for price in bar[1:5]]
    quote = f"{bar.volume * bar.close:.8f}"
    return [bar.start * 1000, *prices, text(bar.volume), (bar.start + length) * 1000 - 1, quote, 1, "0", "0", "0"]
