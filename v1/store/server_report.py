"""What a Redis says of itself and of what is kept in it, for somebody who looks for what is wrong. Changes nothing."""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from . import keys
from .cluster_check import join_findings
from .config_check import list_lacks
from .connection import connect, translate_errors
from .data_format import DataFormat
from .failover import read_node_timeout
from .pool import NOT_FOR_US, read_error_code
from .primaries import ask_primaries
from .reader import Reader
from .replays import ReplayStore
from .sharing.members import Members, SeenWorker

SECTIONS = ("server", "memory", "persistence", "replication")


class ServerReport(NamedTuple):
    """What was found. Where the server tells nothing of itself, `version` is empty and sizes are 0."""

    version: str
    """Of a cluster, each that one of its primaries has."""
    used_bytes: int
    """Of a cluster, those of all its primaries together."""
    limit_bytes: int
    """Its memory, at most; 0: no limit."""
    ahead_seconds: float
    """How far this machine's clock is ahead of the server's, in a cluster of one of them; 0 where that is not told."""
    lacks: Sequence[str]
    """What its configuration should be, a sentence each."""
    failures: Sequence[str]
    """What it cannot do at the moment, a sentence each."""
    holder: str | None
    """The worker that feeds it; `None` where none does."""
    newest: int | None
    """The newest tick."""
    is_replayed: bool
    """Whether what is kept is of a recording, with times of its own."""
    node_timeout_ms: int | None = None
    """The longest of a cluster's nodes; `None` of one server, or where it may not be asked."""
    partitions: Sequence[str] = ()
    """The tags of the partitions of a cluster's data; none of one server."""
    workers: Sequence[SeenWorker] = ()
    """Those that share the market and are alive."""


async def read_server_report(address: str, partitions: int | None = None) -> ServerReport:
    """
    Ask the server at `address`; the data of a cluster should be in so many `partitions`, where that is said.

    Raises `StoreError` and its kinds, and `OtherFormat` of the data.
    """
    async with connect(address, "data-tracker-doctor", partitions=partitions) as redis:
        with translate_errors():
            lacks = await list_lacks(redis)
            about = await ask_primaries(redis, _read_info)
            ahead = await _measure_difference(redis)
            holder = cast("str | None", await redis.get(keys.LEASE))
            node_timeout_ms = await read_node_timeout(redis)
        await DataFormat(redis).check()
        newest = await Reader(redis).read_tick()
        replayed = await ReplayStore(redis).read()
        members = Members(redis)
        tags = members.list_tags()
        workers = await members.read_all() if tags else []
    return ServerReport(
        ", ".join(dict.fromkeys(filter(None, (str(each.get("redis_version", "")) for each in about.values())))),
        sum(_read_number(each, "used_memory") for each in about.values()),
        _add_limits([_read_number(each, "maxmemory") for each in about.values()]),
        ahead,
        lacks,
        _list_failures_of(about),
        holder,
        newest,
        replayed is not None,
        node_timeout_ms,
        tags,
        [each for each in workers if each.is_alive],
    )


async def _read_info(redis: Redis) -> Mapping[str, object]:
    """Return what `INFO` says; nothing where the user may not ask it."""
    try:
        return cast("Mapping[str, object]", await redis.info(*SECTIONS))
    except ResponseError as error:
        _raise_unless_forbidden(error)
        return {}


async def _measure_difference(redis: Redis) -> float:
    """Return how many seconds this machine is ahead of the server; 0 where the user may not ask for its time."""
    try:
        seconds, microseconds = await redis.time()
    except ResponseError as error:
        _raise_unless_forbidden(error)
        return 0.0
    return time.time() - (int(seconds) + int(microseconds) / 1e6)


def _raise_unless_forbidden(error: ResponseError) -> None:
    if read_error_code(error) not in NOT_FOR_US:
        raise error


def _read_number(about: Mapping[str, object], name: str) -> int:
    value = about.get(name, 0)
    return value if isinstance(value, int) else 0


def _add_limits(limits: Sequence[int]) -> int:
    """Return how much memory several servers may take; 0, no limit, where one of them has none."""
    return sum(limits) if all(limits) else 0


def _list_failures_of(about: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Return what servers cannot do, a sentence each, after the names of those that it is true of."""
    failures = {server: list_failures(each) for server, each in about.items()}
    return failures[""] if "" in failures else join_findings(failures)


def list_failures(about: Mapping[str, object]) -> list[str]:
    """Return what of `INFO` says that something fails, or that nothing can be written, a sentence each."""
    failing = {
        "its snapshots fail": about.get("rdb_last_bgsave_status", "ok") != "ok",
        "its log cannot be written": about.get("aof_last_write_status", "ok") != "ok",
        "it is still loading its data": about.get("loading", 0) != 0,
        "it is a replica, which takes no writes": about.get("role", "master") != "master",
    }
    return [sentence for sentence, is_so in failing.items() if is_so]
