"""What a store should hold, kept slowly beside it: every sample in a dictionary, every number recounted from all."""

from collections.abc import Iterable, Mapping
from typing import Any

from redis.asyncio import Redis

from tests.support import naive
from v1.market.metric_state import SourceReading
from v1.model import DAY, MEASURES, By, Measure, Metric, Reading, Sample, find_hour
from v1.store import Reader, Writer, keys
from v1.store.binary import execute_binary
from worker.sampling.tick import commit_tick

BTC, ETH, XRP, DOGE = (Metric(f"KRAKEN:{coin}USD") for coin in ("BTC", "ETH", "XRP", "DOGE"))
SOURCE = "tests"

Market = Mapping[Metric, Reading]


def heard(market: Mapping[Metric, Reading | str]) -> dict[Metric, SourceReading]:
    """Make of prices, or whole readings, what a worker hears."""
    return {
        metric: SourceReading(each if isinstance(each, Reading) else Reading(each), SOURCE)
        for metric, each in market.items()
    }


async def play(store: Writer, ticks: Mapping[int, Mapping[Metric, Reading | str]]) -> None:
    """Commit ticks, one after the other."""
    for at, market in ticks.items():
        await commit_tick(at, heard(market), store)


_OF_CLUSTERS = (keys.PARTITIONS, *(f"{name}{{" for name in keys.OF_PARTITIONS))


async def dump(redis: Redis) -> dict[str, Any]:
    """
    Return every key with its content, and whether it has an end.

    Of a cluster, without what is only there because it is divided.
    """
    dumped: dict[str, Any] = {}
    async for key in redis.scan_iter(count=1000):
        if key.startswith(_OF_CLUSTERS):
            continue
        kind = await redis.type(key)
        dumped[key] = (kind, repr(await _read_content(redis, key, kind)), await redis.ttl(key) > 0)
    return dumped


async def _read_content(redis: Redis, key: str, kind: str) -> Any:
    """Return what a key holds; of a log what was told, without when and how often: a tick is told again with each commit."""
    if kind == "zset":
        return await redis.zrange(key, 0, -1, withscores=True)
    if kind == "stream":
        return [*dict.fromkeys(str(fields) for _, fields in await redis.xrange(key))]
    if kind == "hash":
        return sorted((await redis.hgetall(key)).items())
    if kind == "list":
        return await redis.lrange(key, 0, -1)
    if key.startswith(f"{keys.OURS}ranges:"):  # deflated, and so no text
        return await execute_binary(redis, "GET", key)
    return await redis.get(key)


