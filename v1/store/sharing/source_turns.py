"""
Who asks a source at a tick, and what it said, at home. Of several workers the one that has the source's lease asks it, and
whoever hands the tick out reads what it leaves.

    asker    who has the lease of the source
    asking   who asks it at the tick: whoever is first, or whoever hands the tick out and waits no longer
    asked    what it said
"""

from typing import Any, NamedTuple

from redis.asyncio import Redis

from .. import keys
from ..binary import execute_binary
from ..connection import translate_errors, translate_unreadable
from ..fence import Fence, FencedCalls
from .share_leases import ShareLeases
from .source_answer import SourceAnswer, pack_answer, unpack_answer

SHORTEST_KEPT = 60
KEPT_INTERVALS = 2


def open_source_leases(redis: Redis, name: str, seconds: int) -> ShareLeases:
    """Return the leases of sources as a worker has them; none yet."""
    return ShareLeases(redis, name, seconds, keys.asker)


class SourceTurn(NamedTuple):
    """How far the asking of a source is at a tick."""

    holder: str | None
    """Who has the lease of the source; `None` where nobody has it."""
    asking: str | None
    """Who asks it; `None` where nobody has begun."""
    answer: SourceAnswer | None


class SourceTurns:
    """Raises `StoreError`, and `LeaseLost` where the lease of the source is not ours any more."""

    def __init__(self, redis: Redis, leases: ShareLeases, interval: int) -> None:
        self._redis = redis
        self._leases = leases
        self.kept_seconds = max(SHORTEST_KEPT, KEPT_INTERVALS * interval)
        """How long what was said at a tick is kept."""

    async def begin(self, source: str, at: int, name: str) -> bool:
        """Say that a worker asks a source at a tick, and return whether it is to: nobody else has said so."""
        with translate_errors():
            return bool(await self._redis.set(keys.source_turn(source, at), name, nx=True, ex=self.kept_seconds))

    async def take(self, source: str, at: int, name: str) -> None:
        """Say that a worker asks a source at a tick, whoever said so before."""
        with translate_errors():
            await self._redis.set(keys.source_turn(source, at), name, ex=self.kept_seconds)

    async def write(self, source: str, answer: SourceAnswer) -> None:
        """Leave what a source said, while its lease is ours."""
        calls = FencedCalls(Fence(keys.asker(source), self._leases.find_token(source), 0, keys.asker(source)))
        key = keys.source_answer(source, answer.at)
        calls.execute_command("SET", key, pack_answer(answer), "EX", self.kept_seconds)
        pipe = self._redis.pipeline(transaction=False)
        for command in calls.commands:
            pipe.execute_command(*command)
        with translate_errors():
            await pipe.execute()

    async def read(self, source: str, at: int) -> SourceTurn:
        """Return how far the asking of a source is."""
        key = keys.source_answer(source, at)
        holder, asking, packed = await execute_binary(
            self._redis, "MGET", keys.asker(source), keys.source_turn(source, at), key
        )
        with translate_unreadable(key):
            answer = None if packed is None else unpack_answer(packed)
        token = _decode(holder)
        return SourceTurn(None if token is None else token.rpartition(":")[0], _decode(asking), answer)


def _decode(word: Any) -> str | None:
    return None if word is None else word.decode(errors="replace")
