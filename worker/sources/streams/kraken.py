"""
Kraken's WebSocket v2 (https://docs.kraken.com/api/docs/websocket-v2/ticker and .../trade): channels `ticker` and `trade`.

Numbers are JSON numbers, times RFC 3339. Each symbol of a request is answered on its own. Trades bear numbers without
gaps, and a subscription begins with the 50 newest.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from worker.sources.base import parse_exact_json, parse_number
from worker.sources.row_fields import parse_whole, pick_value

from .events import (
    Event,
    ProviderTime,
    StreamHeartbeat,
    StreamTicker,
    StreamTrade,
    SubscriptionAnswer,
    SubscriptionRequest,
    Symbol,
    TradeList,
    UnreadableFrame,
)

CHANNELS = ("ticker", "trade")
SYMBOLS = 100
"""Of one message."""
LONGEST_TEXT = 200


class KrakenStream:
    """How Kraken streams."""

    name = "kraken"
    path = ""
    most_symbols = 500
    pause = 0.1
    ping: str | None = '{"method":"ping"}'

    def make_requests(self, symbols: Sequence[Symbol]) -> Sequence[SubscriptionRequest]:
        parts = [list(symbols[first : first + SYMBOLS]) for first in range(0, len(symbols), SYMBOLS)]
        return [_make_request(channel, part) for part in parts for channel in CHANNELS]

    def parse(self, frame: str) -> Sequence[Event]:
        try:
            body = parse_exact_json(frame)
            return _parse_body(body)
        except (ValueError, RecursionError):
            return [UnreadableFrame(frame[:LONGEST_TEXT])]


def _make_request(channel: str, symbols: list[Symbol]) -> SubscriptionRequest:
    params: dict[str, Any] = {"channel": channel, "symbol": symbols, "snapshot": True}
    if channel == "ticker":
        params["event_trigger"] = "trades"
    message = json.dumps({"method": "subscribe", "params": params}, ensure_ascii=False)
    return SubscriptionRequest(message, {_name_answer(channel, symbol): (symbol,) for symbol in symbols})


def _name_answer(channel: object, symbol: object) -> str:
    return f"{channel} {symbol}"


def _parse_body(body: Any) -> Sequence[Event]:
    channel, method = pick_value(body, "channel"), pick_value(body, "method")
    if method == "pong":
        return [ProviderTime(parse_time(pick_value(body, "time_out")))]
    if method == "subscribe":
        return [_parse_answer(body)]
    if channel in CHANNELS and isinstance(rows := pick_value(body, "data"), list):
        if channel == "ticker":
            return [_parse_ticker(row) for row in rows]
        trades = [_parse_trade(row) for row in rows]
        read = [trade for trade in trades if isinstance(trade, StreamTrade)]
        if pick_value(body, "type") != "snapshot":
            return trades
        by_symbol: dict[Symbol, list[StreamTrade]] = {}
        for trade in read:
            by_symbol.setdefault(trade.symbol, []).append(trade)
        wrong: list[Event] = [trade for trade in trades if isinstance(trade, UnreadableFrame)]
        return [TradeList(listed) for listed in by_symbol.values()] + wrong
    # `heartbeat`, `status`, and whatever comes to be sent that nobody asked for.
    return [StreamHeartbeat()] if isinstance(channel, str) else [UnreadableFrame(str(body)[:LONGEST_TEXT])]


def _parse_answer(body: Any) -> SubscriptionAnswer | StreamHeartbeat:
    if pick_value(body, "success") is True:
        result = pick_value(body, "result")
        name = _name_answer(pick_value(result, "channel"), pick_value(result, "symbol"))
        return SubscriptionAnswer(name, None, parse_time(pick_value(body, "time_out")))
    # What is refused is not always named: then nothing is known of it, and the connection is given up for its silence.
    symbol, channel = pick_value(body, "symbol"), pick_value(body, "channel")
    said = str(pick_value(body, "error"))[:LONGEST_TEXT]
    if isinstance(symbol, str):
        return SubscriptionAnswer(_name_answer(channel, symbol) if isinstance(channel, str) else symbol, said)
    return StreamHeartbeat()


def _parse_ticker(row: object) -> StreamTicker | UnreadableFrame:
    symbol, price = pick_value(row, "symbol"), parse_number(pick_value(row, "last"))
    if not isinstance(symbol, str) or price is None or not _is_positive(price):
        return UnreadableFrame(str(row)[:LONGEST_TEXT])
    volume = parse_number(pick_value(row, "volume"))
    return StreamTicker(
        symbol,
        price,
        None if volume is None or volume.startswith("-") else volume,
        parse_time(pick_value(row, "timestamp")),
    )


def _parse_trade(row: object) -> StreamTrade | UnreadableFrame:
    symbol, number = pick_value(row, "symbol"), parse_whole(pick_value(row, "trade_id"))
    price, amount = parse_number(pick_value(row, "price")), parse_number(pick_value(row, "qty"))
    time = parse_time(pick_value(row, "timestamp"))
    if not isinstance(symbol, str) or number is None or price is None or amount is None or time is None:
        return UnreadableFrame(str(row)[:LONGEST_TEXT])
    if not _is_positive(price) or amount.startswith("-"):
        return UnreadableFrame(str(row)[:LONGEST_TEXT])
    return StreamTrade(symbol, number, price, amount, time)


def _is_positive(number: str) -> bool:
    return not number.startswith("-") and float(number) > 0


def parse_time(written: object) -> int | None:
    """Return the milliseconds of an RFC 3339 time, rounded down; `None` of what is none."""
    if not isinstance(written, str):
        return None
    try:
        parsed = datetime.fromisoformat(written)
    except ValueError:
        return None
    if parsed.tzinfo is None:
        return None
    # The whole seconds of a datetime are exact as a float, its fraction need not be.
    return int(parsed.replace(microsecond=0).timestamp()) * 1000 + parsed.microsecond // 1000
