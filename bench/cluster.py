"""
What the parts that a cluster needs cost. A tick of many metrics at a full day, without alert rules, as the worker runs it:
committed by scripts that look at the lease, beside the transactions that did the same before, which looked at nothing;
and on a cluster of six nodes beside one node. They take turns, each on servers of their own; medians.
"""

import gc
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from statistics import median
from time import perf_counter, process_time
from typing import Any, NamedTuple

import uvloop
from redis.asyncio import Redis

from bench import market, servers
from bench.report import Figure, at_most, beside
from tests.support.cluster import open_cluster
from v1.market.metric_state import StateUpdate
from v1.model import MINUTE
from v1.rules import NOTHING_SAID, Evaluation
from v1.store import TickUnit, Writer, commands, connect, keys
from v1.store.cluster.client import ClusterRedis
from v1.store.event_log import CommandSink
from v1.store.feeder import ChangeSet, Feeder
from v1.store.fence import FencedCalls
from worker.sampling.tick import commit_tick

METRICS = 10_000
ROUNDS = 5
AT_ONCE = (10, commands.METRICS_AT_ONCE, 50)
"""Metrics that one call of a script commits, as they are compared."""
NODES, PARTITIONS = 6, 64
NODE_TIMEOUT_MS = 15_000
"""A node that is held up by the others on few cores is not taken for lost."""
HOLDER = "bench"
LEASE_SECONDS = 3600


class Spent(NamedTuple):
    """Seconds that a tick took."""

    client: float
    """Of the processor, as is the server's."""
    server: float
    wall: float

    @property
    def both(self) -> float:
        return self.client + self.server


class _Sink:
    """Takes the commands of a transaction."""

    def __init__(self) -> None:
        self.commands: list[tuple[Any, ...]] = []

    def execute_command(self, *args: Any) -> None:
        self.commands.append(args)


class TransactionCalls(FencedCalls):
    """Puts transactions where scripts were asked for, and has nothing checked."""

    @contextmanager
    def put_together(self) -> Iterator[CommandSink]:
        sink = _Sink()
        yield sink
        is_many = len(sink.commands) > 1
        self.commands += [("MULTI",), *sink.commands, ("EXEC",)] if is_many else sink.commands


class TransactionUnit(TickUnit):
    """Commits a tick by one transaction a metric."""

    def _put_updates(self, updates: Sequence[StateUpdate], evaluation: Evaluation) -> None:
        for update in updates:
            with self._changes.home.put_together() as put:
                commands.put_update(put, self._at, update)
                commands.put_alerts(
                    put, self._at, evaluation.metrics.get(update.metric, NOTHING_SAID), self._store.limits
                )


class TransactionFeeder(Feeder):
    """Sends transactions."""

    def open_changes(self) -> ChangeSet:
        changes = super().open_changes()
        changes.home = changes.derived = TransactionCalls(changes.fence)
        return changes


