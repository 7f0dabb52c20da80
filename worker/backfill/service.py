"""
Fills what is missing, from each source, whenever it is requested: first the gaps of the past day from the source's
candles, then from the archive what the source does not have, then the archive's older hours from the source.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple, Protocol

import structlog

from worker.backfill.day import DayFiller, Sleep
from worker.backfill.from_archive import ArchiveBackfill
from worker.latest import Metric
from worker.latest.archive import ArchiveError
from worker.latest.store import LeaseLost, StoreError, Writer
from worker.reporting.metrics import WorkerInstruments, make_instruments
from worker.reporting.progress import ProgressCallback, show_progress
from worker.sources.ownership import open_up_to
from worker.sources.supervised import SupervisedSource
from worker.sources.wishes import SourceReport

log = structlog.get_logger()

RETRY_SECONDS = 300.0
"""After so long a source is asked again for candles that it could not give twice."""


class UsableArchive(Protocol):
    """Knows whether the archive can be used."""

    @property
    def is_usable(self) -> bool: ...

    def record_failure(self, now: int, error: ArchiveError) -> None:
        """Note that the archive failed at `now`."""
        ...


class ArchiveAccess(NamedTuple):
    """The archive that is filled, and whether it can be used."""

    backfill: ArchiveBackfill
    health: UsableArchive


class BackfillService:
    """
    Runs as a task of its own, one loop for each source; others only call `request` and `request_metrics`.

    A Redis that does not answer costs nothing but time: the backfill is tried again. An archive that cannot be used is
    left out; whoever looks after it requests a backfill when it is back. What a source could not give is asked for again
    after `RETRY_SECONDS`, until it gives it.
    """

    def __init__(  # noqa: PLR0913  # all by name
        self,
        *,
        sources: Sequence[SupervisedSource],
        store: Writer,
        interval: int,
        clock: Callable[[], float],
        report: SourceReport,
        archive: ArchiveAccess | None = None,
        sleep: Sleep = asyncio.sleep,
        instruments: WorkerInstruments | None = None,
    ) -> None:
        self._instruments = instruments or make_instruments()
        self._sources = sources
        self._store = store
        self._interval = interval
        self._clock = clock
        """The time, unix seconds: the day ends at the newest tick that is not later."""
        self._report = report
        self._archive = archive
        self._sleep = sleep
        self._requested = {source.name: asyncio.Event() for source in sources}
        self._wanted: dict[str, set[Metric] | None] = {source.name: set() for source in sources}
        """By source, the metrics whose day is to be filled; `None`: everything."""
        self._busy: set[str] = set()
        """The sources that are asked just now."""

    def is_busy(self, source: str) -> bool:
        """Return whether a source, by name, is asked for the past just now, or is about to be."""
        return source in self._busy or self._requested[source].is_set()

    def request(self, source: str | None = None) -> None:
        """Ask for a backfill from one source, by name, or from all. One that is running is followed by another."""
        for name, requested in self._requested.items():
            if source in (None, name):
                self._wanted[name] = None
                requested.set()

    def request_metrics(self, source: str, metrics: Iterable[Metric]) -> None:
        """Ask for the day of some metrics from a source, by name: they are sampled again after slots without a sample."""
        wanted = self._wanted[source]
        if wanted is not None:
            wanted.update(metrics)
        self._requested[source].set()

    async def run(self) -> None:
        """Backfill whenever it is requested, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for source in self._sources:
                tasks.create_task(self._serve(source, self._requested[source.name]))

    async def _serve(self, source: SupervisedSource, requested: asyncio.Event) -> None:
        while True:
            await requested.wait()
            self._busy.add(source.name)
            requested.clear()
            wanted, self._wanted[source.name] = self._wanted[source.name], set()
            try:
                await self._backfill(source, requested.is_set, wanted)
            except LeaseLost:
                raise
            except StoreError as error:
                log.debug("the backfill stops and is tried again", source=source.name, reason=str(error))
                self._end_progress(source)
                await self._sleep(self._interval)
                self.request(source.name)
            finally:
                self._busy.discard(source.name)

    async def _backfill(
        self, source: SupervisedSource, is_urgent: Callable[[], bool], wanted: Collection[Metric] | None = None
    ) -> None:
        """
        Backfill from one source; the archive's part ends early where `is_urgent` says so.

        Where only some metrics are `wanted`, their day is filled and nothing else.
        """
        newest = await self._store.read_tick()
        if newest is None:
            return  # whoever commits the first tick requests a backfill
        at = min(newest, int(self._clock()) // self._interval * self._interval)
        await open_up_to(source, self._sources, at)
        self._report.changed.set()  # what the source does not have
        await self._fill_day(source, at, wanted)
        if wanted is None and self._archive is not None and self._archive.health.is_usable:
            others = [other for other in self._sources if other is not source]
            try:
                await self._archive.backfill.backfill(source, others, at, is_urgent)
            except ArchiveError as error:
                self._archive.health.record_failure(at, error)

    async def _fill_day(self, source: SupervisedSource, at: int, wanted: Collection[Metric] | None) -> None:
        metrics = None if wanted is None else [metric for metric in source.given if metric in wanted]
        with show_progress(f"filling the past day from {source.name}") as show:
            filler = DayFiller(source, self._store, self._interval, self._sleep)
            taken = await filler.fill(at, self._make_progress(source, show), metrics)
        if filler.failed:
            asyncio.get_running_loop().call_later(
                RETRY_SECONDS, self.request_metrics, source.name, frozenset(filler.failed)
            )
        if taken:
            await self._store.update_rankings(at)
            self._instruments.ticks.filled.labels(source.name).inc(taken)
            log.info("filled the past day", source=source.name, samples=taken)
        self._end_progress(source)

    def _make_progress(self, source: SupervisedSource, show: ProgressCallback) -> ProgressCallback:
        """Return what a fill reports its progress to: it is shown, and noted for the store at every whole percent."""

        def report(done: int, of: int) -> None:
            show(done, of)
            if self._report.has_advanced(source.name, done, of):
                self._report.changed.set()

        return report

    def _end_progress(self, source: SupervisedSource) -> None:
        if self._report.has_ended(source.name):
            self._report.changed.set()
