"""
Binance's public REST API for spot markets: one `ticker/24hr` call a tick, and what was traded in the
interval from `ticker` with a window, or from candles of a second. No account, no WebSocket.

Binance counts weight, 6000 a minute for one address, and bans an address that goes on after a refusal.
So what a tick may cost is bounded, and the wait of a refusal is kept even where other numbers came.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Awaitable, Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from aiohttp import ClientSession

from worker.latest import DAY, HOUR, MINUTE, Candle, Measure, Metric, Reading
from worker.sources import binance_seconds, binance_windows
from worker.sources.base import AccessReport, SourceProfile, make_wish_filter, read_error_json, read_exact_json
from worker.sources.budget import BudgetSpent, NoBudget, Purpose, RequestBudget
from worker.sources.candle_rows import CandleColumns, parse_finished
from worker.sources.errors import (
    RequestRefused,
    SourceError,
    SourceRefused,
    clamp_wait,
    classify_refusal,
    read_answer_time,
    read_retry_after,
    translate_errors,
)
from worker.sources.pair_names import UnknownPair, find_missing, find_pair, name_metric
from worker.sources.rejects import Rejects, note_reject
from worker.sources.row_fields import (
    DISAGREES,
    is_mean_plausible,
    match_symbols,
    parse_amount,
    parse_change,
    parse_fraction,
    parse_market_price,
    parse_rows,
    parse_whole,
    pick_value,
)

NAME, EXCHANGE = "binance", "BINANCE"
MS = 1000
COLUMNS = CandleColumns(time=0, open=1, high=2, low=3, close=4, volume=5, start=lambda opens: opens // MS)

FEW = 100
"""Up to so many symbols are asked for by name, at half the weight of all."""
FEWEST, FEW_WEIGHT, SOME_WEIGHT, ALL_WEIGHT = 20, 2, 40, 80
"""What `ticker/24hr` weighs: 2 up to 20 symbols, 40 up to 100, 80 for all."""
INFO_WEIGHT, KLINES_WEIGHT = 20, 2
LIMIT, SHARE = 6000, 0.8
"""Weight a minute where `exchangeInfo` names none; and how much of it we use, because the address may be shared."""
SHARE_OF_INTERVAL = 0.4
"""How much of an interval may be waited for what was traded in the one before."""
KLINES = 1000
LENGTHS = {MINUTE: "1m", HOUR: "1h"}
WAITS: Mapping[int, int] = {HTTPStatus.TOO_MANY_REQUESTS: 60, HTTPStatus.IM_A_TEAPOT: 120}
"""Seconds to stay away where `Retry-After` is missing: weight counts by the minute; the shortest ban is two."""
INVALID_SYMBOL, TOO_MANY = "-1121", "-1003"
MILLISECONDS = 10**11
"""Seconds from here on are after the year 5000."""
_BANNED_UNTIL = re.compile(r"banned until ([0-9]{10,16})\b")
MOST_HALVES = 16
"""Calls a tick that look for the one name of a list that is refused."""


class BinanceMarkets(NamedTuple):
    """What `exchangeInfo` lists."""

    symbols: Mapping[Metric, str]
    status: Mapping[Metric, str]
    limit: int
    """Weight a minute."""


class WeighedRequest(NamedTuple):
    """What is asked for, what that weighs, and what it is for."""

    path: str
    weight: int
    purpose: Purpose = Purpose.TICK


class BinanceSource:
    """`BINANCE:BTCUSDT` and all other spot symbols that are trading; `interval_volume` from windows or seconds."""

    name = NAME
    pace = 0.15
    """With the day before, a metric's candles are three calls of weight 2: at most 40 % of the limit. Ticks take 35 %."""
    lead = DAY
    profile = SourceProfile(
        EXCHANGE,
        (
            *(Measure.PRICE, Measure.VOLUME, Measure.CHANGE_PERCENTAGE, Measure.CHANGE_ABSOLUTE),
            Measure.INTERVAL_VOLUME,
        ),
        minutes=None,
        hours=None,
        requests="one a tick for all markets, and one for each 100 markets whose interval volume is asked for",
        limits=f"{LIMIT:,} of weight a minute for an address, of which {SHARE:.0%} is used",
        stream="combined streams, where TRACKER_SOURCE_STREAMS is set",
    )

    def __init__(self, base: str, wishes: Sequence[str], interval: int, budget: RequestBudget | None = None) -> None:
        self.budget = budget or NoBudget()
        self._base = base.rstrip("/")
        self._wishes = wishes
        self._interval = interval
        self._symbols: dict[Metric, str] = {}
        self._names: dict[str, Metric] = {}
        self._by_name = True
        self._unasked: set[Metric] = set()
        """Those whose name is refused in a list."""
        self._limit = LIMIT
        self._used = 0
        self._away = 0
        self._traded_seconds: float | None = min(binance_windows.LATE, SHARE_OF_INTERVAL * interval)
        """How long what was traded in an interval is waited for; `None` where all answers are there already."""
        self._rejects = Rejects()
        self._dead: set[Metric] = set()
        self._closed: Mapping[Metric, str] = {}

    @property
    def metrics(self) -> Sequence[Metric]:
        return tuple(self._symbols)

    @property
    def rejects(self) -> Mapping[str, int]:
        return self._rejects

    @property
    def closed(self) -> Mapping[Metric, str]:
        return self._closed

    @property
    def dead(self) -> Collection[Metric]:
        return self._dead

    @property
    def stream_symbols(self) -> Mapping[Metric, str]:
        return self._symbols

    async def open(self, session: ClientSession) -> Mapping[Metric, str]:
        cost = WeighedRequest("exchangeInfo", INFO_WEIGHT, Purpose.MARKETS)
        body = await self._ask(session, cost, showPermissionSets="false")
        with translate_errors(NAME):
            known = parse_markets(body)
        trading = [metric for metric in known.symbols if known.status[metric] == "TRADING"]
        is_wanted = make_wish_filter(self._wishes, EXCHANGE)
        self._symbols = {metric: known.symbols[metric] for metric in trading if is_wanted(find_pair(metric))}
        self._closed = {
            metric: status
            for metric, status in known.status.items()
            if status != "TRADING" and is_wanted(find_pair(metric))
        }
        self._names = {symbol: metric for metric, symbol in self._symbols.items()}
        self._by_name = len(self._symbols) <= FEW
        self._unasked = set()
        self._limit = known.limit
        self.budget.set_amount(known.limit)
        halted = {
            metric: f"{NAME} has {find_pair(metric)}, but it is not trading: {status}"
            for metric, status in known.status.items()
            if status != "TRADING" and metric in self._wishes
        }
        return find_missing(NAME, self._wishes, EXCHANGE, [find_pair(metric) for metric in trading]) | halted

    async def fetch(self, session: ClientSession, at: int) -> Mapping[Metric, Reading]:
        if not self._symbols:
            return {}
        if at < self._away:
            raise SourceRefused(f"{NAME} asked us to stay away until {self._away}", self._away - at)
        body = await self._tickers(session)
        with translate_errors(NAME):
            dead: set[Metric] = set()
            readings = parse_tickers(body, self._names, self._rejects, dead)
        self._dead = dead
        traded = await self._read_traded(session, at, readings)
        return {metric: reading._replace(interval_volume=traded.get(metric)) for metric, reading in readings.items()}

    async def fetch_candles(self, session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        return await self._candles(session, metric, start, end, MINUTE)

    async def fetch_hours(self, session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        return await self._candles(session, metric, start, end, HOUR)

    async def read_access(self, session: ClientSession) -> AccessReport:
        await self._ask(session, WeighedRequest("time", 1, Purpose.MARKETS))
        used = f"{self._used:,} of {self._limit:,} of this minute's weight is used by this address"
        if self._used <= self._limit * SHARE:
            return AccessReport(used)
        return AccessReport(used, used, "see who else asks from this address, or sample fewer metrics")

    def skip_waits(self) -> None:
        self._traded_seconds = None

    async def _candles(
        self, session: ClientSession, metric: Metric, start: int, end: int, length: int
    ) -> Sequence[Candle]:
        if metric not in self._symbols:
            raise UnknownPair(f"{NAME} does not give {metric}")
        page = {"symbol": self._symbols[metric], "interval": LENGTHS[length], "limit": f"{KLINES}"}
        candles: list[object] = []
        with translate_errors(NAME):
            for first in range(start, end, KLINES * length):
                last = min(first + KLINES * length, end) * MS - 1
                times = {"startTime": f"{first * MS}", "endTime": f"{last}"}
                request = WeighedRequest("klines", KLINES_WEIGHT, Purpose.FILL)
                candles += parse_rows(await self._ask(session, request, **page, **times))
            return parse_finished(candles, COLUMNS._replace(length=length), start, end, self._rejects)

    async def _tickers(self, session: ClientSession) -> Any:
        everything = WeighedRequest("ticker/24hr", compute_ticker_weight(None))
        if self._by_name:
            named = everything._replace(weight=compute_ticker_weight(len(self._names)))
            try:
                return await self._ask(session, named, symbols=format_array(self._names))
            except RequestRefused:
                # One name that is refused, delisted or written in letters that it does not take, must not cost all others.
                body = await self._ask(session, everything)
                self._by_name = False  # at no later tick either
                return body
        return await self._ask(session, everything)

    async def _read_traded(
        self, session: ClientSession, at: int, readings: Mapping[Metric, Reading]
    ) -> Mapping[Metric, str]:
        """Return what was traded in the interval, of as many metrics as we can afford."""
        size = binance_windows.format_window(self._interval)
        room = min(int(self._limit * SHARE) - self._used, self.budget.count_room())
        if size is not None:
            parts = binance_windows.choose_affordable(
                [metric for metric in readings if metric not in self._unasked], room
            )
            calls = [self._unless_it_fails(at, part, self._window(session, at, size, part)) for part in parts]
        else:
            # The last second is over when Binance's own clock says so.
            over = [metric for metric, reading in readings.items() if (reading.provider_time or 0) >= at]
            parts = [(metric,) for metric in binance_seconds.choose_affordable(over, self._interval, room)]
            calls = [self._unless_it_fails(at, part, self._seconds(session, at, *part)) for part in parts]
        return {metric: volume for traded in await asyncio.gather(*calls) for metric, volume in traded.items()}

    async def _window(
        self, session: ClientSession, at: int, size: str, metrics: Sequence[Metric]
    ) -> Mapping[Metric, str]:
        names = {self._symbols[metric]: metric for metric in metrics}
        found: list[object] = []
        parts, calls = [names], 0
        while parts:
            part, calls = parts.pop(), calls + 1
            try:
                request = WeighedRequest("ticker", binance_windows.compute_weight(len(part)))
                body = await self._ask(session, request, symbols=format_array(part), windowSize=size, type="MINI")
                found += parse_rows(body)
            except RequestRefused:
                if calls >= MOST_HALVES:
                    raise
                # One name that is refused must not cost the others: it is found by halves, and not asked for again.
                if len(part) == 1:
                    self._unasked.update(part.values())
                else:
                    parts += _halves(part)
        return binance_windows.parse_windows(found, names, at, self._interval, self._rejects)

    async def _seconds(self, session: ClientSession, at: int, metric: Metric) -> Mapping[Metric, str]:
        times = {
            "startTime": f"{(at - self._interval) * MS}",
            "endTime": f"{at * MS - 1}",
            "limit": f"{self._interval}",
        }
        request = WeighedRequest("klines", KLINES_WEIGHT)
        body = await self._ask(session, request, symbol=self._symbols[metric], interval="1s", **times)
        volume = binance_seconds.parse_seconds_volume(body, COLUMNS, at, self._interval, self._rejects)
        return {} if volume is None else {metric: volume}

    async def _unless_it_fails(
        self, at: int, metrics: Sequence[Metric], asking: Awaitable[Mapping[Metric, str]]
    ) -> Mapping[Metric, str]:
        try:
            with translate_errors(NAME):
                # Whoever asks waits for no more than most of an interval, and the prices are worth more than these.
                async with asyncio.timeout(self._traded_seconds):
                    return await asking
        except SourceError as error:
            # The prices are here already; this costs only the interval volumes, and the next tick if we must wait.
            self._rejects[f"no interval volume ({error.kind})"] += len(metrics)
            # A budget that is spent keeps its own time.
            if isinstance(error, SourceRefused) and not isinstance(error, BudgetSpent) and error.wait is not None:
                self._away = at + int(error.wait)
            return {}

    async def _ask(self, session: ClientSession, asked: WeighedRequest, **query: str) -> Any:
        path = asked.path
        async with self.budget.request(asked.weight, asked.purpose) as call:
            with translate_errors(NAME):
                async with session.get(f"{self._base}/api/v3/{path}", params=query) as response:
                    call.used = parse_whole(response.headers.get("X-MBX-USED-WEIGHT-1M"))
                    self._used = call.used or 0
                    is_error = response.status >= HTTPStatus.BAD_REQUEST
                    body = await (read_error_json if is_error else read_exact_json)(response)
                if is_error or pick_value(body, "code") is not None:
                    after = read_retry_after(response.headers)
                    words = f"{path} of {query['symbol']}" if "symbol" in query else path
                    raise make_refusal(response.status, body, after, words, read_answer_time(response.headers))
                return body


def compute_ticker_weight(symbols: int | None) -> int:
    """Return what `ticker/24hr` of so many symbols weighs; `None`: of all."""
    if symbols is None or symbols > FEW:
        return ALL_WEIGHT
    return FEW_WEIGHT if symbols <= FEWEST else SOME_WEIGHT


def make_refusal(status: int, body: Any, after: int | None, asked: str, now: float = 0.0) -> SourceRefused:
    """Put an error into words; `now` is the provider's time, against which it says until when a ban lasts."""
    code, said = pick_value(body, "code"), pick_value(body, "msg")
    message = f"{NAME} answered {status} to {asked}{f': {said} ({code})' if code else ''}"
    if code == INVALID_SYMBOL:
        return UnknownPair(message)
    if after is None:
        after = read_ban(said, now)
    if after is None and (status in WAITS or code == TOO_MANY):
        after = WAITS.get(status, WAITS[HTTPStatus.TOO_MANY_REQUESTS])
    return classify_refusal(status, message, after)


def read_ban(said: object, now: float) -> int | None:
    """Return the seconds that a ban lasts: "IP banned until 1795812064784", in milliseconds or seconds; bounded."""
    until = _BANNED_UNTIL.search(said) if isinstance(said, str) else None
    if not until:
        return None
    at = int(until[1])
    return clamp_wait(at / MS - now if at >= MILLISECONDS else at - now)


def parse_markets(body: Any) -> BinanceMarkets:
    """Read `exchangeInfo`."""
    symbols: dict[Metric, str] = {}
    status: dict[Metric, str] = {}
    for row in parse_rows(body["symbols"]):
        symbol = pick_value(row, "symbol")
        metric = name_metric(EXCHANGE, symbol) if isinstance(symbol, str) else None
        if metric is not None and isinstance(symbol, str):
            symbols[metric] = symbol
            status[metric] = str(pick_value(row, "status"))
    limits = [
        parse_whole(pick_value(each, "limit"))
        for each in body.get("rateLimits", ())
        if pick_value(each, "rateLimitType") == "REQUEST_WEIGHT" and pick_value(each, "interval") == "MINUTE"
    ]
    return BinanceMarkets(symbols, status, next(filter(None, limits), LIMIT))


def parse_tickers(
    body: object, names: Mapping[str, Metric], rejects: Counter[str], dead: set[Metric] | None = None
) -> dict[Metric, Reading]:
    """
    Read `ticker/24hr` of the symbols in `names`; what is left out is counted, dead markets go into `dead`.

    Changes are in percent already.
    """
    readings: dict[Metric, Reading] = {}
    for metric, row in match_symbols(body, names, rejects):
        last = parse_market_price(metric, pick_value(row, "lastPrice"), rejects, dead)
        if last is not None and _is_plausible(row, metric, rejects):
            readings[metric] = Reading(
                last,
                parse_amount(pick_value(row, "volume"), "volume", rejects, metric),
                parse_change(pick_value(row, "priceChangePercent"), "change_percentage", rejects, metric),
                parse_change(pick_value(row, "priceChange"), "change_absolute", rejects, metric),
                provider_time=parse_whole(pick_value(row, "closeTime"), MS),
            )
    return readings


def _is_plausible(row: object, metric: Metric, rejects: Counter[str]) -> bool:
    """Return whether a day's two volumes belong to its prices; count the row where they do not."""
    base, quote, low, high = (pick_value(row, name) for name in ("volume", "quoteVolume", "lowPrice", "highPrice"))
    amount, turnover = parse_fraction(base), parse_fraction(quote)
    if amount is None or turnover is None or is_mean_plausible(turnover / amount, low, high):
        return True
    note_reject(rejects, DISAGREES, f"{quote} for {base}, low {low}, high {high}", metric)
    return False


def _halves(names: Mapping[str, Metric]) -> list[dict[str, Metric]]:
    listed = list(names.items())
    middle = len(listed) // 2
    return [dict(listed[:middle]), dict(listed[middle:])]


def format_array(names: Mapping[str, Metric]) -> str:
    return json.dumps(list(names), ensure_ascii=False, separators=(",", ":"))
