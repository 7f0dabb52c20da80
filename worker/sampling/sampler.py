"""Reads the sources on every tick and commits the readings; requests a backfill where samples may be missing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from time import perf_counter, time
from typing import Protocol

import structlog

from worker.clock.wall import WatchedClock
from worker.latest import HOUR, Metric
from worker.latest.market import SlotReason, SourceReading, TickEvidence
from worker.latest.store import LeaseLost, StoreError, Writer
from worker.reporting.metrics import WorkerInstruments, make_instruments
from worker.reporting.redis_retry import describe_trouble
from worker.sampling.absences import AbsenceLog, TickAbsences, note_absences
from worker.sampling.collect import collect
from worker.sampling.market_watch import MarketWatch
from worker.sampling.reading_checks import JUMP_LIMIT, ReadingChecks
from worker.sampling.rule_provider import RuleSource
from worker.sampling.sharing.handing_out import SharedCommit
from worker.sampling.tick import commit_tick
from worker.sampling.tick_buffer import TickBuffer
from worker.sampling.tick_journal import TickJournal
from worker.sources.supervised import SupervisedSource
from worker.sources.wishes import SourceReport

log = structlog.get_logger()

Sleep = Callable[[float], Awaitable[None]]

RETRY_SECONDS = 1.0
"""Between two tries to commit while Redis is away."""
LEAP_SECONDS = HOUR
"""A tick without samples that is so much later than the newest one is more likely a wrong clock than a long pause."""
BEHIND_SECONDS = 60
"""So many seconds of ticks may wait for a Redis that is slow. Beyond that ticks are skipped, or all numbers would
be late for ever."""


class BackfillRequests(Protocol):
    """Takes requests to fill what is missing."""

    def request(self, source: str | None = None) -> None:
        """Ask for a backfill from one source, by name, or from all; returns at once."""
        ...

    def request_metrics(self, source: str, metrics: Iterable[Metric]) -> None:
        """Ask for the day of some metrics from a source; returns at once."""
        ...


class Sampler:
    """
    Two things go on side by side, so that the trouble of one costs the other nothing:

        ticks ─▶ collect ─▶ buffer ─▶ commit ─▶ store

    What goes wrong with Redis costs nothing but time: ticks are kept in the buffer, in memory and then in the files of
    `journal`, and committed when it is back.
    """

    def __init__(  # noqa: PLR0913  # all by name
        self,
        *,
        sources: Sequence[SupervisedSource],
        store: Writer,
        interval: int,
        rules: RuleSource,
        report: SourceReport,
        backfill: BackfillRequests,
        committed: Callable[[], None] = lambda: None,
        clock: WatchedClock | None = None,
        sleep: Sleep = asyncio.sleep,
        instruments: WorkerInstruments | None = None,
        journal: TickJournal | None = None,
        jump_limit: int = JUMP_LIMIT,
        shared: SharedCommit | None = None,
    ) -> None:
        self._sources, self._shared = sources, shared
        self._instruments = instruments or make_instruments()
        self._instruments.ticks.interval.set(interval)
        self._store = store
        self._interval = interval
        self._rules = rules
        self._report = report
        self._backfill = backfill
        self._committed = committed
        """Called after each committed tick; it must not take long."""
        self._clock = clock
        self._sleep = sleep
        self._has_logged_leap = False
        self._buffer = TickBuffer(interval, journal)
        self._checks = ReadingChecks(jump_limit)
        self._watch, self._absences = MarketWatch(interval, clock.now if clock else time), AbsenceLog(interval)
        self._due = asyncio.Event()
        self._now = self._newest = self._asked_since = 0
        """The newest tick that has come; the newest committed one, 0 while there is none; the one after which sources
        were asked."""
        self._is_caught_up = False
        """Whether everything was committed since Redis was last away, or since the start."""
        self._is_away = False
        self._logged = ""
        """What was logged last of a Redis that does not take ticks."""
        self._may_have_gaps = False

    async def run(self, now: int, ticks: AsyncIterator[int]) -> None:
        """
        Sample on every tick, for ever.

        `now` is the newest tick that is over already: the windows are moved up to it at once, so that
        ranks are right from the first second and the backfill can begin.
        """
        self._now = self._asked_since = now
        self._absences.note_tick(now, TickAbsences(otherwise=SlotReason.NOT_RUNNING))
        self._buffer.add(now, {})
        self._due.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sample(ticks))
            tasks.create_task(self._commit())
            tasks.create_task(self._follow_report())

    async def _follow_report(self) -> None:
        """Let what changed in the report be written, for ever."""
        while True:
            await self._report.changed.wait()
            self._report.changed.clear()
            self._due.set()

    async def _sample(self, ticks: AsyncIterator[int]) -> None:
        async for at in ticks:
            self._now = at
            if self._is_behind():
                self._absences.note_skipped(at, SlotReason.BEHIND)
                continue
            with self._instruments.ticks.collect_seconds.time():
                readings, _ = await asyncio.gather(
                    collect(self._sources, at, self._watch, self._checks), self._rules.refresh()
                )
            # The answers may be the first to show that the clock is wrong.
            if self._clock is None or await self._clock.is_right():
                self._absences.note_tick(at, note_absences(self._sources))
                self._buffer.add(at, readings)
                self._instruments.ticks.waiting.set(len(self._buffer))
            else:
                self._absences.note_skipped(at, SlotReason.CLOCK)
            self._due.set()
            for source in self._sources:
                if source.take_recovery() and self._is_caught_up:
                    self._backfill.request(source.name)

    def _is_behind(self) -> bool:
        """Return whether commits take longer than the interval. While Redis is away ticks are kept all the same."""
        return self._is_caught_up and len(self._buffer) > max(1, BEHIND_SECONDS // self._interval)

    async def _commit(self) -> None:
        """Commit whatever is due, oldest first, for ever; what Redis does not take stays due."""
        while True:
            await self._due.wait()
            self._due.clear()
            if not await self._commit_due():
                await self._sleep(RETRY_SECONDS)
                self._due.set()

    async def _commit_due(self) -> bool:
        try:
            # Redis may also have been started again between two ticks: that shows in nothing else.
            if not self._is_caught_up or (await self._store.read_tick() or 0) != self._newest:
                await self._open()
            while self._buffer:
                await self._commit_oldest()
            await self._write_source_states()
        except LeaseLost:
            raise
        except StoreError as error:
            if self._logged != (line := f"{describe_trouble(error)}, ticks are kept"):
                log.warning(line, reason=str(error), newest=self._newest)
            self._logged = line
            self._is_away, self._is_caught_up = True, False
            self._instruments.redis_up.set(0)
            return False
        if self._is_away:
            log.info("Redis is back, ticks are committed", newest=self._newest, dropped=self._buffer.dropped)
        self._is_away, self._is_caught_up, self._logged = False, True, ""
        self._instruments.redis_up.set(1)
        if self._may_have_gaps:
            self._may_have_gaps = False
            self._backfill.request()
        return True

    async def _open(self) -> None:
        """Read what the store has: time has passed, and Redis may have come back with less than it had."""
        before = self._newest
        async with self._store.turn:
            self._newest = await self._store.open() or 0
        recommits, self._store.session.recommitted = self._store.session.recommitted, 0
        self._instruments.ticks.recommits.inc(recommits)
        if self._newest < before:
            log.warning("Redis has lost ticks", had=before, has=self._newest)
        await self._store.replays.clear()
        self._buffer.restore_after(after=self._newest)
        await self._rules.read()
        self._report.forget()
        self._may_have_gaps = True
        if self._newest > self._now:
            log.warning(
                "the store has ticks of the future, and nothing is added until then: a clock may have been wrong",
                newest=self._newest,
                now=self._now,
            )

    async def _commit_oldest(self) -> None:
        at, readings = self._buffer.peek()
        if not readings and self._is_leap(at):
            self._buffer.remove(at, is_committed=False)
            return
        if at > self._newest:
            began = perf_counter()
            self._note_markets(at)
            evidence = self._absences.describe_tick(at, self._newest, lambda: at < self._now)
            moved = await self._commit_tick(at, readings, evidence)
            log.debug("tick", at=at, readings=len(readings), metrics=moved)
            self._count_tick(at, readings, moved, perf_counter() - began)
            self._instruments.ticks.count_gaps(evidence, self._store.session.known_metrics, readings.keys())
            self._request_returned(readings)
            self._check_for_lost_samples()
            skipped = (at - self._newest) // self._interval - 1 if self._newest else 0
            if skipped > 0:
                log.warning("ticks are missing", after=self._newest, until=at, missing=skipped)
                self._instruments.ticks.missing.inc(skipped)
                self._may_have_gaps = True
            self._newest = at
            self._committed()
        self._buffer.remove(at)
        self._instruments.ticks.waiting.set(len(self._buffer))

    async def _commit_tick(self, at: int, readings: Mapping[Metric, SourceReading], evidence: TickEvidence) -> int:
        rules, asked_since = self._rules.engine, self._asked_since
        if self._shared is None:
            return await commit_tick(at, readings, self._store, rules, asked_since, evidence)
        absences = self._absences.find_absences(at)
        return await self._shared.commit(at, readings, rules, asked_since, evidence, absences)

    def _note_markets(self, at: int) -> None:
        """Have the commit write what is known of markets and answers beside the samples."""
        session, known = self._store.session, self._store.session.known_metrics
        delisted = self._report.find_delisted(known)
        session.notes = self._watch.describe(at, self._sources, delisted, session.notes)
        session.feeds = self._watch.feeds
        for state, number in self._watch.count_states(session.notes, known).items():
            self._instruments.ticks.states.labels(state).set(number)

    def _count_tick(self, at: int, readings: Mapping[Metric, SourceReading], metrics: int, seconds: float) -> None:
        sources = [reading.source for reading in readings.values()]
        # The tick before the first one that is sampled is as old as it is: that is no delay.
        delay = self._clock.now() - at if self._clock is not None and at > self._asked_since else None
        self._instruments.ticks.count(at, sources, metrics, seconds, delay)

    def _check_for_lost_samples(self) -> None:
        """Log that samples are gone that were there, and have them filled again."""
        lost, self._store.recounted = self._store.recounted, 0
        if lost:
            log.warning(
                "Redis has lost samples, they are filled again; check its maxmemory policy, and who deletes keys",
                metrics=lost,
            )
            self._may_have_gaps = True

    def _request_returned(self, readings: Mapping[Metric, SourceReading]) -> None:
        """Have the slots filled of metrics that come again: a source may leave out some and give the others all the time."""
        for source, metrics in self._absences.find_returned(readings).items():
            self._backfill.request_metrics(source, metrics)

    def _is_leap(self, at: int) -> bool:
        """Return whether a tick without samples would drop much of the day although no provider confirms the time."""
        if self._clock is None or self._clock.is_settled or not 0 < self._newest < at - LEAP_SECONDS:
            return False
        if not self._has_logged_leap:
            log.warning("the clock is not confirmed yet, nothing is dropped from the day", newest=self._newest, now=at)
            self._has_logged_leap = True
        return True

    async def _write_source_states(self) -> None:
        if not await self._store.has_sources():
            self._report.forget()
        news = self._report.take_news()
        if news:
            await self._store.write_source_states(*news, only_budgets=self._report.is_only_of_budgets(news))
            self._report.mark_written(news)
