"""
The WebSocket streams of Kraken and Binance on loopback: they send what a test publishes, to whoever has subscribed to it,
in the frames of the recordings and of the documentation. What can go wrong is an attribute.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aiohttp import WSMsgType, web

Json = dict[str, Any]


class Traded(NamedTuple):
    symbol: str
    number: int
    price: str
    amount: str
    time: float


class Day(NamedTuple):
    """The numbers of 24 hours."""

    price: str
    volume: str
    time: float


@dataclass(eq=False)
class Subscriber:
    """One connection."""

    socket: web.WebSocketResponse
    channels: set[tuple[str, str]] = field(default_factory=set)
    """(`ticker` or `trade`, symbol)."""
    is_silent: bool = False
    """Whether it stays open and sends nothing any more."""
    is_frozen: bool = False
    """Whether it answers pings, and sends nothing else any more."""


class StreamServer(ABC):
    """What both have in common. `now` is the provider's clock."""

    path: str

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.subscribers: list[Subscriber] = []
        self.opened = 0
        self.status = 101
        """Of the answer to who connects."""
        self.refused: set[str] = set()
        """Symbols that nobody may subscribe."""
        self.ignored: set[str] = set()
        """Symbols whose subscription is answered, and of which nothing is sent."""
        self.days: dict[str, Day] = {}
        self.traded: dict[str, list[Traded]] = {}

    def routes(self) -> list[web.RouteDef]:
        return [web.get(self.path, self._connect)]

    async def publish(
        self, symbol: str, price: str, amount: str, *, number: int | None = None, lost: bool = False
    ) -> None:
        """Make a trade, and send it unless it is `lost`."""
        past = self.traded.setdefault(symbol, [])
        trade = Traded(symbol, number or (past[-1].number + 1 if past else 1), price, amount, self.now())
        past.append(trade)
        before = self.days.get(symbol, Day(price, "0", 0))
        self.days[symbol] = before._replace(price=price, time=trade.time)
        if not lost:
            await self.send(trade)

    async def quote(self, symbol: str, price: str, volume: str) -> None:
        """Send the numbers of 24 hours."""
        self.days[symbol] = Day(price, volume, self.now())
        await self._send("ticker", symbol, self._ticker(symbol, self.days[symbol]))

    async def send(self, trade: Traded) -> None:
        """Send a trade, as often as it is called."""
        await self._send("trade", trade.symbol, self._trade(trade))

    async def send_text(self, text: str) -> None:
        """Send a frame as it stands to everybody."""
        for subscriber in self.subscribers:
            await subscriber.socket.send_str(text)

    async def cut(self) -> None:
        """Break off every connection."""
        for subscriber in list(self.subscribers):
            await subscriber.socket.close(code=1011)

    async def _send(self, channel: str, symbol: str, message: Json) -> None:
        if symbol in self.ignored:
            return
        for each in self.subscribers:
            if (channel, symbol) in each.channels and not each.is_silent and not each.is_frozen:
                await each.socket.send_str(json_text(message))

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        if self.status != 101:
            return web.Response(status=self.status)
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        self.opened += 1
        subscriber = Subscriber(socket)
        self.subscribers.append(subscriber)
        try:
            await self._greet(subscriber)
            async for message in socket:
                if subscriber.is_silent:
                    continue
                if message.type is WSMsgType.PING:
                    await socket.pong(message.data)
                elif message.type is WSMsgType.TEXT:
                    await self._answer(subscriber, json.loads(message.data))
        finally:
            self.subscribers.remove(subscriber)
        return socket

    async def _greet(self, subscriber: Subscriber) -> None:
        """Send what comes first; Binance sends nothing."""
        del subscriber

    @abstractmethod
    async def _answer(self, subscriber: Subscriber, asked: Json) -> None: ...

    @abstractmethod
    def _trade(self, trade: Traded) -> Json: ...

    @abstractmethod
    def _ticker(self, symbol: str, day: Day) -> Json: ...


class Digits(str):
    """A number that is written into JSON as it stands."""

    __slots__ = ()


def json_text(message: Json) -> str:
    """Write JSON whose `Digits` are numbers."""
    kept: list[str] = []

    def mark(value: object) -> object:
        if isinstance(value, Digits):
            kept.append(str(value))
            return f"@{len(kept) - 1}@"
        if isinstance(value, dict):
            return {key: mark(each) for key, each in value.items()}
        return [mark(each) for each in value] if isinstance(value, list) else value

    text = json.dumps(mark(message))
    for place, digits in enumerate(kept):
        text = text.replace(f'"@{place}@"', digits, 1)
    return text


