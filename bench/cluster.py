"""
What the parts that a cluster needs cost on one node. A tick of many metrics at a full day, without alert rules, as the
worker runs it: committed by scripts that look at the lease, beside the transactions that did the same before, which
looked at nothing. The two take turns, each on a server of its own; processor time, medians.
"""

import gc
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from statistics import median
from time import process_time
from typing import Any, NamedTuple

import uvloop
from redis.asyncio import Redis

from bench import market, servers
from bench.report import Figure, at_most, beside
from v1.market.metric_state import StateUpdate
from v1.model import MINUTE
from v1.rules import NOTHING_SAID, Evaluation
from v1.store import TickUnit, Writer, commands
from v1.store.event_log import CommandSink
from v1.store.feeder import ChangeSet, Feeder
from v1.store.fence import FencedCalls
from worker.sampling.tick import commit_tick

METRICS = 10_000
ROUNDS = 5
AT_ONCE = (10, commands.METRICS_AT_ONCE, 50)
"""Metrics that one call of a script commits, as they are compared."""
HOLDER = "bench"


class Spent(NamedTuple):
    """Seconds of processor time."""

    client: float
    server: float

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
        self.server = server
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
        before = Spent(process_time(), await _read_cpu(self.server.redis))
        await commit_tick(market.START + (number + 1) * MINUTE, heard, self._store)
        client = process_time() - before.client
        self._spent.append(Spent(client, await _read_cpu(self.server.redis) - before.server))

    def find_median(self) -> Spent:
        """Return the medians of all rounds but the first, which finds nothing warm."""
        return Spent(*(median(column) for column in zip(*self._spent[1:], strict=True)))


def measure() -> Iterator[Figure]:
    print(f"a tick of {METRICS:,} metrics, committed by scripts and by transactions", file=sys.stderr)
    yield from uvloop.run(_measure_commit())


async def _measure_commit() -> list[Figure]:
    days = market.days(market.PAIRS, market.START, MINUTE, ROUNDS + 1)
    async with AsyncExitStack() as stack:
        before = await stack.enter_async_context(_ticking(TransactionWriter, days))
        others = [await stack.enter_async_context(_ticking(Writer, days, at_once)) for at_once in AT_ONCE]
        for number in range(ROUNDS + 1):
            for each in (before, *others):
                await each.tick(number)
        base, spent = before.find_median(), [each.find_median() for each in others]
        return [*_compare(before.server.name, base, dict(zip(AT_ONCE, spent, strict=True)))]


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
        await store.lease.take_or_keep(HOLDER)
        await server.redis.persist("v1:lease")
        await store.open()
        yield Ticking(server, store, days, at_once)


async def _read_cpu(redis: Redis) -> float:
    used = await redis.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])
