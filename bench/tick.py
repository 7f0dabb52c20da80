"""
A tick of many metrics as the worker runs it, without alert rules: read what leaves, compute, commit. Beside
it what Redis and its client cost alone: the commands of the next tick's commit, made beforehand and sent
blind through the same client. And a full day beside an empty one, and a sample every five seconds beside one a
minute. The two of each take turns, on one core with their servers; medians.
"""

import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, NamedTuple

import uvloop
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from bench import market, servers
from bench.report import Figure, at_most, beside
from v1.market.metric_state import SourceReading
from v1.market.slot_marking import TickEvidence
from v1.market.slots import SlotReason
from v1.model import MINUTE, Metric
from v1.store import Writer
from worker.sampling.tick import commit_tick

SIZES = (1_000, 10_000, 30_000)
CLAIMED = 10_000
FINE, FINE_PAIRS = 5, 10
"""Seconds between two samples where they are many, and of how many pairs such a day is made up."""

ROUNDS = 5
"""At 10,000 metrics and more."""
BUDGET = 5.0
"""Seconds; how many metrics a tick takes in that time is told."""


class Times(NamedTuple):
    """Seconds that something took."""

    wall: float
    cpu: float
    """Of this process and the server together."""


class Phases(NamedTuple):
    """Seconds that the parts of a tick took."""

    first_trip: float
    ours: float
    """Making the questions, reading the answers, computing, making the commands."""
    second_trip: float


class Measured(NamedTuple):
    """Medians of several rounds."""

    server: str
    metrics: int
    tick: Times
    phases: Phases

    @property
    def each(self) -> float:
        """Microseconds of processor time a metric, the server's included."""
        return self.tick.cpu / self.metrics * 1e6


class Observed(Writer):
    """A writer that notes when the two round trips of a tick begin and end, and can hold the second back."""

    def __init__(self, redis: Redis, interval: int) -> None:
        super().__init__(redis)
        self._interval = interval
        self._marks: list[float] = []
        self._holds = False
        self._held: Pipeline

    async def _run(self, pipe: Pipeline) -> list[Any]:
        if self._holds and pipe.command_stack[0][0][0] == "EVAL":
            self._held = pipe
            return []
        self._marks.append(perf_counter())
        answers = await super()._run(pipe)
        self._marks.append(perf_counter())
        return answers

    async def move_on(self, at: int, heard: Mapping[Metric, SourceReading]) -> None:
        self._marks = []
        await commit_tick(at, heard, self, evidence=self._describe(at))

    async def held(self, at: int, heard: Mapping[Metric, SourceReading]) -> Pipeline:
        """Run a tick up to its last step; return the commands that would commit it, and must be sent now."""
        self._holds = True
        await commit_tick(at, heard, self, evidence=self._describe(at))
        self._holds = False
        return self._held

    def _describe(self, at: int) -> TickEvidence:
        return TickEvidence(self._interval, at - self._interval, lambda _metric, _source: SlotReason.NOT_GIVEN)

    def phases(self, took: float) -> Phases:
        """Return the parts of the last tick, which took so many seconds."""
        asks, read, sends, sent = self._marks
        return Phases(read - asks, took - (read - asks) - (sent - sends), sent - sends)


def measure() -> Iterator[Figure]:
    with servers.one_core() as pinned:
        embedded, *others = servers.binaries()
        for binary in (embedded, *others):
            yield from _beside_floor(*uvloop.run(_with_floor(binary, CLAIMED)), pinned)
        both = {size: uvloop.run(_full_and_empty(embedded, size)) for size in SIZES}
        yield _capacity(both[SIZES[-1]][0])
        yield from _evenness(both)
        yield _finer(*uvloop.run(_fine_and_usual(embedded, SIZES[0])))


def _beside_floor(found: Measured, floor: Times, pinned: str) -> Iterator[Figure]:
    tick = found.tick
    how = (
        f"{found.server}, {pinned}, {ROUNDS} rounds: {tick.wall:.2f} s beside {floor.wall:.2f} s; "
        f"in processor time {tick.cpu / floor.cpu:.2f} x"
    )
    what = f"a tick of {found.metrics:,} metrics x 6 measures, day full, beside the commands of its commit sent blind"
    yield at_most(what, tick.wall / floor.wall, 2, " x", how)
    first, ours, second = (f"{seconds / found.metrics * 1e6:.0f} us" for seconds in found.phases)
    yield beside("where its time goes, a metric", f"{first} asking, {ours} ours, {second} committing", found.server)


def _capacity(found: Measured) -> Figure:
    fits = BUDGET / found.tick.wall * found.metrics
    how = f"{found.server}, at the {found.tick.wall:.2f} s that {found.metrics:,} take"
    return beside(f"metrics that a tick of {BUDGET:g} s has room for, day full", f"{fits:,.0f}", how)


def _evenness(both: Mapping[int, tuple[Measured, Measured]]) -> Iterator[Figure]:
    unit = "us of processor time a metric"
    for size, (full, empty) in both.items():
        how = f"{full.each:.0f} beside {empty.each:.0f} {unit}, taking turns, {_rounds(size)} rounds"
        yield at_most(f"{size:,} metrics, day full beside empty", full.each / empty.each, 1.3, " x", how)
    sizes = ", ".join(f"{size:,}" for size in SIZES)
    for name, found in zip(("full", "empty"), zip(*both.values(), strict=True), strict=True):
        costs = [each.each for each in found]
        how = f"{', '.join(f'{cost:.0f}' for cost in costs)} {unit}"
        yield at_most(
            f"day {name}, the dearest of {sizes} beside the cheapest", max(costs) / min(costs), 1.3, " x", how
        )


