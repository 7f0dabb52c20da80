"""
Cryptowatch's REST API, which served the markets of some thirty exchanges: one call a tick for all of
them. The service closed in 2023; this asks a server that answers like it.

Its numbers are JSON numbers, its changes are fractions where everybody else sends percent, its dead
markets cost 0, and every call is charged to an allowance, also one that fails.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import ClientSession

from worker.latest import HOUR, MINUTE, Candle, Metric, Reading, decimals
from worker.sources.base import Refused, error_json, exact_json, number, retry_after, told_apart, wanted
from worker.sources.fields import amount, change, is_less, is_zero, pick, price_of, rows
from worker.sources.minutes import Columns, finished
from worker.sources.pairs import UnknownPair, missing, named, nearest, pair_of

NAME = "cryptowatch"
COLUMNS = Columns(time=0, open=1, high=2, low=3, close=4, volume=5, start=lambda closes: closes - MINUTE)

MOST_PAGES = 100
"""All 14,462 markets came on one page; a list that does not end must."""
OHLC_ROWS = 1000
RENEWED = float(HOUR)
"""Seconds to stay away when the allowance is used up. Cryptowatch said both "24 hours after your first
request" and "the top of the hour"; asking once an hour is right by either."""


class Cryptowatch:
    """`KRAKEN:BTCUSD` from `kraken:btcusd`, any exchange that is listed. There is no `interval_volume`."""

    name = NAME
    pace = 0.2
    """Only the allowance was ever published, no limit by the second; this is what a polite client would do."""
    lead = 0
    """Every call is charged, and 1000 minutes are kept for sure."""

    def __init__(
        self,
        base: str,
        wishes: Sequence[str],
        interval: int,  # noqa: ARG002  # every source is made alike; no answer here depends on it
        api_key: str | None,
    ) -> None:
        self._base = base.rstrip("/")
        self._wishes = wishes
        self._headers = {"X-CW-API-Key": api_key} if api_key else {}
        self._names: dict[str, Metric] = {}
        self._paths: dict[Metric, str] = {}
        self._is_spent = False
        self._rejects: Counter[str] = Counter()
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
        summaries = await self._summaries(session)
        with told_apart(NAME):
            known = markets(summaries)
        tests = {exchange: wanted(self._wishes, exchange) for exchange in known}
        self._names = {
            key: metric
            for exchange, keys in known.items()
            for metric, key in keys.items()
            if tests[exchange](pair_of(metric))
        }
        self._paths = {metric: key.replace(":", "/").lower() for key, metric in self._names.items()}
        return _missing(self._wishes, known)

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
            raise self._spent()
        summaries = await self._summaries(session)
        with told_apart(NAME):
            dead: set[Metric] = set()
            readings = read(summaries, self._names, self._rejects, dead)
        self._dead = dead
        return readings

    async def candles(self, session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        return await self._candles(session, metric, start, end, MINUTE)

    async def hours(self, session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        return await self._candles(session, metric, start, end, HOUR)

    async def _candles(
        self, session: ClientSession, metric: Metric, start: int, end: int, length: int
    ) -> Sequence[Candle]:
        if metric not in self._paths:
            raise UnknownPair(f"{NAME} does not give {metric}")
        path = f"markets/{self._paths[metric]}/ohlc"
        candles: list[object] = []
        with told_apart(NAME):
            for first in range(start, end, OHLC_ROWS * length):
                if self._is_spent:
                    raise self._spent()
                # Both bounds are inclusive, and speak of when a candle closes.
                last = min(first + OHLC_ROWS * length, end)
                body = await self._ask(session, path, periods=f"{length}", after=f"{first + length}", before=f"{last}")
                # An empty list of this server is `null`.
                candles += rows(body["result"][f"{length}"] or [])
            columns = COLUMNS._replace(start=lambda closes: closes - length, length=length)
            return finished(candles, columns, start, end, self._rejects)

    async def _summaries(self, session: ClientSession) -> dict[str, object]:
        """Give all pages as one."""
        with told_apart(NAME):
            body = await self._ask(session, "markets/summaries")
            summaries = dict(body["result"])
            for _ in range(MOST_PAGES - 1):
                if pick(body, "cursor", "hasMore") is not True:
                    return summaries
                body = await self._ask(session, "markets/summaries", cursor=body["cursor"]["last"])
                summaries |= body["result"]
            raise ValueError(f"the summaries did not end after {MOST_PAGES} pages")

    async def _ask(self, session: ClientSession, path: str, **query: str) -> Any:
        async with session.get(f"{self._base}/{path}", params=query, headers=self._headers) as response:
            is_error = response.status >= HTTPStatus.BAD_REQUEST
            body = await (error_json if is_error else exact_json)(response)
            after = retry_after(response.headers)
        self._is_spent = is_spent(pick(body, "allowance"))
        said = pick(body, "error")
        if is_error or said is not None:
            raise refusal(response.status, said, after, path)
        return body

    def _spent(self) -> Refused:
        return Refused(f"{NAME}'s allowance does not pay for another call", RENEWED)


def refusal(status: int, said: object, after: int | None, path: str) -> Refused:
    """Put an error into words."""
    message = f"{NAME} said {status} to {path}{f': {said}' if said else ''}"
    if status == HTTPStatus.NOT_FOUND:
        return UnknownPair(message)
    if after is None and (status == HTTPStatus.TOO_MANY_REQUESTS or said == "Out of allowance"):
        return Refused(message, RENEWED)
    return Refused(message, after)


def is_spent(allowance: object) -> bool:
    """Tell whether another call of the same cost would take the allowance below zero. Paid ones do not end."""
    cost, remaining = number(pick(allowance, "cost")), number(pick(allowance, "remaining"))
    paid = number(pick(allowance, "remainingPaid"))
    if cost is None or remaining is None or (paid is not None and not is_zero(paid)):
        return False
    return is_less(remaining, cost)


def markets(summaries: Mapping[str, object]) -> dict[str, dict[Metric, str]]:
    """Give, by exchange, every metric and its name in the summaries: `kraken:btcusd`."""
    known: dict[str, dict[Metric, str]] = defaultdict(dict)
    for key in summaries:
        exchange, _, pair = key.partition(":")
        metric = named(exchange, pair)
        if metric is not None:
            known[exchange.upper()].setdefault(metric, key)
    return known


def read(
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
        last = price_of(metric, pick(row, "price", "last"), rejects, dead)
        if last is not None:
            fraction = change(pick(row, "price", "change", "percentage"), "change_percentage", rejects)
            absolute = change(pick(row, "price", "change", "absolute"), "change_absolute", rejects)
            readings[metric] = Reading(last, _volume(row, rejects), percent(fraction), absolute)
    return readings


def percent(fraction: str | None) -> str | None:
    """Make percent of a fraction by moving the point; `None` where that takes more digits than are kept."""
    return None if fraction is None else number(decimals.shift(fraction, 2))


def _volume(row: object, rejects: Counter[str]) -> str | None:
    # Of inverse futures `volume` counts contracts; `volumeBase` is in the base currency everywhere, where it is given.
    base = pick(row, "volumeBase")
    return amount(pick(row, "volume") if base is None else base, "volume", rejects)


def _missing(wishes: Sequence[str], known: Mapping[str, Mapping[Metric, str]]) -> dict[Metric, str]:
    """Give the wishes that no market fulfils; any exchange's may be meant for us."""
    found: dict[Metric, str] = {}
    for exchange in dict.fromkeys(wish.partition(":")[0] for wish in wishes if wish != "*"):
        pairs = [pair_of(metric) for metric in known.get(exchange, ())]
        if pairs:
            found |= missing(NAME, wishes, exchange, pairs)
        else:
            reason = f"{NAME} has no exchange {exchange}{nearest(exchange, known)}"
            found |= {Metric(wish): reason for wish in wishes if wish.partition(":")[0] == exchange}
    return found
