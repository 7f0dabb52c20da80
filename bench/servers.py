"""Databases of a measurement's own, and the core that it is kept on. What is put into them is not known here."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

from redis.asyncio import Redis

from tests.support import servers
from v1.store import connect

# Rewriting its log, the server would fork into the middle of a measurement, and onto the same core.
_NO_REWRITE = ("--auto-aof-rewrite-percentage", "0")


class Server(NamedTuple):
    """A running server."""

    address: str
    redis: Redis
    name: str
    """Kind and version: `Valkey 9.1.0`."""


@asynccontextmanager
async def running(binary: Path, *extra: str) -> AsyncIterator[Server]:
    """Run a server with the configuration that we ship, empty; `extra` is set beyond that."""
    with (
        tempfile.TemporaryDirectory() as folder,
        servers.running(binary, Path(folder), *_NO_REWRITE, *extra) as address,
    ):
        async with connect(address, "bench", 60) as redis:
            yield Server(address, redis, await _name(redis))


async def _name(redis: Redis) -> str:
    about = await redis.info("server")
    if "valkey_version" in about:
        return f"Valkey {about['valkey_version']}"
    return f"Redis {about['redis_version']}"


def binaries() -> Iterator[Path]:
    """Return the embedded server, and the machine's own redis-server where it has one."""
    yield servers.embedded()
    own = servers.debian()
    if own:
        yield own


@contextmanager
def one_core() -> Iterator[str]:
    """Keep this process, and all that it starts, on one core; return that in words."""
    if not hasattr(os, "sched_setaffinity"):
        yield "not pinned to a core, which this system cannot"
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield "client and server on one core"
    finally:
        os.sched_setaffinity(0, before)
