"""
Half an hour without Redis at 1,000 metrics a second: what the worker keeps of it in memory and in files, what that
costs a tick, and that all of it comes out again, in order and digit for digit.
"""

import hashlib
import random
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from bench import market
from bench.report import Figure, at_most, beside
from worker.latest import Reading
from worker.latest.market import SourceReading
from worker.sampling.tick_buffer import MEMORY_BYTES, Readings, TickBuffer
from worker.sampling.tick_journal import open_journal

METRICS = 1000
SECONDS = 1800
TICKS = 30
MEGABYTE = 1024 * 1024


def measure() -> Iterator[Figure]:
    market_readings = list(_make_readings())
    with tempfile.TemporaryDirectory() as folder, open_journal(Path(folder), 1, 1024**3, after=0) as journal:
        buffer, before = TickBuffer(1, journal), _read_resident()
        went_in, began = hashlib.sha256(), perf_counter()
        for second in range(SECONDS):
            readings = market_readings[second % len(market_readings)]
            went_in.update(repr((second, readings)).encode())
            buffer.add(second, readings)
        seconds, memory = perf_counter() - began, _read_resident() - before
        files = sum(path.stat().st_size for path in Path(folder).iterdir())
        came_out = hashlib.sha256()
        while buffer:
            at, readings = buffer.peek()
            came_out.update(repr((at, dict(readings))).encode())
            buffer.remove(at)
    how = f"{SECONDS} ticks of {METRICS} metrics whose digits have nothing in common"
    differs = int(went_in.digest() != came_out.digest()) + buffer.dropped
    yield at_most("ticks lost, or in another order or other digits", differs, 0, "", how)
    yield at_most("memory taken", memory / MEGABYTE, 1.5 * MEMORY_BYTES / MEGABYTE, " MB", f"{how}, resident")
    yield beside("files at the end of the outage", f"{files / MEGABYTE:.0f} MB", how)
    yield beside("processor time to keep a tick", f"{seconds / SECONDS * 1000:.1f} ms", f"{how}, hashes included")


def _make_readings() -> Iterator[Readings]:
    """Yield what a source says at some ticks: numbers that have nothing in common, so that they pack badly."""
    names, chance = market.metrics(METRICS), random.Random(7)
    for _ in range(TICKS):
        yield {name: SourceReading(_make_reading(chance), "bench") for name in names}


def _make_reading(chance: random.Random) -> Reading:
    return Reading(
        f"{chance.random() * 10 ** chance.randrange(-4, 5):.8f}",
        f"{chance.random() * 1e6:.8f}",
        f"{chance.gauss(0, 5):.3f}",
        f"{chance.gauss(0, 5):.8f}",
        f"{chance.random() * 100:.8f}",
    )


def _read_resident() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
