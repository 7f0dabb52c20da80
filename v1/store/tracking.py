"""
Reads states and samples over one connection, over which Redis also tells which of these samples have changed since.

This is client tracking of RESP3: Redis remembers which keys a connection has read, and tells it of each when it
changes, expires or is deleted, whoever did that. On one connection everything comes in the order in which it
happened, so with the answer to any question all changes before it are known: what is kept of the samples may be used
beside that answer as if it had just been read. Where the connection breaks, nothing is kept.

Questions that come while others are on their way are sent together when those are answered. Under load many share
one round trip, and none waits where there is no load.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache
from time import perf_counter
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import ResponseError

from ..market import metric_state
from ..market.pieces import HourColumn, KeptPieces, Layouts
from ..model import Measure, Metric
from . import keys
from .cluster.client import ClusterRedis
from .connection import StoreAway, StoreError, translate_errors
from .places import get_places
from .pool import ReplacingPool, WatchedConnection
from .stored_json import read_tick

_MOST_STATES = 4096
"""States whose tick is remembered: a state is read again with each question, and is another one a tick later."""

Command = tuple[str | int, ...]
Slot = tuple[Metric, int]
"""A metric and an hour."""


class OpenedHour(NamedTuple):
    """The samples of one hour as they were read, and where the pieces of them are kept."""

    hour: int
    members: Sequence[str]
    layouts: Layouts

    def make_column(self, measure: Measure) -> HourColumn:
        """Return what the hour holds of one measure."""
        members = [*filter(keys.is_sample, self.members)]
        hourly_after = None
        if keys.is_hourly_only(members[-1:]):
            hourly_after = self._find_tick(members[-2]) if len(members) > 1 else 0
        newest = self._find_tick(members[-1]) if members else 0
        return HourColumn(keys.cut_measure(members, measure, self.hour), newest, hourly_after)

    def _find_tick(self, member: str) -> int:
        return keys.parse_member(self.hour, member).tick


class MetricReading(NamedTuple):
    """What was read of one metric."""

    tick: int | None
    """The newest committed tick; `None` where there is none that can be read."""
    newest: int | None
    """The tick of the metric's newest sample; `None` where it has no state that can be read."""
    hours: Sequence[OpenedHour]
    """Those that were asked for."""


class _Question(NamedTuple):
    metric: Metric
    hours: Sequence[int]
    answer: "asyncio.Future[MetricReading]"


