"""
Three workers that share a market of many metrics on a cluster of six nodes, a tick a minute, all on this machine:
whether every tick is committed before the next is due, and what it takes. `BENCH_METRICS` and `BENCH_HOURS` in the
environment say how many metrics there are, and of how many hours each has samples at the start.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

import uvloop

from bench import shared_crew, shared_market
from bench.report import Figure, at_most, beside
from bench.shared_crew import SharedMarket, read_load, read_processor
from v1.model import HOUR, MINUTE
from v1.store import keys
from v1.store.cluster.client import ClusterRedis

METRICS = int(os.environ.get("BENCH_METRICS", "100000"))
HOURS = float(os.environ.get("BENCH_HOURS", "2"))
"""Of samples that each metric has at the start."""
FILL_METRICS_A_SECOND = 500
"""So many are put there in a second, at least, for each hour that they have."""
NODE_TIMEOUT_MS = 15_000
"""A node that is held up by the others on few cores is not taken for lost."""
SIZED = 1000
"""Metrics whose states are measured."""


class NodeUse(NamedTuple):
    """What all nodes use together."""

    primaries: float
    """Seconds of processor time, as is the replicas'."""
    replicas: float
    memory: int
    """Bytes that the primaries hold."""
    resident: int
    """Bytes that all nodes have of the machine."""


class Watched(NamedTuple):
    """What was seen of a run."""

    delays: dict[int, float]
    """By tick, the seconds from it until it was published."""
    workers: dict[int, float]
    """Seconds of processor time of each worker."""
    partitions: list[int]
    nodes: NodeUse
    before: NodeUse
    loads: list[float]
    state_bytes: float
    """Of a metric."""


def measure(minutes: float) -> Iterator[Figure]:
    yield from _show(uvloop.run(_watch(minutes)))


def _show(seen: Watched) -> Iterator[Figure]:
    ticks = sorted(seen.delays)
    late = [tick for tick in ticks if seen.delays[tick] > MINUTE]
    gaps = sum((after - before) // MINUTE - 1 for before, after in pairwise(ticks))
    load = f"load {min(seen.loads):.1f} to {max(seen.loads):.1f}"
    how = f"{shared_crew.WORKERS} workers with {', '.join(map(str, seen.partitions))} partitions, six nodes, {os.cpu_count()} cores; {load}"
    what = f"{METRICS:,} metrics a minute on a cluster, from {HOURS:g} hours of samples each on"
    yield Figure(
        f"{what}: ticks not committed before the next",
        f"{len(late) + gaps} of {len(ticks) + gaps}",
        "0",
        not late and not gaps,
        how,
    )
    delays = [*seen.delays.values()]
    yield at_most(
        f"{what}: the slowest tick",
        max(delays),
        MINUTE,
        " s",
        f"median {median(delays):.1f} s, fastest {min(delays):.1f} s",
    )
    each = ", ".join(f"{used / len(ticks):.1f}" for used in seen.workers.values())
    primaries, replicas = seen.nodes.primaries - seen.before.primaries, seen.nodes.replicas - seen.before.replicas
    yield beside(
        f"{what}: processor time of a tick",
        f"{(sum(seen.workers.values()) + primaries + replicas) / len(ticks):.1f} s",
        f"workers {each} s, three primaries {primaries / len(ticks):.1f} s, three replicas {replicas / len(ticks):.1f} s",
    )
    yield beside(
        f"{what}: memory at the end",
        f"{seen.nodes.memory / 2**20:,.0f} MB in the primaries",
        f"{seen.nodes.resident / 2**20:,.0f} MB of the machine for all nodes; a state has {seen.state_bytes:.0f} bytes",
    )


async def _watch(minutes: float) -> Watched:
    made = shared_market.make_market(METRICS, MINUTE)
    filling = METRICS * max(1.0, HOURS) / FILL_METRICS_A_SECOND + 20
    until = int(time.time() + filling) // MINUTE * MINUTE + MINUTE
    print(f"{METRICS:,} metrics are put there, until {until - int(time.time())} s from now", file=sys.stderr)
    async with shared_crew.open_market(made, until, int(HOURS * HOUR), NODE_TIMEOUT_MS) as shared:
        print(f"filled, {until - time.time():.0f} s to go", file=sys.stderr)
        await asyncio.sleep(max(0.0, until + 1 - time.time()))
        for number in range(1, shared_crew.WORKERS + 1):
            shared.crew.start(number)
        await shared.wait_until_shared()
        print("shared", file=sys.stderr)
        return await _watch_ticks(shared, minutes)


async def _watch_ticks(shared: SharedMarket, minutes: float) -> Watched:
    """Watch for so many minutes, from the first tick on that is committed after all workers are there."""
    last = await _wait_for_tick(shared, await _wait_for_tick(shared, await shared.read_tick()))
    used = {number: -read_processor(pid) for number, pid in shared.crew.pids.items()}
    before, delays, loads = await _read_nodes(shared), dict[int, float](), [read_load()]
    end = time.time() + minutes * MINUTE
    while time.time() < end:
        last = await _wait_for_tick(shared, last)
        delays[last] = time.time() - last
        loads.append(read_load())
        print(
            f"{time.strftime('%H:%M:%S')} tick {last}: {delays[last]:.1f} s, load {loads[-1]:.1f}",
            file=sys.stderr,
            flush=True,
        )
    for number, pid in shared.crew.pids.items():
        used[number] += read_processor(pid)
    partitions = sorted(len(each.note.partitions) for each in await shared.list_workers())
    nodes = await _read_nodes(shared)
    return Watched(delays, used, partitions, nodes, before, loads, await _measure_states(shared))


async def _wait_for_tick(shared: SharedMarket, last: int | None) -> int:
    """Wait until a tick after `last` is published."""
    deadline = time.monotonic() + shared_crew.UP_SECONDS
    while True:
        found = await shared.read_tick()
        if found is not None and found != last:
            return found
        if time.monotonic() > deadline:
            raise RuntimeError(f"no tick for {shared_crew.UP_SECONDS} s: {shared.crew.read_logs()}")
        shared.crew.start_ended()
        await asyncio.sleep(shared_crew.POLL_SECONDS)


async def _read_nodes(shared: SharedMarket) -> NodeUse:
    primaries, found = await shared.nodes.primaries(), dict[int, dict[str, Any]]()
    for port in shared.nodes.ports:
        async with shared.nodes.client(port) as client:
            found[port] = {**await client.info("cpu"), **await client.info("memory")}
    used = {port: float(each["used_cpu_user"]) + float(each["used_cpu_sys"]) for port, each in found.items()}
    return NodeUse(
        sum(used[port] for port in primaries),
        sum(each for port, each in used.items() if port not in primaries),
        sum(int(found[port]["used_memory"]) for port in primaries),
        sum(int(each["used_memory_rss"]) for each in found.values()),
    )


async def _measure_states(shared: SharedMarket) -> float:
    assert isinstance(shared.redis, ClusterRedis)
    pipe = shared.redis.pipeline(transaction=False)
    names = shared_market.make_market(min(SIZED, METRICS), MINUTE).metrics
    for name in names:
        pipe.strlen(keys.moments(name))
    sizes: list[int] = await pipe.execute()
    return sum(sizes) / len(sizes)
