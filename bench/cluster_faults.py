"""
Three workers on a cluster of six nodes while slots are moved, workers killed (kill -9) and primaries killed, each in turn:
whether everything is there afterwards that one worker on one node leaves, which nobody has disturbed, and how long it
takes until ticks go on. Rules are judged at every tick, and speak often. `BENCH_METRICS` and
`BENCH_ROUNDS` in the environment say how many metrics there are, and how often each primary is killed; each worker is
twice as often.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from statistics import median
from typing import Any, NamedTuple, TypeVar

import uvloop
from redis.asyncio import Redis

from bench import servers, shared_crew, shared_market
from bench.report import Figure, at_most, beside
from bench.shared_crew import SharedMarket, read_load
from bench.shared_market import MadeMarket
from v1.market.metric_state import SourceReading
from v1.model import Metric, list_hours
from v1.numbers.chunks import split_into_chunks
from v1.rules import RuleEngine, parse_rule
from v1.rules.defaults import DEFAULTS
from v1.store import StoreError, Writer, keys
from v1.store.connection import translate_errors
from v1.store.places import Places, find_tag_slot
from worker.sampling.tick import commit_tick
from worker.sources.simulated.source import NAME

METRICS = int(os.environ.get("BENCH_METRICS", "2000"))
INTERVAL = 5
HELD_SECONDS = 1800
"""Of samples that each metric has at the start."""
FILL_SECONDS = 40
NODE_TIMEOUT_MS = 5000
"""A node that is held up for some seconds on few cores is not taken for lost."""
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
"""So often each primary is killed, and each worker twice as often."""
MOVED = 4
"""Partitions whose slots are moved."""
TAKEOVER_TICKS = 2
SHOWN = 5
"""Of what differs."""
TRIES = 100
Key = TypeVar("Key", str, Metric)
Answer = TypeVar("Answer")
RULE = {
    "id": "bench",
    "kind": "ratio",
    "measure": "interval_volume",
    "factor": 2,
    "min_samples": 10,
    "cooldown": 0,
    "step": 0,
}
RULES = "\n".join(["[[rules]]", *(f"{name} = {json.dumps(value)}" for name, value in RULE.items())])


class Contents(NamedTuple):
    """What a store holds."""

    samples: dict[str, list[tuple[str, float]]]
    """By key."""
    states: dict[Metric, list[Any]]
    alerts: Counter[str]
    """How often each is there, and each message."""


class Seen(NamedTuple):
    """What was seen of a run."""

    moves: list[float]
    """Seconds that each took."""
    move_pauses: list[float]
    """The longest times between two published ticks while each slot was moved, and shortly after; as the next two."""
    worker_pauses: list[float]
    takeovers: list[float]
    """Seconds from the kill until other workers had all partitions."""
    primary_pauses: list[float]
    asked: list[int]
    """The ticks at which any metric has a sample."""
    published: list[int]
    first: int
    found: Contents
    wanted: Contents
    loads: list[float]


def measure() -> Iterator[Figure]:
    yield from _show(uvloop.run(_disturb()))


def _show(seen: Seen) -> Iterator[Figure]:
    kills = f"{len(seen.worker_pauses)} workers and {len(seen.primary_pauses)} primaries killed, {len(seen.moves)} slots moved"
    how = f"{METRICS:,} metrics, a tick every {INTERVAL} s, {kills}, {len(seen.asked)} ticks; load {min(seen.loads):.1f} to {max(seen.loads):.1f}"
    yield _compare("hours of samples", seen.found.samples, seen.wanted.samples, how)
    yield _compare("states of metrics", seen.found.states, seen.wanted.states, how)
    lost, more = seen.wanted.alerts - seen.found.alerts, seen.found.alerts - seen.wanted.alerts
    yield Figure(
        "alerts and messages lost, and told twice",
        f"{lost.total()} and {more.total()}",
        "0",
        not lost and not more,
        f"of {seen.wanted.alerts.total():,}",
    )
    # The log of events is bounded: where alerts are many, the first ticks have left it.
    told = [tick for tick in seen.asked if tick >= seen.published[0]]
    unpublished = sorted({*told} - {*seen.published})
    yield Figure(
        "ticks with samples whose ranks were not published",
        f"{len(unpublished)}",
        "0",
        not unpublished,
        f"of {len(told)} that the log of events still has; {how}",
    )
    grid = range(seen.first, seen.asked[-1] + 1, INTERVAL)
    yield beside(
        "ticks at which nobody asked the source",
        f"{len(grid) - len(seen.asked)} of {len(grid)}",
        "whoever asked was killed, and the next one waits for its lease to run out",
    )
    yield beside(
        "time to move a slot",
        f"{_spread(seen.moves)}",
        f"of {METRICS // shared_crew.PARTITIONS} metrics each, by MIGRATE",
    )
    yield beside(
        "longest pause between two published ticks: a slot was moved",
        _spread(seen.move_pauses),
        f"a tick every {INTERVAL} s",
    )
    yield beside("the same: a worker was killed", _spread(seen.worker_pauses), "")
    yield beside(
        "the same: a primary was killed", _spread(seen.primary_pauses), f"node timeout {NODE_TIMEOUT_MS / 1000:g} s"
    )
    yield at_most(
        "partitions of a killed worker are had by others",
        max(seen.takeovers),
        TAKEOVER_TICKS * INTERVAL,
        " s",
        _spread(seen.takeovers),
    )


def _compare(what: str, found: Mapping[Key, object], wanted: Mapping[Key, object], how: str) -> Figure:
    wrong = [name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)]
    for name in wrong[:SHOWN]:
        print(f"differs: {name}: {found.get(name)} beside {wanted.get(name)}", file=sys.stderr)
    measured = f"{len(wrong)} of {len(wanted)}"
    return Figure(f"{what} unlike those of an undisturbed worker on one node", measured, "0", not wrong, how)


def _spread(seconds: Sequence[float]) -> str:
    return f"{median(seconds):.1f} s median, {max(seconds):.1f} s at most"


class Disturbance:
    """Does one thing after another to a shared market, and notes how long no tick was published."""

    def __init__(self, shared: SharedMarket) -> None:
        self.shared = shared
        self.loads: list[float] = []

    async def watch(self, work: Callable[[], Awaitable[float]]) -> tuple[float, float]:
        """Do something; return what it returns, and the longest time without a new tick until two came after it."""
        tick, longest = await self.shared.read_tick(), 0.0
        doing, since, after = asyncio.ensure_future(work()), time.monotonic(), 0
        deadline = time.monotonic() + shared_crew.UP_SECONDS
        while not doing.done() or after < 2:
            await asyncio.sleep(shared_crew.POLL_SECONDS / 2)
            found = await self.shared.read_tick()
            longest = max(longest, time.monotonic() - since)
            if found is not None and found != tick:
                tick, since, after = found, time.monotonic(), after + doing.done()
            if time.monotonic() > deadline:
                raise RuntimeError(f"no tick: {self.shared.crew.read_logs()}")
            self.shared.crew.start_ended()
        self.loads.append(read_load())
        return await doing, longest

    async def move(self, slot: int) -> float:
        owner = await self.shared.nodes.find_owner(slot)
        target = next(port for port in await self.shared.nodes.primaries() if port != owner)
        began = time.monotonic()
        await self.shared.nodes.move_slot(slot, target)
        return time.monotonic() - began

    async def kill_worker(self, number: int) -> float:
        """Kill a worker, and start it again; return after how long others had its partitions."""
        began = time.monotonic()
        self.shared.crew.kill(number)
        await self.shared.wait_until_shared(shared_crew.WORKERS - 1)
        took = time.monotonic() - began
        self.shared.crew.start(number)
        await self.shared.wait_until_shared()
        return took

    async def kill_primary(self, number: int) -> float:
        """Kill a primary, and start it again when its replica serves; return after how long it did."""
        nodes = self.shared.nodes
        port, began = (await nodes.primaries())[number], time.monotonic()
        nodes.kill(port)
        await nodes.wait_for_failover(port)
        took = time.monotonic() - began
        nodes.start(port)
        await nodes.wait_until_whole()
        await self.shared.wait_until_shared()
        return took


async def _disturb() -> Seen:
    made = shared_market.make_market(METRICS, INTERVAL)
    until = int(time.time() + FILL_SECONDS) // INTERVAL * INTERVAL
    async with shared_crew.open_market(made, until, HELD_SECONDS, NODE_TIMEOUT_MS, RULES) as shared:
        await asyncio.sleep(max(0.0, until + 1 - time.time()))
        for number in range(1, shared_crew.WORKERS + 1):
            shared.crew.start(number)
        await shared.wait_until_shared()
        each = Disturbance(shared)
        await each.watch(_do_nothing)
        tags = Places(shared_crew.PARTITIONS).list_tags()[:: shared_crew.PARTITIONS // MOVED]
        slots = [find_tag_slot(tag) for tag in tags]
        moves = [await _say("moved", each, lambda slot=slot: each.move(slot)) for slot in slots]  # type: ignore[misc]
        workers, primaries = [], []
        for _ in range(ROUNDS):
            for number in range(shared_crew.WORKERS):
                kill = partial(each.kill_worker, number + 1)
                workers += [await _say("worker", each, kill) for _ in range(2)]
                primaries.append(await _say("primary", each, lambda number=number: each.kill_primary(number)))  # type: ignore[misc]
        shared.crew.close()
        events: Any = await _insist(lambda: shared.redis.xrange(keys.EVENTS))
        published = sorted({int(fields["tick"]) for _, fields in events if "tick" in fields})
        newest = published[-1]
        found = await _insist(lambda: _read(shared.redis, made, until, newest))
    asked = sorted({int(tick) for rows in found.samples.values() for _, tick in rows if tick > until})
    wanted = await _play_undisturbed(made, until, asked)
    moved, killed, lost = ([*zip(*some, strict=True)] for some in (moves, workers, primaries))
    return Seen(
        [*moved[0]],
        [*moved[1]],
        [*killed[1]],
        [*killed[0]],
        [*lost[1]],
        asked,
        published,
        asked[0],
        found,
        wanted,
        each.loads,
    )


async def _insist(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Return the answer, asking again where the client has yet to learn where something lies."""
    for _ in range(TRIES):
        with suppress(StoreError), translate_errors():
            return await ask()
        await asyncio.sleep(shared_crew.POLL_SECONDS)
    with translate_errors():
        return await ask()


