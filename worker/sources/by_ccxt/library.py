"""
Finds ccxt's class of an exchange, and says what it can. ccxt is loaded here alone, and only where a source of it is asked
for: it holds more than a hundred exchanges, and takes a second and 70 MB.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from worker.settings.ccxt_names import EXTRA, PREFIX, find_exchange_ids, split_source
from worker.settings.servers import find_kind
from worker.sources.budget import BudgetTerms

MINUTE_NAME, HOUR_NAME = "1m", "1h"
SPOT = "spot"
COST_SCALE = 100
"""Units of a budget that one call of cost 1 takes; ccxt has costs such as 0.5."""
SECONDS = 60
TICK_PERCENT = {True: 10, False: 65}
"""What is kept for ticks: little where one call has all tickers, most where each market is a call."""


class CcxtMissing(Exception):
    """ccxt is not installed."""


class ExchangeFacts(NamedTuple):
    """What ccxt says of an exchange, without asking it."""

    exchange_id: str
    address: str
    """Where its public API is: scheme and host."""
    spacing: float
    """Seconds between two calls of cost 1, by ccxt."""
    has_tickers: bool
    """Whether one call has the tickers of many markets."""
    has_ticker: bool
    minutes: bool
    """Whether it has candles of a minute."""
    hours: bool
    rows: int | None
    """Candles of one answer, where ccxt says how many."""

    @property
    def terms(self) -> BudgetTerms:
        """What the exchange allows an address, as far as ccxt knows: calls a minute, weighed by their cost."""
        return BudgetTerms(
            "calls",
            amount=max(1, int(SECONDS / self.spacing)) * COST_SCALE,
            seconds=SECONDS,
            spacing=self.spacing,
            tick_percent=TICK_PERCENT[self.has_tickers],
            scale=COST_SCALE,
        )


def has_ccxt() -> bool:
    return bool(find_exchange_ids())


def load_class(exchange_id: str) -> Any:
    """Return ccxt's class of an exchange. Raises `CcxtMissing`."""
    if not has_ccxt():
        raise CcxtMissing(f"{PREFIX}{exchange_id} needs the package ccxt, which is not installed; type: {EXTRA}")
    return getattr(import_module("ccxt.async_support"), exchange_id)


@cache
def describe_exchange(source: str) -> ExchangeFacts:
    """Return what ccxt says of the exchange of a source, `ccxt:kraken` or `ccxt:kraken-2`. Raises `CcxtMissing`."""
    exchange_id = split_source(find_kind(source))
    known = load_class(exchange_id)({"enableRateLimit": False})
    has, frames = known.has, known.timeframes or {}
    candles = has.get("fetchOHLCV") is True
    return ExchangeFacts(
        exchange_id=exchange_id,
        address=find_address(known.urls["api"], known.hostname),
        spacing=float(known.rateLimit) / 1000,
        has_tickers=has.get("fetchTickers") is True,
        has_ticker=has.get("fetchTicker") is True,
        minutes=candles and MINUTE_NAME in frames,
        hours=candles and HOUR_NAME in frames,
        rows=find_rows(known.features),
    )


def find_rows(features: object) -> int | None:
    """Return how many candles an answer has at most; `None` where ccxt does not say."""
    for step in (SPOT, "fetchOHLCV", "limit"):
        features = features.get(step) if isinstance(features, dict) else None
    return int(features) if isinstance(features, int | str) and str(features).isdecimal() and int(features) else None


def find_address(addresses: object, host: str | None = None) -> str:
    """Return scheme and host of a public API among ccxt's addresses; "" where there is none."""
    listed = list_addresses(addresses)
    named = {name: address for name, address in listed.items() if "public" in name.lower() or SPOT in name.lower()}
    public = {name: address for name, address in named.items() if name == "public"}
    for address in (*public.values(), *named.values(), *listed.values()):
        url = urlsplit(address.replace("{hostname}", host or ""))
        return f"{url.scheme}://{url.netloc}"
    return ""


def list_addresses(addresses: object, name: str = "") -> dict[str, str]:
    """Return all that are in ccxt's nested objects of addresses, by the name of the innermost, dots between."""
    if isinstance(addresses, str):
        return {name: addresses}
    found: dict[str, str] = {}
    if isinstance(addresses, Mapping):
        for key, value in addresses.items():
            found |= list_addresses(value, f"{name}.{key}" if name else str(key))
    return found


def move_addresses(addresses: Any, server: str) -> Any:
    """Return ccxt's addresses with another server in each: its scheme, host and path come before the path of each."""
    if isinstance(addresses, str):
        return server.rstrip("/") + urlsplit(addresses).path
    if isinstance(addresses, Mapping):
        return {name: move_addresses(value, server) for name, value in addresses.items()}
    return addresses


def choose_spot(options: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the options that keep an exchange from listing futures and options, where ccxt lets us choose.

    Each kind of market is a request, or several, of which nothing would be used.
    """
    chosen: dict[str, Any] = {"defaultType": SPOT} if "defaultType" in options else {}
    match options.get("fetchMarkets"):
        case {"types": kinds} if SPOT in kinds:
            chosen["fetchMarkets"] = {"types": [SPOT]}
        case kinds if isinstance(kinds, list) and SPOT in kinds:
            chosen["fetchMarkets"] = [SPOT]
        case _:
            pass
    return chosen
