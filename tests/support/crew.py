"""Several workers that share one divided store, in one process: each with its own leases, writer and task."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis

from tests.support.ledger import dump
from tests.support.serving import MINUTE
from v1.market.metric_state import SourceReading
from v1.market.slot_marking import TickEvidence
from v1.model import Metric
from v1.rules import RuleEngine
from v1.store import Reader, keys
from v1.store.places import get_places
from v1.store.sharing.home_writer import HomeWriter
from v1.store.sharing.members import Members, WorkerNote
from v1.store.sharing.partition_leases import PartitionLeases
from v1.store.sharing.partition_writer import PartitionWriter
from v1.store.sharing.source_turns import open_source_leases
from worker.sampling.absences import TickAbsences
from worker.sampling.rule_provider import FixedRules
from worker.sampling.sharing.handing_out import SharedCommit
from worker.sampling.sharing.membership import Membership
from worker.sampling.sharing.partition_feeder import PartitionFeeder

LEASE_SECONDS = 600
"""Nobody's lease runs out by itself: whoever is killed loses it by `Crew.bury`."""
OF_SHARING = (
    *(
        f"{keys.OURS}{name}"
        for name in ("workers", "asker:", "asking:", "asked:", "gathered:", "staged:", "done:", "next:")
    ),
    *(*keys.OF_PARTITIONS, keys.EVENTS, keys.OUTBOX, keys.LEASE, keys.alert("")),
)
"""How the keys begin that there are only where several workers share, or that hold in which order they came."""


class Killed(Exception):
    """The worker ends here."""


class _Interrupted(Reader):
    """A writer that is killed before one of its pipelines that come after the moment in which that is asked for."""

    before: int | None = None
    """Before the how manieth pipeline from now on."""

    async def _run(self, pipe: Any) -> list[Any]:
        if self.before is not None:
            self.before -= 1
            if self.before < 0:
                raise Killed
        return await super()._run(pipe)


class InterruptedWriter(_Interrupted, PartitionWriter):
    """One that commits partitions."""


class InterruptedHome(_Interrupted, HomeWriter):
    """One that hands out and completes ticks."""

    before_completing: int | None = None
    """The same of the pipelines that complete the next tick."""

    async def finish(self, *args: Any) -> None:
        if self.before_completing is not None:
            self.before, self.before_completing = self.before_completing, None
        await super().finish(*args)


async def sleep_briefly(seconds: float) -> None:
    """Wait a hundredth of the time."""
    await asyncio.sleep(seconds / 100)


class Mate:
    """One of the workers."""

    def __init__(self, redis: Redis, name: str, engine: RuleEngine) -> None:
        self.name = name
        self.leases = PartitionLeases(redis, name, LEASE_SECONDS)
        self.writer = InterruptedWriter(redis, self.leases)
        self.feeder = PartitionFeeder(self.writer, MINUTE, FixedRules(engine), sleep_briefly)
        self.sources = open_source_leases(redis, name, LEASE_SECONDS)
        self.describe: Callable[[WorkerNote], WorkerNote] = lambda note: note
        self.membership = Membership(
            members=Members(redis),
            leases=self.leases,
            sources=self.sources,
            note=WorkerNote(name, "here", 1, 0, "test", LEASE_SECONDS),
            tags=get_places(redis).list_tags,
            describe=self._describe,
        )
        self.task: asyncio.Task[None] | None = None

    def _describe(self, note: WorkerNote) -> WorkerNote:
        """Return what it says of itself: `describe` may be another by then."""
        return self.describe(note)

    def start(self) -> None:
        self.task = asyncio.create_task(self.feeder.run())

    async def end(self) -> None:
        """Stop at once, as a process that is killed."""
        if self.task is not None:
            self.task.cancel()
            with suppress(asyncio.CancelledError, Killed):
                await self.task


class Crew:
    """The workers, and whoever hands out the ticks."""

    def __init__(self, redis: Redis, engine: RuleEngine, names: Sequence[str] = ("one", "two", "three")) -> None:
        self.redis = redis
        self.engine = engine
        self.mates = {name: Mate(redis, name, engine) for name in names}
        self.home = InterruptedHome(redis)

    async def open(self) -> None:
        """Have all partitions taken, and the tasks started."""
        await self.open_home("home")
        for _ in range(2):  # who comes first gives back what the others are to have
            for mate in self.mates.values():
                await mate.membership.renew()
        for mate in self.mates.values():
            mate.start()

    async def open_home(self, name: str) -> None:
        """Take the place of whoever handed out the ticks."""
        await self.redis.delete(keys.LEASE)
        self.home = InterruptedHome(self.redis)
        await self.home.lease.take_or_keep(name)
        await self.home.open()

    async def commit(
        self, at: int, readings: Mapping[Metric, SourceReading], previous: int | None, absences: TickAbsences
    ) -> int:
        """Commit a tick by way of all workers, and return how many metrics it has advanced."""
        evidence = TickEvidence(MINUTE, previous, absences.explain)
        return await SharedCommit(self.home, MINUTE, sleep_briefly).commit(
            at, readings, self.engine, 0, evidence, absences
        )

    async def bury(self, name: str) -> None:
        """Have a worker count as gone, and the others take over."""
        if name in self.mates:
            await self.mates.pop(name).end()
        await self.redis.hdel(keys.WORKERS, name)
        await self.redis.zrem(keys.WORKERS_SEEN, name)
        leases = [keys.feeder(tag) for tag in get_places(self.redis).list_tags()]
        leases += [key async for key in self.redis.scan_iter(match=keys.asker("*"))]
        for key in leases:
            if str(await self.redis.get(key)).startswith(f"{name}:"):
                await self.redis.delete(key)
        await self.renew()

    async def renew(self) -> None:
        for _ in range(2):
            for mate in self.mates.values():
                await mate.membership.renew()

    async def close(self) -> None:
        for mate in self.mates.values():
            await mate.end()


async def read_shared(redis: Redis) -> dict[str, Any]:
    """Return what must be the same however many workers there are. What was handed out is deleted: it is no text."""
    async for key in redis.scan_iter(match=f"{keys.OURS}readings:*"):
        await redis.delete(key)
    async for key in redis.scan_iter(match=keys.source_answer("*", 0).removesuffix(":0")):
        await redis.delete(key)
    return {key: value for key, value in (await dump(redis)).items() if not str(key).startswith(OF_SHARING)}


async def wait_until(is_true: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(60):
        while not await is_true():
            await asyncio.sleep(0.02)
