"""
A market of any size for measurements: days of the simulated exchange under as many names as wished, put
into a store as its writer would have left them.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, TypeVar

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from v1.market import metric_state
from v1.market.metric_state import SourceReading
from v1.model import DAY, MINUTE, Metric, Reading, Sample, find_hour, list_hours
from v1.numbers.chunks import split_into_chunks
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
_WRITTEN_TOGETHER = 50
"""Metrics whose whole day is written at once."""

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


async def fill_divided(redis: Redis, names: Sequence[Metric], market: Sequence[Day], at: int) -> None:
    """Put the same into an empty store that is divided: there every key is written, for no server copies to another."""
    store = Writer(redis)
    await store.open()
    packed = [_pack_day(day.samples, at) for day in market]
    for part in split_into_chunks([*enumerate(names)], _WRITTEN_TOGETHER):
        pipe = redis.pipeline(transaction=False)
        for place, name in part:
            _put_day(pipe, name, packed[place % len(packed)])
        await pipe.execute()
    for some in _batched(names):
        await redis.zadd(keys.METRICS, {str(name): at for name in some})
    await store.open()
    await store.update_rankings(at)


async def _write(redis: Redis, name: Metric, samples: Sequence[Sample], at: int) -> None:
    pipe = redis.pipeline(transaction=False)
    _put_day(pipe, name, _pack_day(samples, at))
    await pipe.execute()


class _PackedDay(NamedTuple):
    """A day as commands have it."""

    hours: Mapping[int, Sequence[object]]
    """Scores and members of each hour."""
    state: str


def _pack_day(samples: Sequence[Sample], at: int) -> _PackedDay:
    record = metric_state.recount_state(at, samples, None, SOURCE)
    if record is None:
        raise ValueError("the day is empty")
    by_hour: dict[int, list[Sample]] = {}
    for sample in samples:
        by_hour.setdefault(find_hour(sample.tick), []).append(sample)
    packed = {
        hour: [*chain.from_iterable((each.tick, keys.write_member(each)) for each in those)]
        for hour, those in by_hour.items()
    }
    return _PackedDay(packed, metric_state.write_state(record))


def _put_day(pipe: Pipeline, name: Metric, day: _PackedDay) -> None:
    for hour, members in day.hours.items():
        pipe.execute_command("ZADD", keys.samples(name, hour), *members)
        pipe.execute_command("EXPIRE", keys.samples(name, hour), keys.KEEP_SAMPLES)
    pipe.execute_command("SET", keys.moments(name), day.state, "EX", keys.KEEP)


def _batched(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
