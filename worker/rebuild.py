"""Rebuilds the day, and the archive with it, of everything that is still known anywhere; once, for the command of that name."""

from collections.abc import Sequence
from typing import NamedTuple

from worker.archiving import Archiving
from worker.asking import open_up_to
from worker.fill import Filler
from worker.latest import Writer
from worker.progress import progress
from worker.sources.watched import Watched
from worker.tick import tick


class Rebuilt(NamedTuple):
    """What came of it."""

    samples: int
    """New in the day."""
    hours: int
    """New in the archive, or different."""


async def rebuild(sources: Sequence[Watched], store: Writer, archived: Archiving, interval: int, now: int) -> Rebuilt:
    """
    Fill the day before `now` from every source's candles, and what they do not know from the archive; close its hours;
    ask for older ones. Ranks and means follow from it all at the end.
    """
    await archived.closer.until(now - archived.closer.grace, now)
    newest = await store.open()
    if newest is None or newest < now:
        await tick(now, {}, store)
    samples = hours = 0
    for source in sources:
        await open_up_to(source, sources, now)
        with progress(f"filling the past day from {source.name}") as seen:
            samples += await Filler(source, store, interval).fill(now, seen)
    for source in sources:
        others = [other for other in sources if other is not source]
        made = await archived.hindsight.make_good(source, others, now)
        samples, hours = samples + made.samples, hours + made.hours
    hours += await archived.closer.revise(now)
    await store.derive(now)
    return Rebuilt(samples, hours)
