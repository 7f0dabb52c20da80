"""An archive and a store for tests of what lies between them, and what the one must say of the other."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from tests.support import recounted
from tests.support.invented import BTC, NOON, price, volume
from tests.support.recounted import Known
from v1.model import find_hour
from worker.archiving.archiver import Archiver
from worker.archiving.health import ArchiveCondition
from worker.archiving.late_hours import LateHours
from worker.archiving.ordering import PartitionOrdering
from worker.archiving.rollup import HourlyRollup, RollupOptions
from worker.backfill.exchange_hours import ExchangeHourFetcher, ExchangeHourPoller
from worker.backfill.from_archive import ArchiveBackfill
from worker.backfill.service import ArchiveAccess, BackfillService
from worker.cli.archive_parts import ArchiveParts
from worker.latest import DAY, HOUR, MINUTE, Measure, Metric, Reading
from worker.latest.archive import ArchiveWriter, PartitionOrderer, connect_archive
from worker.latest.market import ExchangeHour, HourCandle, SourceReading
from worker.latest.store import Writer
from worker.sampling.tick import commit_tick
from worker.sources.supervised import SupervisedSource
from worker.sources.wishes import SourceReport

GRACE = 90


class NoBackfill:
    """Takes requests, and does nothing."""

    def request(self, source: str | None = None) -> None:
        pass

    def request_metrics(self, source: str, metrics: Iterable[Metric]) -> None:
        pass


async def at_once(_seconds: float) -> None:
    pass


class Bench:
    """A store, an archive and all that moves between them; `end` is the newest tick."""

    def __init__(
        self,
        redis: Redis,
        archive: ArchiveWriter,
        orderer: PartitionOrderer,
        days: int | None = None,
        backfill: int = 7 * DAY,
        interval: int = MINUTE,
    ) -> None:
        self.late_hours = LateHours()
        self.store = Writer(redis, note_late_samples=self.late_hours.add)
        self.archive = archive
        self.interval = interval
        self.health = ArchiveCondition()
        self.ordering = PartitionOrdering(orderer)
        self.rollup = HourlyRollup(self.store, archive, RollupOptions(interval, GRACE, days), self.late_hours)
        self.fetcher = ExchangeHourFetcher(archive, backfill)
        self.backfill = ArchiveBackfill(self.store, archive, interval, self.fetcher, at_once)
        self.requests = 0
        """How often the archiver requested a backfill."""
        self.archiver = Archiver(
            store=self.store,
            archive=archive,
            rollup=self.rollup,
            late_hours=self.late_hours,
            health=self.health,
            ordering=self.ordering,
            request_backfill=self._request,
        )
        self.end = NOON

    def _request(self) -> None:
        self.requests += 1

    def service(self, sources: Sequence[SupervisedSource]) -> BackfillService:
        """Make the backfill of all of it; the newest tick is its time."""
        return BackfillService(
            sources=sources,
            store=self.store,
            interval=self.interval,
            clock=lambda: self.end,
            report=SourceReport(sources),
            archive=ArchiveAccess(self.backfill, self.health),
            sleep=at_once,
        )

    def poller(
        self, *sources: SupervisedSource, is_busy: Callable[[str], bool] = lambda _: False
    ) -> ExchangeHourPoller:
        """Make what asks for the exchange's hours."""
        return ExchangeHourPoller(
            sources=sources,
            fetcher=self.fetcher,
            is_usable=lambda: self.health.is_usable,
            record_failure=self.health.record_failure,
            is_busy=is_busy,
            sleep=at_once,
        )

    async def exchange_hours(self, metric: Metric = BTC) -> list[ExchangeHour]:
        return await self.archive.read_exchange_hours(metric, 0, 2**40)

    @property
    def parts(self) -> ArchiveParts:
        return ArchiveParts(self.archive, self.rollup, self.backfill, self.ordering)

    async def ticks(self, count: int, metrics: Sequence[Metric] = (BTC,), step: int = MINUTE) -> None:
        """Commit so many more ticks, as a live sampler does."""
        for _ in range(count):
            self.end += step
            readings = {each: Reading(price(each, self.end), interval_volume=volume(self.end)) for each in metrics}
            await commit_tick(
                self.end, {each: SourceReading(reading, "invented") for each, reading in readings.items()}, self.store
            )

    async def hours(self, metric: Metric = BTC) -> list[HourCandle]:
        return await self.archive.read_hours(metric, 0, 2**40)

    async def starts(self, metric: Metric = BTC) -> list[int]:
        return [(hour.start - NOON) // HOUR for hour in await self.hours(metric)]

    async def expected(self, metric: Metric = BTC) -> dict[int, recounted.Hour]:
        """Work out what all samples that the store still has come to."""
        samples = await self.store.read_samples(metric, self.end - 2 * DAY, self.end)
        known = [
            Known(each.tick, each.value(Measure.PRICE) or "", each.value(Measure.INTERVAL_VOLUME)) for each in samples
        ]
        return recounted.hours(known, self.interval, GRACE)


@asynccontextmanager
async def bench(
    redis: Redis, address: str, days: int | None = None, backfill: int = 7 * DAY, interval: int = MINUTE
) -> AsyncIterator[Bench]:
    async with connect_archive(address, "tests", writes=True) as engine:
        yield Bench(redis, ArchiveWriter(engine), PartitionOrderer(engine), days, backfill, interval)


def wrong(held: Iterable[HourCandle], expected: Mapping[int, recounted.Hour], until: int) -> list[str]:
    """Say where hours are not what the samples of those that were over at `until` come to."""
    over = {start: hour for start, hour in expected.items() if start + HOUR <= until}
    return recounted.differences(held, over)


async def lose(store: Writer) -> None:
    """Take everything out of the store, and forget it, as a Redis that lost its memory."""
    await store._redis.flushall()
    await store.open()


async def samples_in(store: Writer, metric: Metric, hour: int) -> int:
    (count,) = await store.count_samples([(metric, find_hour(hour + HOUR))])
    return count
