"""Fills the gaps of the past day from a source's candles, while live ticks go on. It raises no alerts."""

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import lcm

import structlog

from worker.latest import DAY, HOUR, MINUTE, Candle, Measure, Metric, Sample, decimals
from worker.latest.market import compute_interval_return
from worker.latest.store import StoreError, Writer
from worker.reporting.progress import ProgressCallback
from worker.sources import from_candles
from worker.sources.errors import SourceError, SourceRefused
from worker.sources.supervised import SupervisedSource

log = structlog.get_logger()

Sleep = Callable[[float], Awaitable[None]]

SECOND_TRY = 60.0
"""Seconds between the end of a round and the second try of what it could not get."""

STOP_SECONDS = 2.0
"""How long the last update of the ranks may take when it is stopped."""


@dataclass(frozen=True, slots=True)
class DayFiller:
    """
    Puts the samples of the past day that the store lacks into it, made of a source's candles.

    One call after the other, at the source's pace; where it asks for a longer wait, it gets that. Samples that are
    there already are never overwritten.
    """

    source: SupervisedSource
    store: Writer
    interval: int
    sleep: Sleep = asyncio.sleep
    failed: set[Metric] = field(default_factory=set)
    """The metrics whose candles could not be fetched, at the second try neither."""

    async def fill(self, at: int, seen: ProgressCallback, metrics: Sequence[Metric] | None = None) -> int:
        """
        Fill the day before `at` of `metrics`, or of all that the source gives, and return how many samples were put in.

        A metric whose candles cannot be fetched costs the others nothing: it is logged, and tried once more
        at the end. Where the task is cancelled, the ranks are updated first.
        """
        try:
            taken, failed = await self._round(self.source.given if metrics is None else metrics, at, seen)
            if failed:
                await self.sleep(SECOND_TRY)
                more, failed = await self._round(failed, at, seen)
                taken += more
            self.failed.update(failed)
        except asyncio.CancelledError:
            with suppress(StoreError, TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self.store.update_rankings(at)
            raise
        return taken

    async def _round(self, metrics: Sequence[Metric], at: int, seen: ProgressCallback) -> tuple[int, Sequence[Metric]]:
        """Fill each metric, and return how many samples were put in and which metrics failed."""
        taken, failed, logged = 0, [], ""
        for done, metric in enumerate(metrics, 1):
            try:
                taken += await self._fill_one(metric, at)
            except SourceError as error:
                failed.append(metric)
                if str(error) != logged:
                    logged = str(error)
                    log.warning("no candles", source=self.source.name, metric=metric, reason=logged)
                await self.sleep(_find_wait(error) or self.source.source.pace)
            if taken and _should_rank(done):
                await self.store.update_rankings(at)
            seen(done, len(metrics))
        return taken, failed

    async def _fill_one(self, metric: Metric, at: int) -> int:
        if await self._is_complete(metric, at):
            return 0
        samples = await self.store.read_samples(metric, at - DAY, at)
        hourly = {sample.tick for sample in samples if _is_from_archive(sample)}
        held = {sample.tick: sample.value(Measure.PRICE) for sample in samples}
        day = range(at - DAY + self.interval, at + 1, self.interval)
        missing = [tick for tick in day if tick not in held or tick in hourly]
        if not missing:
            return 0
        first = missing[0] - self.interval
        candles = await self.source.fetch_candles(metric, first - self.source.source.lead, missing[-1])
        made = await asyncio.to_thread(_make_missing, candles, held, missing, self.interval)
        taken = await self.store.insert_samples(
            metric,
            made,
            self.source.name,
            at,
            replace=hourly,
            known=None if hourly else samples,
            ranges=from_candles.derive_ranges(candles, self.interval),
        )
        await self.sleep(self.source.source.pace)
        return taken

    async def _is_complete(self, metric: Metric, at: int) -> bool:
        """Return whether the day has every sample, by its moments alone: most metrics miss nothing, and a day is long."""
        (record,) = await self.store.read_metric_states([metric])
        if record is None or record.at < at:
            return False
        price, *others = record.day
        return price.n == DAY // self.interval and any(measure.n for measure in others)


def _is_from_archive(sample: Sample) -> bool:
    """Return whether a sample was restored from the archive: an hour's last price, and no other measure."""
    _, *others = sample.values
    return sample.tick % HOUR == 0 and not any(others)


def _make_missing(
    candles: Sequence[Candle], held: Mapping[int, str | None], missing: Sequence[int], interval: int
) -> list[Sample]:
    """
    Make the missing samples of candles.

    1. Where the interval is shorter than a candle, a candle that has one of the held samples inside is
       left out: its volume is in that one already.
    2. Where it is longer, the first and the last sample are left out unless all their minutes came.
    """
    if not candles:
        return []
    lacking, span = frozenset(missing), lcm(interval, MINUTE)
    first, last = candles[0].start + span, candles[-1].start + MINUTE
    made = [
        sample
        for sample in from_candles.derive_samples(candles, interval=interval)
        if first <= sample.tick <= last
        and lacking.issuperset(range(sample.tick - span + interval, sample.tick + 1, interval))
    ]
    return list(_with_returns(made, held))


def _with_returns(made: Sequence[Sample], held: Mapping[int, str | None]) -> Iterator[Sample]:
    """Return each sample with its return since the sample before, made or held, which candles do not have."""
    prices = dict(held) | {sample.tick: sample.value(Measure.PRICE) for sample in made}
    ticks = sorted(prices)
    for sample in made:
        place = bisect_left(ticks, sample.tick)
        before = prices[ticks[place - 1]] if place else None
        price = sample.value(Measure.PRICE)
        if before is None or price is None:
            yield sample
            continue
        since = compute_interval_return(decimals.parse_decimal(price), decimals.parse_decimal(before))
        yield sample.replace_value(Measure.INTERVAL_RETURN, since)


def _should_rank(done: int) -> bool:
    """Return whether to update the ranks meanwhile: after 1, 2, 4, 8, ... metrics, so that a first day is ranked while it fills."""
    return done.bit_count() == 1


def _find_wait(error: SourceError) -> float | None:
    return error.wait if isinstance(error, SourceRefused) else None
