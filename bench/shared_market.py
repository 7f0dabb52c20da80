"""
A market of any size that several workers share, made of a few simulated days: what each metric says at a tick follows
from the number of the metric and from the tick alone, so that whatever a store should hold can be worked out anew.
"""

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from aiohttp import ClientSession
from redis.asyncio import Redis

from bench import market
from v1.market import metric_state
from v1.model import MEASURES, MINUTE, Candle, Metric, Reading, Sample, find_hour
from v1.numbers.chunks import split_into_chunks
from v1.numbers.decimals import parse_decimal
from v1.store import Writer, keys
from worker.sources.base import SourceProfile
from worker.sources.simulated.catalogue import EXCHANGE
from worker.sources.simulated.source import NAME

FILE = "BENCH_MARKET"
"""The variable of the environment that names the file with the market."""
_SHIFTS, _SHIFT = 8, 61
"""Metrics of one day say the same at different times: so many kinds, so many readings apart."""
_INDEXED_TOGETHER = 500
_WRITTEN_TOGETHER = 50


class MadeMarket(NamedTuple):
    """What all metrics say, tick after tick, in a circle."""

    size: int
    interval: int
    """Seconds between two ticks."""
    rows: Sequence[Sequence[Sequence[str]]]
    """For each day and each of its steps: price, volume, both changes, interval volume."""

    @property
    def metrics(self) -> list[Metric]:
        return [Metric(f"{EXCHANGE}:C{number:05}USD") for number in range(self.size)]

    @property
    def kinds(self) -> int:
        """How many metrics say different things; all others say what one of these does."""
        return len(self.rows) * _SHIFTS

    def make_reading(self, number: int, tick: int) -> Reading:
        """Return what the `number`-th metric says at a tick."""
        day, shift = number % len(self.rows), number // len(self.rows) % _SHIFTS
        row = self.rows[day]
        price, *others = row[(tick // self.interval + shift * _SHIFT) % len(row)]
        volume, percentage, absolute, traded = others
        return Reading(price, volume, percentage, absolute, traded)

    def make_samples(self, number: int, ticks: Sequence[int]) -> Iterator[Sample]:
        """Return the samples of the `number`-th metric at `ticks`, the first of which has none before it."""
        before: Reading | None = None
        for tick in ticks:
            reading = self.make_reading(number, tick)
            since = before and metric_state.compute_interval_return(
                parse_decimal(reading.price), parse_decimal(before.price)
            )
            yield Sample(tick, (*reading[:5], since))
            before = reading

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(self._asdict()), encoding="utf-8")


def make_market(count: int, interval: int) -> MadeMarket:
    days = market.days(market.PAIRS, market.START, MINUTE)
    return MadeMarket(
        count, interval, [[[value or "0" for value in each.values[:5]] for each in day.samples] for day in days]
    )


def read_market() -> MadeMarket:
    """Return the market in the file that the environment names."""
    return MadeMarket(**json.loads(Path(os.environ[FILE]).read_text(encoding="utf-8")))


class MadeSource:
    """A source that gives the market, asks nobody, and has no candles: of what is missing nothing is filled in."""

    name = NAME
    pace = 0.0
    lead = 0
    profile = SourceProfile(EXCHANGE, MEASURES[:5], minutes=None, hours=0, requests="none", limits="none")
    rejects: Mapping[str, int] = {}
    dead: Collection[Metric] = ()

    def __init__(self, wishes: Sequence[str], interval: int = MINUTE) -> None:
        del wishes, interval
        self._market = read_market()
        self.metrics: Sequence[Metric] = ()

    async def open(self, session: ClientSession) -> Mapping[Metric, str]:
        del session
        self.metrics = self._market.metrics
        return {}

    async def fetch(self, session: ClientSession, at: int) -> Mapping[Metric, Reading]:
        del session
        kinds = [self._market.make_reading(number, at) for number in range(self._market.kinds)]
        return {metric: kinds[number % len(kinds)] for number, metric in enumerate(self.metrics)}

    async def fetch_candles(self, session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        del session, metric, start, end
        return []


async def fill(redis: Redis, made: MadeMarket, until: int, seconds: int) -> None:
    """Put the samples of so many seconds before `until`, and what follows from them, into an empty store."""
    store = Writer(redis)
    await store.open()
    ticks = range(until - seconds + made.interval, until + 1, made.interval)
    kinds = [_pack([*made.make_samples(number, ticks)], until) for number in range(min(made.kinds, made.size))]
    names = made.metrics
    for part in split_into_chunks([*enumerate(names)], _WRITTEN_TOGETHER):
        pipe = redis.pipeline(transaction=False)
        for number, name in part:
            hours, state = kinds[number % len(kinds)]
            for hour, members in hours.items():
                pipe.execute_command("ZADD", keys.samples(name, hour), *members)
                pipe.execute_command("EXPIRE", keys.samples(name, hour), keys.KEEP_SAMPLES)
            pipe.execute_command("SET", keys.moments(name), state, "EX", keys.KEEP)
        await pipe.execute()
    for some in split_into_chunks(names, _INDEXED_TOGETHER):
        await redis.zadd(keys.METRICS, {str(name): until for name in some})


def _pack(samples: Sequence[Sample], at: int) -> tuple[Mapping[int, Sequence[object]], str]:
    """Return the scores and members of each hour, and the state."""
    record = metric_state.recount_state(at, samples, None, NAME)
    if record is None:
        raise ValueError("there are no samples")
    by_hour: dict[int, list[Sample]] = {}
    for sample in samples:
        by_hour.setdefault(find_hour(sample.tick), []).append(sample)
    packed = {
        hour: [*chain.from_iterable((each.tick, keys.write_member(each)) for each in those)]
        for hour, those in by_hour.items()
    }
    return packed, metric_state.write_state(record)
