"""
A tick of many metrics as the worker runs it, without alert rules: read what leaves, compute, commit. Beside
it what Redis and its client cost alone: the commands of the next tick's commit, made beforehand and sent
blind through the same client. The two take turns, on one core with the server; medians.
"""

import gc
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from math import nan
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, NamedTuple

import uvloop
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from bench import market, servers
from bench.report import Figure, at_most, beside
from v1.model import MINUTE, Metric
from v1.records import Heard
from v1.store import Writer
from worker.tick import tick

SIZES = (1_000, 10_000, 30_000)
CLAIMED = 10_000
FINE, FINE_PAIRS = 5, 10
"""Seconds between two samples where they are many, and of how many pairs such a day is made up."""

ROUNDS = 5
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

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self._marks: list[float] = []
        self._holds = False
        self._held: Pipeline

    async def _run(self, pipe: Pipeline) -> list[Any]:
        if self._holds and pipe.command_stack[0][0][0] == "MULTI":
            self._held = pipe
            return []
        self._marks.append(perf_counter())
        answers = await super()._run(pipe)
        self._marks.append(perf_counter())
        return answers

    async def move_on(self, at: int, heard: Mapping[Metric, Heard]) -> None:
        self._marks = []
        await tick(at, heard, self)

    async def held(self, at: int, heard: Mapping[Metric, Heard]) -> Pipeline:
        """Run a tick up to its last step; give the commands that would commit it, and must be sent now."""
        self._holds = True
        await tick(at, heard, self)
        self._holds = False
        return self._held

    def phases(self, took: float) -> Phases:
        """Give the parts of the last tick, which took so many seconds."""
        asks, read, sends, sent = self._marks
        return Phases(read - asks, took - (read - asks) - (sent - sends), sent - sends)


def measure() -> Iterator[Figure]:
    with servers.one_core() as pinned:
        embedded, *others = servers.binaries()
        for binary in (embedded, *others):
            yield from _beside_floor(*_measured(binary, CLAIMED, is_full=True, has_floor=True), pinned)
        full = {size: _measured(embedded, size, is_full=True)[0] for size in SIZES}
        empty = {size: _measured(embedded, size, is_full=False)[0] for size in SIZES}
        yield _capacity(full[SIZES[-1]])
        yield from _evenness(full, empty)
        yield _finer(_measured(embedded, SIZES[0], is_full=True, interval=FINE)[0], full[SIZES[0]])


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


def _evenness(full: Mapping[int, Measured], empty: Mapping[int, Measured]) -> Iterator[Figure]:
    unit = "us of processor time a metric"
    for size in SIZES:
        how = f"{full[size].each:.0f} beside {empty[size].each:.0f} {unit}"
        yield at_most(f"{size:,} metrics, day full beside empty", full[size].each / empty[size].each, 1.3, " x", how)
    sizes = ", ".join(f"{size:,}" for size in SIZES)
    for name, found in (("full", full), ("empty", empty)):
        costs = [found[size].each for size in SIZES]
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


def _measured(
    binary: Path, size: int, *, is_full: bool, has_floor: bool = False, interval: int = MINUTE
) -> tuple[Measured, Times]:
    day = f"day {'full' if is_full else 'empty'}, a sample every {interval} s"
    print(f"{binary.name}: {size:,} metrics, {day}", file=sys.stderr)
    return uvloop.run(_run(binary, size, is_full=is_full, has_floor=has_floor, interval=interval))


async def _run(binary: Path, size: int, *, is_full: bool, has_floor: bool, interval: int) -> tuple[Measured, Times]:
    """Give what a tick took, and its floor, which is measured only if wished for."""
    pairs = market.PAIRS if interval == MINUTE else FINE_PAIRS
    names, days = market.metrics(size), market.days(pairs, market.START, interval, 2 * ROUNDS + 2)
    ticks, phases, floors = [], [], []
    async with servers.running(binary) as server:
        if is_full:
            await market.fill(server.redis, names, days, market.START)
        store = Observed(server.redis)
        await store.open()
        for number in range(2 * ROUNDS + 2 if has_floor else ROUNDS + 1):
            at, heard = market.START + (number + 1) * interval, market.heard(names, days, number)
            if has_floor and number % 2:
                floors.append(await _timed(server.redis, partial(_blind, await store.held(at, heard))))
            else:
                ticks.append(await _timed(server.redis, partial(store.move_on, at, heard)))
                phases.append(store.phases(ticks[-1].wall))
    tick, parts, floor = _medians(ticks), _medians(phases), _medians(floors) if has_floor else (nan, nan)
    return Measured(server.name, size, Times(*tick), Phases(*parts)), Times(*floor)


def _medians(rounds: Sequence[Sequence[float]]) -> list[float]:
    """Give the medians of all rounds but the first: it finds nothing warm, and of an empty day no record at all."""
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
