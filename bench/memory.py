"""
What a full day of six measures takes in Redis, all keys counted, beside the same numbers as members
`tick:value` of one sorted set per metric and measure in the server's default encoding. And what a sample
costs to add where the day is one sorted set, which is why it is kept by the hour. And what the embedded server
takes of the machine for it after hours of ticks, with all that it has freed and not given back.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import uvloop
from redis.asyncio import Redis

from bench import market, recordings, servers
from bench.report import Figure, at_least, at_most, beside
from v1.model import DAY, HOUR, MEASURES, MINUTE, Sample
from v1.store import Writer, keys
from worker.sampling.tick import commit_tick

METRICS = 500
FINE = 5
FINE_METRICS = 10
RECORDED = "binance-spot-20210517"
AS_BY_DEFAULT = ("--zset-max-listpack-entries", "128", "--zset-max-listpack-value", "64")


class Full(NamedTuple):
    """Full days to put into a server."""

    what: str
    metrics: int
    days: Sequence[market.Day]
    until: int


class TickLoad(NamedTuple):
    """Ticks that a server takes, and what it holds before the first of them."""

    metrics: int
    interval: int
    """Seconds between two ticks."""
    ticks: int
    is_full: bool
    """Whether it holds a full day; else it is empty, as on the first start."""

    @property
    def what(self) -> str:
        begin = "from a full day" if self.is_full else "from nothing"
        return f"{self.ticks} ticks of {self.metrics} metrics every {self.interval} s {begin}"


LOADS = (TickLoad(METRICS, MINUTE, 180, is_full=True), TickLoad(1530, FINE, 120, is_full=False))
"""The second is the first ten minutes of a large market: lists grow at every tick, and all of them alike."""


def measure() -> Iterator[Figure]:
    all_days = list(_full_days())
    for binary in servers.binaries():
        for full in all_days:
            yield from uvloop.run(_bytes(binary, full))
        yield uvloop.run(_by_the_hour(binary))
    for load in LOADS:
        yield uvloop.run(_resident(next(servers.binaries()), load))


def _full_days() -> Iterator[Full]:
    folder = recordings.folder(RECORDED)
    if folder:
        days, until = market.recorded_days(folder)
        yield Full(f"{RECORDED}, a sample a minute", METRICS, days, until)
    days = market.days(market.PAIRS, market.START, MINUTE)
    yield Full("simulated, a sample a minute", METRICS, days, market.START)
    days = market.days(FINE_METRICS, market.START, FINE)
    yield Full(f"simulated, a sample every {FINE} s", FINE_METRICS, days, market.START)


async def _bytes(binary: Path, full: Full) -> list[Figure]:
    names = market.metrics(full.metrics)
    days = [full.days[place % len(full.days)] for place in range(full.metrics)]
    points = sum(value is not None for day in days for sample in day.samples for value in sample.values)
    async with servers.running(binary) as server:
        before = await _used(server.redis)
        await market.fill(server.redis, names, full.days, full.until)
        ours = (await _used(server.redis) - before) / points
    async with servers.running(binary, *AS_BY_DEFAULT) as server:
        before = await _used(server.redis)
        await _plainly(server.redis, [day.samples for day in days])
        plain = (await _used(server.redis) - before) / points
    how = f"{server.name}, {full.metrics} metrics, {points:,} data points, difference of `used_memory`"
    beside_how = f"{server.name}, default encoding, {plain:.0f} bytes"
    return [
        at_most(f"bytes a data point, {full.what}", ours, 14, "", how),
        at_least("a sorted set for each metric and measure, beside that", plain / ours, 8, " x", beside_how),
    ]


async def _plainly(redis: Redis, days: Sequence[Sequence[Sample]]) -> None:
    """Put the samples as is usual: a sorted set for each metric and measure, with members `tick:value`."""
    for name, samples in zip(market.metrics(len(days)), days, strict=True):
        for place, measure in enumerate(MEASURES):
            numbers = [(f"{sample.tick}:{sample.values[place]}", sample.tick) for sample in samples]
            for start in range(0, len(numbers), 1000):
                await redis.zadd(f"{name}:{measure}", dict(numbers[start : start + 1000]))


async def _by_the_hour(binary: Path) -> Figure:
    """Slide a full day on, kept in one set and kept by the hour; compare what the server says it took."""
    (day,) = market.days(1, market.START, MINUTE)
    async with servers.running(binary) as server:
        whole = await _slide(server.redis, day.samples, "whole", 10 * DAY)
        hourly = await _slide(server.redis, day.samples, "hourly", HOUR)
    how = f"{server.name}: {whole:.1f} us in a set of 1440 samples, {hourly:.1f} us in one of at most 60, ZADD alone"
    return beside("adding a sample to a day in one sorted set, beside one by the hour", f"{whole / hourly:.0f} x", how)


async def _slide(redis: Redis, samples: Sequence[Sample], name: str, span: int) -> float:
    """Add samples to a full day and trim it, many times over; return the microseconds of an addition."""
    start, last = samples[0].tick, samples[-1]
    for sample in samples:
        await redis.zadd(f"{name}:{(sample.tick - start) // span}", {_unique(sample): sample.tick})
    await redis.config_resetstat()
    for at in range(last.tick + MINUTE, last.tick + 2000 * MINUTE, MINUTE):
        await redis.zadd(f"{name}:{(at - start) // span}", {_unique(last._replace(tick=at)): at})
        await redis.zremrangebyscore(f"{name}:{(at - DAY - start) // span}", "-inf", at - DAY)
    return float((await redis.info("commandstats"))["cmdstat_zadd"]["usec_per_call"])


def _unique(sample: Sample) -> str:
    """Write a sample with its whole tick, so that it is another member than that of any other hour."""
    return f"[{sample.tick},{keys.write_member(sample).partition(',')[2]}"


async def _resident(binary: Path, load: TickLoad) -> Figure:
    """Tick on; compare what the machine gives the server then with what it uses."""
    names = market.metrics(load.metrics)
    days = market.days(market.PAIRS, market.START, MINUTE, load.ticks)
    async with servers.running(binary) as server:
        if load.is_full:
            await market.fill(server.redis, names, days, market.START)
        before = await server.redis.info("memory")
        store = Writer(server.redis)
        await store.open()
        for number in range(load.ticks):
            at = market.START + (number + 1) * load.interval
            await commit_tick(at, market.heard(names, days, number), store)
        after = await server.redis.info("memory")
    how = (
        f"{server.name}: {after['used_memory_rss'] / 1e6:.0f} MB resident, {after['used_memory'] / 1e6:.0f} MB used, "
        f"{before['used_memory_rss'] / 1e6:.0f} MB resident before the first of them"
    )
    what = f"resident beside used memory after {load.what}"
    return beside(what, f"{after['used_memory_rss'] / after['used_memory']:.2f} x", how)


async def _used(redis: Redis) -> int:
    return int((await redis.info("memory"))["used_memory"])
