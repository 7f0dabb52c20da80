"""What is told of rules that were played: messages, flaps, counts, and how sensitive the rules are. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any

from ..model import DAY
from ..rules import Alert, Kind, Rule
from ..rules.message_text import is_in_digest, make_digest_id, write_digest, write_single
from .play import BacktestInput, BacktestResult
from .sweep import Variant

MOST_LISTED = 1000
"""Alerts, and messages, that are listed; all are counted."""
CLOCK_UNKNOWN = "samples do not keep the provider's time: a frozen rule was tried by the price alone"
STEPS_MORE = (
    "a longer cooldown may come to more alerts: it begins whenever the rule speaks, so it is over at other ticks, "
    "and a whole step further is counted from another value"
)
DIGESTS_FEWER = (
    "a longer cooldown may come to more messages for fewer alerts: many at one tick are one message, "
    "and metrics that rest for longer speak at different ticks"
)
RANK_OF_PART = "only the metrics that the rules watch were played: ranks are not known"


def make_report(
    played: BacktestResult,
    trial: BacktestInput,
    variants: Sequence[Variant] = (),
    notes: Iterable[str] = (),
    most_listed: int = MOST_LISTED,
) -> dict[str, Any]:
    """Return all that is to tell, as a document."""
    own = {rule.id for rule in trial.rules}
    alerts = [alert for alert in played.alerts if alert.rule in own]
    sent = make_messages(alerts, trial.interval)
    by_rule = {rule.id: [alert for alert in alerts if alert.rule == rule.id] for rule in trial.rules}
    return {
        "interval": trial.interval,
        "from": max(trial.start or 0, played.first) if played.first is not None else None,
        "to": played.last,
        "metrics": len(played.metrics),
        "samples": played.samples,
        "warm_up": _report_warm_up(played, trial),
        "notes": [*notes, *_describe_unmatched(trial.rules, played)],
        "rules": [_report_rule(rule, by_rule[rule.id], played, variants) for rule in trial.rules],
        "messages": sent[:most_listed],
        "alerts": [alert._asdict() for alert in alerts[:most_listed]],
        "left_out": max(0, len(alerts) - most_listed),
    }


def _describe_unmatched(rules: Sequence[Rule], played: BacktestResult) -> list[str]:
    """Say which rules watch nothing: that they are silent says nothing."""
    there = f"none of the {len(played.metrics)} that were played" if played.metrics else "for there is no sample"
    return [
        f"{rule.id}: no metric matches {rule.metrics}, {there}"
        for rule in rules
        if not any(rule.matches(metric) for metric in played.metrics)
    ]


def make_messages(alerts: Iterable[Alert], interval: int) -> list[dict[str, Any]]:
    """Return what would have been sent, oldest first: one message for each alert, or one for too many at once."""
    made = []
    aloud = sorted((alert for alert in alerts if alert.suppressed_by is None), key=_tick_and_rule)
    for (at, rule), those in groupby(aloud, key=_tick_and_rule):
        together = [*those]
        is_digest = is_in_digest(together[0])
        for part in [together] if is_digest else [[alert] for alert in together]:
            written = write_digest(part, interval) if is_digest else write_single(part[0], interval)
            made.append(
                {
                    "id": make_digest_id(rule, at) if is_digest else part[0].id,
                    "at": at,
                    "rule": rule,
                    "alerts": len(part),
                    "title": written.title,
                    "body": written.body,
                }
            )
    return made


def _tick_and_rule(alert: Alert) -> tuple[int, str]:
    return alert.at, alert.rule


def _count_messages(alerts: Iterable[Alert]) -> int:
    """Count what `messages` gives, without its texts."""
    aloud = [alert for alert in alerts if alert.suppressed_by is None]
    digests = {_tick_and_rule(alert) for alert in aloud if is_in_digest(alert)}
    return len(digests) + sum(not is_in_digest(alert) for alert in aloud)


def _report_rule(
    rule: Rule, alerts: Sequence[Alert], played: BacktestResult, variants: Sequence[Variant]
) -> dict[str, Any]:
    return {
        "rule": rule.id,
        "matches": sum(rule.matches(metric) for metric in played.metrics),
        "fires": played.fires[rule.id],
        "flaps": played.flaps[rule.id],
        "alerts": len(alerts),
        "suppressed": sum(alert.suppressed_by is not None for alert in alerts),
        "messages": _count_messages(alerts),
        "by_metric": dict(Counter(alert.metric for alert in alerts).most_common()),
        "sweep": _report_sweep(rule, played, variants),
    }


def _report_sweep(rule: Rule, played: BacktestResult, variants: Sequence[Variant]) -> dict[str, Any] | None:
    """Return a table: for each main number and cooldown, how many alerts and messages there would have been."""
    mine = [variant for variant in variants if variant.of == rule.id]
    if not mine:
        return None
    said: Mapping[str, list[Alert]] = {variant.rule.id: [] for variant in mine}
    for alert in played.alerts:
        if alert.rule in said:
            said[alert.rule].append(alert)
    field = mine[0].field
    cells: list[dict[str, Any]] = [
        {
            field: variant.number,
            "cooldown": variant.cooldown,
            "alerts": len(said[variant.rule.id]),
            "messages": _count_messages(said[variant.rule.id]),
        }
        for variant in mine
    ]
    return {"field": field, "cells": cells, "why": _why_more(field, cells)}


def _why_more(field: str, cells: Sequence[Mapping[str, Any]]) -> str | None:
    """Say why a longer cooldown comes to more messages than a shorter one, where it does."""
    found = set()
    for shorter, longer in pairwise(cells):  # by number, and then by cooldown
        if shorter[field] == longer[field] and longer["messages"] > shorter["messages"]:
            found.add(STEPS_MORE if longer["alerts"] > shorter["alerts"] else DIGESTS_FEWER)
    return "; ".join(sorted(found)) or None


def _report_warm_up(played: BacktestResult, trial: BacktestInput) -> dict[str, Any] | None:
    """Say until when windows were not full, and holds not whole: what was before the first tick is not known."""
    longest = max((_find_window(rule) + rule.for_ for rule in trial.rules if rule.enabled), default=0)
    if played.first is None or (trial.start or 0) >= played.first + longest or not longest:
        return None
    return {
        "until": played.first + longest,
        "why": "what was before the first sample is not known, so until then windows are shorter, and a rule with "
        "`for` holds from later on, than in a live run",
    }


def _find_window(rule: Rule) -> int:
    """Return how many seconds before a tick a rule looks back on."""
    if rule.kind in (Kind.DEVIATION, Kind.RANK):
        return DAY
    return rule.window if rule.kind in (Kind.RATIO, Kind.CHANGE, Kind.FROZEN) else 0
