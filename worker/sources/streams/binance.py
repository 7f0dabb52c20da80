"""
Binance's combined streams (https://github.com/binance/binance-spot-api-docs, web-socket-streams.md): `<symbol>@ticker`
each second where something changed, and `<symbol>@trade`.

Numbers are texts, times milliseconds. One answer is for all streams of a request. A connection is closed after 24 hours;
it takes 1024 streams and 5 messages a second.
"""

import json
from collections.abc import Sequence
from typing import Any

from worker.sources.base import parse_exact_json, parse_number
from worker.sources.row_fields import parse_whole, pick_value

from .events import (
    ClosingSoon,
    Event,
    StreamHeartbeat,
    StreamTicker,
    StreamTrade,
    SubscriptionAnswer,
    SubscriptionRequest,
    Symbol,
    UnreadableFrame,
)

SYMBOLS = 100
"""Of one message."""
LONGEST_TEXT = 200


class BinanceStream:
    """How Binance streams."""

    name = "binance"
    path = "/stream"
    most_symbols = 500
    pause = 0.25
    ping: str | None = None

    def make_requests(self, symbols: Sequence[Symbol]) -> Sequence[SubscriptionRequest]:
        parts = [symbols[first : first + SYMBOLS] for first in range(0, len(symbols), SYMBOLS)]
        return [_make_request(f"{number}", part) for number, part in enumerate(parts, 1)]

    def parse(self, frame: str) -> Sequence[Event]:
        try:
            body = parse_exact_json(frame)
        except (ValueError, RecursionError):
            return [UnreadableFrame(frame[:LONGEST_TEXT])]
        return [_parse_body(body)]


def _make_request(number: str, symbols: Sequence[Symbol]) -> SubscriptionRequest:
    streams = [f"{symbol.lower()}@{kind}" for symbol in symbols for kind in ("ticker", "trade")]
    message = json.dumps({"method": "SUBSCRIBE", "params": streams, "id": int(number)}, ensure_ascii=False)
    return SubscriptionRequest(message, {number: symbols})


def _parse_body(body: Any) -> Event:
    said = pick_value(body, "data") or body
    match pick_value(said, "e"):
        case "trade":
            return _parse_trade(said)
        case "24hrTicker":
            return _parse_ticker(said)
        case "serverShutdown":
            return ClosingSoon()
        case str():
            return StreamHeartbeat()
    number = pick_value(body, "id")
    if isinstance(number, str):
        error = pick_value(body, "error")
        return SubscriptionAnswer(number, None if error is None else str(pick_value(error, "msg"))[:LONGEST_TEXT])
    return UnreadableFrame(str(body)[:LONGEST_TEXT])


def _parse_trade(row: object) -> StreamTrade | UnreadableFrame:
    symbol, number, time = pick_value(row, "s"), parse_whole(pick_value(row, "t")), parse_whole(pick_value(row, "T"))
    price, amount = parse_number(pick_value(row, "p")), parse_number(pick_value(row, "q"))
    if not isinstance(symbol, str) or number is None or time is None or price is None or amount is None:
        return UnreadableFrame(str(row)[:LONGEST_TEXT])
    if not _is_positive(price) or amount.startswith("-"):
        return UnreadableFrame(str(row)[:LONGEST_TEXT])
    return StreamTrade(symbol, number, price, amount, time)


def _parse_ticker(row: object) -> StreamTicker | UnreadableFrame:
    symbol, price, time = pick_value(row, "s"), parse_number(pick_value(row, "c")), parse_whole(pick_value(row, "E"))
    if not isinstance(symbol, str) or price is None or time is None or not _is_positive(price):
        return UnreadableFrame(str(row)[:LONGEST_TEXT])
    volume = parse_number(pick_value(row, "v"))
    return StreamTicker(
        symbol,
        price,
        None if volume is None or volume.startswith("-") else volume,
        time,
        parse_number(pick_value(row, "P")),
        parse_number(pick_value(row, "p")),
    )


def _is_positive(number: str) -> bool:
    return not number.startswith("-") and float(number) > 0
