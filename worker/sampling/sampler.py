"""The live sampler: asks on every beat, commits what it heard, fills holes. Until it is stopped."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import structlog

from worker.backfill.day import DayFiller, Sleep
from worker.clock.wall import WatchedClock
from worker.latest import HOUR, LeaseLost, StoreError, Writer
from worker.reporting.progress import ProgressCallback, show_progress
from worker.reporting.redis_retry import describe_trouble
from worker.sampling.collect import collect, open_up_to
from worker.sampling.rule_provider import FixedRules, RuleSource
from worker.sampling.tick import commit_tick
from worker.sampling.tick_buffer import TickBuffer
from worker.sources.supervised import SupervisedSource
from worker.sources.wishes import SourceReport

log = structlog.get_logger()

AfterFill = Callable[[SupervisedSource, Sequence[SupervisedSource], int, Callable[[], bool]], Awaitable[None]]
"""What is done when a source's fill is over: told the source, the others, the tick, and how to see that more is to fill."""

RETRY_SECONDS = 1.0
"""Between two tries to commit while Redis is away."""
LEAP_SECONDS = HOUR
"""A tick so far from the newest one, of which nobody said anything, says more of a clock than of a market."""
BEHIND_SECONDS = 60
"""So many seconds of ticks may wait for a Redis that is slow. Beyond that beats are skipped, or all numbers would
be late for ever."""


