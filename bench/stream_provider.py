"""
A provider for the measurement of streams, in a process of its own: it trades each of its symbols once a second, sends
each trade and the numbers of 24 hours that follow from it as Binance does, and answers requests out of the same state.

    python -m bench.stream_provider SYMBOLS
"""

import asyncio
import sys
import time
from decimal import Decimal

from aiohttp import web

from tests.support.loopback.streams import BinanceStreams, ms

PARTS = 50
"""Of a second: so often a part of the symbols is traded."""


class Provider:
    def __init__(self, count: int) -> None:
        self.streams = BinanceStreams(time.time)
        self.symbols = [f"C{number:05}USDT" for number in range(count)]
        self._sent = 0
        self._sums: dict[int, dict[str, Decimal]] = {}
        """By tick and symbol: what was traded in the second before."""

    def routes(self) -> list[web.RouteDef]:
        return [
            *self.streams.routes(),
            web.get("/api/v3/exchangeInfo", self.list_markets),
            web.get("/api/v3/ticker/24hr", self.answer_day),
            web.get("/api/v3/klines", self.answer_seconds),
            web.get("/truth/{tick}", self.tell_truth),
        ]

    async def trade(self) -> None:
        """Trade for ever, evenly over each second; what could not be sent in time is made up for."""
        began, turn = time.monotonic(), 0
        size = len(self.symbols) // PARTS
        while True:
            first = turn % PARTS * size
            for place, symbol in enumerate(self.symbols[first : first + size], first):
                await self._trade(symbol, place, turn)
            turn += 1
            await asyncio.sleep(max(0.0, began + turn / PARTS - time.monotonic()))

    async def _trade(self, symbol: str, place: int, turn: int) -> None:
        price, amount = f"{100 + place}.{turn % 97:02}", f"0.{(turn * 31 + place) % 9999 + 1:08}"
        await self.streams.publish(symbol, price, amount)
        trade = self.streams.traded[symbol][-1]
        of_tick = self._sums.setdefault(ms(trade.time) // 1000 + 1, {})
        of_tick[symbol] = of_tick.get(symbol, Decimal(0)) + Decimal(amount)
        del self.streams.traded[symbol][:-1]
        await self.streams.quote(symbol, price, f"{1000 + turn}.5")
        self._sent += 2

    async def list_markets(self, _: web.Request) -> web.Response:
        rows = [{"symbol": symbol, "status": "TRADING"} for symbol in self.symbols]
        limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}]
        return web.json_response({"symbols": rows, "rateLimits": limits})

    async def answer_day(self, _: web.Request) -> web.Response:
        rows = [
            {"symbol": symbol, "lastPrice": day.price, "volume": day.volume, "closeTime": ms(day.time)}
            | {"priceChange": "-12.50", "priceChangePercent": "-0.420"}
            for symbol, day in self.streams.days.items()
        ]
        return web.json_response(rows)

    async def answer_seconds(self, _: web.Request) -> web.Response:
        return web.json_response([])

    async def tell_truth(self, request: web.Request) -> web.Response:
        sums = self._sums.get(int(request.match_info["tick"]), {})
        return web.json_response(
            {"sent": self._sent, "sums": {symbol: f"{amount:f}" for symbol, amount in sums.items()}}
        )


async def main() -> None:
    provider, app = Provider(int(sys.argv[1])), web.Application()
    app.add_routes(provider.routes())
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await provider.trade()


if __name__ == "__main__":
    asyncio.run(main())
