"""
Asks each source for its own candle of every hour, once that is final, and keeps it in the archive beside what was sampled.

After a start the backfill asks for all that are missing; from then on one call a metric and hour, spread over the hour. A
call brings every hour that is missing since the one before, so what failed, or was not final, costs no further call.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from worker.backfill.day import Sleep
from worker.latest import DAY, HOUR, MINUTE, Candle, Metric, candles
from worker.latest.archive import ArchiveError, ArchiveWriter
from worker.latest.market import HourCandle
from worker.reporting.outage_log import OutageLog
from worker.sources.errors import RequestRefused, SourceError, SourceRefused
from worker.sources.supervised import SupervisedSource

log = structlog.get_logger()

FINAL_SECONDS = 120
"""Seconds after its end that an hour is asked for: by then it is final, and what was sampled of it is archived."""
SPREAD_SECONDS = 3000
"""Seconds over which the calls of an hour are spread, where there are many."""
CHECK_SECONDS = 5
"""Seconds between two looks at what is due; each asks for one metric at least."""
MOST_TRIES = 3
"""Calls for a metric in an hour that may fail; then the next hour asks for both."""
LONGEST_PAUSE = 300
"""Seconds that a source which fails is left alone at most, unless it asks for more; doubled from `CHECK_SECONDS` on."""


class Told(NamedTuple):
    """What a source was asked of a metric."""

    until: int
    """The end of the newest hour that was asked for."""
    since: int
    """Where the next call begins: what the source did not have of an older hour, it will not have later."""


@dataclass(frozen=True, slots=True)
class ExchangeHourFetcher:
    """Fetches the hours that the archive lacks. Raises `ArchiveError` and `SourceError`."""

    archive: ArchiveWriter
    reach: int
    """How many seconds back hours are asked for; 0: none are."""
    told: dict[Metric, Told] = field(default_factory=dict)
    """By metric, what its source was asked for."""

    def is_due(self, metric: Metric, until: int) -> bool:
        """Return whether a metric's hours before `until` were not asked for yet."""
        told = self.told.get(metric)
        return self.reach >= HOUR and (told is None or told.until < until)

    async def fetch(self, source: SupervisedSource, metric: Metric, at: int) -> int | None:
        """
        Ask for the hours of a metric that were over at `at` and are not in the archive, and return how many came.

        `None` where nothing was asked: there is nothing to ask for.
        """
        until = at // HOUR * HOUR
        if not self.is_due(metric, until):
            return None
        told = self.told.get(metric)
        since = max(until - self.reach // HOUR * HOUR, told.since if told else 0)
        known = await self.archive.read_exchange_starts(metric, since, until)
        lacking = [hour for hour in range(since, until, HOUR) if hour not in known]
        if not lacking:
            self.told[metric] = Told(until, until)
            return None
        length, fetched = await source.fetch_hours(metric, lacking[0], lacking[-1] + HOUR)
        came = _group_by_hour(fetched, lacking)
        by_minute = await self._make_sampled(source, metric, came, at) if length < HOUR else []
        exchange = [
            candles.make_exchange_hour(candles.HourSlot(metric, hour, at), some, source.name)
            for hour, some in came.items()
            if candles.is_whole_hour(hour, some, length)
        ]
        await self.archive.write(by_minute)
        await self.archive.write_exchange_hours(exchange)
        self.told[metric] = Told(until, until if until - HOUR in came else until - HOUR)
        return len({hour.start for hour in by_minute} | {hour.start for hour in exchange})

    async def take_streamed(self, source: SupervisedSource, metrics: Sequence[Metric], at: int) -> int:
        """
        Keep the hour before `at` of those of some metrics that streams brought whole, and return how many these are.

        Of those whose older hours are all known, nothing is left to ask for.
        """
        until = at // HOUR * HOUR
        start = until - HOUR
        found = {metric: source.find_streamed_hour(metric, start) for metric in metrics if self.is_due(metric, until)}
        hours = {
            metric: candles.make_exchange_hour(candles.HourSlot(metric, start, at), [candle], source.name)
            for metric, candle in found.items()
            if candle is not None
        }
        await self.archive.write_exchange_hours([*hours.values()])
        for metric in hours:
            told = self.told.get(metric)
            if told is not None and told.since == start:
                self.told[metric] = Told(until, until)
        return len(hours)

    async def _make_sampled(
        self, source: SupervisedSource, metric: Metric, came: Mapping[int, Sequence[Candle]], at: int
    ) -> list[HourCandle]:
        """
        Return what samples would have been of hours that came minute by minute, where less was sampled.

        Those that lie in the kept day are left out: their minutes are filled into it, and archived from there.
        """
        covered = await self.archive.read_coverage(metric, min(came, default=at), at)
        made = [
            candles.make_hour_from_candles(candles.HourSlot(metric, hour, at), some, MINUTE, source.name)
            for hour, some in came.items()
            if hour < at - DAY and covered.get(hour, 0) < HOUR
        ]
        return [hour for hour in made if hour is not None]


def _group_by_hour(fetched: Sequence[Candle], hours: Sequence[int]) -> dict[int, list[Candle]]:
    """Return the candles of each of some hours that has any."""
    wanted, came = frozenset(hours), dict[int, list[Candle]]()
    for candle in fetched:
        hour = candle.start // HOUR * HOUR
        if hour in wanted:
            came.setdefault(hour, []).append(candle)
    return came


class _SourceRounds:
    """How one source does with the calls of the hour."""

    def __init__(self, source: SupervisedSource) -> None:
        self.source = source
        self.outage = OutageLog(source=source.name)
        self.resting_until = 0.0
        self.streamed_hour = 0
        """The end of the newest hour that was taken from streams, where there are any."""
        self._pause = CHECK_SECONDS
        self._hour = 0
        self._failures: dict[Metric, int] = {}

    def list_due(self, fetcher: ExchangeHourFetcher, hour: int) -> list[Metric]:
        """Return the metrics that are to be asked for the hours before `hour`, those of the fewest failures first."""
        if hour != self._hour:
            self._hour, self._failures = hour, {}
        tries = self._failures
        due = [
            metric for metric in self.source.given if tries.get(metric, 0) < MOST_TRIES and fetcher.is_due(metric, hour)
        ]
        return sorted(due, key=lambda metric: tries.get(metric, 0)) if tries else due

    def record_success(self) -> None:
        self._pause = CHECK_SECONDS
        self.outage.log_recovery("hourly candles come again")

    def record_failure(self, metric: Metric, error: SourceError, now: float) -> None:
        """Note a failure; a source that fails as a whole is left alone for a while."""
        self._failures[metric] = self._failures.get(metric, 0) + 1
        self.outage.log_failure("no hourly candles", str(error))
        if isinstance(error, RequestRefused):
            return
        wait = error.wait if isinstance(error, SourceRefused) and error.wait else 0
        self.resting_until = now + max(wait, self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)


class ExchangeHourPoller:
    """Runs beside sampling, for ever. A source or an archive that fails costs sampling nothing."""

    def __init__(  # noqa: PLR0913  # all by name
        self,
        *,
        sources: Sequence[SupervisedSource],
        fetcher: ExchangeHourFetcher,
        is_usable: Callable[[], bool],
        record_failure: Callable[[int, ArchiveError], None],
        is_busy: Callable[[str], bool] = lambda _: False,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`is_busy` says of a source, by name, that its past is filled just now: it then is asked for the same."""
        self._rounds = [_SourceRounds(source) for source in sources]
        self._fetcher = fetcher
        self._is_usable = is_usable
        self._record_failure = record_failure
        self._is_busy = is_busy
        self._sleep = sleep

    async def run(self, instants: AsyncIterator[int]) -> None:
        """Ask for what is due at every instant, for ever."""
        async for now in instants:
            await self.ask_due(now)

    async def ask_due(self, now: int) -> None:
        """Ask each source for as many metrics as are due at `now`; never raises because somebody is away."""
        async with asyncio.TaskGroup() as tasks:
            for rounds in self._rounds:
                if now >= rounds.resting_until and not self._is_busy(rounds.source.name):
                    tasks.create_task(self._ask_source(rounds, now))

    async def _ask_source(self, rounds: _SourceRounds, now: int) -> None:
        hour = (now - FINAL_SECONDS) // HOUR * HOUR
        if not await self._take_streamed(rounds, hour, now):
            return
        due = rounds.list_due(self._fetcher, hour)
        pace = rounds.source.source.pace
        for metric in due[: count_calls(len(due), now - FINAL_SECONDS - hour, pace)]:
            if not self._is_usable():
                return
            try:
                asked = await self._fetcher.fetch(rounds.source, metric, hour)
            except SourceError as error:
                rounds.record_failure(metric, error, now)
                return
            except ArchiveError as error:
                self._record_failure(now, error)
                return
            if asked is not None:
                rounds.record_success()
                await self._sleep(pace)

    async def _take_streamed(self, rounds: _SourceRounds, hour: int, now: int) -> bool:
        """Keep what streams brought of the hour before `hour`, and return whether the archive can be used."""
        if rounds.source.streamed is None or hour == rounds.streamed_hour:
            return True
        if not self._is_usable():
            return False
        try:
            await self._fetcher.take_streamed(rounds.source, rounds.source.given, hour)
        except ArchiveError as error:
            self._record_failure(now, error)
            return False
        rounds.streamed_hour = hour
        return True


def count_calls(due: int, elapsed: int, pace: float) -> int:
    """
    Return how many of the `due` metrics are asked now, `elapsed` seconds after the hour was final.

    As many as bring the last one within `SPREAD_SECONDS`; at most what the source's pace leaves time for, and at least one.
    """
    checks = max(1, (SPREAD_SECONDS - elapsed) // CHECK_SECONDS)
    fitting = int(CHECK_SECONDS / pace) if pace else due
    return max(1, min(-(-due // checks), fitting))
