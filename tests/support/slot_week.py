"""
A worker with a provider made up, days on end and as fast as it goes, with random faults one after the other; and what the
slots of its store must then say, kept beside it.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any, NamedTuple

from aiohttp import ClientSession
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from tests.support.invented import BTC, ETH, NOON, XRP, Beats, Invented
from v1.market.slots import SlotReason, SlotState, list_slots
from v1.store import keys
from worker.backfill.service import BackfillService
from worker.latest import DAY, MINUTE, Metric, Reading, find_hour
from worker.latest.store import StoreAway, Writer
from worker.sampling.rule_provider import FixedRules
from worker.sampling.sampler import Sampler
from worker.sources.errors import InvalidResponse, SourceRefused, SourceUnreachable
from worker.sources.supervised import SupervisedSource
from worker.sources.wishes import SourceReport

METRICS = (BTC, ETH, XRP)
HOLES = 50
"""One of so many minutes has no candle, ever."""
QUIET = 75
"""Minutes without a fault before the slots are looked at: samples that were deleted are noticed within an hour."""
LONGEST = 25
"""Minutes of a fault, at most."""
SETTLED = 60.0
"""Seconds that a fill may take."""


class FailingProvider(Invented):
    """Leaves out some metrics when it is told to, and remembers what it gave."""

    def __init__(self, chosen: Random, until: int) -> None:
        super().__init__(*METRICS)
        self.left_out: Mapping[Metric, bool] = {}
        self.gave: defaultdict[Metric, set[int]] = defaultdict(set)
        self.holes = {at for at in range(NOON - DAY, until + MINUTE, MINUTE) if not chosen.randrange(HOLES)}

    async def fetch(self, session: ClientSession, at: int) -> Mapping[Metric, Reading]:
        given = {
            metric: reading
            for metric, reading in (await super().fetch(session, at)).items()
            if metric not in self.left_out
        }
        for metric in given:
            self.gave[metric].add(at)
        return given


class LosingWriter(Writer):
    """A writer whose Redis can be away."""

    is_away = False

    async def read_tick(self) -> int | None:
        self._refuse()
        return await super().read_tick()

    async def _run(self, pipe: Pipeline) -> list[Any]:
        self._refuse()
        return await super()._run(pipe)

    def _refuse(self) -> None:
        if self.is_away:
            raise StoreAway("Redis is away")


class SlotFindings(NamedTuple):
    """What was found when the slots were looked at."""

    slots: int
    wrong_ok: int
    """Slots that are called `ok`, and were not sampled at their tick."""
    wrong_other: int
    """Slots that were sampled at their tick and are called something else."""
    unfilled: int
    """Slots without a sample that the provider could give."""
    wrong_reasons: int
    """Missing slots with another reason than that of the fault."""
    states: Counter[SlotState]


class SlotWeek:
    """Runs a worker through simulated minutes."""

    def __init__(self, redis: Redis, session: ClientSession, chosen: Random, minutes: int) -> None:
        self.until = NOON + minutes * MINUTE
        self.provider = FailingProvider(chosen, self.until)
        self.faults: Counter[str] = Counter()
        self.longest_marks = 0
        """Characters of the marks of a metric, at most."""
        self._redis, self._session, self._chosen = redis, session, chosen
        self._at = NOON
        self._late: set[int] = set()
        self._deleted: defaultdict[Metric, set[int]] = defaultdict(set)
        self._reasons: dict[tuple[Metric, int], SlotReason] = {}

    async def play(self, faults: int) -> AsyncIterator[SlotFindings]:
        """Play all minutes with so many faults, and yield what the slots say each half day, and at the end."""
        self._start()
        await self._wait(lambda: self.live._newest >= NOON)
        stretches = max(1, (self.until - NOON) // (DAY // 2))
        for stretch in range(stretches):
            end = NOON + (stretch + 1) * ((self.until - NOON) // stretches) // MINUTE * MINUTE
            await self._play_stretch(end, faults * (stretch + 1) // stretches - self.faults.total())
            yield await self._look()
        await self._stop()

    async def _play_stretch(self, end: int, faults: int) -> None:
        last = end - QUIET * MINUTE
        kinds = (self._fail, self._leave_out, self._kill, self._lose_redis, self._delete, self._fail_candles)
        for left in range(faults, 0, -1):
            room = (last - self._at) // MINUTE // left - LONGEST
            for _ in range(self._chosen.randrange(max(1, room))):
                await self._tick()
            if self._at + LONGEST * MINUTE > last:
                break
            fault = self._chosen.choice(kinds)
            self.faults[fault.__name__] += 1
            await fault(range(self._chosen.randint(1, LONGEST)))
        while self._at < end:
            await self._tick()

    async def _fail(self, minutes: Iterable[int]) -> None:
        trouble, reason = self._chosen.choice(
            [
                (SourceUnreachable("gone"), SlotReason.NO_ANSWER),
                (SourceRefused("503"), SlotReason.REFUSED),
                (InvalidResponse("no JSON"), SlotReason.INVALID),
            ]
        )
        self.provider.trouble = trouble
        for _ in minutes:
            await self._tick(dict.fromkeys(METRICS, reason))
        self.provider.trouble = None
        await self._tick()

    async def _leave_out(self, minutes: Iterable[int]) -> None:
        metric = self._chosen.choice(METRICS)
        self.provider.left_out = {metric: True}
        for _ in minutes:
            await self._tick({metric: SlotReason.NOT_GIVEN})
        self.provider.left_out = {}
        await self._tick()

    async def _kill(self, minutes: Iterable[int]) -> None:
        await self._stop()
        for _ in minutes:
            self._at += MINUTE
            self._reasons |= {(metric, self._at): SlotReason.NOT_RUNNING for metric in METRICS}
        self._start()
        await self._wait(lambda: self.live._newest >= self._at)

    async def _lose_redis(self, minutes: Iterable[int]) -> None:
        self.store.is_away = True
        for _ in minutes:
            self._at += MINUTE
            self._beats.beat(self._at)
            await self._wait(lambda: self._at in self.live._absences._absences and self.live._is_away)
            self._late.add(self._at)
        self._late.discard(self._at)
        self.store.is_away = False
        await self._wait(lambda: self.live._newest >= self._at)

    async def _delete(self, minutes: Iterable[int]) -> None:
        """Delete samples of the last hours behind the worker's back."""
        metric = self._chosen.choice(METRICS)
        for _ in minutes:
            at = self._at - self._chosen.randrange(1, 300) * MINUTE
            await self._redis.zremrangebyscore(keys.samples(metric, find_hour(at)), at, at)
            self._deleted[metric].add(at)
            self._reasons[metric, at] = self._reasons.get((metric, at), SlotReason.NOT_RECORDED)
        await self._tick()

    async def _fail_candles(self, minutes: Iterable[int]) -> None:
        """Leave out a metric, whose candles cannot be had at the first try."""
        metric = self._chosen.choice(METRICS)
        self.provider.candle_trouble = {metric: [SourceRefused("429", 1)]}
        self.provider.left_out = {metric: True}
        for _ in minutes:
            await self._tick({metric: SlotReason.NOT_GIVEN})
        self.provider.left_out = {}
        await self._tick()

    async def _tick(self, missing: Mapping[Metric, SlotReason] | None = None) -> None:
        self._at += MINUTE
        self._reasons |= {(metric, self._at): reason for metric, reason in (missing or {}).items()}
        self._beats.beat(self._at)
        await self._wait(lambda: self.live._newest >= self._at)

    async def _look(self) -> SlotFindings:
        """Return what is wrong of the day's slots, once all is filled that can be, or never will be."""
        try:
            async with asyncio.timeout(SETTLED):
                while (found := await self._compare()).unfilled:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            return await self._compare()
        return found

    async def _compare(self) -> SlotFindings:
        counts: Counter[str] = Counter()
        states: Counter[SlotState] = Counter()
        for metric, state in zip(METRICS, await self.store.read_metric_states(METRICS), strict=True):
            assert state is not None
            self.longest_marks = max(self.longest_marks, len(state.marks))
            held = await self.store.read_ticks(metric, self._at - DAY, self._at)
            for run in list_slots(state.marks, held, self._at - DAY, self._at, MINUTE):
                states[run.state] += run.slots
                for at in range(run.first, run.last + MINUTE, MINUTE):
                    counts[self._judge(metric, at, run.state, run.reason)] += 1
        return SlotFindings(
            states.total(),
            counts["wrong_ok"],
            counts["wrong_other"],
            counts["unfilled"],
            counts["wrong_reason"],
            states,
        )

    def _judge(self, metric: Metric, at: int, state: SlotState, reason: SlotReason | None) -> str:
        """Return what is wrong of a slot; nothing where all is as it must be."""
        is_deleted = at in self._deleted[metric]
        is_sampled = at in self.provider.gave[metric] and not is_deleted
        if state is SlotState.OK:
            return "" if is_sampled and at not in self._late else "wrong_ok"
        if is_sampled and (state is not SlotState.LATE or at not in self._late):
            return "wrong_other"
        if state is SlotState.MISSING and at not in self.provider.holes:
            return "unfilled"
        expected = self._reasons.get((metric, at), SlotReason.NOT_ASKED if at <= NOON else None)
        return "wrong_reason" if state is SlotState.MISSING and reason is not expected and not is_deleted else ""

    def _start(self) -> None:
        self.store = LosingWriter(self._redis)
        sources = [SupervisedSource(self.provider, self._session, 30)]
        report = SourceReport(sources, ())
        self._beats = Beats()
        backfill = BackfillService(
            sources=sources,
            store=self.store,
            interval=MINUTE,
            clock=lambda: self.live._now,
            report=report,
            sleep=_yield_briefly,
        )
        self.live = Sampler(
            sources=sources,
            store=self.store,
            interval=MINUTE,
            rules=FixedRules(),
            report=report,
            backfill=backfill,
            sleep=_yield_briefly,
        )
        self._tasks = [
            asyncio.create_task(backfill.run()),
            asyncio.create_task(self.live.run(self._at, aiter(self._beats))),
        ]

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _wait(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(SETTLED):
            while not is_so():
                if failed := [task for task in self._tasks if task.done()]:
                    failed[0].result()
                await asyncio.sleep(0)


async def _yield_briefly(_seconds: float) -> None:
    await asyncio.sleep(0.001)


@asynccontextmanager
async def open_week(redis: Redis, seed: int, minutes: int) -> AsyncIterator[SlotWeek]:
    """Return a worker that is stopped at the end."""
    async with ClientSession() as session:
        week = SlotWeek(redis, session, Random(seed), minutes)
        try:
            yield week
        finally:
            await week._stop()