async def _do_nothing() -> float:
    return 0.0


async def _say(what: str, each: Disturbance, work: Callable[[], Awaitable[float]]) -> tuple[float, float]:
    took, pause = await each.watch(work)
    print(
        f"{time.strftime('%H:%M:%S')} {what}: {took:.1f} s, longest without a tick {pause:.1f} s",
        file=sys.stderr,
        flush=True,
    )
    return took, pause


async def _play_undisturbed(made: MadeMarket, until: int, ticks: Sequence[int]) -> Contents:
    """Return what one worker leaves on one node at the same ticks."""
    engine, metrics = RuleEngine([*DEFAULTS, parse_rule(dict(RULE))], (), INTERVAL), made.metrics
    async with servers.running(next(servers.binaries())) as server:
        await shared_market.fill(server.redis, made, until, HELD_SECONDS)
        store = Writer(server.redis)
        store.lease.seconds = 3600
        await store.lease.take_or_keep("bench")
        await store.open()
        for at in ticks:
            heard = {each: SourceReading(made.make_reading(number, at), NAME) for number, each in enumerate(metrics)}
            await commit_tick(at, heard, store, engine)
        return await _read(server.redis, made, until, ticks[-1])


async def _read(redis: Redis, made: MadeMarket, until: int, newest: int) -> Contents:
    hours = list_hours(until - HELD_SECONDS, newest)
    samples, states = dict[str, list[tuple[str, float]]](), dict[Metric, list[Any]]()
    for some in split_into_chunks(made.metrics, 200):
        pipe = redis.pipeline(transaction=False)
        names = [keys.samples(metric, hour) for metric in some for hour in hours]
        for name in names:
            pipe.zrange(name, 0, -1, withscores=True)
        for metric in some:
            pipe.get(keys.moments(metric))
        found = await pipe.execute()
        samples |= {name: [*map(tuple, rows)] for name, rows in zip(names, found[: len(names)], strict=True)}
        # Marks of slots without a sample say why there is none, which an undisturbed worker has not met.
        states |= {metric: json.loads(state)[:9] for metric, state in zip(some, found[len(names) :], strict=True)}
    told: Any = await redis.zrange(keys.ALERTS, 0, -1)
    sent: Any = await redis.xrange(keys.OUTBOX)
    alerts = Counter(_name("alert", text) for text in told)
    messages = Counter(_name("message", fields["alert"]) for _, fields in sent)
    return Contents(samples, states, alerts + messages)


def _name(kind: str, text: str) -> str:
    return f"{kind} {json.loads(text)['id']}"
