"""One tick: read what leaves, compute, commit. Where the numbers come from, and when, is not its business."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from worker.latest import (
    NO_RULES,
    Metric,
    PriorState,
    RuleEngine,
    SourceReading,
    TickContext,
    Writer,
    advance_all,
    attach_states,
    collect_rank_inputs,
    rank_all,
)


async def commit_tick(
    at: int, heard: Mapping[Metric, SourceReading], store: Writer, rules: RuleEngine = NO_RULES, asked_since: int = 0
) -> int:
    """
    Move every metric on to `at`, those that were heard with a sample, and say what the rules make of it.

    After the tick `asked_since` sources were asked without a pause. Returns how many metrics moved.
    """
    async with store.turn:
        with _collector_paused():
            return await _commit(at, heard, store, rules, asked_since)


async def _commit(
    at: int, heard: Mapping[Metric, SourceReading], store: Writer, rules: RuleEngine, asked_since: int
) -> int:
    metrics = sorted(store.known_metrics | heard.keys())
    found = await store.read_states(at, metrics, rules.make_lookback)
    steps = advance_all(at, metrics, heard, found)
    scored = rank_all(collect_rank_inputs(steps))
    is_steady = at > asked_since and not store.has_late_samples
    told_before = await _count_messages(at, found, store)
    judged = rules.evaluate(
        TickContext(at, steps, scored.list_scores, store.outages, told_before, asked_since, is_steady)
    )
    await store.commit(at, attach_states(steps, judged), scored, judged)
    return len(steps)


async def _count_messages(at: int, found: Sequence[PriorState], store: Writer) -> Mapping[str, int]:
    """Return what the rules told of this tick before it was cut off; asked only if it was."""
    begun = any(held.record and held.record.at == at for held in found)
    return await store.count_messages(at) if begun else {}


@contextmanager
def _collector_paused() -> Iterator[None]:
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
