"""
Answers as Coinbase Exchange does. The shape of a ticker and of candles is recorded; prices and volumes are those that
Cryptowatch recorded of its markets (`coinbase`). Candles come newest first, and a minute without a trade has none.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from aiohttp import web

from tests.support.loopback.market import DAY, HOUR, MINUTE, Bar, Market, text
from tests.support.loopback.recordings import Recordings
from v1.numbers import exact_json

QUOTES = ("usdt", "usdc", "usd", "eur", "gbp", "btc", "eth")
LENGTHS = {"60": MINUTE, "3600": HOUR}
MOST = 300
"""Candles of a request."""


class Coinbase:
    def __init__(self, found: Recordings, now: Callable[[], float]) -> None:
        self._now = now
        self._markets = _markets(found)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/time", self.time),
            web.get("/products", self.products),
            web.get("/products/{product}/ticker", self.ticker),
            web.get("/products/{product}/candles", self.candles),
        ]

    async def time(self, _: web.Request) -> web.Response:
        return web.json_response({"iso": _iso(self._now()), "epoch": self._now()})

    async def products(self, _: web.Request) -> web.Response:
        rows = [_product(name, "online") for name in self._markets]
        return web.json_response([*rows, _product("OLD-USD", "delisted")])

    async def ticker(self, request: web.Request) -> web.Response:
        market = self._markets.get(request.match_info["product"])
        if market is None:
            return _refused(404, "NotFound")
        now = int(self._now())
        price = text(market.price(now))
        body = {
            "ask": price,
            "bid": price,
            "volume": text(market.traded(now - DAY, now)),
            "trade_id": 18502105,
            "price": price,
            "size": "0.00730812",
            "time": _iso(now - 7),
            "rfq_volume": "7.669923",
        }
        return web.json_response(body)

    async def candles(self, request: web.Request) -> web.Response:
        market, length = self._markets.get(request.match_info["product"]), LENGTHS.get(request.query["granularity"])
        if market is None:
            return _refused(404, "NotFound")
        if length is None:
            return _refused(400, "Unsupported granularity")
        first, last = (int(datetime.fromisoformat(request.query[name]).timestamp()) for name in ("start", "end"))
        starts = range(-(-first // length) * length, min(last, int(self._now())) + 1, length)
        if len(starts) > MOST:
            return _refused(
                400, "granularity too small for the requested time range. Count of aggregations requested exceeds 300"
            )
        bars = [market.candle(start, length) for start in reversed(starts)]
        rows = [_row(bar) for bar in bars if bar.volume]
        return web.Response(text=exact_json.dumps(rows), content_type="application/json")


def _product(name: str, status: str) -> dict[str, Any]:
    base, _, quote = name.partition("-")
    return {
        "id": name,
        "base_currency": base,
        "quote_currency": quote,
        "display_name": name.replace("-", "/"),
        "status": status,
        "status_message": "",
        "trading_disabled": False,
    }


def _row(bar: Bar) -> list[Any]:
    numbers = (bar.low, bar.high, bar.open, bar.close, bar.volume)
    return [bar.start, *[exact_json.Digits(text(number)) for number in numbers]]


def _refused(status: int, said: str) -> web.Response:
    return web.json_response({"message": said}, status=status)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%S.271Z")


@cache
def _markets(found: Recordings) -> dict[str, Market]:
    markets = {}
    for name, summary in found.summaries.items():
        exchange, _, pair = name.partition(":")
        quote = next((quote for quote in QUOTES if pair.endswith(quote) and pair != quote), None)
        if exchange == "coinbase" and quote:
            product = f"{pair.removesuffix(quote)}-{quote}".upper()
            markets[product] = Market(name, str(summary["price"]["last"]), str(summary["volume"]))
    return markets
