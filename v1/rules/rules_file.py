"""
Rules from a TOML document:

    [[rules]]
    id = "volume-spike"
    kind = "ratio"
    measure = "interval_volume"
    factor = 3

Pure: the text of the document is an argument.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Container, Sequence
from typing import Any

from ..numbers import decimals
from .rule import Rule, parse_rule
from .validation import InvalidDocument, shorten, take_first

MOST_RULES = 1000
"""Rules of one file; the API takes no more either."""
LARGEST = 1_000_000
"""Bytes of a document."""
MOST_PARTS = 8
"""Parts of a dotted key: the parser's time grows with their square, and 800 kB of them would take it minutes."""
DEEPEST = 16
"""Lists and tables within each other."""
_BYTE_ORDER_MARK = "\ufeff"
# Each of these takes what it begins with to its end, or to where it breaks off, and never looks at a letter twice.
_TEXTS = re.compile(
    r'"""(?:\\.|(?!""")[^\\])*+(?:"""|\Z|\\\Z)'
    r"|'''(?:(?!''').)*+(?:'''|\Z)"
    r'|"(?:\\.|[^"\\\n])*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+",
    re.DOTALL,
)
"""Texts and comments, in which no point and no bracket means anything."""
_PARTED = re.compile(rf"(?:\.[^.\n=,\[\]{{}}]*+){{{MOST_PARTS}}}")
_NESTED = re.compile(rf"(?:[\[{{][^\[\]{{}}]*+){{{DEEPEST + 1}}}")


class InvalidFile(Exception):
    """A document that cannot be meant; the message has one line for each fault."""


def read_toml(text: str) -> dict[str, Any]:
    """Read a document, with every digit of its numbers. Raises `WrongFile`."""
    text = text.removeprefix(_BYTE_ORDER_MARK)
    _see_that_it_is_bounded(text)
    try:
        return tomllib.loads(text, parse_float=decimals.parse_exact)
    except (ValueError, RecursionError) as error:
        raise InvalidFile(f"is not TOML: {error}") from error


def _see_that_it_is_bounded(text: str) -> None:
    """Refuse what the parser would take too long over, or too deep into. Raises `WrongFile`."""
    if len(text) > LARGEST:
        raise InvalidFile(f"has {len(text)} letters; accepted: {LARGEST} bytes at most")
    bare = _TEXTS.sub(_as_many_lines, text)
    for shape, accepted in (
        (_PARTED, f"keys of {MOST_PARTS} parts at most, points between"),
        (_NESTED, f"lists and tables {DEEPEST} deep within each other at most"),
    ):
        found = shape.search(bare)
        if found:
            number = bare.count("\n", 0, found.start()) + 1
            raise InvalidFile(f"line {number}, {shorten(found[0])!r} is not accepted; accepted: {accepted}")


def _as_many_lines(text: re.Match[str]) -> str:
    return "".join(("'", "\n" * text[0].count("\n"), "'"))


def read_rules_file(text: str, interval: int, channels: Container[str] | None = None) -> tuple[Rule, ...]:
    """Read a document of rules. `channels` are those that there are, `None` where that is not known. Raises `WrongFile`."""
    document = read_toml(text)
    other = next((name for name in document if name != "rules"), None)
    if other is not None:
        raise InvalidFile(f"{shorten(other)!r} is not accepted; accepted: [[rules]]")
    return read_rules(document.get("rules", []), interval, channels)


def read_rules(tables: object, interval: int, channels: Container[str] | None = None) -> tuple[Rule, ...]:
    """Make rules of the tables of a document. Raises `WrongFile` that tells every fault of every rule."""
    if not isinstance(tables, list):
        raise InvalidFile("rules: a single table; accepted: [[rules]], once for each rule")
    if len(tables) > MOST_RULES:
        raise InvalidFile(f"has {len(tables)} rules; accepted: {MOST_RULES} at most")
    rules, faults = [], []
    for number, table in enumerate(tables, 1):
        try:
            rules.append(_with_channels(parse_rule(table, interval), channels))
        except InvalidDocument as error:
            faults += [f"{_name_rule(number, table)}: {line}" for line in error.list_lines]
    faults += _find_repeated(rules)
    if faults:
        raise InvalidFile("\n".join(take_first(faults, len(faults))))
    return tuple(rules)


def find_unknown_channels(rule: Rule, channels: Container[str] | None) -> Sequence[str]:
    """Return the channels that a rule names and that there are not."""
    return [] if channels is None else [name for name in rule.channels if name not in channels]


def _with_channels(rule: Rule, channels: Container[str] | None) -> Rule:
    unknown = find_unknown_channels(rule, channels)
    if unknown:
        raise InvalidDocument([("channels", unknown[0], "a channel that there is")])
    return rule


def _name_rule(number: int, table: object) -> str:
    named = table.get("id") if isinstance(table, dict) else None
    return f"rule {number} ({shorten(named)})" if isinstance(named, str) else f"rule {number}"


def _find_repeated(rules: Sequence[Rule]) -> list[str]:
    many = Counter(rule.id for rule in rules)
    return [
        f"the id {name!r} is there {number} times; each rule has its own" for name, number in many.items() if number > 1
    ]
