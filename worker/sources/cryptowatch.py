"""
Cryptowatch's REST API, which served the markets of some thirty exchanges: one call a tick for all of
them. The service closed in 2023; this asks a server that answers like it.

Its numbers are JSON numbers, its changes are fractions where everybody else sends percent, its dead
markets cost 0, and every call is charged to an allowance, also one that fails.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from aiohttp import ClientSession

from worker.latest import HOUR, MINUTE, Candle, Measure, Metric, Reading, decimals
from worker.sources.base import (
    AccessReport,
    SourceProfile,
    make_wish_filter,
    parse_number,
    read_error_json,
    read_exact_json,
)
from worker.sources.budget import ALLOWANCE_UNIT, NoBudget, Purpose, RequestBudget
from worker.sources.candle_rows import CandleColumns, parse_finished
from worker.sources.errors import SourceRefused, read_retry_after, translate_errors
from worker.sources.pair_names import UnknownPair, find_missing, find_pair, name_metric, suggest_nearest
from worker.sources.rejects import Rejects
from worker.sources.row_fields import (
    is_less,
    is_zero,
    parse_amount,
    parse_change,
    parse_market_price,
    parse_rows,
    pick_value,
)

NAME = "cryptowatch"
COLUMNS = CandleColumns(time=0, open=1, high=2, low=3, close=4, volume=5, start=lambda closes: closes - MINUTE)

MOST_PAGES = 100
"""All 14,462 markets came on one page; a list that does not end must."""
OHLC_ROWS = 1000
RENEWED = float(HOUR)
"""Seconds to stay away when the allowance is used up. Cryptowatch said both "24 hours after your first
request" and "the top of the hour"; asking once an hour is right by either."""