def _finer(fine: Measured, usual: Measured) -> Figure:
    share = fine.tick.wall / FINE
    how = (
        f"{fine.server}, {fine.metrics:,} metrics: {fine.each:.0f} beside {usual.each:.0f} us of processor time; "
        f"such a tick takes {share:.1%} of its {FINE} s, so {fine.metrics / share:,.0f} metrics would fill them"
    )
    what = f"a metric's part of a tick, day full, a sample every {FINE} s beside one a minute"
    return beside(what, f"{fine.each / usual.each:.2f} x", how)


async def _with_floor(binary: Path, size: int) -> tuple[Measured, Times]:
    """Return what a tick at a full day takes, and what its commands take that are made beforehand, taking turns."""
    _say(binary, size, "day full, beside its own commands sent blind")
    async with _ticking(binary, size, 2 * ROUNDS + 2) as full:
        for number in range(2 * ROUNDS + 2):
            await (full.blind(number) if number % 2 else full.tick(number))
        return full.measured(), Times(*_medians(full.floors))


async def _full_and_empty(binary: Path, size: int) -> tuple[Measured, Measured]:
    """Return what a tick takes at a full day and at an empty one, taking turns."""
    _say(binary, size, "day full and day empty")
    rounds = _rounds(size) + 1
    async with _ticking(binary, size, rounds) as full, _ticking(binary, size, rounds, is_full=False) as empty:
        return await _taking_turns(full, empty, rounds)


async def _fine_and_usual(binary: Path, size: int) -> tuple[Measured, Measured]:
    """Return what a tick takes at a full day of many samples and at one of a sample a minute, taking turns."""
    _say(binary, size, f"day full, a sample every {FINE} s and one a minute")
    rounds = _rounds(size) + 1
    async with _ticking(binary, size, rounds, interval=FINE) as fine, _ticking(binary, size, rounds) as usual:
        return await _taking_turns(fine, usual, rounds)


async def _taking_turns(one: "Ticking", other: "Ticking", rounds: int) -> tuple[Measured, Measured]:
    for number in range(rounds):
        await one.tick(number)
        await other.tick(number)
    return one.measured(), other.measured()


def _rounds(size: int) -> int:
    """Return how many rounds make a steady median: what is over sooner needs more of them."""
    return max(ROUNDS, CLAIMED * ROUNDS // size)


def _say(binary: Path, size: int, what: str) -> None:
    print(f"{binary.name}: {size:,} metrics, {what}", file=sys.stderr)


class Ticking:
    """A market in a server of its own, tick after tick. What each took is kept."""

    def __init__(self, server: servers.Server, store: Observed, size: int, days: Sequence[market.Day], interval: int):
        self.floors: list[Times] = []
        self._server, self._store, self._days, self._interval = server, store, days, interval
        self._names = market.metrics(size)
        self._ticks: list[Times] = []
        self._phases: list[Phases] = []

    async def tick(self, number: int) -> None:
        """Run the `number`-th tick after the day."""
        at, heard = self._heard(number)
        self._ticks.append(await _timed(self._server.redis, partial(self._store.move_on, at, heard)))
        self._phases.append(self._store.phases(self._ticks[-1].wall))

    async def blind(self, number: int) -> None:
        """Run the `number`-th tick after the day, of which only the sending of its commands counts."""
        commands = await self._store.held(*self._heard(number))
        self.floors.append(await _timed(self._server.redis, partial(_blind, commands)))

    def measured(self) -> Measured:
        tick, phases = Times(*_medians(self._ticks)), Phases(*_medians(self._phases))
        return Measured(self._server.name, len(self._names), tick, phases)

    def _heard(self, number: int) -> tuple[int, Mapping[Metric, SourceReading]]:
        return market.START + (number + 1) * self._interval, market.heard(self._names, self._days, number)


@asynccontextmanager
async def _ticking(
    binary: Path, size: int, ticks: int, *, is_full: bool = True, interval: int = MINUTE
) -> AsyncIterator[Ticking]:
    days = market.days(market.PAIRS if interval == MINUTE else FINE_PAIRS, market.START, interval, ticks)
    async with servers.running(binary) as server:
        if is_full:
            await market.fill(server.redis, market.metrics(size), days, market.START)
        store = Observed(server.redis, interval)
        await store.open()
        yield Ticking(server, store, size, days, interval)


def _medians(rounds: Sequence[Sequence[float]]) -> list[float]:
    """Return the medians of all rounds but the first: it finds nothing warm, and of an empty day no record at all."""
    return [median(column) for column in zip(*rounds[1:], strict=True)]


async def _blind(commands: Pipeline) -> None:
    gc.disable()  # as a tick does
    await commands.execute()
    gc.enable()


async def _timed(redis: Redis, work: Callable[[], Awaitable[object]]) -> Times:
    gc.collect()
    cpu, wall = process_time() + await _server_cpu(redis), perf_counter()
    await work()
    wall = perf_counter() - wall
    return Times(wall, process_time() + await _server_cpu(redis) - cpu)


async def _server_cpu(redis: Redis) -> float:
    used = await redis.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])
