"""
The archiver killed (SIGKILL) while it closes hours, and PostgreSQL killed under one that goes on: afterwards every hour
of a full day is compared with an independent exact recount of the samples. None may be missing, there twice, or wrong.
"""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from random import Random

import uvloop
from redis.asyncio import Redis

from bench import databases, market, processes, servers
from bench.archive import GRACE, opened
from bench.report import Figure
from tests.support import postgres, recounted
from tests.support.recounted import Known
from v1.archive.writer import ArchiveWriter
from v1.model import DAY, HOUR, MINUTE, Measure, Metric
from v1.store import Reader, Writer, connect
from worker.archiving.archiver import Archiver
from worker.archiving.health import ArchiveCondition
from worker.archiving.late_hours import LateHours
from worker.archiving.rollup import HourlyRollup, RollupOptions

METRICS, PAIRS = 100, 50
Expected = Mapping[Metric, Mapping[int, recounted.Hour]]
KILLED, SERVER_KILLED = 50, 20
NOW = market.START // HOUR * HOUR + 2 * HOUR
"""When everything is over that there are samples of."""


def measure() -> Iterator[Figure]:
    for kind in databases.KINDS:
        with databases.empty(kind) as address:
            yield uvloop.run(_archiver_killed(kind, address))
    with postgres.running(postgres.wheel()) as server:
        yield uvloop.run(_server_killed(server))


def _parts(redis: Redis, archive: ArchiveWriter) -> Archiver:
    late_hours = LateHours()
    store = Writer(redis, note_late_samples=late_hours.add)
    rollup = HourlyRollup(store, archive, RollupOptions(MINUTE, GRACE), late_hours)
    return Archiver(store=store, archive=archive, rollup=rollup, late_hours=late_hours, health=ArchiveCondition())


async def close_everything(redis_address: str, address: str) -> None:
    """Close every hour there is: what is killed. Its first word is when it begins."""
    print(flush=True)
    async with connect(redis_address, "bench") as redis, opened(address) as archive:
        await _parts(redis, archive).archive_due(NOW)


async def _archiver_killed(kind: str, address: str) -> Figure:
    rng, tally = Random(1), Counter[str]()
    async with servers.running(next(servers.binaries())) as server, opened(address) as archive:
        expected = await _filled(server.redis)
        while tally["killed"] < KILLED:
            await archive.trim(2**40)
            while tally["killed"] < KILLED and await _is_cut_off(server.address, address, rng):
                tally["killed"] += 1
                await _whole_or_not_there(archive, tally)
            await _compared(archive, expected, tally, at_the_end=False)
        await _parts(server.redis, archive).archive_due(NOW)
        await _compared(archive, expected, tally, at_the_end=True)
    return _figure(f"the archiver killed {KILLED} times while closing hours of {METRICS} metrics", kind, tally)


async def _is_cut_off(redis_address: str, address: str, rng: Random) -> bool:
    """Run the archiver in a process of its own, and kill it; return whether it was at work then."""
    process = await asyncio.create_subprocess_exec(
        *processes.command("bench.archive_killed", redis_address, address),
        env=processes.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout
    await process.stdout.readline()
    try:
        async with asyncio.timeout(rng.uniform(0.1, 1.5)):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        return True
    return False


async def _server_killed(server: postgres.Server) -> Figure:
    rng, tally = Random(2), Counter[str]()
    async with (
        servers.running(next(servers.binaries())) as redis,
        opened(server.address()) as archive,
    ):
        expected = await _filled(redis.redis)
        archiver, now = _parts(redis.redis, archive), NOW
        looking = asyncio.create_task(archiver.archive_due(now))
        while tally["killed"] < SERVER_KILLED:
            await asyncio.sleep(rng.uniform(0.05, 0.6))
            server.kill()
            tally["killed"] += 1
            await looking
            await asyncio.to_thread(server.start)
            await _whole_or_not_there(archive, tally)
            if len(await archive.read_counts(NOW - 2 * HOUR)) == METRICS:
                await archive.trim(2**40)
                archiver = _parts(redis.redis, archive)
            now += 120
            looking = asyncio.create_task(archiver.archive_due(now))
        await looking
        await archiver.archive_due(now + 120)
        await _compared(archive, expected, tally, at_the_end=True)
    return _figure(f"PostgreSQL killed {SERVER_KILLED} times while hours are closed", databases.POSTGRESQL, tally)


async def _filled(redis: Redis) -> Expected:
    """Put a full day of every metric into the store, and return what its hours must come to."""
    names, at = market.metrics(METRICS), market.START // HOUR * HOUR + HOUR
    await market.fill(redis, names, market.days(PAIRS, at, MINUTE), at)
    return {name: await _recounted(Reader(redis), name) for name in names}


async def _recounted(reader: Reader, name: Metric) -> dict[int, recounted.Hour]:
    samples = await reader.read_samples(name, NOW - 2 * HOUR - DAY, NOW)
    known = [Known(each.tick, each.value(Measure.PRICE) or "", each.value(Measure.INTERVAL_VOLUME)) for each in samples]
    return recounted.hours(known, MINUTE, GRACE)


async def _whole_or_not_there(archive: ArchiveWriter, tally: Counter[str]) -> None:
    """See that each hour has all metrics or none."""
    for hour in range(NOW - 2 * HOUR - DAY, NOW, HOUR):
        count = len(await archive.read_counts(hour))
        tally["hours seen"] += count > 0
        tally["half-written"] += 0 < count < METRICS


async def _compared(archive: ArchiveWriter, expected: Expected, tally: Counter[str], *, at_the_end: bool) -> None:
    """Compare every hour with its samples; hours may be missing only while more are to come."""
    for name, hours in expected.items():
        held = await archive.read_hours(name, 0, 2**40)
        wrong = recounted.differences(held, hours)
        tally["compared"] += len(held)
        tally["wrong"] += sum(at_the_end or "missing" not in each for each in wrong)


def _figure(what: str, kind: str, tally: Counter[str]) -> Figure:
    bad = tally["wrong"] + tally["half-written"]
    how = (
        f"{kind}; {tally['compared']:,} candles compared, and after each kill {tally['hours seen']:,} hours looked at, "
        f"{tally['half-written']} of them half-written"
    )
    return Figure(what, f"{bad} missing, doubled or wrong", "0", not bad, how)


if __name__ == "__main__":
    asyncio.run(close_everything(*sys.argv[1:]))
