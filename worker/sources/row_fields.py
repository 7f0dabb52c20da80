"""What one row of an answer says: a number that is kept, or a reason why it is not, counted. No provider here."""

from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction

from worker.latest import Metric, decimals
from worker.sources.base import parse_number
from worker.sources.rejects import note_reject

MEAN_PERCENT = 5
"""So far the mean price of what was traded may lie outside of the lowest and the highest price."""
DISAGREES = "volume that disagrees with the price"
LONGEST_WHOLE = 16
"""Digits of a time in microseconds; nothing that is counted here is longer."""


def pick_value(row: object, *path: str | int) -> object:
    """Return what lies at `path` of objects and arrays, or `None` where the row has no such place."""
    for step in path:
        if isinstance(row, dict):
            row = row.get(step)
        elif isinstance(row, list) and isinstance(step, int) and step < len(row):
            row = row[step]
        else:
            return None
    return row


def parse_rows(value: object) -> list[object]:
    """Return the rows of an answer; raises `TypeError` where it is no array."""
    if not isinstance(value, list):
        raise TypeError(f"an array was expected, not {str(value)[:100]!r}")
    return value


def match_symbols(body: object, names: Mapping[str, Metric], rejects: Counter[str]) -> Iterator[tuple[Metric, object]]:
    """Return the rows of the symbols in `names`, each once, and count those that never came."""
    absent = dict(names)
    for row in parse_rows(body):
        symbol = pick_value(row, "symbol")
        metric = absent.pop(symbol, None) if isinstance(symbol, str) else None
        if metric is not None:
            yield metric, row
    if absent:
        rejects["not in the answer"] += len(absent)


def parse_price(value: object, rejects: Counter[str], metric: Metric | None = None) -> str | None:
    """Return a price; without one there is no reading. Providers write 0 where a market is dead."""
    text = parse_amount(value, "price", rejects, metric)
    if text is not None and is_zero(text):
        note_reject(rejects, "dead market", value, metric)
        return None
    return text


def parse_market_price(metric: Metric, value: object, rejects: Counter[str], dead: set[Metric] | None) -> str | None:
    """Return the price of a market as `price` does; one whose price is 0 is added to `dead`."""
    text = parse_price(value, rejects, metric)
    written = parse_number(value) if text is None and dead is not None else None
    if dead is not None and written is not None and is_zero(written):
        dead.add(metric)
    return text


def parse_amount(value: object, what: str, rejects: Counter[str], metric: Metric | None = None) -> str | None:
    """Return a number that cannot be below zero."""
    text = parse_change(value, what, rejects, metric)
    if text is not None and decimals.parse_decimal(text)[0] < 0:
        note_reject(rejects, f"negative {what}", value, metric)
        return None
    return text


def parse_change(value: object, what: str, rejects: Counter[str], metric: Metric | None = None) -> str | None:
    """Return a number of either sign."""
    text = parse_number(value)
    if text is None:
        note_reject(rejects, f"{'missing' if value is None else 'unreadable'} {what}", value, metric)
    return text


def is_zero(text: str) -> bool:
    return decimals.parse_decimal(text)[0] == 0


def parse_fraction(value: object) -> Fraction | None:
    """Return an exact number above zero; `None` of anything else."""
    text = parse_number(value)
    number = Fraction(decimals.parse_exact(text)) if text is not None else Fraction(0)
    return number if number > 0 else None


def is_mean_plausible(mean: Fraction | None, low: object, high: object) -> bool:
    """
    Return whether the mean price of a day lies between its lowest and highest one, give or take `MEAN_PERCENT`.

    It does not where volumes are in another currency than prices, or columns are swapped. What is not known is plausible.
    """
    lowest, highest = parse_fraction(low), parse_fraction(high)
    if mean is None or lowest is None or highest is None:
        return True
    slack = Fraction(MEAN_PERCENT, 100)
    return lowest * (1 - slack) <= mean <= highest * (1 + slack)


def is_less(text: str, than: str) -> bool:
    return decimals.subtract(decimals.parse_decimal(text), decimals.parse_decimal(than))[0] < 0


def parse_whole(value: object, by: int = 1) -> int | None:
    """Return a whole number, a time or a weight, divided `by` and rounded down; `None` of anything else."""
    if not isinstance(value, str) or not (value.isascii() and value.isdecimal()) or len(value) > LONGEST_WHOLE:
        return None
    return int(value) // by
