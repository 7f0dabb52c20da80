"""
A worker of 10,000 metrics that is started again on its full day and its archive, against a local provider
that answers as Binance does: how long until it has committed a tick, with new samples of all of them.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple, cast

import uvloop
from redis.asyncio import Redis

from bench import market, processes, provider, servers
from bench.report import Figure, at_most, beside
from v1.model import HOUR, MINUTE
from v1.store import keys

METRICS = 10_000
FILL_SECONDS = 40
"""More than putting the day there takes; it must be there when the minute that it ends with begins."""
UP_SECONDS = 300


Started = AbstractContextManager[Popen[str]]


class Seen(NamedTuple):
    """Instants, unix seconds."""

    started: float
    ready: float
    """When it had asked the provider what there is."""
    committed: float
    tick: int
    """The first tick with new samples."""


def measure() -> Iterator[Figure]:
    minute, second = uvloop.run(_restarted())
    start, commit = minute.ready - minute.started, minute.committed - minute.tick
    yield at_most(
        f"restart of a worker with {METRICS:,} metrics to its first committed tick, the wait for the tick left out",
        start + commit,
        5,
        " s",
        f"a tick a minute: {start:.2f} s to be ready, {commit:.2f} s from the tick to its commit",
    )
    took = second.committed - second.started
    yield beside("the same, all of it", f"{took:.2f} s", "a tick a second, TRACKER_INTERVAL=1")


async def _restarted() -> list[Seen]:
    """Start a worker on a full day; once it has sampled and archived, start it again, and again with short ticks."""
    now = int(time.time()) + FILL_SECONDS
    until = now - now % MINUTE + MINUTE
    days = market.days(market.PAIRS, until, MINUTE)
    async with servers.running(next(servers.binaries())) as server, provider.serving(METRICS, days) as url:
        await market.fill(server.redis, provider.metrics(METRICS), days, until)
        await asyncio.sleep(max(0.0, until + 1 - time.time()))
        settings = {"sources": "binance", "metrics": f"{provider.EXCHANGE}:*", "binance_url": url}
        with tempfile.TemporaryDirectory() as here:
            started = partial(processes.started, Path(here), "worker", redis_url=server.address, **settings)
            with started(interval=MINUTE) as worker:
                await _when(worker, lambda: _has_sampled(server.redis, until))
                await _when(worker, lambda: _has_archived(server.redis, until))
            seen = []
            for interval in (MINUTE, 1):
                try:
                    seen.append(await _started(started, server.redis, interval))
                except TimeoutError as error:
                    raise RuntimeError(f"no tick: {(Path(here) / 'log').read_text()}") from error
            return seen


async def _started(start: Callable[..., Started], redis: Redis, interval: int) -> Seen:
    newest = await _newest(redis)
    await redis.delete(keys.SOURCES)
    started = time.time()
    with start(interval=interval) as worker:
        # Said of a source once all that is due is committed: of a tick a second that may never be.
        ready = await _when(worker, lambda: _knows_all(redis)) if interval == MINUTE else started
        committed = await _when(worker, lambda: _has_sampled(redis, newest))
        return Seen(started, ready, committed, await _newest(redis))


async def _when(worker: Popen[str], happened: Callable[[], Awaitable[bool]]) -> float:
    """Return when something happened: at the latest a hundredth of a second before it is seen."""
    deadline = time.time() + UP_SECONDS
    while not await happened():
        if worker.poll() is not None or time.time() > deadline:
            raise TimeoutError
        await asyncio.sleep(0.01)
    return time.time()


async def _knows_all(redis: Redis) -> bool:
    said = await redis.hget(keys.SOURCES, "binance")
    return said is not None and json.loads(said)["metrics"] == METRICS


async def _has_archived(redis: Redis, until: int) -> bool:
    said = await redis.get(keys.ARCHIVE)
    newest = json.loads(said)["newest"] if said else None
    return newest is not None and newest >= (until // HOUR - 1) * HOUR


async def _has_sampled(redis: Redis, until: int) -> bool:
    return await _newest(redis) > until


async def _newest(redis: Redis) -> int:
    """Return the tick of the newest sample. The index is written after the samples of all metrics."""
    rows = cast("list[tuple[str, float]]", await redis.zrange(keys.METRICS, -1, -1, withscores=True))
    return int(rows[0][1]) if rows else 0
