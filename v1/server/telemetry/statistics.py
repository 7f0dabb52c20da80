"""
Numbers that other parts count by themselves, in plain attributes, because a call for each would be felt: answers kept
in memory, and streams. They are read when somebody asks for the metrics.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

PREFIX = "data_tracker_api_"


class CacheStatistics(Protocol):
    """What the answers kept in memory count: since the start, and `answers` and `used_bytes` now."""

    @property
    def hits(self) -> int: ...
    @property
    def misses(self) -> int: ...
    @property
    def joined(self) -> int: ...
    @property
    def not_kept(self) -> int: ...
    @property
    def evictions(self) -> int: ...
    @property
    def answers(self) -> int: ...
    @property
    def used_bytes(self) -> int: ...


class StreamStatistics(Protocol):
    """What the streams count: `clients` now, by kind (`sse`, `ws`); since the start, events sent, and what was not taken."""

    @property
    def clients(self) -> Mapping[str, int]: ...
    @property
    def sent(self) -> int: ...
    @property
    def lagging(self) -> int: ...
    @property
    def stalled(self) -> int: ...


@dataclass(frozen=True)
class NoCache:
    """The statistics of a process that keeps no answers."""

    hits: int = 0
    misses: int = 0
    joined: int = 0
    not_kept: int = 0
    evictions: int = 0
    answers: int = 0
    used_bytes: int = 0


@dataclass(frozen=True)
class NoStreams:
    """The statistics of a process without streams."""

    clients: Mapping[str, int]
    sent: int = 0
    lagging: int = 0
    stalled: int = 0


class StatisticsCollector(Collector):
    """Shows what it was told to follow."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._cache: CacheStatistics = NoCache()
        self._streams: StreamStatistics = NoStreams({"sse": 0, "ws": 0})
        registry.register(self)

    def follow_cache(self, statistics: CacheStatistics) -> None:
        """Show these from now on."""
        self._cache = statistics

    def follow_streams(self, statistics: StreamStatistics) -> None:
        """Show these from now on."""
        self._streams = statistics

    def describe(self) -> list[Metric]:
        """Return the metrics; the registry takes their names from it."""
        return [*self.collect()]

    def collect(self) -> Iterator[Metric]:
        """Return the metrics as they are now."""
        yield from self._list_cache()
        yield from self._list_streams()

    def _list_cache(self) -> Iterator[Metric]:
        cache = self._cache
        requests = CounterMetricFamily(
            f"{PREFIX}cache_requests",
            "Requests for answers that may be kept, by how they were answered.",
            labels=["outcome"],
        )
        for outcome, number in (("hit", cache.hits), ("miss", cache.misses), ("joined", cache.joined)):
            requests.add_metric([outcome], number)
        yield requests
        yield _count(
            "cache_unkept_answers", "Answers that were made and not kept: errors, or too large.", cache.not_kept
        )
        yield _count("cache_evictions", "Answers dropped from memory for want of room.", cache.evictions)
        yield _show("cache_entries", "Answers kept in memory.", cache.answers)
        yield _show("cache_bytes", "Bytes of answers kept in memory.", cache.used_bytes)

    def _list_streams(self) -> Iterator[Metric]:
        streams = self._streams
        clients = GaugeMetricFamily(f"{PREFIX}stream_clients", "Clients that are sent events.", labels=["kind"])
        for kind, number in streams.clients.items():
            clients.add_metric([kind], number)
        yield clients
        yield _count("stream_frames", "Events sent, each client's counted.", streams.sent)
        slow = CounterMetricFamily(
            f"{PREFIX}stream_slow_clients",
            "Times that a client was too slow: it got the newest only (lagging), or was dropped (stalled).",
            labels=["reason"],
        )
        slow.add_metric(["lagging"], streams.lagging)
        slow.add_metric(["stalled"], streams.stalled)
        yield slow


def _count(name: str, about: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(PREFIX + name, about, value=value)


def _show(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, about, value=value)
