"""Whatever a provider sends, a parser gives numbers that can be kept, or raises what `translate_errors` knows."""

import copy
import gzip
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.shared import shared
from tests.worker.sources.conftest import MORNING
from worker.latest import MINUTE, Candle, Metric, Reading, decimals
from worker.sources import binance, binance_windows, cryptowatch, kraken
from worker.sources.base import parse_exact_json
from worker.sources.candle_rows import parse_finished
from worker.sources.errors import InvalidResponse, translate_errors

BTC = Metric("EX:BTCUSD")

# What `exact` can give: its numbers are texts, and NaN is a float.
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=8),
    st.sampled_from(["0", "-0", "0.0", "1", "-1", "1e60", "1e61", "1e-60", "9" * 60, "NaN", "1_000", "١", " 1", "1e"]),
    st.sampled_from([float("nan"), float("inf")]),
    st.integers(-(10**20), 10**20).map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
)
garbage = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["symbol", "price", "last", "c", "v", "result", "60", "x"]), inner, max_size=4),
    ),
    max_leaves=6,
)


def recorded(*parts: str) -> Any:
    return parse_exact_json(shared("recorded", *parts).read_bytes())


@st.composite
def damaged(draw: st.DrawFn, body: Any) -> Any:
    """Draw a body in which some places hold something else, or nothing."""
    wrong = {"": copy.deepcopy(body)}
    for _ in range(draw(st.integers(1, 3))):
        place: Any = wrong
        step: Any = ""
        while isinstance(place[step], dict | list) and place[step] and draw(st.integers(0, 4)):
            place = place[step]
            step = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        if draw(st.booleans()):
            place[step] = draw(garbage)
        elif step != "":
            del place[step]
    return wrong[""]


def numbers(values: Iterable[Reading | kraken.KrakenTicker | Candle | str]) -> Iterator[str]:
    for value in values:
        texts = (value,) if isinstance(value, str) else value
        yield from (text for text in texts if isinstance(text, str))


def check(parse: Callable[[Counter[str]], Iterable[Any]]) -> None:
    rejects: Counter[str] = Counter()
    found: list[Any] = []
    with suppress(InvalidResponse), translate_errors("test"):
        found += parse(rejects)
    assert all(decimals.is_number(text) for text in numbers(found))
    assert all(
        decimals.parse_decimal(value.price)[0] > 0
        for value in found
        if isinstance(value, Reading | kraken.KrakenTicker)
    )
    assert all(count > 0 for count in rejects.values())


TICKER = {"XXBTZUSD": {"c": ["1.50", "2"], "v": ["3", "4"]}, "XETHZUSD": {"c": ["1", "2"], "v": ["3", "4"]}}
TICKER_24HR = [
    {"symbol": "BNBBTC", "lastPrice": "4.0", "volume": "8", "priceChange": "-9", "closeTime": "1499869899040"}
]
WINDOW = [{"symbol": "BNBBTC", "volume": "8", "openTime": f"{MORNING - MINUTE}000", "closeTime": f"{MORNING}000"}]
SUMMARY = {"ex:btcusd": {"price": {"last": "1", "change": {"percentage": "0.1", "absolute": "1"}}, "volume": "8"}}
OHLC = {"XXBTZUSD": [[str(MORNING), "2", "4", "1", "3", "2.5", "7", "9"]] * 2, "last": str(MORNING)}
PAIRS = {"XXBTZUSD": {"altname": "XBTUSD", "wsname": "XBT/USD"}, "A/B:C": {}}
INFO = {"symbols": [{"symbol": "BNBBTC", "status": "TRADING"}], "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT"}]}


@given(damaged(TICKER) | garbage)
def test_kraken_tickers(body: Any):
    check(
        lambda rejects: kraken.parse_tickers(body, {"XXBTZUSD": BTC, "XETHZUSD": Metric("EX:ETHUSD")}, rejects).values()
    )


@given(damaged(PAIRS) | garbage)
def test_kraken_pairs(body: Any):
    check(lambda _: [market.key and "1" for market in kraken.parse_markets(body).values()])


@given(damaged(OHLC) | garbage)
def test_kraken_candles(body: Any):
    check(lambda rejects: kraken.parse_candles(body, 0, MORNING + 60 * MINUTE, rejects))


@given(garbage)
def test_kraken_errors(errors: Any):
    check(lambda _: kraken.join_errors(errors) and ["1"])


@given(damaged(TICKER_24HR) | garbage)
def test_binance_tickers(body: Any):
    check(lambda rejects: binance.parse_tickers(body, {"BNBBTC": BTC}, rejects).values())


@given(damaged(WINDOW) | garbage)
def test_binance_windows(body: Any):
    check(lambda rejects: binance_windows.parse_windows(body, {"BNBBTC": BTC}, MORNING, MINUTE, rejects).values())


@given(damaged(INFO) | garbage)
def test_binance_markets(body: Any):
    check(lambda _: [str(binance.parse_markets(body).limit)])


@given(garbage, st.integers(200, 599))
def test_binance_refusals(body: Any, status: int):
    assert "binance" in str(binance.make_refusal(status, body, None, "ticker"))


@given(damaged(SUMMARY) | garbage)
def test_cryptowatch_summaries(body: Any):
    check(lambda rejects: cryptowatch.parse_summaries(body, {"ex:btcusd": BTC}, rejects).values())


@given(damaged(SUMMARY) | garbage)
def test_cryptowatch_markets(body: Any):
    check(lambda _: [str(len(cryptowatch.parse_markets(body)))])


@given(garbage)
def test_cryptowatch_allowance(body: Any):
    assert cryptowatch.is_allowance_spent(body) in {True, False}


@given(damaged([[str(MORNING), "2", "4", "1", "3", "7", "9"]] * 2) | garbage)
def test_candles(rows: Any):
    check(lambda rejects: parse_finished(rows, cryptowatch.COLUMNS, 0, MORNING + 60 * MINUTE, rejects))


@given(st.binary(max_size=64) | st.text(max_size=64).map(str.encode))
def test_bytes(body: bytes):
    check(lambda _: [str(parse_exact_json(body)) and "1"])


@settings(max_examples=25)
@given(st.data())
def test_damaged_recorded_answers(data: st.DataObject):
    ticker = data.draw(damaged(recorded("kraken", "http_ticker.json")))
    day = data.draw(damaged([recorded("binance", "ticker_24hr_response.json")]))
    few = data.draw(
        damaged(recorded("cryptowatch", "MarketsUnauthenticated.MarketsSummariesWithLimitOf3Response.json"))
    )

    check(lambda rejects: kraken.parse_tickers(ticker["result"], {"XBTUSDT": BTC}, rejects).values())
    check(lambda rejects: binance.parse_tickers(day, {"BNBBTC": BTC}, rejects).values())
    check(lambda rejects: cryptowatch.parse_summaries(few["result"], {"bitfinex:btcusd": BTC}, rejects).values())


@settings(max_examples=10)
@given(st.data())
def test_a_damaged_list_of_all_symbols(data: st.DataObject):
    path = shared("recorded", "binance", "exchangeInfo.2021-10-12.json.gz")
    body = parse_exact_json(gzip.decompress(path.read_bytes()))

    check(lambda _: [str(binance.parse_markets(data.draw(damaged({**body, "symbols": body["symbols"][:20]}))).limit)])
