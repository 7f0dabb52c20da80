"""Reads the store. Nothing here writes, so whoever holds a `Reader` cannot write."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from math import ceil
from typing import Any, NamedTuple, cast

from ..market import metric_state
from ..market.market_note import FeedAnswer, MarketNote, read_answer, read_note
from ..market.metric_state import MetricState
from ..market.price_ranges import PriceRange, read_ranges
from ..market.series import SampleColumn
from ..model import DAY, HOUR, Measure, Metric, Sample, find_hour, list_hours
from . import keys
from .connection import StoreAway, StoreError, translate_errors
from .data_format import DataFormat, OtherFormat
from .delivery.outbox import STATE_FIELD
from .failover import describe_slow_failover, find_longest_node_timeout, read_node_timeout
from .primaries import ask_present_primaries, count_away_partitions
from .ranks import RankReader
from .stored_json import read_dict, read_dicts, read_list, read_tick

_MOST_STATES = 1024
"""States that are remembered as they were read, 5 kB each."""


class NewestSample(NamedTuple):
    """A metric's record, and its newest sample."""

    record: MetricState
    sample: Sample
    first: int
    """The tick of its oldest sample in the day."""


class MetricSummary(NamedTuple):
    """A metric as a list of metrics shows it."""

    metric: Metric
    record: MetricState
    first: int
    """The tick of its oldest sample in the day."""


class HourSamples(NamedTuple):
    """The samples of one hour of a metric, as they are kept."""

    members: Sequence[str]
    """Oldest first."""
    after: str | None
    """The newest one of the seconds after the hour that were asked for, too."""

    def list_values(self, measure: Measure) -> list[tuple[int, str]]:
        """Return the known numbers of one measure, each with its seconds after the hour."""
        return keys.cut_measure(self.members, measure)

    def find_value_after(self, measure: Measure) -> str | None:
        """Return the number of one measure just after the hour, if it is known."""
        found = keys.cut_measure([self.after], measure) if self.after else []
        return found[0][1] if found else None


