"""
Kraken's public REST API: one Ticker call a tick, whatever the number of pairs. No account, no WebSocket.

Kraken says HTTP 200 even when it says no, calls bitcoin XBT, and answers under another name than the
one asked for (ask XBTUSD, get XXBTZUSD), so pairs are known by every spelling that AssetPairs gives.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, NamedTuple

from aiohttp import ClientSession

from worker.latest import HOUR, MINUTE, Candle, Measure, Metric, Reading
from worker.sources.base import AccessReport, SourceProfile, make_wish_filter, read_exact_json
from worker.sources.budget import NoBudget, Purpose, RequestBudget
from worker.sources.candle_rows import CandleColumns, parse_finished
from worker.sources.daily_counter import DailyCounters
from worker.sources.errors import LONGEST_WORDS, RequestRefused, SourceRefused, read_retry_after, translate_errors
from worker.sources.pair_names import UnknownPair, find_missing, find_pair, name_metric
from worker.sources.rejects import Rejects, note_reject
from worker.sources.row_fields import (
    DISAGREES,
    is_mean_plausible,
    parse_amount,
    parse_fraction,
    parse_market_price,
    parse_rows,
    parse_whole,
    pick_value,
)

NAME, EXCHANGE = "kraken", "KRAKEN"
OURS = {"XBT": "BTC", "XDG": "DOGE"}
"""Kraken's own names of coins, and everybody else's."""
COLUMNS = CandleColumns(time=0, open=1, high=2, low=3, close=4, volume=6, start=int)

ROWS = 720
"""Finished candles of each length that it answers with, the newest, whatever is asked for."""
FEW = 100
"""Up to so many pairs are asked for by name; the whole list is 430 KB."""
FIRST_WAIT, LONGEST_WAIT = 15.0, 60.0
"""Seconds to stay away when told that it was too often; doubled each time until an answer comes."""
LOCKOUT = 900.0
"""Seconds of a "Temporary lockout"."""
ONLINE = "online"
"""What its state is called while everything works."""
TRADING = ("online", "limit_only", "reduce_only")
"""The words of Kraken's `status` for a pair that is traded; of others, `cancel_only` and `post_only`, none is."""
OF_THE_QUESTION = ("EQuery:", "EGeneral:Invalid arguments")
TOO_OFTEN = ("Rate limit", "Too many", "Throttled")


class KrakenMarket(NamedTuple):
    """One pair as Kraken knows it."""

    key: str
    """How to ask for it."""
    also: tuple[str, ...]
    """How answers may name it, too."""
    status: str = "online"
    """Kraken's word for what can be done on it."""


class KrakenTicker(NamedTuple):
    """What the Ticker says of one pair."""

    price: str
    volume: str | None
    today: str | None
    """Traded since midnight UTC, in the base currency."""


