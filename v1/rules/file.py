"""
Rules from a TOML document:

    [[rules]]
    id = "volume-spike"
    kind = "ratio"
    measure = "interval_volume"
    factor = 3

Pure: where the document lies is not known here.
"""

import tomllib
from collections import Counter
from collections.abc import Container, Sequence
from decimal import Decimal
from typing import Any

from .faults import NotAccepted, first, shorten
from .rule import Rule, parse_rule

MOST_RULES = 1000
"""Rules of one file; the API takes no more either."""
LARGEST = 1_000_000
"""Bytes of a document."""


class WrongFile(Exception):
    """A document that cannot be meant; the message has one line for each fault."""


def read_toml(text: str) -> dict[str, Any]:
    """Read a document, with every digit of its numbers. Raises `WrongFile`."""
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise WrongFile(f"is not TOML: {error}") from error


def read_rules_file(text: str, interval: int, channels: Container[str] | None = None) -> tuple[Rule, ...]:
    """Read a document of rules. `channels` are those that there are, `None` where that is not known. Raises `WrongFile`."""
    document = read_toml(text)
    other = next((name for name in document if name != "rules"), None)
    if other is not None:
        raise WrongFile(f"{shorten(other)!r} is not accepted; accepted: [[rules]]")
    return read_rules(document.get("rules", []), interval, channels)


def read_rules(tables: object, interval: int, channels: Container[str] | None = None) -> tuple[Rule, ...]:
    """Make rules of the tables of a document. Raises `WrongFile` that tells every fault of every rule."""
    if not isinstance(tables, list):
        raise WrongFile("rules: a single table; accepted: [[rules]], once for each rule")
    if len(tables) > MOST_RULES:
        raise WrongFile(f"has {len(tables)} rules; accepted: {MOST_RULES} at most")
    rules, faults = [], []
    for number, table in enumerate(tables, 1):
        try:
            rules.append(_with_channels(parse_rule(table, interval), channels))
        except NotAccepted as error:
            faults += [f"{_name(number, table)}: {line}" for line in error.lines]
    faults += _twice(rules)
    if faults:
        raise WrongFile("\n".join(first(faults, len(faults))))
    return tuple(rules)


def unknown_channels(rule: Rule, channels: Container[str] | None) -> Sequence[str]:
    """Give the channels that a rule names and that there are not."""
    return [] if channels is None else [name for name in rule.channels if name not in channels]


def _with_channels(rule: Rule, channels: Container[str] | None) -> Rule:
    unknown = unknown_channels(rule, channels)
    if unknown:
        raise NotAccepted([("channels", unknown[0], "a channel that there is")])
    return rule


def _name(number: int, table: object) -> str:
    named = table.get("id") if isinstance(table, dict) else None
    return f"rule {number} ({shorten(named)})" if isinstance(named, str) else f"rule {number}"


def _twice(rules: Sequence[Rule]) -> list[str]:
    many = Counter(rule.id for rule in rules)
    return [
        f"the id {name!r} is there {number} times; each rule has its own" for name, number in many.items() if number > 1
    ]