class KrakenStreams(StreamServer):
    """WebSocket v2."""

    path = "/v2"

    async def _greet(self, subscriber: Subscriber) -> None:
        await subscriber.socket.send_json(
            {"channel": "status", "type": "update", "data": [{"version": "2.0.10", "system": "online"}]}
        )

    async def _answer(self, subscriber: Subscriber, asked: Json) -> None:
        if asked["method"] == "ping":
            time = iso(self.now())
            await subscriber.socket.send_json({"method": "pong", "time_in": time, "time_out": time})
            return
        params = asked["params"]
        for symbol in params["symbol"]:
            await self._subscribe(subscriber, params["channel"], symbol)

    async def _subscribe(self, subscriber: Subscriber, channel: str, symbol: str) -> None:
        times = {"time_in": iso(self.now()), "time_out": iso(self.now())}
        if symbol in self.refused:
            said = f"Currency pair not supported {symbol}"
            answer = {"error": said, "method": "subscribe", "success": False, "symbol": symbol} | times
            await subscriber.socket.send_json(answer)
            return
        result = {"channel": channel, "symbol": symbol, "snapshot": True}
        await subscriber.socket.send_json({"method": "subscribe", "result": result, "success": True} | times)
        subscriber.channels.add((channel, symbol))
        if symbol in self.ignored:
            return
        if channel == "ticker" and symbol in self.days:
            await subscriber.socket.send_str(json_text(self._ticker(symbol, self.days[symbol]) | {"type": "snapshot"}))
        if channel == "trade" and symbol in self.traded:
            rows = [_kraken_row(trade) for trade in self.traded[symbol][-50:]]
            await subscriber.socket.send_str(json_text({"channel": "trade", "type": "snapshot", "data": rows}))

    def _trade(self, trade: Traded) -> Json:
        return {"channel": "trade", "type": "update", "data": [_kraken_row(trade)]}

    def _ticker(self, symbol: str, day: Day) -> Json:
        price = Digits(day.price)
        row = {"symbol": symbol, "bid": price, "bid_qty": 2.5, "ask": price, "ask_qty": 3.2, "last": price}
        row |= {
            "volume": Digits(day.volume),
            "vwap": price,
            "low": price,
            "high": price,
            "change": 0,
            "change_pct": 0.24,
        }
        return {"channel": "ticker", "type": "update", "data": [row | {"timestamp": iso(day.time)}]}


def _kraken_row(trade: Traded) -> Json:
    numbers = {"price": Digits(trade.price), "qty": Digits(trade.amount), "trade_id": trade.number}
    return {"symbol": trade.symbol, "side": "buy", "ord_type": "limit", "timestamp": iso(trade.time)} | numbers


class BinanceStreams(StreamServer):
    """Combined streams."""

    path = "/stream"

    async def _answer(self, subscriber: Subscriber, asked: Json) -> None:
        streams = [tuple(name.split("@")) for name in asked["params"]]
        if any(symbol.upper() in self.refused for symbol, _ in streams):
            said = {"code": 2, "msg": "Invalid request: unknown stream"}
            await subscriber.socket.send_json({"error": said, "id": asked["id"]})
            return
        subscriber.channels |= {(channel, symbol.upper()) for symbol, channel in streams}
        await subscriber.socket.send_json({"result": None, "id": asked["id"]})

    def _trade(self, trade: Traded) -> Json:
        data = {"e": "trade", "E": ms(self.now()), "s": trade.symbol, "t": trade.number, "p": trade.price}
        data |= {"q": trade.amount, "T": ms(trade.time), "m": True, "M": True}
        return {"stream": f"{trade.symbol.lower()}@trade", "data": data}

    def _ticker(self, symbol: str, day: Day) -> Json:
        data = {"e": "24hrTicker", "E": ms(day.time), "s": symbol, "p": "-12.50", "P": "-0.420", "w": day.price}
        data |= {"c": day.price, "v": day.volume, "q": "1", "O": 0, "C": ms(day.time), "F": 0, "L": 1, "n": 2}
        return {"stream": f"{symbol.lower()}@ticker", "data": data}


def ms(time: float) -> int:
    return round(time * 1000)


def iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
