"""
The archive on both databases: every hour of every recorded set against an independent exact recount from the files;
how long closing an hour takes, and what a tick notices of it; how long a year of hours takes over HTTP.
"""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

import uvloop
from aiohttp import ClientSession

from bench import databases, market, processes, recordings, servers
from bench.recount import MINUTE, Series, recorded
from bench.replays import SETS
from bench.report import Figure, at_most, beside
from tests.support import recounted
from tests.support.recounted import Known
from v1.archive import connect_archive
from v1.archive.writer import ArchiveWriter
from v1.market.candles import HourCandle
from v1.model import HOUR, Metric
from v1.store import Writer
from worker.archiving.rollup import HourlyRollup, RollupOptions
from worker.sampling.recording import open_recording
from worker.sampling.replay import replay
from worker.sampling.tick import commit_tick

GRACE = 90
METRICS = 10_000
PAIRS = 60
CLOSINGS, CLOSING_SECONDS = 5, 3.0
YEAR, OTHERS = 8760, 100
QUESTIONS, QUESTION_SECONDS = 300, 0.05


def measure() -> Iterator[Figure]:
    for folder in filter(None, map(recordings.folder, SETS)):
        for kind in databases.KINDS:
            with databases.empty(kind) as address:
                yield uvloop.run(_recounted(folder, kind, address))
    for kind in databases.KINDS:
        with databases.empty(kind) as address:
            yield from uvloop.run(_closed(kind, address))
    for kind in databases.KINDS:
        with databases.empty(kind) as address:
            yield from uvloop.run(_year(kind, address))


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[ArchiveWriter]:
    async with connect_archive(address, "bench", writes=True) as engine:
        archive = ArchiveWriter(engine)
        await archive.open()
        yield archive


# ---- every hour of every set ------------------------------------------------------------------------------


async def _recounted(folder: Path, kind: str, address: str) -> Figure:
    recording, series = open_recording(folder), recorded(folder)
    async with servers.running(next(servers.binaries())) as server, opened(address) as archive:
        for _ in range(2):
            store = Writer(server.redis)
            closer = HourlyRollup(store, archive, RollupOptions(MINUTE, GRACE))
            await replay(recording, store, MINUTE, lambda _done, _of: None, closer)
        tally: Counter[str] = Counter()
        for name, each in series.items():
            held = await archive.read_hours(Metric(name), 0, 2**40)
            tally["hours"] += len(held)
            tally["revisions"] += sum(hour.revision - 1 for hour in held)
            tally["wrong"] += len(recounted.differences(held, _expected(each)))
    return Figure(
        f"{folder.name}: {len(series)} pairs, every hour after two replays",
        f"{tally['wrong']} differ",
        "0 differ",
        not tally["wrong"] and not tally["revisions"],
        f"{tally['hours']:,} hours on {kind}, each number digit for digit; "
        f"the second replay changed {tally['revisions']}",
    )


def _expected(series: Series) -> dict[int, recounted.Hour]:
    known = [Known(at, str(values[0]), values[4]) for at, values in series.between(0, 2**40)]
    return recounted.hours(known, MINUTE, GRACE)


# ---- closing an hour --------------------------------------------------------------------------------------


async def _closed(kind: str, address: str) -> list[Figure]:
    names, days = market.metrics(METRICS), market.days(PAIRS, market.START, MINUTE, 2 * CLOSINGS + 2)
    async with servers.running(next(servers.binaries())) as server, opened(address) as archive:
        await market.fill(server.redis, names, days, market.START)
        store = Writer(server.redis)
        await store.open()
        closer = HourlyRollup(store, archive, RollupOptions(MINUTE, GRACE))
        hour = market.START // HOUR * HOUR - 20 * HOUR
        closings, alone, beside_it = [], [], []
        for number in range(CLOSINGS):
            closings.append(await _seconds(closer.close_hour(hour + 2 * number * HOUR, market.START)))
            alone.append(await _tick(store, names, days, 2 * number))
            closing = asyncio.create_task(closer.close_hour(hour + (2 * number + 1) * HOUR, market.START))
            await asyncio.sleep(0.2)
            beside_it.append(await _tick(store, names, days, 2 * number + 1))
            await closing
        again = await _seconds(closer.close_hour(hour, market.START))
    how = f"{kind}, {server.name}, {CLOSINGS} hours of 60 samples a metric, every number new"
    return [
        at_most(f"closing an hour of {METRICS:,} metrics", max(closings), CLOSING_SECONDS, " s", f"worst of {how}"),
        beside("the same hour again, which changes nothing", f"{again:.2f} s", kind),
        beside(
            f"a tick of {METRICS:,} metrics that comes while an hour is closed",
            f"{median(beside_it):.2f} s",
            f"{kind}; {median(alone):.2f} s otherwise: medians of {CLOSINGS}, on the same processors",
        ),
    ]


async def _seconds(work: object) -> float:
    began = perf_counter()
    await work  # type: ignore[misc]  # whatever is awaited
    return perf_counter() - began


async def _tick(store: Writer, names: Sequence[Metric], days: Sequence[market.Day], number: int) -> float:
    at = market.START + (number + 1) * MINUTE
    return await _seconds(commit_tick(at, market.heard(names, days, number), store))


# ---- a year over HTTP -------------------------------------------------------------------------------------


async def _year(kind: str, address: str) -> list[Figure]:
    first = int(time.time()) // HOUR * HOUR - YEAR * HOUR
    async with opened(address) as archive:
        for day in range(0, YEAR, 24):
            await archive.write([each for hour in range(day, day + 24) for each in _hours(first + hour * HOUR)])
    async with servers.running(next(servers.binaries())) as server:
        with (
            tempfile.TemporaryDirectory() as folder,
            processes.api(Path(folder), server.address, database_url=address) as url,
        ):
            plain = await _asked(url, first, "identity")
            packed = await _asked(url, first, "gzip")
    what = f"one metric, {YEAR:,} hourly candles as JSON"
    how = f"{kind} with {OTHERS} such metrics, {QUESTIONS} questions over HTTP, {plain[1] / 1e6:.1f} MB each"
    return [
        at_most(f"{what}, p99", quantiles(plain[0], n=100)[98] * 1e3, QUESTION_SECONDS * 1e3, " ms", how),
        beside(
            f"{what}, median",
            f"{median(plain[0]) * 1e3:.1f} ms",
            f"{median(packed[0]) * 1e3:.1f} ms where it is packed",
        ),
    ]


def _hours(start: int) -> list[HourCandle]:
    price = f"{46572 + start // HOUR % 977}.{start // HOUR % 89:02}"
    text = (price, f"{price}1", f"{price[:-1]}0", price, f"{price}00", f"{price}0000", price, "1234.56789012")
    return [
        HourCandle(metric, start, *text, 60, HOUR, "samples", start + HOUR + GRACE) for metric in market.metrics(OTHERS)
    ]


async def _asked(url: str, first: int, encoding: str) -> tuple[list[float], int]:
    """Return how long each question took, and how large an answer was."""
    seconds, size = [], 0
    async with ClientSession(headers={"Accept-Encoding": encoding}, auto_decompress=False) as session:
        for number in range(QUESTIONS):
            metric = market.metrics(OTHERS)[number % OTHERS]
            began = perf_counter()
            asked = f"{url}/v1/metrics/{metric}/candles?from={first}&to={first + YEAR * HOUR}"
            async with session.get(asked) as answer:
                body = await answer.read()
            seconds.append(perf_counter() - began)
            size = len(body)
            if answer.status != 200:
                raise RuntimeError(f"{asked} was answered with {answer.status}")
    return seconds, size
