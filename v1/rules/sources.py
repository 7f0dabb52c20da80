"""Which sources are silent as a whole, so that this is told once, and not once a metric. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from ..records import Step
from .conditions import Verdict, is_stale
from .rule import Rule

Silent = Mapping[tuple[str, str], Verdict | None]
"""By rule and source: every metric of the source is stale by that rule; `None` where nobody was there to hear it."""


def silent_sources(rules: Iterable[Rule], steps: Sequence[Step], at: int, interval: int) -> Silent:
    """Give the sources of which no metric has moved, by each stale rule; `steps` are those that are expected."""
    still = [step for step in steps if step.sample is None]
    if not still:
        return {}
    speaking = {step.record.source for step in steps if step.sample is not None}
    still = [step for step in still if step.record.source not in speaking]
    silent: dict[tuple[str, str], Verdict | None] = {}
    for rule in rules:
        for source, those in _by_source(still).items():
            verdict = _verdict(rule, those, at, interval)
            if verdict is None or verdict.over:
                silent[rule.id, source] = verdict
    return silent


def _by_source(steps: Iterable[Step]) -> Mapping[str, Sequence[Step]]:
    found: dict[str, list[Step]] = {}
    for step in steps:
        found.setdefault(step.record.source, []).append(step)
    return found


def _verdict(rule: Rule, steps: Sequence[Step], at: int, interval: int) -> Verdict | None:
    """Judge the metrics of one source, none of which has a sample; the rule speaks of those that it watches."""
    verdicts = {is_stale(step, at, rule.intervals * interval) for step in steps}
    watched = [step for step in steps if rule.matches(step.metric)]
    if False in verdicts or not watched:
        return Verdict(over=False)
    if None in verdicts:
        return None
    return Verdict(True, since=max(step.record.newest for step in watched), metrics=len(watched))