class TrackedReader:
    """
    Reads for all routes of a process, and drops from `kept` what Redis tells to have changed.

    Where Redis does not permit tracking, or `kept` may hold nothing, all is read and nothing is kept.
    """

    def __init__(self, redis: Redis, kept: KeptPieces) -> None:
        self.kept = kept
        self._redis = redis
        self._asked: list[_Question] = []
        self._task: asyncio.Task[None] | None = None
        self._connections: dict[Redis, _TrackedConnection] = {}
        """Of each node, one."""
        self._table_version = 0
        """Of the table of slots by which what is kept was read; one server has none."""

    async def read(self, metric: Metric, hours: Sequence[int]) -> MetricReading:
        """
        Return the newest tick, a metric's state and the samples of some of its hours, in one round trip.

        The state is read before the samples. Raises `StoreError`.
        """
        answer: asyncio.Future[MetricReading] = asyncio.get_running_loop().create_future()
        self._asked.append(_Question(metric, hours, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._answer_all())
        return await answer

    async def close(self) -> None:
        """Close the connection. Questions on their way raise `StoreAway`."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._disconnect()

    async def _answer_all(self) -> None:
        asked: list[_Question] = []
        try:
            while self._asked:
                asked, self._asked = self._asked, []
                await self._answer(asked)
        finally:
            self._task = None
            for question in (*asked, *self._asked):
                if not question.answer.done():
                    question.answer.set_exception(StoreAway("the reading was broken off"))
            self._asked.clear()

    async def _answer(self, asked: Sequence[_Question]) -> None:
        try:
            with translate_errors():
                readings = await self._ask(asked)
        except StoreError as error:
            # An error of its own for each, because each is raised in another task.
            readings = [type(error)(str(error)) for _ in asked]
        for question, reading in zip(asked, readings, strict=True):
            if question.answer.done():
                continue
            if isinstance(reading, MetricReading):
                question.answer.set_result(reading)
            else:
                question.answer.set_exception(reading)

    async def _ask(self, asked: Sequence[_Question]) -> Sequence[MetricReading | StoreError]:
        """Send questions, once more where the connection turns out to be broken; the server may have closed it."""
        metrics = [*dict.fromkeys(question.metric for question in asked)]
        slots = [*dict.fromkeys((question.metric, hour) for question in asked for hour in question.hours)]
        commands = _list_commands(metrics, slots)
        try:
            answers = await self._send(commands)
        except NoConnection:
            answers = await self._send(commands)
        return self._read_answers(asked, metrics, slots, answers)

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        if not isinstance(self._redis, ClusterRedis):
            return await self._find_connection(self._redis).ask(commands)
        plan = await self._redis.plan(commands)
        if self._redis.table.version != self._table_version:
            # What has changed of a slot is told by the node that has it now, to whoever has read it there.
            self._table_version = self._redis.table.version
            await self._disconnect()
        nodes = [*plan.batches]
        asked = [self._find_connection(node).ask(plan.batches[node].commands) for node in nodes]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for each in answers:
            self._redis.table.note(each)
            if isinstance(each, BaseException):
                raise each
        return plan.merge(dict(zip(nodes, answers, strict=True)).__getitem__)

    def _find_connection(self, node: Redis) -> "_TrackedConnection":
        found = self._connections.get(node)
        if found is None:
            found = self._connections[node] = _TrackedConnection(node, self.kept, get_places(self._redis).restore)
        return found

    async def _disconnect(self) -> None:
        connections, self._connections = [*self._connections.values()], {}
        for each in connections:
            await each.disconnect()
        self.kept.clear()

    def _read_answers(
        self, asked: Sequence[_Question], metrics: Sequence[Metric], slots: Sequence[Slot], answers: Sequence[Any]
    ) -> list[MetricReading | StoreError]:
        states, *samples = answers
        if isinstance(states, ResponseError):
            raise states
        tick = read_tick(states[0])
        newest = {metric: _read_newest(written) for metric, written in zip(metrics, states[1:], strict=True)}
        opened = {slot: self._open_hour(slot, answer) for slot, answer in zip(slots, samples, strict=True)}
        readings: list[MetricReading | StoreError] = []
        for metric, hours, _ in asked:
            found = [opened[metric, hour] for hour in hours]
            errors = [each for each in found if isinstance(each, StoreError)]
            known = [each for each in found if isinstance(each, OpenedHour)]
            readings.append(errors[0] if errors else MetricReading(tick, newest[metric], known))
        return readings

    def _open_hour(self, slot: Slot, answer: Any) -> OpenedHour | StoreError:
        if isinstance(answer, ResponseError):
            return _translate_answer(answer)
        return OpenedHour(slot[1], answer, self.kept.open_hour(*slot) if self._is_tracking() else {})

    def _is_tracking(self) -> bool:
        return all(each.is_tracking for each in self._connections.values())


class _TrackedConnection:
    """The connection to one node, over which it tells what has changed of what was read over it."""

    def __init__(self, node: Redis, kept: KeptPieces, restore: Callable[[str], str]) -> None:
        self.is_tracking = False
        self._node = node
        self._kept = kept
        self._restore = restore
        self._connection: WatchedConnection | None = None

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers to commands, in order; those that are errors as well."""
        connection = await self._connect()
        # States are other ones each tick, and are read with every question: no need to be told of them.
        before: list[Command] = [("CLIENT", "CACHING", "NO")] if self.is_tracking else []
        begin, pool = perf_counter(), cast("ReplacingPool", self._node.connection_pool)
        try:
            answers = await connection.ask_all([*before, *commands])
        except BaseException:
            pool.record_exchange(perf_counter() - begin, is_failed=True)
            # Answers may still be on their way, and the next question must not take them for its own.
            await self.disconnect()
            raise
        pool.record_exchange(perf_counter() - begin, is_failed=False)
        return answers[len(before) :]

    async def disconnect(self) -> None:
        """Close the connection; nothing is kept then."""
        self._kept.clear()
        connection, self._connection, self.is_tracking = self._connection, None, False
        if connection is not None:
            try:
                await connection.disconnect()
            finally:
                await self._node.connection_pool.release(connection)

    async def _connect(self) -> WatchedConnection:
        """Return the connection; a new one, and nothing kept, where there is none or it leads to the wrong server."""
        if self._connection is not None and self._connection.is_usable:
            return self._connection
        await self.disconnect()
        pool = cast("ReplacingPool", self._node.connection_pool)
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py's
        self._connection = cast("WatchedConnection", connection)
        self.is_tracking = self._kept.most_bytes > 0 and await self._connection.start_tracking(self._drop)
        return self._connection

    def _drop(self, changed: Sequence[str] | None) -> None:
        """Drop what is kept of keys that have changed; `None`: the whole database was emptied."""
        if changed is None:
            self._kept.clear()
        for key in changed or ():
            if slot := keys.parse_samples(self._restore(key)):
                self._kept.drop_hour(*slot)


def _list_commands(metrics: Sequence[Metric], slots: Sequence[Slot]) -> list[Command]:
    return [
        ("MGET", keys.TICK, *map(keys.moments, metrics)),
        *[("ZRANGE", keys.samples(*slot), 0, -1) for slot in slots],
    ]


def _translate_answer(answer: ResponseError) -> StoreError:
    try:
        with translate_errors():
            raise answer
    except StoreAway as error:
        return StoreAway(str(error))
    except StoreError as error:
        return StoreError(str(error))


@lru_cache(_MOST_STATES)
def _read_newest(written: str | None) -> int | None:
    state = metric_state.try_read_state(written)
    return state.newest if state else None
