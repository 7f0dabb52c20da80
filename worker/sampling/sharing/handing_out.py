"""Hands each tick out to whoever has its partitions, and completes it when all of them are committed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic

import structlog

from worker.latest import Metric
from worker.latest.market import SlotReason, SourceReading, TickEvidence
from worker.latest.rules import RuleEngine
from worker.latest.sharing import (
    CommonEvidence,
    HomeWriter,
    PartitionReadings,
    PartitionResult,
    TickReadings,
    find_kept_seconds,
)
from worker.sampling.absences import TickAbsences

log = structlog.get_logger()

POLL_SECONDS = 0.05
PATIENT_SECONDS = 10.0
"""After so long it is logged which partitions are not committed."""

Sleep = Callable[[float], Awaitable[None]]


class SharedCommit:
    """
    Commits ticks by way of all workers, one after the other.

    A tick whose partitions are not all committed waits: whoever had one is gone, and another takes it over. Raises as
    the store does.
    """

    def __init__(self, store: HomeWriter, interval: int, sleep: Sleep = asyncio.sleep) -> None:
        self._store = store
        self._interval = interval
        self._sleep = sleep

    async def commit(  # noqa: PLR0913, PLR0917  # the parts of a tick
        self,
        at: int,
        readings: Mapping[Metric, SourceReading],
        rules: RuleEngine,
        asked_since: int,
        evidence: TickEvidence,
        absences: TickAbsences,
    ) -> int:
        """Commit a tick, and return how many metrics it has advanced."""
        session = self._store.session
        common = CommonEvidence(
            asked_since,
            evidence.previous,
            [*evidence.skipped],
            evidence.is_late(),
            {each.name: each.reason for each in absences.sources},
            absences.otherwise,
        )
        known = session.known_metrics | readings.keys()
        parts = self._divide(readings, find_absent(known - readings.keys(), absences), session.unranked & known)
        tick = TickReadings(at, common, parts)
        done = await self._wait_until_done(tick)
        session.known_metrics = known
        await self._store.finish(at, asked_since, rules, done)
        return sum(each.metrics for each in done)

    def _divide(
        self,
        readings: Mapping[Metric, SourceReading],
        absent: Mapping[Metric, SlotReason],
        unranked: frozenset[Metric],
    ) -> dict[str, PartitionReadings]:
        places = self._store.places
        parts: dict[str, tuple[dict[Metric, SourceReading], dict[Metric, SlotReason], set[Metric]]]
        parts = {tag: ({}, {}, set()) for tag in places.list_tags()}
        for metric, heard in readings.items():
            parts[places.find_tag(metric)][0][metric] = heard
        for metric, reason in absent.items():
            parts[places.find_tag(metric)][1][metric] = reason
        for metric in unranked:
            parts[places.find_tag(metric)][2].add(metric)
        return {tag: PartitionReadings(heard, gone, frozenset(out)) for tag, (heard, gone, out) in parts.items()}

    async def _wait_until_done(self, tick: TickReadings) -> Sequence[PartitionResult]:
        """Hand a tick out, again where the store forgot it, and return what became of its partitions."""
        began, has_logged = monotonic(), False
        while True:
            progress = await self._store.read_progress(tick.at)
            if not progress.missing:
                done = await self._store.gathering.read_done(tick.at)
                return [*done.values()]
            if not progress.is_there:
                await self._store.readings.add(self._store.feeder, tick, find_kept_seconds(self._interval))
            if not has_logged and monotonic() - began > PATIENT_SECONDS:
                has_logged = True
                log.warning(
                    "a tick waits for partitions that nobody has committed",
                    at=tick.at,
                    missing=progress.missing,
                    first=await self._find_missing(tick.at),
                )
            await self._sleep(POLL_SECONDS)

    async def _find_missing(self, at: int) -> str | None:
        """Return the first partition that is not committed; `None` where all are by now."""
        done = await self._store.gathering.read_done(at)
        return next((tag for tag in self._store.places.list_tags() if tag not in done), None)


def find_absent(metrics: frozenset[Metric] | set[Metric], absences: TickAbsences) -> dict[Metric, SlotReason]:
    """Return why metrics have no reading, as far as that follows from their names."""
    absent = dict.fromkeys(metrics & absences.rejected, SlotReason.REJECTED)
    for each in absences.sources:
        for metric in metrics & each.metrics:
            absent.setdefault(metric, each.reason)
    return absent