class KrakenSource:
    """`KRAKEN:BTCUSD` and all other spot pairs; `interval_volume` from the since-midnight counter."""

    name = NAME
    pace = 1.0
    """Kraken does not publish its limit for public calls; its clients keep to one a second."""
    lead = 0
    """Kraken keeps 720 minutes, so a whole day never precedes."""
    kept: Mapping[int, int] = {MINUTE: ROWS * MINUTE, HOUR: ROWS * HOUR}
    profile = SourceProfile(
        EXCHANGE,
        (Measure.PRICE, Measure.VOLUME, Measure.INTERVAL_VOLUME),
        minutes=ROWS * MINUTE,
        hours=ROWS * HOUR,
        requests="one a tick, for all markets",
        limits="not published; candles are asked for once a second",
        stream="WebSocket v2, where TRACKER_SOURCE_STREAMS is set",
    )

    def __init__(self, base: str, wishes: Sequence[str], interval: int, budget: RequestBudget | None = None) -> None:
        self.budget = budget or NoBudget()
        self._base = base.rstrip("/")
        self._wishes = wishes
        self._markets: dict[Metric, KrakenMarket] = {}
        self._names: dict[str, Metric] = {}
        self._by_name = True
        self._wait = FIRST_WAIT
        self._counters = DailyCounters(interval)
        self._rejects = Rejects()
        self._dead: set[Metric] = set()

    @property
    def metrics(self) -> Sequence[Metric]:
        return tuple(self._markets)

    @property
    def rejects(self) -> Mapping[str, int]:
        return self._rejects

    @property
    def closed(self) -> Mapping[Metric, str]:
        return {metric: market.status for metric, market in self._markets.items() if market.status not in TRADING}

    @property
    def dead(self) -> Collection[Metric]:
        return self._dead

    @property
    def stream_symbols(self) -> Mapping[Metric, str]:
        # "BTC/USD" is how WebSocket v2 spells it.
        return {metric: market.also[-1] for metric, market in self._markets.items()}

    async def open(self, session: ClientSession) -> Mapping[Metric, str]:
        pairs, _ = await self._ask(session, "AssetPairs", Purpose.MARKETS)
        with translate_errors(NAME):
            known = parse_markets(pairs)
        is_wanted = make_wish_filter(self._wishes, EXCHANGE)
        self._markets = {metric: market for metric, market in known.items() if is_wanted(find_pair(metric))}
        self._names = list_spellings(self._markets)
        self._by_name = len(self._markets) <= FEW
        absent = find_missing(NAME, self._wishes, EXCHANGE, [find_pair(metric) for metric in known])
        everything = list_spellings(known)
        meant = {metric: everything[find_pair(metric)] for metric in absent if find_pair(metric) in everything}
        return absent | {
            metric: f"{NAME}'s {find_pair(metric)} is called {ours} here" for metric, ours in meant.items()
        }

    async def fetch(self, session: ClientSession, at: int) -> Mapping[Metric, Reading]:
        if not self._markets:
            return {}
        body, last_modified = await self._tickers(session)
        with translate_errors(NAME):
            dead: set[Metric] = set()
            tickers = parse_tickers(body, self._names, self._rejects, dead)
        self._dead = dead
        said = parse_provider_time(last_modified, at)
        today = {metric: ticker.today for metric, ticker in tickers.items() if ticker.today is not None}
        traded = self._counters.update(at, said or at, today)
        return {
            metric: Reading(ticker.price, ticker.volume, interval_volume=traded.get(metric), provider_time=said)
            for metric, ticker in tickers.items()
        }

    async def fetch_candles(self, session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        return await self._candles(session, metric, start, end, MINUTE)

    async def fetch_hours(self, session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        return await self._candles(session, metric, start, end, HOUR)

    async def read_access(self, session: ClientSession) -> AccessReport:
        result, _ = await self._ask(session, "SystemStatus")
        with translate_errors(NAME):
            state = str(pick_value(result, "status"))[:LONGEST_WORDS]
        if state == ONLINE:
            return AccessReport(f"it says that it is {state}")
        return AccessReport(
            f"it says that it is {state}", f"it says that it is {state}", "wait; its status page says for how long"
        )

    async def _candles(
        self, session: ClientSession, metric: Metric, start: int, end: int, length: int
    ) -> Sequence[Candle]:
        if metric not in self._markets:
            raise UnknownPair(f"{NAME} does not give {metric}")
        # `since` is exclusive. At most 720 finished ones come, the newest, however early it is.
        asked = {"pair": self._markets[metric].key, "interval": f"{length // MINUTE}", "since": f"{start - length}"}
        result, _ = await self._ask(session, "OHLC", Purpose.FILL, **asked)
        with translate_errors(NAME):
            return parse_candles(result, start, end, self._rejects, length)

    async def _tickers(self, session: ClientSession) -> tuple[Any, str]:
        if self._by_name:
            try:
                return await self._ask(session, "Ticker", pair=",".join(each.key for each in self._markets.values()))
            except RequestRefused:
                # One name that is refused, as of a pair that was delisted, must not cost all the others.
                everything = await self._ask(session, "Ticker")
                self._by_name = False  # at no later tick either
                return everything
        return await self._ask(session, "Ticker")

    async def _ask(
        self, session: ClientSession, method: str, purpose: Purpose = Purpose.TICK, **query: str
    ) -> tuple[Any, str]:
        """Return the result, and when it was made, as an HTTP date."""
        async with self.budget.request(1, purpose):
            with translate_errors(NAME):
                async with session.get(f"{self._base}/0/public/{method}", params=query) as response:
                    if response.status == HTTPStatus.TOO_MANY_REQUESTS:
                        after = read_retry_after(response.headers)
                        raise SourceRefused(
                            f"{NAME} answered {response.status}", self._longer_wait() if after is None else after
                        )
                    body = await read_exact_json(response)
                said = join_errors(pick_value(body, "error"))
                if said:
                    raise self._refusal(said, f"{method} of {query['pair']}" if "pair" in query else method)
                self._wait = FIRST_WAIT
                return body["result"], response.headers.get("Last-Modified", "")

    def _refusal(self, said: str, asked: str) -> SourceRefused:
        message = f"{NAME} answered {said!r} to {asked}"
        if "Unknown asset pair" in said:
            return UnknownPair(message)
        if "Temporary lockout" in said:
            return SourceRefused(message, LOCKOUT)
        if said.startswith(OF_THE_QUESTION):
            return RequestRefused(message)
        return SourceRefused(message, self._longer_wait() if any(words in said for words in TOO_OFTEN) else None)

    def _longer_wait(self) -> float:
        wait, self._wait = self._wait, min(2 * self._wait, LONGEST_WAIT)
        return wait


def join_errors(errors: Any) -> str:
    """Return what Kraken calls errors as one text, without mere warnings, which start with a W; "" of none."""
    listed = [errors] if isinstance(errors, str) else errors or []
    return ", ".join(error for error in map(str, listed) if not error.startswith("W"))


def parse_markets(result: Any) -> dict[Metric, KrakenMarket]:
    """
    Read AssetPairs: every pair that has a name for people, except dark pools (`XXBTZUSD.d`).

    "XBT/USD" is BTCUSD. "AAVE/USD:BTNL", the same coins on another venue, is AAVEUSD-BTNL.
    """
    found: dict[Metric, KrakenMarket] = {}
    for key, row in result.items():
        name = pick_value(row, "wsname") or key
        if not isinstance(name, str) or "/" not in name or key.endswith(".d"):
            continue
        base, _, rest = name.partition("/")
        quote, colon, venue = rest.partition(":")
        base, quote = OURS.get(base, base), OURS.get(quote, quote)
        metric = name_metric(EXCHANGE, f"{base}{quote}-{venue}" if venue else f"{base}{quote}")
        if metric is not None:
            also = str(pick_value(row, "altname")), name, f"{base}/{quote}{colon}{venue}"
            found.setdefault(metric, KrakenMarket(key, also, str(pick_value(row, "status") or "online")))
    return found


def list_spellings(known: Mapping[Metric, KrakenMarket]) -> dict[str, Metric]:
    """Return every name under which an answer may speak of a metric. Keys are sure; other spellings yield to them."""
    names = {market.key: metric for metric, market in known.items()}
    for metric, market in known.items():
        for spelling in market.also:
            names.setdefault(spelling, metric)
    return names


def parse_tickers(
    result: Any, names: Mapping[str, Metric], rejects: Counter[str], dead: set[Metric] | None = None
) -> dict[Metric, KrakenTicker]:
    """Read the Ticker rows of the metrics in `names`; what is left out is counted, dead markets go into `dead`."""
    tickers: dict[Metric, KrakenTicker] = {}
    absent = set(names.values())
    for key, row in result.items():
        metric = names.get(key)
        if metric not in absent:
            continue
        absent.remove(metric)
        last = parse_market_price(metric, pick_value(row, "c", 0), rejects, dead)
        if last is not None:
            # Each of `v`, `p`, `l`, `h` is [since midnight UTC, last 24 hours].
            mean, low, high = (pick_value(row, name, 1) for name in ("p", "l", "h"))
            if not is_mean_plausible(parse_fraction(mean), low, high):
                note_reject(rejects, DISAGREES, f"mean {mean}, low {low}, high {high}", metric)
                continue
            volume = parse_amount(pick_value(row, "v", 1), "volume", rejects, metric)
            tickers[metric] = KrakenTicker(
                last, volume, parse_amount(pick_value(row, "v", 0), "volume since midnight", rejects, metric)
            )
    if absent:
        rejects["not in the answer"] += len(absent)
    return tickers


def parse_provider_time(last_modified: str, at: int) -> int | None:
    """
    Return the time of an answer: tickers bear none, but the answer says when it was made (a cache keeps it for 2 s).

    A time that is not near the tick is some proxy's idea, and not believed.
    """
    try:
        said = int(parsedate_to_datetime(last_modified).timestamp())
    except (TypeError, ValueError, OverflowError):
        return None
    return said if abs(said - at) <= MINUTE else None


def parse_candles(result: Any, start: int, end: int, rejects: Counter[str], length: int = MINUTE) -> Sequence[Candle]:
    """Read OHLC: the rows lie under the pair's name, `last` is the newest finished one; a running one follows it."""
    listed = next((value for key, value in result.items() if key != "last"), None)
    last = parse_whole(result["last"])
    candles = parse_finished(parse_rows(listed), COLUMNS._replace(length=length), start, end, rejects)
    return [candle for candle in candles if last is not None and candle.start <= last]
