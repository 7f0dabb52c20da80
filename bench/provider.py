"""
A provider for measurements that answers as Binance does, for as many symbols as wished, out of answers that
are made beforehand: what it takes to make them is not measured. Prices stand still; there are no candles.
"""

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from bench.market import Day
from v1.model import MINUTE, Measure, Metric, Sample

EXCHANGE = "BINANCE"
LIMIT = 6000


def metrics(count: int) -> list[Metric]:
    return [Metric(f"{EXCHANGE}:{symbol}") for symbol in _symbols(count)]


def _symbols(count: int) -> list[str]:
    return [f"C{number:05}USDT" for number in range(count)]


@asynccontextmanager
async def serving(count: int, market: Sequence[Day]) -> AsyncIterator[str]:
    """Serve `count` symbols on loopback; what they say follows the last samples of the market's days."""
    newest = [day.samples[-1] for day in market]
    rows = {symbol: _row(symbol, newest[place % len(newest)]) for place, symbol in enumerate(_symbols(count))}
    app = web.Application()
    app.add_routes(
        [
            _answer("exchangeInfo", _info(list(rows))),
            _answer("ticker/24hr", list(rows.values())),
            _answer("klines", []),
            web.get("/api/v3/ticker", _window(rows)),
        ]
    )
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def _answer(path: str, content: Any) -> web.RouteDef:
    body = json.dumps(content, separators=(",", ":")).encode()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    return web.get(f"/api/v3/{path}", answer)


def _window(rows: dict[str, dict[str, Any]]) -> Any:
    async def answer(request: web.Request) -> web.Response:
        now = time.time()
        times = {"openTime": int(now - MINUTE) // MINUTE * MINUTE * 1000, "closeTime": int(now * 1000)}
        asked = json.loads(request.query["symbols"])
        return web.json_response([rows[symbol] | times for symbol in asked])

    return answer


def _info(symbols: Sequence[str]) -> dict[str, Any]:
    limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": LIMIT}
    return {"timezone": "UTC", "rateLimits": [limit], "symbols": [_symbol(symbol) for symbol in symbols]}


def _symbol(symbol: str) -> dict[str, Any]:
    """Make what is said of a symbol, as long as it really is."""
    return {
        "symbol": symbol,
        "status": "TRADING",
        "baseAsset": symbol.removesuffix("USDT"),
        "baseAssetPrecision": 8,
        "quoteAsset": "USDT",
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": True,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01000000", "maxPrice": "1000000.0", "tickSize": "0.01000000"},
            {"filterType": "PERCENT_PRICE", "multiplierUp": "5", "multiplierDown": "0.2", "avgPriceMins": 5},
            {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.00000000", "stepSize": "0.00001000"},
            {"filterType": "MIN_NOTIONAL", "minNotional": "10.0", "applyToMarket": True, "avgPriceMins": 5},
            {"filterType": "ICEBERG_PARTS", "limit": 10},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": "85.78", "stepSize": "0.00000000"},
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
        ],
        "permissions": ["SPOT", "MARGIN"],
    }


def _row(symbol: str, sample: Sample) -> dict[str, Any]:
    price, volume = sample.value(Measure.PRICE), sample.value(Measure.VOLUME)
    return {
        "symbol": symbol,
        "priceChange": sample.value(Measure.CHANGE_ABSOLUTE),
        "priceChangePercent": sample.value(Measure.CHANGE_PERCENTAGE),
        "weightedAvgPrice": price,
        "prevClosePrice": price,
        "lastPrice": price,
        "lastQty": "0.00100000",
        "bidPrice": price,
        "bidQty": "0.00100000",
        "askPrice": price,
        "askQty": "0.00100000",
        "openPrice": price,
        "highPrice": price,
        "lowPrice": price,
        "volume": volume,
        "quoteVolume": volume,
        "openTime": (sample.tick - 24 * 60 * MINUTE) * 1000,
        "closeTime": sample.tick * 1000,
        "firstId": 28385,
        "lastId": 28460,
        "count": 76,
    }
