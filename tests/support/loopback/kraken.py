"""
Answers as Kraken does. Recorded is one pair; the other rows have its shape, and the names, prices and
volumes that Cryptowatch recorded of Kraken's markets. Kraken's traps are kept: see `_pairs`.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cache
from typing import Any, NamedTuple

from aiohttp import web

from tests.support.loopback.market import DAY, HOUR, MINUTE, Bar, Market, text
from tests.support.loopback.recordings import Json, Recordings

QUOTES = ("usdt", "usdc", "usd", "eur", "gbp", "cad", "aud", "chf", "jpy", "btc", "eth", "dai", "dot")
OLD = {"btc": "XXBT", "eth": "XETH", "xrp": "XXRP", "ltc": "XLTC", "xlm": "XXLM", "xmr": "XXMR", "zec": "XZEC"}
OLD |= {"etc": "XETC", "rep": "XREP", "mln": "XMLN", "usd": "ZUSD", "eur": "ZEUR", "gbp": "ZGBP", "cad": "ZCAD"}
THEIRS = {"btc": "XBT", "doge": "XDG"}
ROWS = 720
LENGTHS = {"1": MINUTE, "60": HOUR}


class Pair(NamedTuple):
    key: str
    row: Json
    market: Market


class Kraken:
    def __init__(self, found: Recordings, now: Callable[[], float]) -> None:
        self._now = now
        self._pairs = {pair.key: pair for pair in _pairs(found)}
        self._dark = {"XXBTZUSD.d": {**found.kraken_pair, "altname": "XBTUSD.d", "base": "XXBT", "quote": "ZUSD"}}
        del self._dark["XXBTZUSD.d"]["wsname"]
        self._spelt = {
            spelling: pair
            for pair in self._pairs.values()
            for spelling in (pair.key, pair.row["altname"], pair.row["wsname"])
        }

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/0/public/SystemStatus", self.system_status),
            web.get("/0/public/Assets", self.assets),
            web.get("/0/public/AssetPairs", self.asset_pairs),
            web.get("/0/public/Ticker", self.ticker),
            web.get("/0/public/OHLC", self.ohlc),
        ]

    async def system_status(self, _: web.Request) -> web.Response:
        made = datetime.fromtimestamp(int(self._now()), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._answer({"status": "online", "timestamp": made})

    async def assets(self, _: web.Request) -> web.Response:
        """Answer with the coins of all pairs; nothing of Kraken's is recorded of these."""
        coins = {pair.row[side] for pair in self._pairs.values() for side in ("base", "quote")}
        old = {key: coin.upper() for coin, key in OLD.items()} | {"XXBT": "XBT"}
        return self._answer({coin: _asset(old.get(coin, coin)) for coin in sorted(coins)})

    async def asset_pairs(self, _: web.Request) -> web.Response:
        return self._answer({key: pair.row for key, pair in self._pairs.items()} | self._dark)

    async def ticker(self, request: web.Request) -> web.Response:
        asked = request.query.get("pair")
        names = asked.split(",") if asked else list(self._pairs)
        if any(name not in self._spelt for name in names):
            return _error("EQuery:Unknown asset pair")
        pairs = [self._spelt[name] for name in names]
        return self._answer({pair.key: _ticker(pair.market, int(self._now())) for pair in pairs})

    async def ohlc(self, request: web.Request) -> web.Response:
        pair = self._spelt.get(request.query.get("pair", ""))
        if pair is None:
            return _error("EQuery:Unknown asset pair")
        length = LENGTHS.get(request.query.get("interval", "1"))
        if length is None:
            return _error("EGeneral:Invalid arguments")
        running = int(self._now()) // length * length
        oldest = max(running - ROWS * length, int(request.query.get("since", "0")) + 1)
        starts = [start for start in range(running - ROWS * length, running + 1, length) if start >= oldest]
        rows = [_row(pair.market.candle(start, length)) for start in starts]
        return self._answer({pair.key: rows, "last": running - length})

    def _answer(self, result: Any) -> web.Response:
        made = format_datetime(datetime.fromtimestamp(int(self._now()), UTC), usegmt=True)
        headers = {"Cache-Control": "max-age=2, public", "CF-Cache-Status": "HIT", "Last-Modified": made}
        return web.json_response({"error": [], "result": result}, headers=headers)


def _error(said: str) -> web.Response:
    return web.json_response({"error": [said]})


def _asset(name: str) -> Json:
    return {"aclass": "currency", "altname": name, "decimals": 10, "display_decimals": 5, "status": "enabled"}


@cache
def _pairs(found: Recordings) -> list[Pair]:
    """
    Make the pairs: old coins under their X and Z names, bitcoin as XBT, dogecoin as XDG, one pair twice
    because it also trades on another venue, and the recorded pair as it was.
    """
    pairs = []
    for name, summary in found.summaries.items():
        exchange, _, pair = name.partition(":")
        quote = next((quote for quote in QUOTES if pair.endswith(quote) and pair != quote), None)
        if exchange == "kraken" and quote and "-" not in pair:
            market = Market(name, str(summary["price"]["last"]), str(summary["volume"]))
            pairs.append(_pair(found.kraken_pair, pair.removesuffix(quote), quote, market))
    venue = next(pair for pair in pairs if pair.row["wsname"] == "AAVE/USD")
    names = {name: f"{venue.row[name]}:BTNL" for name in ("altname", "wsname")}
    recorded = Market("kraken:btcusdt", found.kraken_ticker["c"][0], found.kraken_ticker["v"][1])
    return [
        *(pair for pair in pairs if pair.key != "XBTUSDT"),
        Pair("AAVE/USD:BTNL", venue.row | names, venue.market),
        Pair("XBTUSDT", found.kraken_pair, recorded),
    ]


def _pair(shape: Json, base: str, quote: str, market: Market) -> Pair:
    ours, theirs = (THEIRS.get(coin, coin.upper()) for coin in (base, quote))
    is_old = base in OLD and quote in OLD
    key = OLD[base] + OLD[quote] if is_old else ours + theirs
    names = {"altname": ours + theirs, "wsname": f"{ours}/{theirs}"}
    return Pair(key, shape | names | {"base": OLD.get(base, ours), "quote": OLD.get(quote, theirs)}, market)


def _ticker(market: Market, second: int) -> Json:
    """Make a row; in every couple of numbers the first is since midnight UTC, the second of 24 hours."""
    last, opened = market.price(second), market.price(second // DAY * DAY)
    today, day = market.traded(second // DAY * DAY, second), market.traded(second - DAY, second)
    price = text(last)
    return {
        "a": [price, "1", "1.000"],
        "b": [price, "1", "1.000"],
        "c": [price, "0.00009443"],
        "v": [text(today), text(day)],
        "p": [price, price],
        "t": [35, 3276],
        "l": [text(min(last, opened)), text(min(last, opened))],
        "h": [text(max(last, opened)), text(max(last, opened))],
        "o": text(opened),
    }


def _row(bar: Bar) -> list[Any]:
    prices = [text(price) for price in bar[1:5]]
    return [bar.start, *prices, prices[0] if bar.volume else "0.0", text(bar.volume), int(bool(bar.volume))]