class Ledger:
    """The naive twin of a store. Ask it to do what the store did, then let it look at the store."""

    def __init__(self) -> None:
        self.newest: int | None = None
        self.at: dict[Metric, int] = {}
        """The tick that each metric was moved to."""
        self.days: dict[Metric, dict[int, Sample]] = {}
        self.known: set[Metric] = set()
        """Metrics that the index has: those that a tick moves without hearing of them."""

    def tick(self, at: int, market: Market) -> None:
        self.move(at, market, self.known | market.keys())
        self.known = {metric for metric in self.known | market.keys() if metric in self.at}
        self.newest = at

    def move(self, at: int, market: Market, metrics: Iterable[Metric]) -> None:
        """Move some metrics on, and nothing else: what is left of a tick that was cut off."""
        for metric in metrics:
            if metric in market:
                days = self.days.setdefault(metric, {})
                days[at] = self._sampled(metric, at, market[metric])
            if metric not in self.days:
                continue
            self.at[metric] = at
            self.days[metric] = {tick: sample for tick, sample in self.days[metric].items() if tick > at - DAY}
            if not self.days[metric]:
                del self.days[metric], self.at[metric]

    def _sampled(self, metric: Metric, at: int, reading: Reading) -> Sample:
        days = dict(self.days[metric])
        written = days.pop(at, None)
        sample = naive.sampled(at, reading, days)
        if self.at.get(metric) != at or (reading.change_percentage, reading.change_absolute) != (None, None):
            return sample
        # The sample of 24 hours ago has left by now; what followed from it is what the first writing says.
        percentage = absolute = None
        if written and (price := written.value(Measure.PRICE)) and (change := written.value(Measure.CHANGE_ABSOLUTE)):
            yesterday = naive.difference(price, change)
            percentage = naive.percent(reading.price, yesterday, naive.CHANGE_PLACES)
            absolute = naive.difference(reading.price, yesterday)
        values = dict(zip(MEASURES, sample.values, strict=True))
        values |= {Measure.CHANGE_PERCENTAGE: percentage, Measure.CHANGE_ABSOLUTE: absolute}
        return Sample(at, tuple(values.values()))

    def insert(self, metric: Metric, samples: Iterable[Sample], at: int, *, replace: bool = False) -> int:
        at = self.at.get(metric, at)
        days = self.days.get(metric, {})
        come = {
            each.tick: each for each in samples if at - DAY < each.tick <= at and (replace or each.tick not in days)
        }  # of two at one tick the last
        come = {tick: each for tick, each in come.items() if days.get(tick) != each}
        if come:
            self.days[metric] = days | come
            self.at[metric] = at
            self.known.add(metric)
        return len(come)

    def empty(self) -> None:
        self.newest = None
        for held in (self.at, self.days, self.known):
            held.clear()

    async def look_at_samples(self, redis: Redis) -> None:
        """See that the store holds the samples and moments of the day, and no others."""
        expected = {
            keys.samples(metric, find_hour(tick)): [
                keys.write_member(days[each]) for each in sorted(days) if find_hour(each) == find_hour(tick)
            ]
            for metric, days in self.days.items()
            for tick in days
        }
        written = {key async for key in redis.scan_iter("v1:samples:*", count=1000)}
        assert written == expected.keys()
        for key in written:
            assert await redis.zrange(key, 0, -1) == expected[key]
        assert {key async for key in redis.scan_iter("v1:moments:*")} == {keys.moments(metric) for metric in self.at}
        await self._look_at_records(Reader(redis))

    async def _look_at_records(self, reader: Reader) -> None:
        for metric, record in zip(self.at, await reader.read_metric_states([*self.at]), strict=True):
            samples = sorted(self.days[metric].values())
            at = self.at[metric]
            assert record
            assert (record.at, record.newest, record.price) == (at, samples[-1].tick, samples[-1].value(Measure.PRICE))
            assert naive.held(record.day) == naive.sums(samples)
            assert naive.held(record.hour) == naive.sums([each for each in samples if each.tick >= at - 3600])

    async def look_at_lists(self, redis: Redis) -> None:
        """See that index, ranks and means are those of the samples."""
        reader = Reader(redis)
        assert await reader.read_metrics() == {metric: max(self.days[metric]) for metric in self.known}
        assert await reader.read_tick() == self.newest
        days = {metric: naive.sums([*self.days[metric].values()]) for metric in self.known}
        hours = {
            metric: naive.sums(naive.hour_before(self.days[metric].values(), self.at[metric])) for metric in self.known
        }
        for column, measure in enumerate(MEASURES):
            for by, figure in ((By.STDDEV, naive.stddev), (By.CV, naive.cv)):
                values = {metric: value for metric in days if (value := figure(days[metric][column])) is not None}
                ranking = await reader.read_ranking(measure, by, 0, 100)
                assert [place[:3] for place in ranking.places] == naive.ranked(values)
                assert [place.samples for place in ranking.places] == [
                    days[place.metric][column].n for place in ranking.places
                ]
                assert ranking.of == len(values)
            means = {metric: value for metric in hours if (value := naive.mean(hours[metric][column])) is not None}
            assert dict(await redis.zrange(keys.mean(measure), 0, -1, withscores=True)) == means

    async def look_at(self, redis: Redis) -> None:
        await self.look_at_samples(redis)
        await self.look_at_lists(redis)