class TransactionWriter(Writer):
    """A writer whose every change is a transaction of Redis, as they were before there were scripts."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self.feeder = TransactionFeeder(redis, self.lease, self._run)

    @asynccontextmanager
    async def open_tick(self, at: int) -> AsyncIterator[TickUnit]:
        async with self.turn:
            yield TransactionUnit(at, self)


class Ticking:
    """A market in a server of its own, tick after tick."""

    def __init__(self, server: servers.Server, store: Writer, days: Sequence[market.Day], at_once: int) -> None:
        self.name = server.name
        self._redis = server.redis
        self._store = store
        self._days = days
        self._at_once = at_once
        self._names = market.metrics(METRICS)
        self._spent: list[Spent] = []

    async def tick(self, number: int) -> None:
        """Run the `number`-th tick after the day."""
        heard = market.heard(self._names, self._days, number)
        gc.collect()
        commands.METRICS_AT_ONCE = self._at_once
        before = Spent(process_time(), await _read_cpu(self._redis), perf_counter())
        await commit_tick(market.START + (number + 1) * MINUTE, heard, self._store)
        client, wall = process_time() - before.client, perf_counter() - before.wall
        self._spent.append(Spent(client, await _read_cpu(self._redis) - before.server, wall))

    def find_median(self) -> Spent:
        """Return the medians of all rounds but the first, which finds nothing warm."""
        return Spent(*(median(column) for column in zip(*self._spent[1:], strict=True)))


def measure() -> Iterator[Figure]:
    print(f"a tick of {METRICS:,} metrics, committed by scripts and by transactions", file=sys.stderr)
    yield from uvloop.run(_measure_commit())
    print(f"a tick of {METRICS:,} metrics on {NODES} nodes and on one", file=sys.stderr)
    yield from uvloop.run(_measure_nodes())


async def _measure_commit() -> list[Figure]:
    days = market.days(market.PAIRS, market.START, MINUTE, ROUNDS + 1)
    async with AsyncExitStack() as stack:
        before = await stack.enter_async_context(_ticking(TransactionWriter, days))
        others = [await stack.enter_async_context(_ticking(Writer, days, at_once)) for at_once in AT_ONCE]
        for number in range(ROUNDS + 1):
            for each in (before, *others):
                await each.tick(number)
        base, spent = before.find_median(), [each.find_median() for each in others]
        return [*_compare(before.name, base, dict(zip(AT_ONCE, spent, strict=True)))]


async def _measure_nodes() -> list[Figure]:
    days = market.days(market.PAIRS, market.START, MINUTE, ROUNDS + 1)
    async with _ticking(Writer, days) as one, _ticking_cluster(days) as many:
        for number in range(ROUNDS + 1):
            await one.tick(number)
            await many.tick(number)
        base, spent = one.find_median(), many.find_median()
    how = f"{one.name}, {PARTITIONS} partitions, {ROUNDS} rounds in turns, all on {os.cpu_count()} cores"
    what = f"tick of {METRICS:,} metrics, day full, on {NODES} nodes beside one node"
    client = f"{how}: {_each(spent.client)} beside {_each(base.client)} us of processor time a metric"
    return [
        at_most(f"{what}: client", spent.client / base.client, 1.1, " x", client),
        at_most(f"{what}: wall", spent.wall / base.wall, 1.4, " x", f"{spent.wall:.2f} beside {base.wall:.2f} s"),
        beside(
            f"{what}: all primaries, processor time",
            f"{spent.server / base.server:.2f} x",
            f"{_each(spent.server)} beside {_each(base.server)} us a metric",
        ),
    ]


def _compare(name: str, base: Spent, spent: dict[int, Spent]) -> Iterator[Figure]:
    unit = "us of processor time a metric"
    for at_once, found in spent.items():
        how = f"{name}, {ROUNDS} rounds in turns: {_each(found.client)} beside {_each(base.client)} {unit}"
        what = f"tick of {METRICS:,} metrics, day full, committed by fenced scripts of {at_once} metrics, beside transactions"
        both = f"{_each(found.server)} beside {_each(base.server)} of the server"
        if at_once == commands.METRICS_AT_ONCE:
            yield at_most(f"{what}: client", found.client / base.client, 0.80, " x", how)
            yield at_most(f"{what}: client and server", found.both / base.both, 0.95, " x", both)
        else:
            yield beside(f"{what}: client", f"{found.client / base.client:.2f} x", how)
            yield beside(f"{what}: client and server", f"{found.both / base.both:.2f} x", both)


def _each(seconds: float) -> str:
    return f"{seconds / METRICS * 1e6:.1f}"


@asynccontextmanager
async def _ticking(
    kind: type[Writer], days: Sequence[market.Day], at_once: int = commands.METRICS_AT_ONCE
) -> AsyncIterator[Ticking]:
    async with servers.running(next(servers.binaries())) as server:
        await market.fill(server.redis, market.metrics(METRICS), days, market.START)
        store = kind(server.redis)
        await _hold(store)
        await store.open()
        yield Ticking(server, store, days, at_once)


@asynccontextmanager
async def _ticking_cluster(days: Sequence[market.Day]) -> AsyncIterator[Ticking]:
    async with (
        open_cluster(NODES // 2, NODES // 2, NODE_TIMEOUT_MS) as nodes,
        connect(nodes.url, "bench", 60, partitions=PARTITIONS) as redis,
    ):
        await market.fill_divided(redis, market.metrics(METRICS), days, market.START)
        store = Writer(redis)
        await _hold(store)
        await store.open()
        yield Ticking(servers.Server(nodes.url, redis, "cluster"), store, days, commands.METRICS_AT_ONCE)


async def _hold(store: Writer) -> None:
    """Take the lease for longer than a measurement takes: nobody renews it."""
    keys.LEASE_SECONDS = LEASE_SECONDS
    await store.lease.take_or_keep(HOLDER)


async def _read_cpu(redis: Redis) -> float:
    """Return the seconds of processor time that a server has used, or all primaries of a cluster."""
    nodes = await redis.list_primaries() if isinstance(redis, ClusterRedis) else [redis]
    used = [await node.info("cpu") for node in nodes]
    return sum(float(each["used_cpu_user"]) + float(each["used_cpu_sys"]) for each in used)
