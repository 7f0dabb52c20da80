"""What each of the four native sources, and two of ccxt's, make of a provider that fails: one of three kinds, never anything else."""

from collections.abc import AsyncIterator, Callable
from math import isfinite
from typing import NamedTuple

import pytest
from aiohttp import ClientSession, ClientTimeout, web

from tests.support.loopback import ASKED, FAULTS
from tests.support.loopback.faults import Fault, hang, page, reset, says
from tests.support.missing import needs_package
from tests.worker.sources.conftest import MORNING
from worker.latest import HOUR, MINUTE, Metric
from worker.sources.base import Source
from worker.sources.binance import BinanceSource
from worker.sources.by_ccxt import CcxtSource
from worker.sources.coinbase import CoinbaseSource
from worker.sources.cryptowatch import CryptowatchSource
from worker.sources.errors import InvalidResponse, SourceError, SourceRefused, SourceUnreachable
from worker.sources.kraken import KrakenSource

KRAKEN, BINANCE, COINBASE = Metric("KRAKEN:BTCUSD"), Metric("BINANCE:BTCUSDT"), Metric("COINBASE:BTCUSD")


class Case(NamedTuple):
    """A source, and where it asks for what."""

    make: Callable[[str], Source]
    metric: Metric
    markets: str
    tickers: str
    candles: str


sources = pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            Case(
                lambda base: KrakenSource(base, (KRAKEN,), MINUTE),
                KRAKEN,
                "/0/public/AssetPairs",
                "/0/public/Ticker",
                "/0/public/OHLC",
            ),
            id="kraken",
        ),
        pytest.param(
            Case(
                lambda base: BinanceSource(base, (BINANCE,), MINUTE),
                BINANCE,
                "/api/v3/exchangeInfo",
                "/api/v3/ticker/24hr",
                "/api/v3/klines",
            ),
            id="binance",
        ),
        pytest.param(
            Case(
                lambda base: CoinbaseSource(base, (COINBASE,), MINUTE),
                COINBASE,
                "/products",
                "/products/BTC-USD/ticker",
                "/products/BTC-USD/candles",
            ),
            id="coinbase",
        ),
        pytest.param(
            Case(
                lambda base: CryptowatchSource(base, (KRAKEN,), MINUTE, None),
                KRAKEN,
                "/markets/summaries",
                "/markets/summaries",
                "/markets/kraken/btcusd/ohlc",
            ),
            id="cryptowatch",
        ),
        pytest.param(
            Case(
                lambda base: CcxtSource("ccxt:kraken", base, (KRAKEN,), MINUTE, clock=lambda: float(MORNING)),
                KRAKEN,
                "/0/public/AssetPairs",
                "/0/public/Ticker",
                "/0/public/OHLC",
            ),
            marks=needs_package("ccxt"),
            id="ccxt:kraken",
        ),
        pytest.param(
            Case(
                lambda base: CcxtSource("ccxt:binance", base, (BINANCE,), MINUTE, clock=lambda: float(MORNING)),
                BINANCE,
                "/api/v3/exchangeInfo",
                "/api/v3/ticker/24hr",
                "/api/v3/klines",
            ),
            marks=needs_package("ccxt"),
            id="ccxt:binance",
        ),
    ],
)
faults = pytest.mark.parametrize(
    "fault, kind",
    [
        pytest.param(page(200), InvalidResponse, id="a web page"),
        pytest.param(says("{"), InvalidResponse, id="half an answer"),
        pytest.param(says("[" * 100_000), InvalidResponse, id="brackets without an end"),
        pytest.param(says("null"), InvalidResponse, id="null"),
        pytest.param(says({}), InvalidResponse, id="an empty object"),
        pytest.param(says({"result": "moved"}), InvalidResponse, id="a text"),
        pytest.param(page(503), SourceRefused, id="503 with a web page"),
        pytest.param(says({}, 500), SourceRefused, id="500"),
        pytest.param(says({}, 520), SourceRefused, id="a status of a gateway's own"),
        pytest.param(says({}, 404), SourceRefused, id="404"),
        pytest.param(says({}, 429, Retry_After="soon"), SourceRefused, id="429 with a wait that cannot be read"),
        pytest.param(says({}, 429, Retry_After="9" * 400), SourceRefused, id="429 with a wait without end"),
        pytest.param(reset(), SourceUnreachable, id="broken off"),
        pytest.param(hang(), SourceUnreachable, id="no answer in time"),
    ],
)


@pytest.fixture
async def impatient() -> AsyncIterator[ClientSession]:
    """Returns up soon; for those who never answer."""
    async with ClientSession(timeout=ClientTimeout(total=0.1)) as opened:
        yield opened


@sources
@faults
async def test_a_failure_is_of_one_of_three_kinds_and_names_who_failed(
    app: web.Application,
    base: str,
    session: ClientSession,
    impatient: ClientSession,
    case: Case,
    fault: Fault,
    kind: type[SourceError],
):
    source = case.make(f"{base}/")
    await source.open(session)
    app[FAULTS].update(dict.fromkeys((case.markets, case.tickers, case.candles), fault))
    asking = impatient if kind is SourceUnreachable else session

    for ask in (
        lambda: case.make(base).open(asking),
        lambda: source.fetch(asking, MORNING),
        lambda: source.fetch_candles(asking, case.metric, MORNING - HOUR, MORNING),
    ):
        with pytest.raises(kind, match=source.name) as caught:
            await ask()
        # Of infinity no instant can be made.
        assert isfinite(getattr(caught.value, "wait", None) or 0)


@sources
async def test_nobody_there_is_unreachable(unused_tcp_port: int, session: ClientSession, case: Case):
    with pytest.raises(SourceUnreachable):
        await case.make(f"http://127.0.0.1:{unused_tcp_port}").open(session)


@sources
async def test_it_is_well_again_at_the_next_call(app: web.Application, base: str, session: ClientSession, case: Case):
    source = case.make(base)
    await source.open(session)
    app[FAULTS][case.tickers] = reset()
    with pytest.raises(SourceUnreachable):
        await source.fetch(session, MORNING)
    del app[FAULTS][case.tickers]

    assert (await source.fetch(session, MORNING)).keys() == {case.metric}


@sources
async def test_before_it_is_open_a_source_gives_nothing_and_asks_nothing(
    app: web.Application, base: str, session: ClientSession, case: Case
):
    source = case.make(base)

    assert source.metrics == ()
    assert await source.fetch(session, MORNING) == {}
    assert app[ASKED] == []
