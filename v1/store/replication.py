"""
Learns which committed ticks a replica has, so that they need not be remembered any longer. It is information: nobody waits for it.

A primary says how far it has written and how far each replica has acknowledged (`INFO replication`: `master_repl_offset`,
`slave<n>: offset`). A replica that has acknowledged an offset has all that was written before it, as long as the
primary's history is the same one (`master_replid`).
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from redis.asyncio import Redis

from . import keys
from .cluster.client import ClusterRedis
from .connection import translate_errors
from .places import HOME, get_places

_MOST_TICKS = 1000
"""Ticks that are noted of a primary without replicas."""


class _ReplicationMark(NamedTuple):
    """How far a primary had written when a tick was committed."""

    history: str
    offset: int
    tick: int
    tags: frozenset[str]


class _Node(NamedTuple):
    client: Redis
    tags: frozenset[str]
    """The parts of the store that it has."""


class ReplicationWatch:
    """Follows the replicas of all primaries."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._written = WeakKeyDictionary[Redis, deque[_ReplicationMark]]()
        """Of each node what no replica had, oldest first."""

    async def find_replicated(self, tick: int) -> dict[str, int]:
        """
        Return of each part the newest tick that a replica is known to have; `tick` was committed just now.

        Raises `StoreAway` where a primary does not answer.
        """
        with translate_errors():
            nodes = await self._list_nodes()
            answers = await asyncio.gather(*[node.client.info("replication") for node in nodes])
        found: dict[str, int] = {}
        for node, about in zip(nodes, answers, strict=True):
            for each in self._take_replicated(node, about, tick):
                found |= dict.fromkeys(each.tags & node.tags, each.tick)
        return found

    def _take_replicated(self, node: _Node, about: dict[str, Any], tick: int) -> list[_ReplicationMark]:
        """Note how far a node has written; return, oldest first, what its replicas have by now."""
        if "master_replid" not in about:
            return []  # a service that does not say so
        written = self._written.setdefault(node.client, deque(maxlen=_MOST_TICKS))
        history = str(about["master_replid"])
        written.append(_ReplicationMark(history, int(about["master_repl_offset"]), tick, node.tags))
        acknowledged = _find_acknowledged(about)
        taken = []
        while written and (written[0].history != history or written[0].offset <= acknowledged):
            each = written.popleft()
            if each.history == history:
                taken.append(each)
        return taken

    async def _list_nodes(self) -> Sequence[_Node]:
        tags = (HOME, *get_places(self._redis).list_tags())
        if not isinstance(self._redis, ClusterRedis):
            return [_Node(self._redis, frozenset(tags))]
        plan = await self._redis.plan([("GET", keys.TICK if tag == HOME else keys.partition_tick(tag)) for tag in tags])
        return [
            _Node(client, frozenset(tags[command] for command, _ in batch.origins))
            for client, batch in plan.batches.items()
        ]


def _find_acknowledged(about: dict[str, Any]) -> int:
    """Return how far the replica has come that has come furthest; -1 where there is none."""
    replicas = [
        about[f"slave{number}"] for number in range(int(about["connected_slaves"])) if f"slave{number}" in about
    ]
    return max((int(each["offset"]) for each in replicas if each["state"] == "online"), default=-1)
