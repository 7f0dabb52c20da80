"""
Which sources are silent as a whole, so that this is told once, and not once a metric. Pure.

It can be worked out of parts of the metrics, each summarized where they are advanced.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..market.metric_state import StateUpdate
from .conditions import Verdict, judge_staleness
from .rule import Rule

Silent = Mapping[tuple[str, str], Verdict | None]
"""By rule and source: every metric of the source is stale by that rule; `None` where nobody was there to hear it."""


class SourceSilence(NamedTuple):
    """What a stale rule finds of the metrics of a source that have no sample at a tick."""

    is_any_fresh: bool
    """Whether one of them was heard of lately."""
    is_any_unknown: bool
    """Whether nobody was there to hear one of them."""
    watched: int
    """How many of them the rule watches."""
    newest: int
    """The newest sample of those; 0 where there are none."""

    def merge(self, other: "SourceSilence") -> "SourceSilence":
        """Return the same of these metrics and others."""
        return SourceSilence(
            self.is_any_fresh or other.is_any_fresh,
            self.is_any_unknown or other.is_any_unknown,
            self.watched + other.watched,
            max(self.newest, other.newest),
        )


class SilenceSummary(NamedTuple):
    """What some metrics say of whether their sources are silent."""

    heard: frozenset[str]
    """The sources of all of them."""
    speaking: frozenset[str]
    """The sources of those with a sample at the tick."""
    still: Mapping[tuple[str, str], SourceSilence]
    """By rule and source, of those without."""

    def merge(self, other: "SilenceSummary") -> "SilenceSummary":
        """Return the same of these metrics and others."""
        still = dict(self.still)
        for key, silence in other.still.items():
            still[key] = still[key].merge(silence) if key in still else silence
        return SilenceSummary(self.heard | other.heard, self.speaking | other.speaking, still)


NO_SILENCE = SilenceSummary(frozenset(), frozenset(), {})


def find_silent_sources(
    rules: Iterable[Rule], steps: Sequence[StateUpdate], at: int, interval: int, asked_since: int = 0
) -> Silent:
    """
    Return the sources of which no metric has moved, by each stale rule; `steps` are those that are expected.

    Nothing is known of those that were not asked, since `asked_since`, for as long as a rule lets them be silent.
    """
    if all(step.sample is not None for step in steps):
        return {}
    rules = tuple(rules)
    return judge_silence(rules, summarize_silence(rules, steps, at, interval), at, interval, asked_since)


def summarize_silence(rules: Iterable[Rule], steps: Sequence[StateUpdate], at: int, interval: int) -> SilenceSummary:
    """Return what some metrics say of whether their sources are silent, by each stale rule."""
    speaking = frozenset({step.record.source for step in steps if step.sample is not None})
    by_source = _by_source(step for step in steps if step.sample is None and step.record.source not in speaking)
    still = {
        (rule.id, source): _summarize(rule, those, at, rule.intervals * interval)
        for rule in rules
        for source, those in by_source.items()
    }
    return SilenceSummary(speaking | by_source.keys(), speaking, still)


def judge_silence(rules: Iterable[Rule], summary: SilenceSummary, at: int, interval: int, asked_since: int) -> Silent:
    """Return the sources that are silent as a whole, by what all metrics say."""
    silences = {rule.id: rule.intervals * interval for rule in rules}
    silent: dict[tuple[str, str], Verdict | None] = {}
    for (rule, source), each in summary.still.items():
        if source in summary.speaking or rule not in silences or each.is_any_fresh or not each.watched:
            continue
        is_known = not each.is_any_unknown and at - asked_since >= silences[rule]
        silent[rule, source] = Verdict(True, since=each.newest, metrics=each.watched) if is_known else None
    return silent


def _by_source(steps: Iterable[StateUpdate]) -> Mapping[str, Sequence[StateUpdate]]:
    found: dict[str, list[StateUpdate]] = {}
    for step in steps:
        found.setdefault(step.record.source, []).append(step)
    return found


def _summarize(rule: Rule, steps: Sequence[StateUpdate], at: int, silence: int) -> SourceSilence:
    """Judge metrics of one source, none of which has a sample; the rule speaks of those that it watches."""
    verdicts = {judge_staleness(step, at, silence) for step in steps}
    watched = [step.record.newest for step in steps if rule.matches(step.metric)]
    return SourceSilence(False in verdicts, None in verdicts, len(watched), max(watched, default=0))
