"""Which workers there are: each says every second or two that it is alive, and what it has."""

import json
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from redis.asyncio import Redis

from .. import keys
from ..connection import translate_errors
from ..places import get_places
from ..scripts import REPORT_WORKER
from ..stored_json import read_dict

FORGET_SECONDS = 600
"""How long a worker that is not heard of any more is remembered."""


class WorkerNote(NamedTuple):
    """What a worker says of itself."""

    name: str
    host: str
    pid: int
    since: int
    """When it began, unix seconds."""
    version: str
    lease_seconds: int
    """For how long it counts as alive after it was heard of."""
    partitions: Sequence[str] = ()
    """The tags of those that it commits."""
    is_asking: bool = False
    """Whether it hands out the ticks, and does what is done once for all."""
    tick: int | None = None
    """The newest tick that it has committed."""
    behind: Sequence[str] = ()
    """Those of its partitions that are not at that tick."""
    interval: int = 0
    """Seconds between two of its ticks; 0: a version that did not say."""
    settings: Mapping[str, str] = MappingProxyType({})
    """What else it was started with that is to be the same of all, by the names of the settings."""
    sources: Sequence[str] = ()
    """Those that it asks for whoever hands out the ticks."""
    able: Sequence[str] = ()
    """Those that it is able to ask."""
    avoided: Sequence[str] = ()
    """Those that it did not reach, and leaves to others for some minutes."""


class SeenWorker(NamedTuple):
    """A worker as the others see it."""

    note: WorkerNote
    silent_seconds: float
    """For how long it has not been heard of."""

    @property
    def is_alive(self) -> bool:
        """Return whether it counts as alive: others leave its partitions to it."""
        return self.silent_seconds < self.note.lease_seconds


def list_free(tags: Sequence[str], workers: Collection[SeenWorker]) -> list[str]:
    """Return the partitions that no worker has that is alive; none where nobody shares."""
    had = {tag for each in workers if each.is_alive for tag in each.note.partitions}
    return [tag for tag in tags if tag not in had] if workers else []


class Members:
    """The workers that share a store. Raises `StoreAway` when it does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def list_tags(self) -> tuple[str, ...]:
        """Return the tags of all partitions; none where the store is not divided."""
        return get_places(self._redis).list_tags()

    async def report(self, note: WorkerNote) -> list[WorkerNote]:
        """Say that a worker is alive, and return all that are."""
        written = json.dumps(note._asdict() | {"settings": dict(note.settings)}, separators=(",", ":"))
        return await self._run(note.name, written, note.lease_seconds)

    async def remove(self, name: str) -> None:
        """Take back that a worker is alive: the others need not wait until it counts as gone."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.hdel(keys.WORKERS, name)
        pipe.zrem(keys.WORKERS_SEEN, name)
        with translate_errors():
            await pipe.execute()

    async def read_all(self) -> list[SeenWorker]:
        """Return all workers that were heard of in the last minutes, by name."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.hgetall(keys.WORKERS)
        pipe.zrange(keys.WORKERS_SEEN, 0, -1, withscores=True)
        pipe.time()
        with translate_errors():
            written, seen, (seconds, micros) = await pipe.execute()
        now = seconds * 1000 + micros // 1000
        at = dict(seen)
        notes = [note for name in sorted(written) if (note := _read_note(written[name])) is not None]
        return [SeenWorker(note, max(0.0, (now - at[note.name]) / 1000)) for note in notes if note.name in at]

    async def _run(self, name: str, written: str, lease_seconds: int) -> list[WorkerNote]:
        words = (name, written, lease_seconds * 1000, FORGET_SECONDS * 1000)
        with translate_errors():
            found = await self._redis.execute_command(  # type: ignore[no-untyped-call]  # redis-py's
                "EVAL", REPORT_WORKER.text, 2, keys.WORKERS, keys.WORKERS_SEEN, *words
            )
        return [note for each in found[1::2] if (note := _read_note(each)) is not None]


def _read_note(written: str) -> WorkerNote | None:
    """Return what a worker said; `None` where that cannot be read, as of another version."""
    kept = read_dict(written) or {}
    try:
        return WorkerNote(**{name: kept[name] for name in WorkerNote._fields if name in kept})
    except TypeError:
        return None