class Sampler:
    """
    One worker, sampling. Three things go on side by side, so that the trouble of one costs the others nothing:

        beats ─▶ ask ─▶ backlog ─▶ commit ─▶ store
                                               ▲
                         candles ─▶ fill ──────┘   one for each source

    What goes wrong with Redis costs nothing but time: ticks are kept in the backlog and committed
    when it is back.
    """

    def __init__(  # noqa: PLR0913  # the last three are for those who need them
        self,
        sources: Sequence[SupervisedSource],
        store: Writer,
        interval: int,
        sleep: Sleep = asyncio.sleep,
        *,
        committed: Callable[[], None] = lambda: None,
        clock: WatchedClock | None = None,
    ) -> None:
        self._sources = sources
        self._store = store
        self._interval = interval
        self._sleep = sleep
        self._committed = committed
        """Told of each committed tick; it must not take long."""
        self._clock = clock
        self._has_told_of_leap = False
        self._backlog = TickBuffer(interval)
        self._due = asyncio.Event()
        self._holes = {source.name: asyncio.Event() for source in sources}
        self._now = self._newest = self._asked_since = 0
        """The newest beat; the newest committed tick, 0 while there is none; the beat after which sources were asked."""
        self._is_caught_up = False
        """Whether everything was committed since Redis was last away, or since the start."""
        self._is_away = False
        self._told = ""
        """What was said last of a Redis that does not take ticks."""
        self._may_have_holes = False
        self.notes = SourceReport(sources)
        self.after_fill: AfterFill | None = None
        self.rules: RuleSource = FixedRules()
        """Who gives the alert rules; none, unless somebody else is put here."""

    def request_backfill(self) -> None:
        """Fill what is missing, as after a start."""
        for holes in self._holes.values():
            holes.set()

    async def run(self, now: int, beats: AsyncIterator[int]) -> None:
        """
        Sample on every beat, for ever.

        `now` is the newest beat that is over already: the windows are moved up to it at once, so that
        ranks are right from the first second and the fill can begin.
        """
        self._now = self._asked_since = now
        self._backlog.add(now, {})
        self._due.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sample(beats))
            tasks.create_task(self._commit())
            for source in self._sources:
                tasks.create_task(self._fill(source))

    async def _sample(self, beats: AsyncIterator[int]) -> None:
        async for at in beats:
            self._now = at
            if self._is_behind():
                continue
            heard, _ = await asyncio.gather(collect(self._sources, at), self.rules.refresh())
            # What was heard may be the first that tells that the clock is wrong.
            if self._clock is None or await self._clock.is_right():
                self._backlog.add(at, heard)
            self._due.set()
            for source in self._sources:
                if source.take_recovery() and self._is_caught_up:
                    self._holes[source.name].set()

    def _is_behind(self) -> bool:
        """Return whether ticks take longer than their interval. While Redis is away they are kept all the same."""
        return self._is_caught_up and len(self._backlog) > max(1, BEHIND_SECONDS // self._interval)

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
            while self._backlog:
                await self._commit_oldest()
            await self._write_source_states()
        except LeaseLost:
            raise
        except StoreError as error:
            if self._told != (told := f"{describe_trouble(error)}, ticks are kept"):
                log.warning(told, reason=str(error), newest=self._newest)
            self._told = told
            self._is_away, self._is_caught_up = True, False
            return False
        if self._is_away:
            log.info("Redis is back, ticks are committed", newest=self._newest, dropped=self._backlog.dropped)
        self._is_away, self._is_caught_up, self._told = False, True, ""
        if self._may_have_holes:
            self._may_have_holes = False
            self.request_backfill()
        return True

    async def _open(self) -> None:
        """Learn what the store has: time has passed, and Redis may have come back with less than it had."""
        before = self._newest
        async with self._store.turn:
            self._newest = await self._store.open() or 0
        if self._newest < before:
            log.warning("Redis has forgotten ticks", had=before, has=self._newest)
        self._backlog.restore_after(after=self._newest)
        await self.rules.read()
        self.notes.forget()
        self._may_have_holes = True
        if self._newest > self._now:
            log.warning(
                "the store has ticks of the future, and nothing is added until then: was a clock wrong?",
                newest=self._newest,
                now=self._now,
            )

    async def _commit_oldest(self) -> None:
        at, heard = self._backlog.peek()
        if not heard and self._is_a_leap(at):
            self._backlog.remove(at, is_committed=False)
            return
        if at > self._newest:
            moved = await commit_tick(at, heard, self._store, self.rules.engine, self._asked_since)
            log.debug("tick", at=at, heard=len(heard), metrics=moved)
            self._see_what_is_lost()
            skipped = (at - self._newest) // self._interval - 1 if self._newest else 0
            if skipped > 0:
                log.warning("ticks are missing", after=self._newest, until=at, missing=skipped)
                self._may_have_holes = True
            self._newest = at
            self._committed()
        self._backlog.remove(at)

    def _see_what_is_lost(self) -> None:
        """Say that samples are gone that were there, and fill them again."""
        lost, self._store.recounted = self._store.recounted, 0
        if lost:
            log.warning(
                "Redis has lost samples, which are not counted any more: does it drop keys, or did somebody?",
                metrics=lost,
            )
            self._may_have_holes = True

    def _is_a_leap(self, at: int) -> bool:
        """Return whether a tick without samples would take much out of the day although nobody confirms the time."""
        if self._clock is None or self._clock.is_settled or not 0 < self._newest < at - LEAP_SECONDS:
            return False
        if not self._has_told_of_leap:
            log.warning("the day waits: no provider has said yet what time it is", newest=self._newest, now=at)
            self._has_told_of_leap = True
        return True

    async def _write_source_states(self) -> None:
        if not await self._store.has_sources():
            self.notes.forget()
        news = self.notes.take_news()
        if news:
            await self._store.write_source_states(*news)
            self.notes.mark_written(news)

    def _telling(self, source: SupervisedSource, seen: ProgressCallback) -> ProgressCallback:
        """Return what a fill tells its progress: it is shown here, and noted in the store at every whole percent."""

        def tell(done: int, of: int) -> None:
            seen(done, of)
            if self.notes.has_advanced(source.name, done, of):
                self._due.set()

        return tell

    async def _fill(self, source: SupervisedSource) -> None:
        """Fill from one source whenever there may be holes, for ever, and rank what came of it."""
        holes = self._holes[source.name]
        filler = DayFiller(source, self._store, self._interval, self._sleep)
        while True:
            await holes.wait()
            holes.clear()
            at = min(self._newest, self._now)
            await open_up_to(source, self._sources, at)
            self._due.set()  # for a note of what the source does not have
            try:
                await self._fill_day(filler, at)
                if self.after_fill:
                    others = [other for other in self._sources if other is not source]
                    await self.after_fill(source, others, at, holes.is_set)
            except LeaseLost:
                raise
            except StoreError as error:
                log.debug("filling stops", source=source.name, reason=str(error))
                self._end_fill(source)
                await self._sleep(self._interval)
                holes.set()

    async def _fill_day(self, filler: DayFiller, at: int) -> None:
        source = filler.source
        with show_progress(f"filling the past day from {source.name}") as seen:
            taken = await filler.fill(at, self._telling(source, seen))
        if taken:
            await self._store.update_rankings(at)
            log.info("filled the past day", source=source.name, samples=taken)
        self._end_fill(source)

    def _end_fill(self, source: SupervisedSource) -> None:
        if self.notes.has_ended(source.name):
            self._due.set()
