"""How markets are named, and what is said of a wish that no market answers to. No network here."""

import re
from collections.abc import Collection, Iterable, Sequence

from rapidfuzz import fuzz, process

from worker.latest import Metric
from worker.sources.errors import RequestRefused

# Letters of any script, because Binance lists pairs such as "币安人生USDT"; nothing that a key, a URL or a
# CSV line would have to escape in a way of its own.
_NAME = re.compile(r"[\w.-]{1,64}:[\w.-]{1,64}")

NEAR_ENOUGH = 60
"""Of 100 points of likeness: XBTUSD and BTCUSD have 83, strangers 30."""


class UnknownPair(RequestRefused):
    """The provider does not know a pair that it was asked for."""


def name_metric(exchange: str, pair: str) -> Metric | None:
    """Return the metric's name, upper case; `None` where the provider's words cannot be one."""
    name = f"{exchange}:{pair}".upper()
    return Metric(name) if _NAME.fullmatch(name) else None


def find_pair(metric: Metric) -> str:
    return metric.partition(":")[2]


def find_missing(source: str, wishes: Sequence[str], exchange: str, pairs: Collection[str]) -> dict[Metric, str]:
    """Return the wishes for `exchange` that none of its pairs fulfils, each with the reason."""
    wished = [pair for wish in wishes for place, _, pair in (wish.partition(":"),) if place == exchange]
    return {
        Metric(f"{exchange}:{pair}"): f"{source} has no pair {pair}{suggest_nearest(pair, pairs)}"
        for pair in wished
        if pair != "*" and pair not in pairs
    }


def suggest_nearest(name: str, known: Iterable[str]) -> str:
    """Say which known names are most like `name`, as the end of a sentence; nothing where none is."""
    found = process.extract(name, list(known), scorer=fuzz.ratio, limit=3, score_cutoff=NEAR_ENOUGH)
    return f"; nearest: {', '.join(match for match, _, _ in found)}" if found else ""
