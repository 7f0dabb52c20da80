"""
The lease of a Redis, one key in it: whoever holds it may feed, nobody else. Raises `StoreAway` as every read does.

Of a divided store each partition has such a key as well, which goes with the lease.

It is a fence: whatever a feeder changes, it changes by scripts that look at the key in the same instant (`fence`).
"""

from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from . import keys
from .connection import DataMoved, LeaseLost, StoreAway, translate_errors
from .fence import Fence
from .moving.marks import describe_mark
from .places import HOME, get_places
from .scripts import HOLD_FENCE, RELEASE_FENCE
from .sharing.members import Members, WorkerNote
from .transactions import change_watched


class Lease:
    """
    The right to feed one Redis, as one process has it or not. It runs out unless it is taken again in time.

    A process that never took it may write all the same: it is for whoever starts the process to take it first.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._holder: str | None = None
        """The name under which we took it; `None` before that."""
        self._takings = 0
        """How often it was taken anew, which is not how often it was renewed."""
        self._held: set[str] = set()
        """The partitions whose fence was taken since."""
        self.seconds = keys.LEASE_SECONDS
        """How long it lives unless it is renewed."""
        self.has_partitions = True
        """Whether the partitions of a divided store go with it; where several workers share them, they do not."""

    @property
    def fence(self) -> Fence:
        """Return what everything that is changed from now on has to be checked against."""
        return Fence(keys.LEASE, self._holder or "", self._takings)

    def find_partition_fence(self, tag: str) -> Fence:
        """Return what everything that is changed in a partition has to be checked against."""
        return Fence(keys.feeder(tag), self._holder or "", self._takings, keys.partition_tick(tag))

    async def take_or_keep(self, name: str) -> str | None:
        """Take or renew the lease; where somebody else has it, return that name. Raises `DataMoved`."""
        with translate_errors():
            while not await self._redis.set(keys.LEASE, name, nx=True, ex=self.seconds):
                holder = await self._redis.get(keys.LEASE)
                if holder is not None and (moved := describe_mark(str(holder))):
                    raise DataMoved(moved)
                if holder is not None and holder != name:
                    return str(holder)
                if holder == name and await self._replace_holder(name, name):
                    self._note_holder(name, is_new=self._holder != name)
                    return await self._hold_partitions(name)
        self._note_holder(name, is_new=True)
        return await self._hold_partitions(name)

    async def take_over(self, name: str, holder: str) -> bool:
        """Take the lease from a holder that is known to be gone; return whether it was still that holder's."""
        if not await self._replace_holder(holder, name):
            return False
        self._note_holder(name, is_new=True)
        return await self._hold_partitions(name) is None

    async def has_all_partitions(self, holder: str) -> bool:
        """Return whether whoever holds the lease feeds the partitions of a divided store, too, and shares them with nobody."""
        tags = get_places(self._redis).list_tags()
        if not tags:
            return False
        with translate_errors():
            return bool(await self._redis.get(keys.feeder(tags[0])) == holder)

    async def read_sharing(self) -> list[WorkerNote]:
        """Return the workers that share the store and are alive; none where nobody shares it."""
        members = Members(self._redis)
        return [each.note for each in await members.read_all() if each.is_alive] if members.list_tags() else []

    @property
    def holder(self) -> str | None:
        """Return the name under which we took it; `None` before that."""
        return self._holder

    async def keep(self, name: str) -> bool:
        """Renew the lease where it is still held under this name; return whether it is. It is not taken anew."""
        return await self._replace_holder(name, name)

    async def release(self, name: str) -> None:
        """Release the lease, if it is still held under this name."""
        with translate_errors():
            await self._run_for_partitions(RELEASE_FENCE.text, lambda _: (name,))
            if await self._redis.get(keys.LEASE) == name:
                await self._redis.delete(keys.LEASE)

    def list_parts(self) -> tuple[str, ...]:
        """Return the tags of the parts of a divided store that are fed under the lease; none of one that is not divided."""
        return (HOME, *self._list_tags()) if get_places(self._redis).is_divided else ()

    def check_holder(self, holder: str | None) -> None:
        """Raise `LeaseLost` where `holder`, just read from Redis, is somebody else than who took the lease here."""
        if self._holder is not None and holder not in (None, self._holder):
            if moved := describe_mark(str(holder)):
                raise DataMoved(moved)
            raise LeaseLost(f"{holder} feeds this Redis now, and only one worker does at a time")

    def check_unbroken(self, fence: Fence) -> None:
        """Raise `StoreAway` where the lease was taken anew since `fence` was read: somebody may have had it meanwhile."""
        if fence != self.fence:
            raise StoreAway("the lease ran out between reading and writing; what was read must be read anew")

    async def take_again(self) -> None:
        """Take the lease again that nobody has. Raises `LeaseLost` where somebody else has it by now."""
        if self._holder is not None:
            self.check_holder(await self.take_or_keep(self._holder))

    def _note_holder(self, name: str, *, is_new: bool) -> None:
        self._holder = name
        if is_new:
            self._takings += 1
            self._held = set()

    def _list_tags(self) -> tuple[str, ...]:
        return get_places(self._redis).list_tags() if self.has_partitions else ()

    async def _hold_partitions(self, name: str) -> str | None:
        """Take or renew the fences of partitions; return who else has one, who took the lease since."""
        with translate_errors():
            holders = await self._run_for_partitions(
                HOLD_FENCE.text, lambda tag: (name, self.seconds, "" if tag in self._held else "1")
            )
        tags = self._list_tags()
        self._held |= {tag for tag, holder in zip(tags, holders, strict=True) if holder is None}
        return next((str(holder) for holder in holders if holder is not None), None)

    async def _run_for_partitions(self, script: str, find_words: Callable[[str], tuple[object, ...]]) -> list[Any]:
        """Run a script for the fence of each partition; return its answers."""
        tags, pipe = self._list_tags(), self._redis.pipeline(transaction=False)
        for tag in tags:
            pipe.execute_command("EVAL", script, 1, keys.feeder(tag), *find_words(tag))
        return await pipe.execute() if tags else []

    async def _replace_holder(self, holder: str, name: str) -> bool:
        """Put a name in place of another; return whether that one was still there."""

        async def decide(pipe: Pipeline) -> bool:
            if await pipe.get(keys.LEASE) != holder:
                return False
            pipe.multi()  # type: ignore[no-untyped-call]  # redis-py forgot to annotate it
            pipe.set(keys.LEASE, name, ex=self.seconds)
            return True

        return await change_watched(self._redis, keys.LEASE, decide)
