"""
A market of any size for measurements: days of the simulated exchange under as many names as wished, put
into a store as its writer would have left them.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, TypeVar

from redis.asyncio import Redis

from v1.market import metric_state
from v1.market.metric_state import SourceReading
from v1.model import DAY, MINUTE, Metric, Reading, Sample, find_hour, list_hours
from v1.numbers.decimals import parse_decimal
from v1.store import Writer, keys
from worker.sampling.recording import open_recording, read_candles
from worker.sources import from_candles
from worker.sources.simulated.catalogue import SimulatedPair
from worker.sources.simulated.pairs import SimulatedPairs

SOURCE = "simulated"
START = 1_762_303_020
"""A tick in the middle of an hour."""
PAIRS = 60
"""Different days that a market of many metrics shares, unless another number is asked for."""
_BATCH = 500

T = TypeVar("T")


class Day(NamedTuple):
    """A whole day of one pair, and what is heard of it after."""

    samples: Sequence[Sample]
    readings: Sequence[Reading]


def days(count: int, at: int, interval: int, after: int = 0) -> list[Day]:
    """Return the day that ends with tick `at`, and `after` readings from then on, of `count` pairs that always trade."""
    market = SimulatedPairs(seed=1)
    whole = (_day(market, pair, at, interval, after) for pair in market.all.values())
    return [*islice((day for day in whole if day), count)]


def recorded_days(folder: Path) -> tuple[list[Day], int]:
    """Return the last day of every pair of a recording that has all of it, and the day's end."""
    recording = open_recording(folder)
    until = recording.last
    made = [from_candles.derive_samples(read_candles(path)) for path in recording.files.values()]
    whole = [[sample for sample in samples if sample.tick > until - DAY] for samples in made]
    return [Day(samples, ()) for samples in whole if len(samples) == DAY // MINUTE], until


def _day(market: SimulatedPairs, pair: SimulatedPair, at: int, interval: int, after: int) -> Day | None:
    readings = []
    for tick in range(at - DAY, at + after * interval + 1, interval):
        reading = market.make_reading(pair, tick, interval)
        if reading is None or reading.volume is None:
            return None
        readings.append(reading)
    samples: list[Sample] = []
    for tick, reading, before in zip(range(at - DAY, at, interval), readings[1:], readings, strict=False):
        since = metric_state.compute_interval_return(parse_decimal(reading.price), parse_decimal(before.price))
        samples.append(Sample(tick + interval, (*reading[:5], since)))
    return Day(samples, readings[len(samples) + 1 :])


def metrics(count: int) -> list[Metric]:
    """Return names as long as those of real pairs are."""
    return [Metric(f"BENCH:C{number:05}USD") for number in range(count)]


def heard(names: Sequence[Metric], market: Sequence[Day], tick: int) -> dict[Metric, SourceReading]:
    """Return what is heard of every metric at the `tick`-th tick after the day."""
    return {name: SourceReading(market[place % len(market)].readings[tick], SOURCE) for place, name in enumerate(names)}


async def fill(redis: Redis, names: Sequence[Metric], market: Sequence[Day], at: int, recent: int = DAY) -> None:
    """
    Put a full day of every metric into an empty store, with all that follows from it.

    The first ones are written; the server copies the others from them, which is quick. Of these, only samples of the
    `recent` seconds are copied, so that a market may be larger than the memory; what follows is that of the whole day.
    """
    hours = list_hours(at - recent, at)
    # Opened for the first time, a store gets the number of its format.
    await Writer(redis).open()
    for name, day in zip(names, market, strict=False):
        await _write(redis, name, day.samples, at)
    for some in _batched(range(len(market), len(names))):
        pipe = redis.pipeline(transaction=False)
        for place in some:
            name, original = names[place], names[place % len(market)]
            pipe.execute_command("COPY", keys.moments(original), keys.moments(name))
            for hour in hours:
                pipe.execute_command("COPY", keys.samples(original, hour), keys.samples(name, hour))
        await pipe.execute()
    for part in _batched(names):
        await redis.zadd(keys.METRICS, {str(name): at for name in part})
    store = Writer(redis)
    await store.open()
    await store.update_rankings(at)


async def _write(redis: Redis, name: Metric, samples: Sequence[Sample], at: int) -> None:
    record = metric_state.recount_state(at, samples, None, SOURCE)
    if record is None:
        raise ValueError(f"the day of {name} is empty")
    by_hour: dict[int, list[Sample]] = {}
    for sample in samples:
        by_hour.setdefault(find_hour(sample.tick), []).append(sample)
    pipe = redis.pipeline(transaction=False)
    for hour, those in by_hour.items():
        key = keys.samples(name, hour)
        pipe.execute_command("ZADD", key, *chain.from_iterable((each.tick, keys.write_member(each)) for each in those))
        pipe.execute_command("EXPIRE", key, keys.KEEP_SAMPLES)
    pipe.execute_command("SET", keys.moments(name), metric_state.write_state(record), "EX", keys.KEEP)
    await pipe.execute()


def _batched(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
