"""An alert with invented numbers, as a rule would report it: what somebody is sent who tests where its messages arrive."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..model import DAY
from ..numbers.decimals import Number, format_decimal, parse_decimal, power_of_ten
from .alert import TEST, Alert, ReferenceKind
from .rule import FROM_START, Kind, Rule

MEAN = 100
"""What the invented numbers are compared with, where a rule compares with a mean or with an earlier value."""


def make_test_alert(rule: Rule, metric: str, of: int, at: int, interval: int) -> Alert:
    """
    Return what a rule would report of a metric at `at`, unix seconds, if its value were a tenth beyond the limit.

    `of` is how many metrics there are to be ranked, `interval` that of the samples in seconds. The event is `test`,
    and the id none that an alert has.
    """
    fields: dict[str, Any] = {"value": None, "mean": None, "ratio": None, "samples": None, "since": None}
    fields |= _MAKERS[rule.kind](rule, _TestTime(at, interval))
    if rule.kind is Kind.RANK:
        fields |= {"of": max(of, rule.top)}
    return Alert(
        **{
            "id": make_test_id(rule.id, at),
            "rule": rule.id,
            "name": rule.name or rule.id,
            "kind": rule.kind,
            "severity": rule.severity,
            "event": TEST,
            "metric": metric,
            "measure": None if rule.kind is Kind.STALE else rule.measure,
            "at": at,
            "rank": None,
            "of": None,
            "suppressed_by": None,
            "group_size": 1,
            "channels": rule.channels,
        }
        | fields
    )


def make_test_id(rule: str, at: int) -> str:
    return f"{rule}.test.{at}"


def invent_metric(pattern: str) -> str:
    """Return a name that a pattern of metrics matches: `KRAKEN:EXAMPLE` of `KRAKEN:*`."""
    return "EXAMPLE:BTCUSD" if pattern == "*" else pattern.replace("*", "EXAMPLE").replace("?", "X")


class _TestTime(NamedTuple):
    """When a test is sent."""

    at: int
    interval: int


def _invent_ratio(rule: Rule, moment: _TestTime) -> Mapping[str, Any]:
    times = _exceed(parse_decimal(rule.factor))
    return _compare_with_mean(rule.window, moment) | {"value": _multiply(times, MEAN), "ratio": _round(times)}


def _invent_threshold(rule: Rule, moment: _TestTime) -> Mapping[str, Any]:
    is_above, written = rule.above is not None, rule.above or rule.below or "0"
    units, places = parse_decimal(written)
    tenth = (abs(units) or 10) * (1 if is_above else -1)
    return {
        "value": format_decimal((units * 10 + tenth, places + 1)),
        "ratio": (10.0 if is_above else -10.0) if units else None,
        "since": moment.at,
        "reference": written,
        "reference_kind": ReferenceKind.ABOVE if is_above else ReferenceKind.BELOW,
    }


def _invent_change(rule: Rule, moment: _TestTime) -> Mapping[str, Any]:
    percent = parse_decimal(rule.percent or "0")
    moved = _fall(percent) if rule.direction == "down" else _exceed(percent)
    extreme = ReferenceKind.HIGHEST if rule.direction == "down" else ReferenceKind.LOWEST
    return {
        "value": format_decimal((MEAN * power_of_ten(moved[1]) + moved[0], moved[1])),
        "ratio": _round(moved),
        "since": moment.at - rule.window,
        "reference": str(MEAN),
        "reference_kind": ReferenceKind.FIRST if rule.since == FROM_START else extreme,
    }


def _invent_deviation(rule: Rule, moment: _TestTime) -> Mapping[str, Any]:
    score, is_down = _round(_exceed(parse_decimal(rule.score))), rule.direction == "down"
    value, ratio = ("90", -score) if is_down else ("110", score)
    return _compare_with_mean(DAY, moment) | {"value": value, "ratio": ratio}


def _invent_rank(rule: Rule, _: _TestTime) -> Mapping[str, Any]:
    # Of a metric that leaves, a value of null: it has no rank any more.
    is_leaving = rule.event == "leaves"
    return {"value": None if is_leaving else str(rule.top), "rank": None if is_leaving else rule.top}


def _invent_stale(rule: Rule, moment: _TestTime) -> Mapping[str, Any]:
    return {"since": moment.at - rule.intervals * moment.interval}


def _invent_frozen(rule: Rule, moment: _TestTime) -> Mapping[str, Any]:
    return _compare_with_mean(rule.window, moment) | {"value": str(MEAN)}


_MAKERS: Mapping[Kind, Callable[[Rule, _TestTime], Mapping[str, Any]]] = {
    Kind.RATIO: _invent_ratio,
    Kind.THRESHOLD: _invent_threshold,
    Kind.CHANGE: _invent_change,
    Kind.DEVIATION: _invent_deviation,
    Kind.RANK: _invent_rank,
    Kind.STALE: _invent_stale,
    Kind.FROZEN: _invent_frozen,
}


def _compare_with_mean(window: int, moment: _TestTime) -> dict[str, Any]:
    """Return what an alert says of the mean of a window, in seconds, in which no sample is missing."""
    return {"mean": float(MEAN), "samples": window // moment.interval, "since": moment.at - window}


def _exceed(limit: Number) -> Number:
    """Return a tenth more than a limit above zero."""
    return limit[0] * 11, limit[1] + 1


def _fall(limit: Number) -> Number:
    """Return, below zero, percents that a price can fall by, and that are more than a limit."""
    units, places = limit
    whole = MEAN * power_of_ten(places)
    # Half of the way from the limit to everything: nothing falls by more than that.
    return (-(units + whole) * 5, places + 1) if units < whole else (-units * 11, places + 1)


def _multiply(number: Number, by: int) -> str:
    return format_decimal((number[0] * by, number[1]))


def _round(number: Number) -> float:
    return number[0] / power_of_ten(number[1])
