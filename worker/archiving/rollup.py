"""Archives an hour: reads its samples from the store, makes a candle of each metric, writes them into the archive."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from worker.archiving.late_hours import LateHours
from worker.latest import DAY, HOUR, Measure, Metric, candles, find_hour, split_into_chunks
from worker.latest.archive import ArchiveWriter
from worker.latest.market import ExchangeHour, HourCandle, PriceRange, add_ranges
from worker.latest.store import STATE_KEPT_SECONDS, HourSamples, Writer

PART = 15_000
"""Samples that are read at once: a few hundredths of a second of computing."""
KEPT = STATE_KEPT_SECONDS
"""Seconds after its last sample that an hour may still be in the store."""


class RollupOptions(NamedTuple):
    """How hours are archived."""

    interval: int
    """Seconds between two samples."""
    grace: int = 90
    """Seconds after its end that an hour waits for late samples."""
    days: int | None = None
    """How many days the archive keeps; `None`: all."""


class HourlyRollup:
    """
    Copies hours from the store into the archive, one transaction an hour.

    An hour that is archived again changes nothing, unless its samples have changed. Raises `StoreError` and
    `ArchiveError`; then the hour is not archived, and the next try can do it.
    """

    def __init__(
        self, store: Writer, archive: ArchiveWriter, options: RollupOptions, late_hours: LateHours | None = None
    ) -> None:
        self._store = store
        self._archive = archive
        self._options = options
        self._late_hours = LateHours() if late_hours is None else late_hours
        self._next: int | None = None
        """The first hour that was not closed yet; `None` until it was looked for."""
        self._newest: int | None = None
        """The newest hour that was closed before it began again."""
        self._also: Collection[Metric] = ()
        self._trimmed = 0

    @property
    def grace(self) -> int:
        return self._options.grace

    @property
    def newest(self) -> int | None:
        """The newest hour that was closed."""
        return self._newest if self._next is None else max(self._next - HOUR, self._newest or 0)

    def begin_again(self) -> None:
        """
        Look at every hour again that the store has: the archive may have lost some.

        After a failover, or a restored backup, it is another database than before.
        """
        self._newest, self._next = self.newest, None

    def start_at(self, oldest_tick: int, also: Collection[Metric] = ()) -> None:
        """
        Begin with the hour of a tick: none before it is in the store.

        `also` names metrics beside those that the store lists: its list ends before its last samples do.
        """
        self._next, self._also = find_hour(oldest_tick), also

    async def close_until(self, end: int, at: int) -> int:
        """
        Close every hour that was over at `end` and is not closed yet, oldest first, and return how many.

        `at` is the time now, for the record.
        """
        if self._next is None:
            self.start_at(end - KEPT + 1, await self._archive.read_metrics(end - KEPT - DAY))
        closed = 0
        while self._next is not None and self._next + HOUR <= end:
            await self.close_hour(self._next, at)
            self._next += HOUR
            closed += 1
        if closed and self._next is not None:
            # By what was closed, not by a clock that may be ahead: what is dropped does not come back.
            await self._tidy(self._next)
        return closed

    async def close_hour(self, hour: int, at: int, late: Collection[Metric] = ()) -> int:
        """
        Close an hour of every metric that has more samples than its candle, and of those that are `late`.

        Returns how many candles are new or different.
        """
        known = await self._archive.read_counts(hour)
        made: list[HourCandle] = []
        size = max(1, PART * self._options.interval // HOUR)
        for part in split_into_chunks(sorted({*self._also, *await self._store.read_metrics()}), size):
            await self._wait_for_tick()
            wanted = await self._find_fuller(part, hour, known, late) if known else part
            hours = await self._store.read_hour(wanted, hour, self._options.grace)
            ranges = await self._store.read_hour_ranges([(metric, hour) for metric in wanted])
            slots = [candles.HourSlot(metric, hour, at) for metric in wanted]
            made += await asyncio.to_thread(_make_candles, slots, hours, ranges, self._options.interval)
        return await self._archive.write(made)

    async def write_exchange_hours(self, hours: Sequence[ExchangeHour]) -> int:
        """Write hours that the exchange's own candles tell, and return how many are new or different."""
        return await self._archive.write_exchange_hours(hours)

    async def revise_late(self, at: int) -> int:
        """Archive again the hours that late samples were put into, and return how many candles are new or different."""
        changed = 0
        for hour in self._late_hours.list_hours():
            with self._late_hours.take(hour) as metrics:
                if self._next is not None and hour < self._next:
                    changed += await self.close_hour(hour, at, metrics)
        return changed

    async def _find_fuller(
        self, metrics: Sequence[Metric], hour: int, known: Mapping[Metric, int], late: Collection[Metric]
    ) -> Sequence[Metric]:
        """Return the metrics that have more samples of an hour than are archived, and the late ones that have any."""
        held = await self._store.count_samples((metric, hour) for metric in metrics)
        found = zip(metrics, held, strict=True)
        return [metric for metric, count in found if count > known.get(metric, 0) or (count and metric in late)]

    async def _wait_for_tick(self) -> None:
        """Return when no tick is being committed: ticks come first."""
        async with self._store.turn:
            pass

    async def _tidy(self, at: int) -> None:
        await self._archive.prepare(at)
        if self._options.days is not None:
            before = at // DAY * DAY - self._options.days * DAY
            if before != self._trimmed:
                await self._archive.trim(before)
                self._trimmed = before


def _make_candles(
    slots: Sequence[candles.HourSlot],
    hours: Sequence[HourSamples],
    ranges: Sequence[Mapping[int, PriceRange]],
    interval: int,
) -> list[HourCandle]:
    made = []
    for slot, hour, known in zip(slots, hours, ranges, strict=True):
        prices = hour.list_values(Measure.PRICE)
        volumes = [volume for _, volume in hour.list_values(Measure.INTERVAL_VOLUME)]
        latest = hour.find_value_after(Measure.PRICE)
        candle = candles.make_hour_from_prices(slot, prices, volumes, interval, latest)
        if candle:
            made.append(add_ranges(candle, HOUR, [slot.start + seconds for seconds, _ in prices], known, interval))
    return made