class Reader(RankReader):
    """
    Reads Redis; every method takes at most three round trips.

    Each method raises `StoreAway` when Redis does not answer, and `StoreError` when it answers
    with an error. Whoever made the client closes it.
    """

    async def ping(self) -> None:
        """Return if Redis answers."""
        with translate_errors():
            await self._redis.ping()

    async def read_tick(self) -> int | None:
        """Return the newest committed tick."""
        with translate_errors():
            tick = await self._redis.get(keys.TICK)
        return read_tick(tick)

    async def read_metrics(self) -> dict[Metric, int]:
        """Return every metric of the last day with the tick of its newest sample, by name."""
        with translate_errors():
            found = await self._redis.zrange(keys.METRICS, 0, -1, withscores=True)
        return {Metric(metric): int(tick) for metric, tick in sorted(cast("list[tuple[str, float]]", found))}

    async def read_metric_states(self, metrics: Sequence[Metric]) -> list[MetricState | None]:
        """Return the record of each metric, in order; `None` where there is none, or none that can be read."""
        return [metric_state.try_read_state(written) for written in await self._read_written_states(metrics)]

    async def read_newest(self, metric: Metric) -> NewestSample | None:
        """Return a metric's record and newest sample; `None` of one without a sample in the last day."""
        (record,) = await self.read_metric_states([metric])
        if record is None:
            return None
        pipe = self._pipe()
        hour, oldest = find_hour(record.newest), find_hour(record.at - DAY + 1)
        pipe.zrange(keys.samples(metric, hour), f"({record.newest - 1}", record.newest, byscore=True)
        pipe.execute_command("ZRANGE", keys.samples(metric, oldest), 0, 0)
        newest, first = await self._run(pipe)
        samples, begin = keys.parse_all(hour, newest), keys.parse_all(oldest, first)
        if not samples:
            return None
        listed = {metric: begin[0].tick} if begin else await self._read_first({metric: record})
        return NewestSample(record, samples[-1], listed.get(metric, samples[-1].tick))

    async def read_summaries(self, metrics: Sequence[Metric]) -> list[MetricSummary]:
        """Return what a list of metrics shows, in order; those without a sample are left out."""
        states = zip(metrics, map(_read_state, await self._read_written_states(metrics)), strict=True)
        held = {metric: record for metric, record in states if record is not None}
        first = await self._read_first(held)
        return [MetricSummary(metric, record, first[metric]) for metric, record in held.items() if metric in first]

    async def _read_first(self, held: Mapping[Metric, MetricState]) -> dict[Metric, int]:
        """Return the tick of the oldest sample in the day of each metric that has one."""
        spans = {metric: list_hours(record.at - DAY, record.at) for metric, record in held.items()}
        # Nearly every metric has a whole day, so its oldest hour has a sample; of the others every hour is read.
        first = await self._read_oldest({metric: hours[:1] for metric, hours in spans.items()})
        others = {metric: hours[1:] for metric, hours in spans.items() if metric not in first}
        return first | await self._read_oldest(others) if others else first

    async def _read_oldest(self, spans: Mapping[Metric, Sequence[int]]) -> dict[Metric, int]:
        """Return the oldest tick that each metric has in some hours; those without one are left out."""
        pipe = self._pipe()
        for metric, hours in spans.items():
            for hour in hours:
                # A member holds its tick, so no score is asked for: these may be thousands of answers.
                pipe.execute_command("ZRANGE", keys.samples(metric, hour), 0, 0)
        answers = iter(await self._run(pipe))
        found = {
            metric: [sample.tick for hour in hours for sample in keys.parse_all(hour, next(answers))]
            for metric, hours in spans.items()
        }
        return {metric: ticks[0] for metric, ticks in found.items() if ticks}

    async def read_members(self, metric: Metric, after: int, until: int) -> list[tuple[int, list[str]]]:
        """Return the samples with after < tick <= until as they are kept, oldest first: each hour, and what it holds."""
        pipe, hours = self._pipe(), list_hours(after, until)
        for hour in hours:
            pipe.zrange(keys.samples(metric, hour), f"({after}", until, byscore=True)
        found = cast("list[list[str]]", await self._run(pipe))
        return [(hour, [*filter(keys.is_sample, members)]) for hour, members in zip(hours, found, strict=True)]

    async def read_column(self, metric: Metric, measure: Measure, after: int, until: int) -> SampleColumn:
        """Return the known numbers of one measure with after < tick <= until, oldest first."""
        hours = await self.read_members(metric, after, until)
        return SampleColumn(
            [*chain.from_iterable([keys.cut_measure(members, measure, hour) for hour, members in hours])],
            [hour + HOUR for hour, members in hours if measure is Measure.PRICE and keys.is_hourly_only(members)],
        )

    async def read_value_seconds(
        self, metric: Metric, measure: Measure, after: int, until: int
    ) -> list[tuple[int, list[int]]]:
        """Return each hour, and the seconds after it at which a number of a measure is known."""
        hours = await self.read_members(metric, after, until)
        return [(hour, [seconds for seconds, _ in keys.cut_measure(members, measure)]) for hour, members in hours]

    async def read_ticks(self, metric: Metric, after: int, until: int) -> list[int]:
        """Return the ticks of the samples with after < tick <= until, oldest first."""
        hours = await self.read_members(metric, after, until)
        return [hour + int(member[1 : member.index(",")]) for hour, members in hours for member in members]

    async def read_samples(self, metric: Metric, after: int, until: int) -> list[Sample]:
        """Return the samples with after < tick <= until, oldest first."""
        hours = await self.read_members(metric, after, until)
        return [keys.parse_member(hour, member) for hour, members in hours for member in members]

    async def read_ranges(self, metric: Metric, after: int, until: int) -> dict[int, PriceRange]:
        """Return, by tick, the ranges of samples with after < tick <= until that were filled in from candles."""
        hours = list_hours(after, until)
        found = await self.read_hour_ranges([(metric, hour) for hour in hours])
        return {tick: each for hour in found for tick, each in hour.items() if after < tick <= until}

    async def read_hour_ranges(self, asked: Sequence[tuple[Metric, int]]) -> list[dict[int, PriceRange]]:
        """Return the ranges, by tick, of each metric in each hour that is asked for, in order."""
        pipe = self._pipe()
        for metric, hour in asked:
            pipe.execute_command("GET", keys.ranges(metric, hour), NEVER_DECODE=True)
        found = cast("list[bytes | None]", await self._run(pipe))
        return [read_ranges(hour, written) for (_, hour), written in zip(asked, found, strict=True)]

    async def count_samples(self, asked: Iterable[tuple[Metric, int]]) -> list[int]:
        """Return how many samples there are of each metric in each hour that is asked for, in order."""
        pipe = self._pipe()
        for metric, hour in asked:
            pipe.execute_command("ZCARD", keys.samples(metric, hour))
        return await self._run(pipe)

    async def read_hour(self, metrics: Sequence[Metric], hour: int, grace: int) -> list[HourSamples]:
        """Return the samples of an hour of each metric, in order, and the newest of the `grace` seconds after it."""
        pipe, end = self._pipe(), hour + HOUR
        for metric in metrics:
            pipe.execute_command("ZRANGE", keys.samples(metric, hour), 0, -1)
            following = keys.samples(metric, end)
            pipe.execute_command("ZRANGE", following, end + grace, f"({end}", "BYSCORE", "REV", "LIMIT", 0, 1)
        answers = iter(await self._run(pipe))
        return [
            HourSamples([*filter(keys.is_sample, members)], next(filter(keys.is_sample, after), None))
            for members, after in zip(answers, answers, strict=True)
        ]

    async def read_archive_state(self) -> dict[str, Any] | None:
        """Return the state of the archive as the worker last wrote it."""
        with translate_errors():
            written = await self._redis.get(keys.ARCHIVE)
        return read_dict(written)

    async def read_clock_fault(self) -> str | None:
        """Return what is wrong with the clock of the worker, as it wrote; `None` where nothing is."""
        with translate_errors():
            return cast("str | None", await self._redis.get(keys.CLOCK))

    async def check_eviction(self) -> str | None:
        """Return a warning where Redis evicts keys when its memory is full; `None` also where `INFO` is not permitted."""
        try:
            with translate_errors():
                found = await ask_present_primaries(self._redis, lambda server: server.info("memory"))
        except StoreAway:
            raise
        except StoreError:
            return None
        for about in found.values():
            policy = about.get("maxmemory_policy", "noeviction")
            if policy != "noeviction" and about.get("maxmemory"):
                return (
                    f"Redis drops keys when its memory is full: maxmemory-policy is {policy}, and should be noeviction"
                )
        return None

    async def find_slow_failover(self, interval: int) -> str | None:
        """Return a warning where a cluster replaces a lost primary so late that ticks are; `None` where none is late."""
        if find_longest_node_timeout(interval) is None:
            return None  # no setting of the cluster would help: the documentation says so
        with translate_errors():
            return describe_slow_failover(await read_node_timeout(self._redis), interval)

    async def count_away_partitions(self) -> int:
        """Return how many partitions of the data cannot be read now; 0 where it is not divided."""
        with translate_errors():
            return await count_away_partitions(self._redis)

    async def has_sources(self) -> bool:
        """Return whether the worker has written the states of its sources."""
        with translate_errors():
            return bool(await self._redis.exists(keys.SOURCES))

    async def read_source_states(self) -> Mapping[str, dict[str, Any]]:
        """Return the state of each source as the worker last wrote it."""
        with translate_errors():
            written = await self._redis.hgetall(keys.SOURCES)
        return read_dicts(cast("dict[str, str]", written))

    async def read_dead_metrics(self) -> dict[Metric, str]:
        """Return the markets that a provider lists without a price, each with the name of the source."""
        states = await self.read_source_states()
        return {Metric(metric): name for name, state in states.items() for metric in state.get("dead", ())}

    async def read_market_notes(self) -> dict[Metric, MarketNote]:
        """Return the markets that are not simply live, as the worker last noted."""
        with translate_errors():
            written = cast("dict[str, str]", await self._redis.hgetall(keys.MARKETS))
        notes = {Metric(metric): read_note(each) for metric, each in written.items()}
        return {metric: note for metric, note in notes.items() if note is not None}

    async def read_feed(self, metric: Metric) -> tuple[MarketNote | None, dict[str, FeedAnswer]]:
        """Return what is noted of a market, and the newest answer of each source."""
        pipe = self._pipe()
        pipe.hget(keys.MARKETS, metric)
        pipe.hgetall(keys.FEEDS)
        written, answers = await self._run(pipe)
        known = {source: read_answer(each) for source, each in answers.items()}
        return read_note(written), {source: each for source, each in known.items() if each is not None}

    async def read_channels(self) -> dict[str, dict[str, Any]]:
        """Return the channels that alerts are sent through: the kind of each, its failures in a row, until when it pauses."""
        with translate_errors():
            kinds = cast("dict[str, str]", await self._redis.hgetall(keys.CHANNELS))
        pipe = self._pipe()
        for name in kinds:
            pipe.hget(keys.sending(name), STATE_FIELD)
        noted = await self._run(pipe) if kinds else []
        return {
            name: {"kind": kinds[name], **_read_channel_state(written)}
            for name, written in zip(kinds, noted, strict=True)
        }

    async def read_unmet_wishes(self) -> dict[str, str]:
        """Return the wishes in the settings that no source fulfils, each with the reason."""
        with translate_errors():
            return cast("dict[str, str]", await self._redis.hgetall(keys.WISHES))

    async def is_empty(self) -> bool:
        """Return whether no metric has a sample in the last day."""
        with translate_errors():
            return not await self._redis.exists(keys.METRICS)

    async def check_format(self) -> None:
        """Raise `StoreError` where the data has another format."""
        try:
            await DataFormat(self._redis).check()
        except OtherFormat as error:
            raise StoreError(f"Redis {error.contents}") from error


def _read_channel_state(written: str | None) -> dict[str, Any]:
    """Return how often a channel failed in a row, and until when it sends nothing."""
    failures, until, *_ = read_list(written) or (0, 0.0)
    return {"failures": int(failures), "until": ceil(until)}


# A state is the same text until its metric's next tick, and reading it takes longer than all else that is done with it.
@lru_cache(_MOST_STATES)
def _read_state(written: str | None) -> MetricState | None:
    return metric_state.try_read_state(written)
