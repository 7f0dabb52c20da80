"""
Makes what a feeder changes: on one node all of it at once; on a divided store first each partition's, then what lies home.

Of a divided store it remembers what was sent, and sends it again where a failover forgot it (`commit_log`).
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from ..model import Metric
from . import keys
from .commit_log import CommitLog
from .connection import LeaseGone, StoreBehind, StoreError, translate_errors
from .fence import Fence, FencedCalls
from .lease import Lease
from .places import HOME, Places, get_places
from .replication import ReplicationWatch
from .stored_json import read_tick

log = structlog.get_logger()

Run = Callable[[Pipeline], Awaitable[list[Any]]]


class ChangeSet:
    """Changes that belong together, each with the part of the store that it belongs to."""

    def __init__(self, lease: Lease, places: Places, commit_log: CommitLog) -> None:
        self._lease = lease
        self._places = places
        self._commit_log = commit_log
        self.fence = lease.fence
        self.home = FencedCalls(self._complete(lease.fence, HOME))
        self.derived = FencedCalls(self.home.fence) if places.is_divided else self.home
        """What is made anew at the next tick anyway, and so is not remembered; it is sent before `home`."""
        self.partitions: dict[str, FencedCalls] = {}

    def choose(self, metric: Metric) -> FencedCalls:
        """Return what takes the changes of a metric."""
        return self.choose_partition(self._places.find_tag(metric)) if self._places.is_divided else self.home

    def choose_partition(self, tag: str) -> FencedCalls:
        """Return what takes the changes of a partition."""
        calls = self.partitions.get(tag)
        if calls is None:
            fence = self._complete(self._lease.find_partition_fence(tag), tag)
            calls = self.partitions[tag] = FencedCalls(fence)
        return calls

    def _complete(self, fence: Fence, tag: str) -> Fence:
        return fence._replace(expected=self._commit_log.find_expected(tag)) if self._places.is_divided else fence


class Feeder:
    """Sends what is to be changed, and remembers it where that can be forgotten. Raises `StoreError`, and `LeaseLost`."""

    def __init__(self, redis: Redis, lease: Lease, run: Run | None = None) -> None:
        self._redis = redis
        self._lease = lease
        self._run = run or _execute
        self._commit_log = CommitLog()
        self._replication = ReplicationWatch(redis)

    @property
    def places(self) -> Places:
        """How the store is divided, which the client of a cluster knows once it has read it."""
        return get_places(self._redis)

    def open_changes(self) -> ChangeSet:
        """Return what takes changes that are made only while the lease is ours, as it is now, and nothing is forgotten."""
        return ChangeSet(self._lease, self.places, self._commit_log)

    async def send(self, changes: ChangeSet, tick: int | None = None) -> None:
        """Make the changes; of a `tick`, its last ones."""
        await self.send_partitions(changes, tick)
        await self.send_home(changes, tick)

    async def send_partitions(self, changes: ChangeSet, tick: int | None = None) -> None:
        """Make the changes in partitions, all side by side. With a `tick`, they commit it there."""
        for tag, calls in changes.partitions.items():
            # A tick that is committed once more, after later ones, sets nothing back.
            if tick is not None and tick >= (calls.fence.expected or 0):
                calls.execute_command("SET", keys.partition_tick(tag), tick)
            self._remember(tag, calls, tick)
        await self._send(changes, changes.partitions.values())
        if tick is not None:
            for tag in changes.partitions:
                self._commit_log.note_committed(tag, tick)

    async def send_home(self, changes: ChangeSet, tick: int | None = None) -> None:
        """Make the changes of what lies home, which is everything on one node."""
        if not self.places.is_divided:
            await self._send(changes, [changes.home])
            return
        self._remember(HOME, changes.home, tick)
        await self._send(changes, [changes.derived, changes.home])
        if tick is not None:
            self._commit_log.note_committed(HOME, tick)

    async def forget_replicated(self, tick: int) -> None:
        """Forget what a replica has by now, after the commit of a tick. Where nobody says so, it stays for ten minutes."""
        if not self.places.is_divided:
            return
        # It is information about what is committed already: whoever is away shows at the next tick.
        with suppress(StoreError):
            for tag, replicated in (await self._replication.find_replicated(tick)).items():
                self._commit_log.note_replicated(tag, replicated)

    def put_tick_reads(self, pipe: Pipeline) -> None:
        """Put the reads of the newest tick of each part, none where the store is not divided."""
        for tag in self._lease.list_parts():
            pipe.get(keys.TICK if tag == HOME else keys.partition_tick(tag))

    def check_ticks(self, answers: Iterator[str | None]) -> None:
        """Read the answers to `put_tick_reads`. Raises `StoreBehind` where a part has forgotten what was committed."""
        if self._commit_log.list_behind(self._read_ticks(answers)):
            raise StoreBehind("a tick that was committed is forgotten, and what is read now would be too old")

    async def restore_forgotten(self) -> list[str]:
        """
        Send again what parts of the store have forgotten, and return their tags.

        What is not remembered any more cannot be sent: such a part goes on from the tick that it has.
        """
        if not self.places.is_divided:
            return []
        pipe = self._redis.pipeline(transaction=False)
        self.put_tick_reads(pipe)
        found = self._read_ticks(iter(await self._run(pipe)))
        restored = []
        for tag in self._commit_log.list_behind(found):
            forgotten = self._commit_log.find_forgotten(tag, found[tag])
            if forgotten is None:
                log.error(
                    "a failover forgot more than is remembered, it is filled from candles", part=tag, tick=found[tag]
                )
                self._commit_log.forget(tag, found[tag])
                continue
            log.warning("a failover forgot what was committed, it is committed again", part=tag, tick=found[tag])
            for commands in forgotten:
                await self._run_fenced(_fill(self._redis.pipeline(transaction=False), commands))
            restored.append(tag)
        for tag, tick in found.items():
            self._commit_log.note_found(tag, tick)
        return restored

    def forget(self, found: Mapping[str, int | None]) -> None:
        """Forget what was sent to parts: each goes on from the tick that it has."""
        for tag, tick in found.items():
            self._commit_log.forget(tag, tick)

    async def _send(self, changes: ChangeSet, parts: Iterable[FencedCalls]) -> None:
        """
        Send calls in one round trip.

        Raises `LeaseLost` where somebody else has the lease, and `StoreAway` where it ran out meanwhile: then it is
        taken again, but somebody may have had it and given it back, so what was read must be read anew.
        """
        self._lease.check_unbroken(changes.fence)
        pipe = self._redis.pipeline(transaction=False)
        for calls in parts:
            _fill(pipe, calls.commands)
        if len(pipe):
            await self._run_fenced(pipe)

    async def _run_fenced(self, pipe: Pipeline) -> None:
        try:
            await self._run(pipe)
        except LeaseGone:
            await self._lease.take_again()
            raise

    def _remember(self, tag: str, calls: FencedCalls, tick: int | None) -> None:
        if calls.commands:
            # What lies between two ticks is forgotten or not with the later one.
            expected = self._commit_log.find_expected(tag)
            label = tick if tick is not None else (0 if expected is None else expected + 1)
            self._commit_log.add(tag, label, calls.commands)

    def _read_ticks(self, answers: Iterator[str | None]) -> dict[str, int | None]:
        return {tag: read_tick(next(answers)) for tag in self._lease.list_parts()}


def _fill(pipe: Pipeline, commands: Sequence[tuple[Any, ...]]) -> Pipeline:
    for command in commands:
        pipe.execute_command(*command)
    return pipe


async def _execute(pipe: Pipeline) -> list[Any]:
    with translate_errors():
        return await pipe.execute()
