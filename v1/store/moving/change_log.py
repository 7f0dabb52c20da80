"""
Learns which keys of a store change, from whoever changes them: by client tracking of RESP3, in its broadcasting mode.

Every primary tells a connection of ours the name of each key of ours that is written, expires or is deleted. What was
told before an answer is known with it. A change that is made in the same turn of the server's loop as the answer may
be told just after it, so each primary is asked twice.
"""

from collections.abc import Sequence
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from .. import keys
from ..cluster.client import ClusterRedis
from ..connection import StoreError, translate_errors
from ..places import get_places
from ..pool import ReplacingPool, WatchedConnection

_MODE = ("BCAST", "PREFIX", keys.OURS)
_ASKED = 2
"""How often a primary is asked until all that was changed before is told."""


class KeyChangeLog:
    """The names of keys that have changed since they were last taken. `close` gives its connections back."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._connections: list[tuple[Redis, WatchedConnection]] = []
        self._changed: set[str] = set()
        self._is_all = True
        """Whether it is unknown what has changed."""
        self._table_version = 0

    async def take(self) -> set[str] | None:
        """
        Return the keys that have changed since the last time; `None`: all may have, as at the first time.

        Raises `StoreError`, also where the server does not tell.
        """
        with translate_errors():
            if not self._connections or not await self._ask_all():
                await self.close()
                await self._open()
        changed, self._changed = self._changed, set()
        is_all, self._is_all = self._is_all, False
        return None if is_all else changed

    async def close(self) -> None:
        connections, self._connections, self._is_all = self._connections, [], True
        for node, connection in connections:
            try:
                await connection.disconnect()
            finally:
                await node.connection_pool.release(connection)

    async def _open(self) -> None:
        nodes = [self._redis]
        if isinstance(self._redis, ClusterRedis):
            nodes = await self._redis.list_primaries()
            self._table_version = self._redis.table.version
        for node in nodes:
            pool = cast("ReplacingPool", node.connection_pool)
            connection: WatchedConnection = await pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py's
            self._connections.append((node, connection))
            if not await connection.start_tracking(self._note, *_MODE):
                raise StoreError(
                    "Redis does not tell what changes, and so nothing can be moved while it is fed: it takes version 6 "
                    "or later, and a user that may run CLIENT TRACKING"
                )

    async def _ask_all(self) -> bool:
        """Have every primary tell what has changed; return whether all could, and are still those of the cluster."""
        try:
            if isinstance(self._redis, ClusterRedis):
                await self._redis.ensure_places()
                if self._redis.table.version != self._table_version:
                    return False
            for _ in range(_ASKED):
                for _, connection in self._connections:
                    if not connection.is_usable:
                        return False
                    await connection.ask_all([("PING",)])
        except (RedisError, OSError) as error:
            if isinstance(self._redis, ClusterRedis):
                self._redis.table.note(error)
            return False
        return True

    def _note(self, changed: Sequence[str] | None) -> None:
        if changed is None:
            self._is_all = True
        restore = get_places(self._redis).restore
        self._changed.update(restore(key) for key in changed or ())
