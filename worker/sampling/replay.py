"""
Commits every tick of a recording, as fast as possible or at a pace; the store then holds what a live run would have left.

The store is marked as replayed before the first tick, so that whoever reads it counts ages by the replay's own time.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import lcm
from typing import Protocol

import structlog

from worker.latest import MINUTE, Measure, Metric
from worker.latest.market import ExchangeHour, ReplayMark, SlotReason, SourceReading, TickEvidence
from worker.latest.store import Writer
from worker.reporting.progress import ProgressCallback
from worker.sampling.pace import ReplayPace
from worker.sampling.recorded_hours import SOURCE, RecordedHours
from worker.sampling.recording import Recording
from worker.sampling.rule_provider import FixedRules, RuleSource
from worker.sampling.tick import commit_tick
from worker.sources import from_candles

log = structlog.get_logger()


class HourCloser(Protocol):
    """What writes hours that are over into the archive."""

    @property
    def grace(self) -> int:
        """Seconds after its end that an hour waits for late samples."""

    def start_at(self, oldest_tick: int) -> None:
        """Begin with the hour of a tick."""

    async def close_until(self, end: int, at: int) -> int:
        """Close every hour that was over at `end`, and return how many; `at` is the time that is recorded for it."""

    async def write_exchange_hours(self, hours: Sequence[ExchangeHour]) -> int:
        """Write the exchange's own hours, and return how many are new or different."""


class StoreIsPast(Exception):
    """The newest tick of the store lies past the end of the recording; the message says what to do."""


class StoreHasOtherSamples(Exception):
    """The newest tick of the store lies in the recording, but its samples differ; the message says what to do."""


async def replay(  # noqa: PLR0913, PLR0917  # the last three are optional
    recording: Recording,
    store: Writer,
    interval: int,
    seen: ProgressCallback,
    closer: HourCloser | None = None,
    rules: RuleSource = FixedRules(),  # noqa: B008  # it has no state that changes
    pace: ReplayPace | None = None,
) -> int:
    """
    Commit every tick of the recording that the store does not have yet, and return how many.

    With a `closer`, every hour is closed when the ticks have passed its end and its grace, long before its samples
    leave the store, and kept beside the hour that the recording's own candles tell; the hours that are over at the end
    are closed then. With a `pace`, each tick waits until it is due,
    and the rules are read again before it: somebody watches, and may change them.

    Cut off anywhere and started again with the same recording, it continues where it was. Raises
    `StoreIsPast` when the store's newest tick lies past the recording's end, and `StoreHasOtherSamples`
    when it lies inside and its samples differ.
    """
    newest = await store.open()
    mark = _make_mark(recording, interval, pace)
    check_end(newest, mark.last)
    previous = newest
    if closer:
        await closer.close_until(newest - closer.grace, newest) if newest else closer.start_at(mark.first)
    of = (mark.last - mark.first) // lcm(interval, MINUTE) + 1
    committed, hours = 0, RecordedHours(recording)
    for number, (at, heard) in enumerate(make_recording_ticks(recording, interval, hours), 1):
        if newest is None or at > newest:
            if not committed:
                await store.replays.write(mark)
            await _commit_due(at, heard, store, rules, pace, _describe_tick(previous, interval))
            previous = at
            committed += 1
            if closer:
                await _close_hours(closer, hours, at - closer.grace, at)
        else:
            await _pass_over(at, heard, store, newest, hours, closer)
        seen(number, of)
    if closer:
        await _close_hours(closer, hours, mark.last, mark.last)
    return committed


async def _pass_over(  # noqa: PLR0913, PLR0917  # what a tick of the recording is held against
    at: int,
    heard: Mapping[Metric, SourceReading],
    store: Writer,
    newest: int,
    hours: RecordedHours,
    closer: HourCloser | None,
) -> None:
    """Pass over a tick that the store has. What was killed may not have written its last hour; again changes nothing."""
    if at == newest:
        await check_was_replayed(at, heard, store)
    if closer:
        await closer.write_exchange_hours(hours.take_until(at - closer.grace, at))


async def _close_hours(closer: HourCloser, hours: RecordedHours, end: int, at: int) -> None:
    """Archive the hours that were over at `end`: what the recording's own candles tell, and what was sampled."""
    await closer.write_exchange_hours(hours.take_until(end, at))
    await closer.close_until(end, at)


async def _commit_due(  # noqa: PLR0913, PLR0917  # the parts of one tick
    at: int,
    heard: Mapping[Metric, SourceReading],
    store: Writer,
    rules: RuleSource,
    pace: ReplayPace | None,
    evidence: TickEvidence,
) -> None:
    """Commit a tick, at a pace when it is due and by the rules that are then in force."""
    if pace:
        await pace.wait_for(at)
        await rules.refresh()
    await commit_tick(at, heard, store, rules.engine, evidence=evidence)


def _describe_tick(previous: int | None, interval: int) -> TickEvidence:
    """Return what is known of a tick: what the recording has nothing of then is missing in it."""
    return TickEvidence(lcm(interval, MINUTE), previous, lambda _metric, _source: SlotReason.NOT_GIVEN)


def _make_mark(recording: Recording, interval: int, pace: ReplayPace | None) -> ReplayMark:
    """Return what the store is marked with: the first and the last tick, and how fast they come."""
    step = lcm(interval, MINUTE)
    first, last = (-(-end // step) * step for end in (recording.first, recording.last))
    return ReplayMark(first, last, recording.shift, pace.speed if pace else None)


def check_end(newest: int | None, last: int) -> None:
    """Raise `StoreIsPast` where the newest tick of a store lies past the `last` one that is to be played."""
    if newest is not None and newest > last:
        raise StoreIsPast(
            f"the store has ticks until {newest} and the recording ends at {last}: "
            "play it into another TRACKER_DATA_DIR, or with a later --until"
        )


async def check_was_replayed(at: int, heard: Mapping[Metric, SourceReading], store: Writer) -> None:
    """Raise `StoreHasOtherSamples` where a store has other samples of a tick than those that are to be played."""
    for metric, (reading, _) in heard.items():
        held = await store.read_samples(metric, at - 1, at)
        if [sample.value(Measure.PRICE) for sample in held] != [reading.price]:
            raise StoreHasOtherSamples(
                f"the store has ticks until {at}, and its sample of {metric} then differs from the recording's: only "
                "the same recording with the same --until can be continued; play another into another TRACKER_DATA_DIR"
            )


def make_recording_ticks(
    recording: Recording, interval: int, hours: RecordedHours | None = None
) -> Iterator[tuple[int, Mapping[Metric, SourceReading]]]:
    """Yield every tick of a recording with its readings; `hours` note its candles."""
    ticks = recording.list_ticks()
    for at, readings in from_candles.derive_market(hours.follow(ticks) if hours else ticks, interval):
        yield at, {metric: SourceReading(reading, SOURCE) for metric, reading in readings.items()}