class CryptowatchSource:
    """`KRAKEN:BTCUSD` from `kraken:btcusd`, any exchange that is listed. There is no `interval_volume`."""

    name = NAME
    pace = 0.2
    """Only the allowance was ever published, no limit by the second; this is what a polite client would do."""
    lead = 0
    """Every call is charged, and 1000 minutes are kept for sure."""
    kept: Mapping[int, int] = {MINUTE: OHLC_ROWS * MINUTE, HOUR: OHLC_ROWS * HOUR}
    profile = SourceProfile(
        "*",
        (Measure.PRICE, Measure.VOLUME, Measure.CHANGE_PERCENTAGE, Measure.CHANGE_ABSOLUTE),
        minutes=OHLC_ROWS * MINUTE,
        hours=OHLC_ROWS * HOUR,
        requests="one a tick, for all markets of all exchanges",
        limits="an allowance of credits a day, which each answer names",
    )

    def __init__(
        self,
        base: str,
        wishes: Sequence[str],
        interval: int,  # noqa: ARG002  # every source is made alike; no answer here depends on it
        api_key: str | None,
        budget: RequestBudget | None = None,
    ) -> None:
        self.budget = budget or NoBudget()
        self._costs: dict[str, int] = {}
        """What a call cost when it was last made, by what was asked for."""
        self._base = base.rstrip("/")
        self._wishes = wishes
        self._headers = {"X-CW-API-Key": api_key} if api_key else {}
        self._names: dict[str, Metric] = {}
        self._paths: dict[Metric, str] = {}
        self._is_spent = False
        self._rejects = Rejects()
        self._dead: set[Metric] = set()

    @property
    def metrics(self) -> Sequence[Metric]:
        return tuple(self._paths)

    @property
    def rejects(self) -> Mapping[str, int]:
        return self._rejects

    @property
    def dead(self) -> Collection[Metric]:
        return self._dead

    async def open(self, session: ClientSession) -> Mapping[Metric, str]:
        # The summaries, although `/markets` costs a fifth: a server that answers alike surely has these.
        summaries = await self._summaries(session, Purpose.MARKETS)
        with translate_errors(NAME):
            known = parse_markets(summaries)
        tests = {exchange: make_wish_filter(self._wishes, exchange) for exchange in known}
        self._names = {
            key: metric
            for exchange, keys in known.items()
            for metric, key in keys.items()
            if tests[exchange](find_pair(metric))
        }
        self._paths = {metric: key.replace(":", "/").lower() for key, metric in self._names.items()}
        return _find_missing(self._wishes, known)

    async def fetch(
        self,
        session: ClientSession,
        at: int,  # noqa: ARG002  # summaries bear no time that could be held against the tick
    ) -> Mapping[Metric, Reading]:
        if not self._names:
            return {}
        if self._is_spent:
            # Said once: whoever comes back after the wait may try, and the answer tells how it stands.
            self._is_spent = False
            raise self._make_allowance_refusal()
        summaries = await self._summaries(session, Purpose.TICK)
        with translate_errors(NAME):
            dead: set[Metric] = set()
            readings = parse_summaries(summaries, self._names, self._rejects, dead)
        self._dead = dead
        return readings

    async def fetch_candles(self, session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        return await self._candles(session, metric, start, end, MINUTE)

    async def fetch_hours(self, session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        return await self._candles(session, metric, start, end, HOUR)

    async def read_access(self, session: ClientSession) -> AccessReport:
        with translate_errors(NAME):
            body = await self._ask(session, "markets/summaries", Purpose.MARKETS, limit="1")
            left = parse_number(pick_value(body, "allowance", "remaining"))
        if left is None:
            return AccessReport("it answers, and names no allowance")
        if self._is_spent:
            spent = f"{left} credits are left, which do not pay for another call"
            return AccessReport(spent, spent, "set TRACKER_CRYPTOWATCH_API_KEY, or ask less often")
        return AccessReport(f"{left} credits of the allowance are left")

    async def _candles(
        self, session: ClientSession, metric: Metric, start: int, end: int, length: int
    ) -> Sequence[Candle]:
        if metric not in self._paths:
            raise UnknownPair(f"{NAME} does not give {metric}")
        path = f"markets/{self._paths[metric]}/ohlc"
        candles: list[object] = []
        with translate_errors(NAME):
            for first in range(start, end, OHLC_ROWS * length):
                if self._is_spent:
                    raise self._make_allowance_refusal()
                # Both bounds are inclusive, and speak of when a candle closes.
                last = min(first + OHLC_ROWS * length, end)
                times = {"periods": f"{length}", "after": f"{first + length}", "before": f"{last}"}
                body = await self._ask(session, path, Purpose.FILL, **times)
                # An empty list of this server is `null`.
                candles += parse_rows(body["result"][f"{length}"] or [])
            columns = COLUMNS._replace(start=lambda closes: closes - length, length=length)
            return parse_finished(candles, columns, start, end, self._rejects)

    async def _summaries(self, session: ClientSession, purpose: Purpose) -> dict[str, object]:
        """Return all pages as one."""
        with translate_errors(NAME):
            body = await self._ask(session, "markets/summaries", purpose)
            summaries = dict(body["result"])
            for _ in range(MOST_PAGES - 1):
                if pick_value(body, "cursor", "hasMore") is not True:
                    return summaries
                body = await self._ask(session, "markets/summaries", purpose, cursor=body["cursor"]["last"])
                summaries |= body["result"]
            raise ValueError(f"the summaries did not end after {MOST_PAGES} pages")

    async def _ask(self, session: ClientSession, path: str, purpose: Purpose, **query: str) -> Any:
        kind = path.rpartition("/")[2]
        async with self.budget.request(self._costs.get(kind, 0), purpose) as call:
            async with session.get(f"{self._base}/{path}", params=query, headers=self._headers) as response:
                is_error = response.status >= HTTPStatus.BAD_REQUEST
                body = await (read_error_json if is_error else read_exact_json)(response)
                after = read_retry_after(response.headers)
            allowance = pick_value(body, "allowance")
            self._is_spent = is_allowance_spent(allowance)
            self._costs[kind] = parse_units(pick_value(allowance, "cost")) or 0
            call.left = None if is_allowance_paid(allowance) else parse_units(pick_value(allowance, "remaining"))
            said = pick_value(body, "error")
            if is_error or said is not None:
                raise make_refusal(response.status, said, after, path)
            return body

    def _make_allowance_refusal(self) -> SourceRefused:
        return SourceRefused(f"{NAME}'s allowance does not pay for another call", RENEWED)


def make_refusal(status: int, said: object, after: int | None, path: str) -> SourceRefused:
    """Put an error into words."""
    message = f"{NAME} answered {status} to {path}{f': {said}' if said else ''}"
    if status == HTTPStatus.NOT_FOUND:
        return UnknownPair(message)
    if after is None and (status == HTTPStatus.TOO_MANY_REQUESTS or said == "Out of allowance"):
        return SourceRefused(message, RENEWED)
    return SourceRefused(message, after)


def is_allowance_spent(allowance: object) -> bool:
    """Return whether another call of the same cost would take the allowance below zero. Paid ones do not end."""
    cost, remaining = parse_number(pick_value(allowance, "cost")), parse_number(pick_value(allowance, "remaining"))
    return not (cost is None or remaining is None or is_allowance_paid(allowance)) and is_less(remaining, cost)


def is_allowance_paid(allowance: object) -> bool:
    """Return whether there is a paid part, so that the allowance does not end."""
    paid = parse_number(pick_value(allowance, "remainingPaid"))
    return paid is not None and not is_zero(paid)


def parse_units(credits_: object) -> int | None:
    """Return credits as whole units of the budget; `None` of what is no number."""
    number = parse_number(credits_)
    return None if number is None else int(Decimal(number) * ALLOWANCE_UNIT)


def parse_markets(summaries: Mapping[str, object]) -> dict[str, dict[Metric, str]]:
    """Return, by exchange, every metric and its name in the summaries: `kraken:btcusd`."""
    known: dict[str, dict[Metric, str]] = defaultdict(dict)
    for key in summaries:
        exchange, _, pair = key.partition(":")
        metric = name_metric(exchange, pair)
        if metric is not None:
            known[exchange.upper()].setdefault(metric, key)
    return known


def parse_summaries(
    summaries: Mapping[str, object],
    names: Mapping[str, Metric],
    rejects: Counter[str],
    dead: set[Metric] | None = None,
) -> dict[Metric, Reading]:
    """Read the summaries of the markets in `names`; what is left out is counted, dead markets go into `dead`."""
    readings: dict[Metric, Reading] = {}
    for key, metric in names.items():
        if key not in summaries:
            rejects["not in the answer"] += 1
            continue
        row = summaries[key]
        last = parse_market_price(metric, pick_value(row, "price", "last"), rejects, dead)
        if last is not None:
            fraction = parse_change(
                pick_value(row, "price", "change", "percentage"), "change_percentage", rejects, metric
            )
            absolute = parse_change(pick_value(row, "price", "change", "absolute"), "change_absolute", rejects, metric)
            readings[metric] = Reading(last, _volume(row, rejects), convert_to_percent(fraction), absolute)
    return readings


def convert_to_percent(fraction: str | None) -> str | None:
    """Make percent of a fraction by moving the point; `None` where that takes more digits than are kept."""
    return None if fraction is None else parse_number(decimals.shift_point(fraction, 2))


def _volume(row: object, rejects: Counter[str]) -> str | None:
    # Of inverse futures `volume` counts contracts; `volumeBase` is in the base currency everywhere, where it is given.
    base = pick_value(row, "volumeBase")
    return parse_amount(pick_value(row, "volume") if base is None else base, "volume", rejects)


def _find_missing(wishes: Sequence[str], known: Mapping[str, Mapping[Metric, str]]) -> dict[Metric, str]:
    """Return the wishes that no market fulfils; any exchange's may be meant for us."""
    found: dict[Metric, str] = {}
    for exchange in dict.fromkeys(wish.partition(":")[0] for wish in wishes if wish != "*"):
        pairs = [find_pair(metric) for metric in known.get(exchange, ())]
        if pairs:
            found |= find_missing(NAME, wishes, exchange, pairs)
        else:
            reason = f"{NAME} has no exchange {exchange}{suggest_nearest(exchange, known)}"
            found |= {Metric(wish): reason for wish in wishes if wish.partition(":")[0] == exchange}
    return found
