"""
Coinbase Exchange's public REST API. It has no call for the tickers of several markets, so each market is a request at
each tick: a few markets, and not all of them. No account, no WebSocket.

It allows ten requests a second for an address. So requests are sent in groups, a group a second, and there are as many
markets as fit into a part of the interval; the others are refused by name when the markets are chosen.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from aiohttp import ClientSession

from worker.latest import DAY, HOUR, MINUTE, Candle, Measure, Metric, Reading, format_iso
from worker.sources.base import AccessReport, SourceProfile, make_wish_filter, read_error_json, read_exact_json
from worker.sources.budget import NoBudget, Purpose, RequestBudget
from worker.sources.candle_rows import CandleColumns, parse_finished
from worker.sources.errors import (
    LONGEST_WORDS,
    SourceError,
    SourceRefused,
    classify_refusal,
    read_retry_after,
    translate_errors,
)
from worker.sources.pair_names import UnknownPair, find_missing, find_pair, name_metric
from worker.sources.rejects import Rejects
from worker.sources.row_fields import parse_amount, parse_market_price, parse_rows, pick_value

NAME, EXCHANGE = "coinbase", "COINBASE"
COLUMNS = CandleColumns(time=0, open=3, high=2, low=1, close=4, volume=5, start=int)
"""Low stands before high, and both before the open."""

AT_ONCE = 6
"""Requests of a tick a second. With those that fill the past beside it they stay below ten."""
SHARE_OF_INTERVAL, MOST_GROUPS = 0.3, 20
"""How much of an interval the requests of a tick may take, and how many groups of them there are at most."""
ROWS = 299
"""Candles of a request, one less than are given: whether the end belongs to the range makes no difference then."""
ONLINE = "online"
LIMITED_SECONDS = 10.0
"""How long nobody is asked after an answer that it was too often, where it does not say how long."""

Sleep = Callable[[float], Awaitable[None]]


async def skip_sleep(_: float) -> None:
    """Let no time pass."""


def count_markets(interval: int) -> int:
    """Return how many markets can be asked for at each tick."""
    return AT_ONCE * min(MOST_GROUPS, max(1, int(interval * SHARE_OF_INTERVAL)))


class CoinbaseSource:
    """`COINBASE:BTCUSD` from `BTC-USD`. There is no `interval_volume`, and changes follow from our own samples."""

    name = NAME
    pace = 0.3
    """What is left of ten requests a second beside a tick, and a little less."""
    lead = DAY
    profile = SourceProfile(
        EXCHANGE,
        (Measure.PRICE, Measure.VOLUME),
        minutes=None,
        hours=None,
        requests=f"one for each market and tick, {AT_ONCE} a second",
        limits=f"10 requests a second for an address; {count_markets(MINUTE)} markets at an interval of 60 s",
    )

    def __init__(
        self,
        base: str,
        wishes: Sequence[str],
        interval: int,
        sleep: Sleep = asyncio.sleep,
        budget: RequestBudget | None = None,
    ) -> None:
        self.budget = budget or NoBudget()
        self._base = base.rstrip("/")
        self._wishes = wishes
        self._most = count_markets(interval)
        self._sleep = sleep
        self._products: dict[Metric, str] = {}
        self._rejects = Rejects()
        self._dead: set[Metric] = set()
        self._closed: Mapping[Metric, str] = {}
        self._unasked: Sequence[Metric] = ()

    @property
    def metrics(self) -> Sequence[Metric]:
        return tuple(self._products)

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
        body, _ = await self._ask(session, "products", Purpose.MARKETS)
        with translate_errors(NAME):
            known, states = parse_products(body)
        is_wanted = make_wish_filter(self._wishes, EXCHANGE)
        trading = [metric for metric in known if states[metric] == ONLINE]
        # Named ones come first: where not all of `*` fit, they are among those that do.
        wanted = sorted(
            (metric for metric in trading if is_wanted(find_pair(metric))), key=lambda each: each not in self._wishes
        )
        self._products = {metric: known[metric] for metric in wanted[: self._most]}
        self._unasked = wanted[self._most :]
        self._closed = {
            metric: state for metric, state in states.items() if state != ONLINE and is_wanted(find_pair(metric))
        }
        missing = find_missing(NAME, self._wishes, EXCHANGE, [find_pair(metric) for metric in trading])
        closed = {
            metric: f"{NAME} has {find_pair(metric)}, but it is not trading: {state}"
            for metric, state in self._closed.items()
            if metric in self._wishes
        }
        return missing | closed | {metric: self._explain_limit() for metric in self._unasked}

    def _explain_limit(self) -> str:
        return f"{NAME} is asked for {self._most} markets at most at this interval, each by a request; name fewer"

    async def fetch(self, session: ClientSession, at: int) -> Mapping[Metric, Reading]:
        readings: dict[Metric, Reading] = {}
        failures: list[SourceError] = []
        dead: set[Metric] = set()
        metrics = list(self._products)
        for first in range(0, len(metrics), AT_ONCE):
            group, is_last = metrics[first : first + AT_ONCE], first + AT_ONCE >= len(metrics)
            answers = asyncio.gather(*[self._try_ticker(session, metric, at, dead) for metric in group])
            # A group takes a second, or as long as its slowest answer.
            found_all, _ = await asyncio.gather(answers, self._sleep(0.0 if is_last else 1.0))
            for metric, found in zip(group, found_all, strict=True):
                if isinstance(found, SourceError):
                    failures.append(found)
                elif found is not None:
                    readings[metric] = found
            self._raise_if_limited(failures)
        self._dead = dead
        if failures and not readings:
            raise failures[0]
        for failure in failures:
            self._rejects[f"no ticker ({failure.kind})"] += 1
        return readings

    def _raise_if_limited(self, failures: Sequence[SourceError]) -> None:
        """Ask nobody any more, at this tick either, once it was too often; what was read is given up."""
        limited = [each for each in failures if isinstance(each, SourceRefused) and each.wait is not None]
        if limited:
            raise limited[0]

    async def _try_ticker(
        self, session: ClientSession, metric: Metric, at: int, dead: set[Metric]
    ) -> Reading | SourceError | None:
        """Return what one market says, or why it says nothing: that must not cost the others."""
        try:
            body, date = await self._ask(session, f"products/{self._products[metric]}/ticker")
            with translate_errors(NAME):
                return parse_ticker(body, metric, parse_answer_time(date, at), self._rejects, dead)
        except SourceError as error:
            return error

    async def fetch_candles(self, session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        return await self._candles(session, metric, start, end, MINUTE)

    async def fetch_hours(self, session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        return await self._candles(session, metric, start, end, HOUR)

    async def read_access(self, session: ClientSession) -> AccessReport:
        await self._ask(session, "time", Purpose.MARKETS)
        return AccessReport(f"it answers; {self._most} markets at most are asked for at this interval")

    def skip_waits(self) -> None:
        self._sleep = skip_sleep

    async def _candles(
        self, session: ClientSession, metric: Metric, start: int, end: int, length: int
    ) -> Sequence[Candle]:
        if metric not in self._products:
            raise UnknownPair(f"{NAME} does not give {metric}")
        path, rows = f"products/{self._products[metric]}/candles", []
        for first in range(start, end, ROWS * length):
            if first > start:
                await self._sleep(self.pace)
            last = min(first + ROWS * length, end)
            times = {"start": format_iso(first), "end": format_iso(last)}
            body, _ = await self._ask(session, path, Purpose.FILL, granularity=f"{length}", **times)
            with translate_errors(NAME):
                rows += parse_rows(body)
        with translate_errors(NAME):
            return parse_finished(rows, COLUMNS._replace(length=length), start, end, self._rejects)

    async def _ask(
        self, session: ClientSession, path: str, purpose: Purpose = Purpose.TICK, **query: str
    ) -> tuple[Any, str]:
        """Return the body, and when the answer was made, as an HTTP date."""
        async with self.budget.request(1, purpose):
            with translate_errors(NAME):
                async with session.get(f"{self._base}/{path}", params=query) as response:
                    is_error = response.status >= HTTPStatus.BAD_REQUEST
                    body = await (read_error_json if is_error else read_exact_json)(response)
                if is_error:
                    raise make_refusal(response.status, body, path, read_retry_after(response.headers))
                return body, response.headers.get("Date", "")


def make_refusal(status: int, body: object, path: str, after: float | None) -> SourceRefused:
    """Put an error into words."""
    said = pick_value(body, "message")
    message = f"{NAME} answered {status} to {path}{f': {str(said)[:LONGEST_WORDS]}' if said else ''}"
    if status == HTTPStatus.NOT_FOUND and said:
        return UnknownPair(message)
    if status == HTTPStatus.TOO_MANY_REQUESTS and after is None:
        return SourceRefused(message, LIMITED_SECONDS)
    return classify_refusal(status, message, after)


def parse_products(body: object) -> tuple[dict[Metric, str], dict[Metric, str]]:
    """Return what the provider calls each market, and in which state it is: `online`, or why it is not traded."""
    known: dict[Metric, str] = {}
    states: dict[Metric, str] = {}
    for row in parse_rows(body):
        product = pick_value(row, "id")
        metric = name_metric(EXCHANGE, product.replace("-", "")) if isinstance(product, str) else None
        if metric is not None and isinstance(product, str):
            known[metric] = product
            disabled = pick_value(row, "trading_disabled") is True
            states[metric] = "trading is disabled" if disabled else str(pick_value(row, "status"))
    return known, states


def parse_ticker(
    body: Any, metric: Metric, made: int | None, rejects: Counter[str], dead: set[Metric]
) -> Reading | None:
    """Read a ticker. Its own time is that of the last trade, so an answer counts as of when it was made. Raises as `translate_errors` knows."""
    price = parse_market_price(metric, body["price"], rejects, dead)
    if price is None:
        return None
    return Reading(price, parse_amount(pick_value(body, "volume"), "volume", rejects, metric), provider_time=made)


def parse_answer_time(date: str, at: int) -> int | None:
    """Return the time of an answer, unix seconds. One that is not near the tick is some proxy's idea, and not believed."""
    try:
        said = int(parsedate_to_datetime(date).timestamp())
    except (TypeError, ValueError, OverflowError):
        return None
    return said if abs(said - at) <= MINUTE else None
