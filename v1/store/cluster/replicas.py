"""
Finds the replicas from which may be read: those that have all that was changed, as far as anybody was told.

A replica copies its primary a little later than it happens, and nothing bounds by how much. Who is told of each change
has these compared anew: every change before it has left its trace in how far the primary is (`master_repl_offset`), so
a replica that is as far has it. Until that is known, and where a replica is behind or away, the primary is read.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from .slot_table import Endpoint, Shard, SlotTable

CHECK_SECONDS = 1.0
"""How often replicas are compared where nobody tells of a change."""
LOOK_SECONDS = 0.02
"""How long is waited for a replica that is behind, and for further changes that are told."""
LOOKS = 5
"""How often a replica is looked at before it counts as behind."""


class ReplicaChoice:
    """Chooses the replica of a shard that is read. Nothing is chosen before `follow` runs."""

    def __init__(self, table: SlotTable) -> None:
        self._table = table
        self._is_told: Callable[[], bool] = lambda: False
        self._generation = 0
        """Goes up with every change that is told."""
        self._verified: dict[Endpoint, int] = {}
        """By replica, with which generation it had all."""
        self._has_changed = asyncio.Event()

    def note_change(self) -> None:
        """Have all replicas compared again before one of them is read."""
        self._generation += 1
        self._has_changed.set()

    def drop(self, endpoint: Endpoint) -> None:
        """Read from a replica no more until it was compared again."""
        self._verified.pop(endpoint, None)

    def choose(self, shard: Shard) -> Endpoint | None:
        """Return a replica that has all that was changed; `None` where none is known to."""
        if not self._is_told():
            return None
        current = [each for each in shard.replicas if self._verified.get(each) == self._generation]
        return random.choice(current) if current else None  # noqa: S311  # to spread reads, not to hide anything

    async def follow(self, is_told: Callable[[], bool]) -> None:
        """
        Compare replicas, whenever something has changed and now and then, until cancelled.

        `is_told` returns whether changes are told at the moment: while they are not, no replica is read.
        """
        self._is_told = is_told
        while True:
            self._has_changed.clear()
            generation = self._generation
            with suppress(RedisError, OSError):
                await self._table.ensure()
            await asyncio.gather(*[self._compare(shard, generation) for shard in self._table.list_shards()])
            try:
                await asyncio.wait_for(self._has_changed.wait(), CHECK_SECONDS)
            except TimeoutError:
                # A replica that is new, or was not yet linked, shows in nothing but the table.
                self._table.mark_out_of_date()
            await asyncio.sleep(LOOK_SECONDS)

    async def _compare(self, shard: Shard, generation: int) -> None:
        """Note which replicas of a shard are as far as its primary is now."""
        try:
            wanted = await _read_offset(self._table.get_client(shard.primary), "master_repl_offset")
        except (RedisError, OSError) as error:
            self._table.note(error)
            for replica in shard.replicas:
                self.drop(replica)
            return
        await asyncio.gather(*[self._compare_one(each, wanted, generation) for each in shard.replicas])

    async def _compare_one(self, replica: Endpoint, wanted: int, generation: int) -> None:
        for _ in range(LOOKS):
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    found = await _read_offset(self._table.get_client(replica), "slave_repl_offset")
            except (RedisError, OSError):
                break
            if found >= wanted:
                self._verified[replica] = generation
                return
            await asyncio.sleep(LOOK_SECONDS)
        self.drop(replica)


async def _read_offset(node: Redis, name: str) -> int:
    """Return how far a node is in what was written; -1 of one that does not follow its primary just now."""
    about = await node.info("replication")
    is_linked = about.get("master_link_status", "up") == "up"
    return int(about.get(name, -1)) if is_linked else -1
