"""How sensitive a rule is: the same rule with other main numbers and other cooldowns. Pure."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from ..model import HOUR, MINUTE
from ..numbers.decimals import Number, format_decimal, parse_decimal
from ..rules import Kind, Rule

COOLDOWNS = (0, 15 * MINUTE, HOUR, 4 * HOUR)
_TRIED: dict[Kind, tuple[str, Sequence[str | int]]] = {
    Kind.RATIO: ("factor", ("2", "3", "5", "10")),
    Kind.CHANGE: ("percent", ("2", "5", "10", "20")),
    Kind.DEVIATION: ("score", ("2", "3", "4", "6")),
    Kind.RANK: ("top", (3, 5, 10, 20)),
    Kind.STALE: ("intervals", (3, 5, 10, 30)),
    Kind.FROZEN: ("window", (HOUR // 2, HOUR, 2 * HOUR, 4 * HOUR)),
}
_OF_BOUND: Sequence[Number] = ((8, 1), (9, 1), (1, 0), (11, 1), (125, 2))
"""A bound may be any number, so it is tried at some parts of itself."""


class Variant(NamedTuple):
    """A rule with another main number and another cooldown."""

    rule: Rule
    of: str
    """Id of the rule that it varies."""
    field: str
    """The main number: `factor` of a ratio."""
    number: str | int
    cooldown: int


def make_variants(rules: Sequence[Rule], interval: int) -> list[Variant]:
    """Return every variant of every rule; the rule itself is among them."""
    return [variant for rule in rules for variant in _make_variants_of(rule, interval)]


def _make_variants_of(rule: Rule, interval: int) -> list[Variant]:
    field, numbers = _list_numbers(rule)
    made = []
    for number in numbers:
        for cooldown in sorted({*COOLDOWNS, rule.cooldown}):
            # No rule has such an id, so these come into nobody's way.
            changed = {"id": f"{rule.id}~{number}~{cooldown}", field: number, "cooldown": cooldown}
            other = rule.model_copy(update=changed)
            if field != "window" or other.find_min_samples(interval) <= other.count_fitting_samples(interval):
                made.append(Variant(other, rule.id, field, number, cooldown))
    return made


def _list_numbers(rule: Rule) -> tuple[str, Sequence[str | int]]:
    if rule.kind is Kind.THRESHOLD:
        field = "above" if rule.above is not None else "below"
        units, places = parse_decimal(getattr(rule, field))
        parts = [_format_shortest((units * part, places + finer)) for part, finer in _OF_BOUND]
        return field, [*dict.fromkeys(parts)]  # those of zero are all the same
    field, numbers = _TRIED[rule.kind]
    own = getattr(rule, field)
    known = {Decimal(number): number for number in (*numbers, own)}
    return field, [number for _, number in sorted(known.items())]


def _format_shortest(number: Number) -> str:
    written = format_decimal(number)
    return written.rstrip("0").rstrip(".") if "." in written else written
