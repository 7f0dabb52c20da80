"""What one row of an answer says: a number that is kept, or a reason why it is not, counted. No provider here."""

from collections import Counter

from worker.latest import decimals
from worker.sources.base import number

LONGEST_TIME = 16
"""Digits of a time in microseconds; more is no time."""


def pick(row: object, *path: str | int) -> object:
    """Give what lies at `path` of objects and arrays, or `None` where the row has no such place."""
    for step in path:
        if isinstance(row, dict):
            row = row.get(step)
        elif isinstance(row, list) and isinstance(step, int) and step < len(row):
            row = row[step]
        else:
            return None
    return row


def rows(value: object) -> list[object]:
    """Give the rows of an answer; raises `TypeError` where it is no array."""
    if not isinstance(value, list):
        raise TypeError(f"an array was expected, not {str(value)[:100]!r}")
    return value


def price(value: object, rejects: Counter[str]) -> str | None:
    """Give a price; without one there is no reading. Providers write 0 where a market is dead."""
    text = amount(value, "price", rejects)
    if text is not None and is_zero(text):
        rejects["dead market"] += 1
        return None
    return text


def amount(value: object, what: str, rejects: Counter[str]) -> str | None:
    """Give a number that cannot be below zero."""
    text = change(value, what, rejects)
    if text is not None and decimals.parse(text)[0] < 0:
        rejects[f"negative {what}"] += 1
        return None
    return text


def change(value: object, what: str, rejects: Counter[str]) -> str | None:
    """Give a number of either sign."""
    text = number(value)
    if text is None:
        rejects[f"{'missing' if value is None else 'unreadable'} {what}"] += 1
    return text


def is_zero(text: str) -> bool:
    return decimals.parse(text)[0] == 0


def is_less(text: str, than: str) -> bool:
    return decimals.difference(decimals.parse(text), decimals.parse(than))[0] < 0


def moment(value: object, per_second: int = 1) -> int | None:
    """Give whole unix seconds of a time that counts `per_second`; `None` of anything else."""
    if not isinstance(value, str) or not (value.isascii() and value.isdecimal()) or len(value) > LONGEST_TIME:
        return None
    return int(value) // per_second
