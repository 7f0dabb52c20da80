"""Rebuilds the day, and the archive with it, of everything that is still known anywhere; once, for the command of that name."""

from collections.abc import Sequence
from typing import NamedTuple

from worker.backfill.day import DayFiller
from worker.cli.archive_parts import ArchiveParts
from worker.latest.market import SlotMark, SlotReason, TickEvidence
from worker.latest.store import Writer
from worker.reporting.progress import show_progress
from worker.sampling.tick import commit_tick
from worker.sources.ownership import open_up_to
from worker.sources.supervised import SupervisedSource


class RebuildResult(NamedTuple):
    """How much was added."""

    samples: int
    """New in the day."""
    hours: int
    """New in the archive, or different."""


async def rebuild_day(
    sources: Sequence[SupervisedSource], store: Writer, archived: ArchiveParts, interval: int, now: int
) -> RebuildResult:
    """
    Fill the day before `now` from every source's candles, and what they do not have from the archive; archive its hours;
    fetch older ones. Ranks and means are updated at the end.
    """
    await archived.rollup.close_until(now - archived.rollup.grace, now)
    newest = await store.open()
    if newest is None or newest < now:
        await commit_tick(now, {}, store, evidence=_describe_pause(newest, now, interval))
    samples = hours = 0
    for source in sources:
        await open_up_to(source, sources, now)
        with show_progress(f"filling the past day from {source.name}") as seen:
            samples += await DayFiller(source, store, interval).fill(now, seen)
    for source in sources:
        others = [other for other in sources if other is not source]
        made = await archived.backfill.backfill(source, others, now)
        samples, hours = samples + made.samples, hours + made.hours
    hours += await archived.rollup.revise_late(now)
    await store.update_rankings(now)
    return RebuildResult(samples, hours)


def _describe_pause(newest: int | None, now: int, interval: int) -> TickEvidence:
    """Return what is known of the slots since the newest tick: no worker ran."""
    skipped = [SlotMark(newest + 1, now - interval, SlotReason.NOT_RUNNING)] if newest else []
    return TickEvidence(interval, newest, lambda _metric, _source: SlotReason.NOT_RUNNING, skipped)
