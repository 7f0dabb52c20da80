"""Sources that are silent as a whole are found the same, however their metrics are divided."""

import random
from collections.abc import Sequence
from typing import Any

from v1.market.metric_state import PriorState, SourceReading, StateUpdate, advance
from v1.model import Metric, Reading
from v1.rules import parse_rule
from v1.rules.silent_sources import NO_SILENCE, find_silent_sources, judge_silence, summarize_silence

NOON, MINUTE = 1_764_331_200, 60
RULES = [
    parse_rule({"id": "stale", "kind": "stale", "intervals": 2}),
    parse_rule({"id": "long", "kind": "stale", "intervals": 5, "metrics": "B:M1*"}),
]


def make_steps(chance: random.Random) -> list[StateUpdate]:
    """Return the steps of some metrics of three sources, of which some were heard of lately, and some are heard now."""
    steps = []
    for number in range(24):
        source = chance.choice("abc")
        metric, newest = Metric(f"{source.upper()}:M{number}"), NOON - MINUTE * chance.choice([1, 2, 3, 6])
        first = advance(metric, newest, SourceReading(Reading("1"), source), PriorState(None))
        assert first is not None
        at = max(newest, NOON - MINUTE * chance.choice([1, 1, 1, 7]))
        before = advance(metric, at, None, PriorState(first.record)) if at > newest else first
        is_heard = chance.random() < 0.1
        now = advance(
            metric,
            NOON,
            SourceReading(Reading("1"), source) if is_heard else None,
            PriorState((before or first).record),
        )
        assert now is not None
        steps.append(now)
    return steps


def divide(steps: Sequence[StateUpdate], parts: int) -> list[Sequence[StateUpdate]]:
    return [steps[part::parts] for part in range(parts)]


def test_what_parts_say_together_is_what_all_metrics_say():
    seen: set[Any] = set()
    for seed in range(200):
        chance = random.Random(seed)
        steps = make_steps(chance)
        summary = NO_SILENCE
        for part in divide(steps, chance.choice([1, 2, 5])):
            summary = summary.merge(summarize_silence(RULES, part, NOON, MINUTE))
        for asked_since in (0, NOON - 3 * MINUTE):
            whole = find_silent_sources(RULES, steps, NOON, MINUTE, asked_since)
            assert judge_silence(RULES, summary, NOON, MINUTE, asked_since) == whole
            seen.update(verdict is None for verdict in whole.values())
        assert summary.heard == {step.record.source for step in steps}
    assert seen == {True, False}
