"""Which sources are silent as a whole, so that this is told once, and not once a metric. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from ..market.metric_state import StateUpdate
from .conditions import Verdict, judge_staleness
from .rule import Rule

Silent = Mapping[tuple[str, str], Verdict | None]
"""By rule and source: every metric of the source is stale by that rule; `None` where nobody was there to hear it."""


def find_silent_sources(
    rules: Iterable[Rule], steps: Sequence[StateUpdate], at: int, interval: int, asked_since: int = 0
) -> Silent:
    """
    Return the sources of which no metric has moved, by each stale rule; `steps` are those that are expected.

    Nothing is known of those that were not asked, since `asked_since`, for as long as a rule lets them be silent.
    """
    still = [step for step in steps if step.sample is None]
    if not still:
        return {}
    speaking = {step.record.source for step in steps if step.sample is not None}
    still = [step for step in still if step.record.source not in speaking]
    silent: dict[tuple[str, str], Verdict | None] = {}
    for rule in rules:
        silence = rule.intervals * interval
        for source, those in _by_source(still).items():
            verdict = _verdict(rule, those, at, silence)
            if verdict and verdict.holds and at - asked_since < silence:
                verdict = None
            if verdict is None or verdict.holds:
                silent[rule.id, source] = verdict
    return silent


def _by_source(steps: Iterable[StateUpdate]) -> Mapping[str, Sequence[StateUpdate]]:
    found: dict[str, list[StateUpdate]] = {}
    for step in steps:
        found.setdefault(step.record.source, []).append(step)
    return found


def _verdict(rule: Rule, steps: Sequence[StateUpdate], at: int, silence: int) -> Verdict | None:
    """Judge the metrics of one source, none of which has a sample; the rule speaks of those that it watches."""
    verdicts = {judge_staleness(step, at, silence) for step in steps}
    watched = [step for step in steps if rule.matches(step.metric)]
    if False in verdicts or not watched:
        return Verdict(holds=False)
    if None in verdicts:
        return None
    return Verdict(True, since=max(step.record.newest for step in watched), metrics=len(watched))
