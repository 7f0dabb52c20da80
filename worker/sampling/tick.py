"""One tick, from what the sources gave to the commit."""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from worker.latest import Metric
from worker.latest.market import SourceReading, TickEvidence, advance_all, mark_slots
from worker.latest.rules import NO_RULES, RuleEngine, TickContext, attach_states
from worker.latest.store import TickUnit, Writer


async def commit_tick(  # noqa: PLR0913, PLR0917  # the last three are optional
    at: int,
    heard: Mapping[Metric, SourceReading],
    store: Writer,
    rules: RuleEngine = NO_RULES,
    asked_since: int = 0,
    evidence: TickEvidence | None = None,
) -> int:
    """
    Advance every metric to `at`, those in `heard` by a sample, evaluate the rules, commit; return how many metrics.

    At every tick after `asked_since` the sources were asked. By the `evidence` slots without a sample are marked. What it
    raises is the store's.
    """
    async with store.open_tick(at) as unit:
        with pause_collector():
            return await _advance(at, heard, unit, rules, asked_since, evidence)


async def _advance(  # noqa: PLR0913, PLR0917  # the parts of one tick
    at: int,
    heard: Mapping[Metric, SourceReading],
    unit: TickUnit,
    rules: RuleEngine,
    asked_since: int,
    evidence: TickEvidence | None,
) -> int:
    metrics = sorted(unit.known_metrics | heard.keys())
    states = await unit.read_states(metrics, rules.make_lookback)
    updates = advance_all(at, metrics, heard, states)
    if evidence is not None:
        updates = mark_slots(at, updates, evidence)
    rankings = unit.rank(updates)
    messages = await unit.count_messages()
    is_steady = at > asked_since and not unit.has_late_samples
    evaluation = rules.evaluate(
        TickContext(
            at, updates, rankings.list_scores, unit.outages, messages, asked_since, is_steady, unit.acknowledged
        )
    )
    await unit.commit(attach_states(updates, evaluation), rankings, evaluation)
    return len(updates)


@contextmanager
def pause_collector() -> Iterator[None]:
    """
    Keep the cycle collector off while a tick makes its values.

    They are tuples without cycles, freed by counting; a million of them on their way makes the
    collector look through all of them again and again, for a third of the tick's time, and find nothing.
    It may look again only when they are gone: those that it finds on its return cost a twelfth still.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
