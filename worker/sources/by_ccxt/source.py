"""
An exchange as a source, asked by ccxt's class of it. Public data alone: no account, no WebSocket.

One call a tick where the exchange has a call for the tickers of many markets. Where it has none, each market is a call,
sent in groups at a part of the pace that ccxt knows, and there are as many markets as fit into a part of the interval; the
others are refused by name when the markets are chosen.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from aiohttp import ClientSession

from worker.latest import DAY, HOUR, MINUTE, Candle, Measure, Metric, Reading
from worker.settings.ccxt_names import name_exchange
from worker.settings.servers import find_kind
from worker.sources.base import AccessReport, SourceProfile, make_wish_filter
from worker.sources.budget import NoBudget, Purpose, RequestBudget
from worker.sources.by_ccxt.library import HOUR_NAME, MINUTE_NAME, ExchangeFacts, describe_exchange
from worker.sources.by_ccxt.requests import MS, make_exchange, note_call, translate_ccxt
from worker.sources.by_ccxt.rows import (
    COLUMNS,
    CcxtMarkets,
    choose_markets,
    has_array,
    parse_answer_time,
    parse_ticker,
    write_row,
)
from worker.sources.candle_rows import parse_finished
from worker.sources.errors import InvalidResponse, RequestRefused, SourceError, SourceRefused
from worker.sources.pair_names import UnknownPair, find_missing, find_pair
from worker.sources.rejects import Rejects

FEW = 100
"""Up to so many markets are asked for by name."""
SHARE_OF_PACE = 0.6
"""How much of what ccxt allows a tick of single calls takes."""
SHARE_OF_INTERVAL, MOST_GROUPS = 0.3, 20
"""How much of an interval they may take, and how many groups of them there are at most."""
LENGTHS = {MINUTE: MINUTE_NAME, HOUR: HOUR_NAME}
FEWEST_ROWS = 100
"""Candles of an answer at least, where ccxt does not say how many there are."""

Sleep = Callable[[float], Awaitable[None]]


async def skip_sleep(_: float) -> None:
    """Let no time pass."""


class CallGroups(NamedTuple):
    """How single calls of a tick are sent."""

    size: int
    """Calls at once."""
    seconds: float
    """From one group to the next."""
    most: int
    """Groups of a tick."""


def plan_groups(spacing: float, interval: int) -> CallGroups:
    """Return how single calls are sent to an exchange that bears one in `spacing` seconds."""
    gap = spacing / SHARE_OF_PACE
    size = max(1, int(1 / gap))
    seconds = max(1.0, gap)
    return CallGroups(size, seconds, min(MOST_GROUPS, max(1, int(interval * SHARE_OF_INTERVAL / seconds))))


class CcxtSource:
    """`BITSTAMP:BTCUSD` from ccxt's `BTC/USD`. There is no `interval_volume`, and changes follow from our own samples."""

    lead = DAY

    def __init__(  # noqa: PLR0913  # all but three by name
        self,
        name: str,
        server: str | None,
        wishes: Sequence[str],
        interval: int,
        *,
        budget: RequestBudget | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`server` is asked instead of the exchange. Raises `CcxtMissing`."""
        self.name = name
        self.budget = budget or NoBudget()
        self._facts = describe_exchange(name)
        self.pace = self._facts.spacing
        self._place = name_exchange(find_kind(name))
        self._exchange = make_exchange(name, self._facts.exchange_id, server, self.budget, clock)
        self._groups = plan_groups(self._facts.spacing, interval)
        self.profile = make_profile(self._place, self._facts, self._groups)
        self._wishes, self._clock, self._sleep = wishes, clock, sleep
        self._by_name = True
        self._symbols: dict[Metric, str] = {}
        self._closed: Mapping[Metric, str] = {}
        self._unasked: Sequence[Metric] = ()
        self._rejects = Rejects()
        self._dead: set[Metric] = set()

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
    def unasked(self) -> Collection[Metric]:
        return self._unasked

    @property
    def dead(self) -> Collection[Metric]:
        return self._dead

    async def open(self, session: ClientSession) -> Mapping[Metric, str]:
        if not (self._facts.has_tickers or self._facts.has_ticker):
            raise RequestRefused(f"{self.name} has no tickers without an account; name another source")
        with note_call(session, Purpose.MARKETS), translate_ccxt(self.name):
            known = await self._read_markets()
        is_wanted = make_wish_filter(self._wishes, self._place)
        # Named ones come first: where not all of `*` fit, they are among those that do.
        wanted = sorted(
            (metric for metric in known.symbols if is_wanted(find_pair(metric))),
            key=lambda each: each not in self._wishes,
        )
        most = len(wanted) if self._facts.has_tickers else self._groups.size * self._groups.most
        self._symbols = {metric: known.symbols[metric] for metric in wanted[:most]}
        self._unasked = wanted[most:]
        self._by_name = len(self._symbols) <= FEW
        self._closed = {metric: word for metric, word in known.closed.items() if is_wanted(find_pair(metric))}
        return self._list_missing(known.symbols, most)

    async def _read_markets(self) -> CcxtMarkets:
        await self._exchange.load_markets(True)
        known = choose_markets(self._exchange.markets_by_id, self._place)
        if not known.rows:
            raise InvalidResponse(f"{self.name} sent an unexpected answer: there is no spot market in it")
        self._exchange.set_markets(known.rows)
        return known

    def _list_missing(self, known: Mapping[Metric, str], most: int) -> dict[Metric, str]:
        limit = f"{self.name} is asked for {most} markets at most at this interval, each by a request; name fewer"
        closed = {
            metric: f"{self.name} has {find_pair(metric)}, but it is not trading: {word}"
            for metric, word in self._closed.items()
            if metric in self._wishes
        }
        missing = find_missing(self.name, self._wishes, self._place, [find_pair(metric) for metric in known])
        return missing | closed | dict.fromkeys(self._unasked, limit)

    async def fetch(self, session: ClientSession, at: int) -> Mapping[Metric, Reading]:
        if not self._symbols:
            return {}
        with note_call(session, Purpose.TICK) as call:
            rows = await (self._tickers() if self._facts.has_tickers else self._single_tickers())
        dead: set[Metric] = set()
        readings: dict[Metric, Reading] = {}
        with translate_ccxt(self.name):
            made = parse_answer_time(call.date, at)
            for metric, row in rows.items():
                reading = parse_ticker(row, metric, made, self._rejects, dead)
                if reading is not None:
                    readings[metric] = reading
        self._dead = dead
        return readings

    async def _tickers(self) -> Mapping[Metric, object]:
        """Return the tickers of all markets, by one call."""
        found = await self._ask_tickers()
        with translate_ccxt(self.name):
            rows = {metric: found[symbol] for metric, symbol in self._symbols.items() if symbol in found}
        if not rows:
            raise InvalidResponse(f"{self.name} sent an unexpected answer: none of the markets asked for is in it")
        if absent := len(self._symbols) - len(rows):
            self._rejects["not in the answer"] += absent
        return rows

    async def _ask_tickers(self) -> Any:
        with translate_ccxt(self.name):
            if self._by_name:
                try:
                    return await self._exchange.fetch_tickers(list(self._symbols.values()))
                except RequestRefused:
                    # One name that is refused, as of a market that was delisted, must not cost all the others.
                    everything = await self._exchange.fetch_tickers()
                    self._by_name = False  # at no later tick either
                    return everything
            return await self._exchange.fetch_tickers()

    async def _single_tickers(self) -> Mapping[Metric, object]:
        """Return the tickers of all markets, each by a call, in groups. A market that fails costs no other one."""
        rows: dict[Metric, object] = {}
        failures: list[SourceError] = []
        metrics, size = list(self._symbols), self._groups.size
        for first in range(0, len(metrics), size):
            if first:
                await self._sleep(self._groups.seconds)
            group = metrics[first : first + size]
            for metric, found in zip(group, await asyncio.gather(*map(self._try_ticker, group)), strict=True):
                if isinstance(found, SourceError):
                    failures.append(found)
                else:
                    rows[metric] = found
            if limited := [each for each in failures if isinstance(each, SourceRefused) and each.wait is not None]:
                # Nobody is asked any more once it was too often; what was read is given up.
                raise limited[0]
        if failures and not rows:
            raise failures[0]
        for failure in failures:
            self._rejects[f"no ticker ({failure.kind})"] += 1
        return rows

    async def _try_ticker(self, metric: Metric) -> object:
        try:
            with translate_ccxt(self.name):
                return await self._exchange.fetch_ticker(self._symbols[metric])
        except SourceError as error:
            return error

    async def fetch_candles(self, session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        return await self._candles(session, metric, start, end, MINUTE) if self._facts.minutes else ()

    async def fetch_hours(self, session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        return await self._candles(session, metric, start, end, HOUR) if self._facts.hours else ()

    async def read_access(self, session: ClientSession) -> AccessReport:
        with note_call(session, Purpose.MARKETS), translate_ccxt(self.name):
            known = await self._read_markets()
        return AccessReport(f"it answers, and lists {len(known.symbols):,} spot markets")

    def skip_waits(self) -> None:
        self._sleep = skip_sleep

    async def _candles(
        self, session: ClientSession, metric: Metric, start: int, end: int, length: int
    ) -> Sequence[Candle]:
        if metric not in self._symbols:
            raise UnknownPair(f"{self.name} does not give {metric}")
        # The one that is running now is not finished, whatever the end is.
        end = min(end, int(self._clock()) // length * length)
        with note_call(session, Purpose.FILL) as call, translate_ccxt(self.name):
            rows = await self._read_pages(self._symbols[metric], start, end, length)
            if not rows and start < end and not has_array(call.answer):
                raise InvalidResponse(f"{self.name} sent an unexpected answer: there are no candles in it")
            return parse_finished(rows, COLUMNS._replace(length=length), start, end, self._rejects)

    async def _read_pages(self, symbol: str, start: int, end: int, length: int) -> list[object]:
        """Return ccxt's candles of a time, asked for page by page; how many a page has, each exchange decides."""
        rows: list[object] = []
        most = self._facts.rows or FEWEST_ROWS
        first = start
        for page in range((end - start) // (length * FEWEST_ROWS) + 2):
            if first >= end:
                break
            if page:
                await self._sleep(self.pace)
            found = [write_row(row) for row in await self._ask_page(symbol, first, end, length)]
            rows += found
            newest = max((int(str(row[0])) // MS for row in found), default=first)
            # Nothing came of a time without trades, or of one that the exchange does not keep.
            first = max(newest + length, first + (length if found else most * length))
        return rows

    async def _ask_page(self, symbol: str, first: int, end: int, length: int) -> Sequence[Any]:
        wanted = (end - first) // length + 1
        limit = min(wanted, self._facts.rows) if self._facts.rows else None
        found: Sequence[Any] = await self._exchange.fetch_ohlcv(symbol, LENGTHS[length], first * MS, limit)
        return found


def make_profile(exchange: str, facts: ExchangeFacts, groups: CallGroups) -> SourceProfile:
    """Return what an exchange can give, by ccxt's word."""
    kinds = [name for name, has in (("of a minute", facts.minutes), ("of an hour", facts.hours)) if has]
    calls = f"{60 / facts.spacing:,.0f} calls a minute for an address by ccxt, each of its own cost"
    several = f"; {groups.size * groups.most} markets at this interval"
    return SourceProfile(
        exchange,
        (Measure.PRICE, Measure.VOLUME),
        minutes=None,
        hours=None if facts.hours else 0,
        requests="one a tick, for all markets" if facts.has_tickers else f"one for each market and tick{several}",
        limits=calls,
        history=f"candles {' and '.join(kinds)}, as far back as it keeps them" if kinds else "no candles",
    )
