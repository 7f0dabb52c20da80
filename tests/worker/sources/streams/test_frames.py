"""What frames say: those that are recorded, those of the documentation, and garbage."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.shared import shared
from worker.sources.streams.binance import BinanceStream
from worker.sources.streams.events import (
    ClosingSoon,
    ProviderTime,
    StreamHeartbeat,
    StreamTicker,
    StreamTrade,
    SubscriptionAnswer,
    TradeList,
    UnreadableFrame,
)
from worker.sources.streams.kraken import KrakenStream, parse_time

TRADE = {"e": "trade", "E": 1672515782136, "s": "BNBBTC", "t": 12345, "p": "0.00100000", "q": "100", "T": 1672515782136}
TICKER = {
    "e": "24hrTicker",
    "E": 1672515782136,
    "s": "BNBBTC",
    "p": "0.0015",
    "P": "250.00",
    "c": "0.0025",
    "v": "10000",
}
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def recorded(name: str) -> str:
    return (shared("recorded") / "kraken" / name).read_text()


def test_krakens_recorded_ticker_keeps_every_digit():
    assert KrakenStream().parse(recorded("ws_ticker_snapshot.json")) == [
        StreamTicker("BTC/USD", "105899.40", "163.28908096", 1671960659123)
    ]


def test_krakens_recorded_trades_have_numbers_that_follow_each_other():
    assert KrakenStream().parse(recorded("ws_trade_update.json")) == [
        StreamTrade("BTC/USD", 10218208, "105944.20", "0.00027625", 1696613755440),
        StreamTrade("BTC/USD", 10218209, "105910.50", "0.00012460", 1696613756123),
    ]


def test_krakens_snapshot_of_trades_is_a_list_of_before():
    body = json.loads(recorded("ws_trade_update.json")) | {"type": "snapshot"}

    (listed,) = KrakenStream().parse(json.dumps(body))
    assert isinstance(listed, TradeList)
    assert [trade.number for trade in listed.trades] == [10218208, 10218209]


def test_krakens_recorded_answers_are_read():
    stream = KrakenStream()

    assert stream.parse(recorded("ws_subscribe_response.json")) == [
        SubscriptionAnswer("ticker BTC/USD", None, 1695632671742)
    ]
    assert stream.parse(recorded("ws_pong.json")) == [ProviderTime(1695632700123)]
    assert stream.parse('{"channel":"heartbeat"}') == [StreamHeartbeat()]
    assert stream.parse(recorded("ws_ohlc_update.json")) == [StreamHeartbeat()]


def test_every_answer_that_kraken_gives_to_a_request_was_asked_for():
    requests = KrakenStream().make_requests([f"C{number}/USD" for number in range(150)])

    assert [len(request.answers) for request in requests] == [100, 100, 50, 50]
    assert "ticker C0/USD" in requests[0].answers
    assert json.loads(requests[1].message)["params"]["channel"] == "trade"


def test_a_refusal_of_kraken_is_of_all_that_was_asked_of_a_symbol():
    said = {"error": "Currency pair not supported A/B", "method": "subscribe", "success": False, "symbol": "A/B"}

    assert KrakenStream().parse(json.dumps(said)) == [SubscriptionAnswer("A/B", "Currency pair not supported A/B")]


@pytest.mark.parametrize(
    "written, time",
    [
        ("2023-10-06T17:35:55.440295Z", 1696613755440),
        ("2023-10-06T17:35:55Z", 1696613755000),
        ("2023-10-06T17:35:55.999999999Z", 1696613755999),
        ("2023-10-06T17:35:55", None),
        ("yesterday", None),
        (1696613755, None),
    ],
)
def test_times_are_rounded_down_to_milliseconds(written: object, time: int | None):
    assert parse_time(written) == time


def test_binances_frames_are_read():
    stream = BinanceStream()

    assert stream.parse(json.dumps({"stream": "bnbbtc@trade", "data": TRADE})) == [
        StreamTrade("BNBBTC", 12345, "0.00100000", "100", 1672515782136)
    ]
    assert stream.parse(json.dumps({"stream": "bnbbtc@ticker", "data": TICKER})) == [
        StreamTicker("BNBBTC", "0.0025", "10000", 1672515782136, "250.00", "0.0015")
    ]
    assert stream.parse('{"result":null,"id":3}') == [SubscriptionAnswer("3", None)]
    assert stream.parse('{"error":{"code":2,"msg":"Invalid"},"id":3}') == [SubscriptionAnswer("3", "Invalid")]
    assert stream.parse('{"stream":"","data":{"e":"serverShutdown","E":1}}') == [ClosingSoon()]


def test_binances_requests_are_within_its_limits():
    stream = BinanceStream()
    requests = stream.make_requests([f"C{number}USDT" for number in range(stream.most_symbols)])

    assert sum(len(json.loads(request.message)["params"]) for request in requests) <= 1024
    assert stream.pause >= 1 / 5
    assert json.loads(requests[0].message)["params"][:2] == ["c0usdt@ticker", "c0usdt@trade"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"s": None},
        {"t": "12x"},
        {"t": None},
        {"p": "NaN"},
        {"p": "0.000"},
        {"p": "-1"},
        {"q": "-1"},
        {"q": None},
        {"T": "soon"},
        {"p": [1]},
    ],
)
def test_a_trade_with_a_field_that_cannot_be_is_unreadable(wrong: dict[str, Any]):
    (event,) = BinanceStream().parse(json.dumps({"data": TRADE | wrong}))
    assert isinstance(event, UnreadableFrame)

    row = {"symbol": "s", "price": "p", "qty": "q", "trade_id": "t"}
    theirs: dict[str, Any] = {
        "symbol": "A/B",
        "price": 1.5,
        "qty": 2,
        "trade_id": 3,
        "timestamp": "2023-10-06T17:35:55Z",
    }
    for name, short in row.items():
        if short in wrong:
            theirs[name] = wrong[short]
    if "T" not in wrong:
        (event,) = KrakenStream().parse(json.dumps({"channel": "trade", "type": "update", "data": [theirs]}))
        assert isinstance(event, UnreadableFrame)


@given(JSON, st.sampled_from(["trade", "ticker", "heartbeat", "24hrTicker"]))
def test_no_garbage_raises(value: object, kind: str):
    frames = [
        json.dumps(value),
        json.dumps({"channel": kind, "type": "snapshot", "data": value}),
        json.dumps({"channel": kind, "type": "update", "data": [value]}),
        json.dumps({"method": "subscribe", "success": value, "result": value}),
        json.dumps({"data": {"e": kind, "s": value, "p": value, "c": value, "t": value}}),
        json.dumps({"id": value, "error": value}),
    ]
    for frame in [*frames, json.dumps(value)[:-1], "", "[" * 5000]:
        for stream in (KrakenStream(), BinanceStream()):
            assert isinstance(stream.parse(frame), list)
