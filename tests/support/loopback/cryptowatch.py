"""
Answers as Cryptowatch did: all 14,462 recorded summaries, those of living markets moved on to the present,
the dead ones as they were. Every call costs, and an anonymous client runs out.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

from aiohttp import web

from tests.support.loopback.market import DAY, Bar, Market
from tests.support.loopback.recordings import Json, Recordings

COST = 0.015
MOST_ROWS = 1000
UPGRADE = "For unlimited API access, create an account at https://cryptowat.ch"


class Cryptowatch:
    def __init__(self, found: Recordings, now: Callable[[], float], allowance: float) -> None:
        self._now = now
        self._remaining = allowance
        self._summaries = found.summaries
        self._found = found
        self._exchanges = {name.partition(":")[0] for name in found.summaries}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/markets/summaries", self.summaries),
            web.get("/markets/{exchange}/{pair}/ohlc", self.ohlc),
        ]

    async def summaries(self, request: web.Request) -> web.Response:
        names = list(self._summaries)
        try:
            first = int(urlsafe_b64decode(request.query.get("cursor", "") or "MA=="))
            until = first + int(request.query.get("limit", len(names)))
        except (NotBase64, ValueError):
            return self._answer(request, {"error": "Bad cursor or limit"}, 400)
        moved = _moved(self._found, int(self._now()))
        result = {name: moved[name] for name in names[first:until]}
        cursor = {"last": urlsafe_b64encode(b"%d" % until).decode(), "hasMore": until < len(names)}
        return self._answer(request, {"result": result, "cursor": cursor})

    async def ohlc(self, request: web.Request) -> web.Response:
        exchange, pair = request.match_info["exchange"].lower(), request.match_info["pair"].lower()
        if f"{exchange}:{pair}" not in self._summaries:
            known = exchange in self._exchanges
            return self._answer(request, {"error": f"{'Instrument' if known else 'Exchange'} not found"}, 404)
        market = _markets(self._found)[f"{exchange}:{pair}"]
        # Closing times. The newest candle is still running, so its closing time is to come.
        periods = request.query.get("periods", "60")
        length = int(periods)
        newest = (int(self._now()) // length + 1) * length
        after = max(int(request.query.get("after", 0)), newest - 10 * DAY)
        before = min(int(request.query.get("before", newest)), newest)
        closes = range(-(-after // length) * length, before + 1, length)
        rows = [row for close in closes if (row := _row(market.candle(close - length, length), close))][-MOST_ROWS:]
        return self._answer(request, {"result": {periods: rows}})

    def _answer(self, request: web.Request, body: Json, status: int = 200) -> web.Response:
        has_key = "X-CW-API-Key" in request.headers or "apikey" in request.query
        if has_key:
            account = "00000000-0000-4000-8000-000000000000"
            allowance: Json = {"cost": 0, "remaining": 10, "remainingPaid": 9999999999, "account": account}
        elif self._remaining < COST:
            return _compact({"error": "Out of allowance"}, 429)
        else:
            self._remaining = round(self._remaining - COST, 3)
            allowance = {"cost": COST, "remaining": self._remaining, "upgrade": UPGRADE}
        return _compact({**body, "allowance": allowance}, status)


def _compact(body: Json, status: int) -> web.Response:
    text = json.dumps(body, separators=(",", ":")) + "\n"
    return web.Response(body=text.encode(), status=status, headers={"Content-Type": "application/json"})


@cache
def _markets(found: Recordings) -> dict[str, Market]:
    return {
        name: Market(name, str(row["price"]["last"]), str(row.get("volumeBase", row["volume"])))
        for name, row in found.summaries.items()
    }


@lru_cache(maxsize=4)
def _moved(found: Recordings, second: int) -> dict[str, Json]:
    return {name: _summary(found.summaries[name], market, second) for name, market in _markets(found).items()}


def _summary(recorded: Json, market: Market, second: int) -> Json:
    if market.is_dead:
        return recorded
    last, opened = market.price(second), market.price(second - DAY)
    volume = float(market.traded(second - DAY, second))
    change = {"percentage": float((last - opened) / opened), "absolute": float(last - opened)}
    price = {"last": float(last), "high": float(max(last, opened)), "low": float(min(last, opened)), "change": change}
    return {**recorded, "price": price, "volume": volume, "volumeBase": volume, "volumeQuote": volume * float(last)}


def _row(bar: Bar, close: int) -> list[Any] | None:
    """Make a row; a minute without a trade has none."""
    if not bar.volume:
        return None
    prices = [float(price) for price in bar[1:5]]
    return [close, *prices, float(bar.volume), float(bar.volume * bar.close)]
