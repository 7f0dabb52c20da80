"""One tick: read what leaves, compute, commit. Where the numbers come from, and when, is not its business."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from worker.latest import Found, Heard, Metric, Step, Writer, advance


async def tick(at: int, heard: Mapping[Metric, Heard], store: Writer) -> Sequence[Step]:
    """Move every metric on to `at`: those that were heard with a sample, the others without."""
    async with store.turn:
        with _collector_at_rest():
            metrics = sorted(store.known | heard.keys())
            found = await store.found(at, metrics)
            steps = moved_on(at, metrics, heard, found)
            await store.commit(at, steps)
    return steps


def moved_on(
    at: int, metrics: Sequence[Metric], heard: Mapping[Metric, Heard], found: Sequence[Found]
) -> Sequence[Step]:
    """Compute the step of each metric; those with nothing to move are left out."""
    steps = [advance(metric, at, heard.get(metric), held) for metric, held in zip(metrics, found, strict=True)]
    return [step for step in steps if step is not None]


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """
    Keep the cycle collector off while a tick makes its values.

    They are tuples without cycles, freed by counting; a million of them on their way makes the
    collector look through all of them again and again, for a third of the tick's time, and find nothing.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
