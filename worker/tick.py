"""One tick: read what leaves, compute, commit. Where the numbers come from, and when, is not its business."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from worker.latest import (
    NO_RULES,
    Engine,
    Found,
    Heard,
    Market,
    Metric,
    Writer,
    moved_on,
    score,
    standings,
    with_states,
)


async def tick(
    at: int, heard: Mapping[Metric, Heard], store: Writer, rules: Engine = NO_RULES, asked_since: int = 0
) -> int:
    """
    Move every metric on to `at`, those that were heard with a sample, and say what the rules make of it.

    After the tick `asked_since` sources were asked without a pause. Gives how many metrics moved.
    """
    async with store.turn:
        with _collector_at_rest():
            return await _moved(at, heard, store, rules, asked_since)


async def _moved(at: int, heard: Mapping[Metric, Heard], store: Writer, rules: Engine, asked_since: int) -> int:
    metrics = sorted(store.known | heard.keys())
    found = await store.found(at, metrics, rules.look)
    steps = moved_on(at, metrics, heard, found)
    scored = score(standings(steps))
    is_steady = at > asked_since and not store.has_taken_in
    told_before = await _told(at, found, store)
    judged = rules.judge(Market(at, steps, scored.rank, store.outages, told_before, asked_since, is_steady))
    await store.commit(at, with_states(steps, judged), scored, judged)
    return len(steps)


async def _told(at: int, found: Sequence[Found], store: Writer) -> Mapping[str, int]:
    """Give what the rules told of this tick before it was cut off; asked only if it was."""
    begun = any(held.record and held.record.at == at for held in found)
    return await store.told(at) if begun else {}


@contextmanager
def _collector_at_rest() -> Iterator[None]:
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
