"""
Copies keys with all that they hold and the time that they still live.

By DUMP and RESTORE where the second server reads what the first one writes. Otherwise, as from Valkey 9 to Redis 7, by
reading and writing the contents, which takes about three times as long.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis
from redis.client import NEVER_DECODE
from redis.exceptions import ResponseError

from ...numbers.chunks import split_into_chunks
from .. import keys
from ..connection import StoreError, translate_errors

BATCH = 200
"""Keys that are on their way at once: an hour of a metric has some 3,000 bytes."""
_WORDS = 1000
"""Members that are written by one command."""
_MOST_PENDING = 100_000
_PROBE = keys.staging(keys.FORMAT)
_PROBE_MS = 60_000
_NO_END = 0
"""The time to live of RESTORE for a key that has no end."""

Command = tuple[Any, ...]


class ConsumerGroup(NamedTuple):
    """A consumer group of a stream."""

    name: str
    last_delivered: str
    pending: Sequence[Mapping[str, Any]]
    """Of each entry that was delivered and not acknowledged what redis-py makes of XPENDING."""


class KeyCopier:
    """Copies keys from one store to another. Both are spoken to by the names of one node. Raises `StoreError`."""

    def __init__(self, old: Redis, new: Redis) -> None:
        self._old = old
        self._new = new
        self._is_dumped = True

    async def open(self) -> bool:
        """Find out whether the second server reads what the first one dumps, and return it. Writes a key that ends."""
        with translate_errors():
            await self._old.set(_PROBE, "probe", px=_PROBE_MS)
            payload = await self._old.dump(_PROBE)
            try:
                await self._new.restore(_PROBE, _PROBE_MS, cast("bytes", payload), replace=True)
            except ResponseError:
                self._is_dumped = False
            await self._old.unlink(_PROBE)
            await self._new.unlink(_PROBE)
        return self._is_dumped

    async def copy(self, names: Sequence[str]) -> None:
        """Copy keys, in place of what there is by their names; one that is gone is deleted."""
        for some in split_into_chunks(names, BATCH):
            with translate_errors():
                await (self._copy_dumps(some) if self._is_dumped else self._copy_contents(some))

    async def _copy_dumps(self, names: Sequence[str]) -> None:
        pipe = self._old.pipeline(transaction=False)
        for name in names:
            pipe.execute_command("PTTL", name)
            pipe.execute_command("DUMP", name, **_BYTES)
        answers = await pipe.execute()
        writes = self._new.pipeline(transaction=False)
        for name, left, payload in zip(names, answers[::2], answers[1::2], strict=True):
            if payload is None or left == _GONE:
                writes.execute_command("UNLINK", name)
            else:
                writes.execute_command("RESTORE", name, max(left, _NO_END), payload, "REPLACE")
        await writes.execute()

    async def _copy_contents(self, names: Sequence[str]) -> None:
        pipe = self._old.pipeline(transaction=False)
        for name in names:
            pipe.execute_command("PTTL", name)
            pipe.execute_command("TYPE", name)
        answers = await pipe.execute()
        found = [(name, left, kind) for name, left, kind in zip(names, answers[::2], answers[1::2], strict=True)]
        pipe = self._old.pipeline(transaction=False)
        for name, _, kind in found:
            pipe.execute_command(*_find_read(name, kind), **_BYTES)
        contents = await pipe.execute()
        writes = self._new.pipeline(transaction=False)
        for (name, left, kind), content in zip(found, contents, strict=True):
            writes.execute_command("UNLINK", name)
            groups = await self._read_groups(name) if kind == "stream" else []
            for command in _list_writes(name, kind, content):
                writes.execute_command(*command)
            for command in await self._list_stream_writes(name, groups) if kind == "stream" else ():
                writes.execute_command(*command)
            if left > 0:
                writes.execute_command("PEXPIRE", name, left)
        await writes.execute()

    async def _read_groups(self, name: str) -> list[ConsumerGroup]:
        groups = []
        for about in await self._old.xinfo_groups(name):
            pending = await self._old.xpending_range(name, about["name"], "-", "+", _MOST_PENDING)
            groups.append(ConsumerGroup(about["name"], about["last-delivered-id"], pending))
        return groups

    async def _list_stream_writes(self, name: str, groups: Iterable[ConsumerGroup]) -> list[Command]:
        """Return what makes the groups of a stream, and its newest id, which may be that of an entry that is gone."""
        commands: list[Command] = []
        for group in groups:
            commands.append(("XGROUP CREATE", name, group.name, group.last_delivered, "MKSTREAM"))
            for each in group.pending:
                times = ("IDLE", each["time_since_delivered"], "RETRYCOUNT", each["times_delivered"])
                claim = ("XCLAIM", name, group.name, each["consumer"], 0, each["message_id"])
                commands.append((*claim, *times, "FORCE", "JUSTID"))
        about = await self._old.xinfo_stream(name)
        if about["length"] or groups:
            commands.append(("XSETID", name, about["last-generated-id"]))
        return commands


_BYTES: dict[str, Any] = {NEVER_DECODE: []}
"""What keeps redis-py from taking bytes for text."""
_GONE = -2
"""What PTTL answers of a key that is not there."""


def _find_read(name: str, kind: str) -> Command:
    """Return what reads all that a key holds. Raises `StoreError` of a type that this version never writes."""
    reads: dict[str, Command] = {
        "none": ("GET", name),
        "string": ("GET", name),
        "hash": ("HGETALL", name),
        "list": ("LRANGE", name, 0, -1),
        "zset": ("ZRANGE", name, 0, -1, "WITHSCORES"),
        "stream": ("XRANGE", name, "-", "+"),
    }
    if kind not in reads:
        raise StoreError(f"{name} is a {kind}, which data-tracker never writes: delete it, and type the move again")
    return reads[kind]


def _list_writes(name: str, kind: str, content: Any) -> list[Command]:
    """Return what writes the content of a key anew; nothing of one that is gone."""
    if not content and content != b"":
        return []
    if kind == "string":
        return [("SET", name, content)]
    if kind == "hash":
        return _split("HSET", name, [*content.items()])
    if kind == "list":
        return _split("RPUSH", name, [(each,) for each in content])
    if kind == "zset":
        return _split("ZADD", name, [(score, member) for member, score in content])
    return [("XADD", name, entry, *_flatten(fields)) for entry, fields in content]


def _split(command: str, name: str, words: Sequence[tuple[Any, ...]]) -> list[Command]:
    return [(command, name, *chain.from_iterable(some)) for some in split_into_chunks(words, _WORDS)]


def _flatten(fields: Any) -> Iterable[Any]:
    """Return the words of an entry's fields, which redis-py gives as a mapping or as they come."""
    return chain.from_iterable(fields.items()) if isinstance(fields, dict) else fields
