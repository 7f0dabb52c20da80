"""
Requests by route, method and status class: how many, how long they took, how large their answers were.

Plain numbers, for a hot answer takes 120 microseconds in all: counting into prometheus-client's own histogram and
counters takes 1.8 of them, and into these 0.3. They become its metrics when somebody asks.
"""

from bisect import bisect_left
from collections.abc import Iterator
from http import HTTPMethod

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from .route_names import RouteNames

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: from an answer out of memory to one that was given up."""
LABELS = ("route", "method", "status")
SECONDS = "data_tracker_api_request_seconds"
BYTES = "data_tracker_api_response_bytes"
IN_FLIGHT = "data_tracker_api_requests_in_flight"
OTHER_METHOD = "other"
UNANSWERED = "none"
"""The status class of a request that nothing was answered to: its client has gone."""

MOST_KNOWN = 4096
"""Paths, each with its methods and statuses, that are remembered. Beyond it all are forgotten, and found again."""
STREAMS = ("/stream",)
"""How the routes end of answers that have no end: of them the time counts until they begin."""

RequestKey = tuple[str, str, int]
"""Path, method and status of a request; status 0: nothing was answered."""

_METHODS = frozenset(HTTPMethod)
_CLASSES = {0: UNANSWERED} | {number: f"{number}xx" for number in range(1, 6)}
_LIMITS = [*(str(bound) for bound in BOUNDS), "+Inf"]


class _Row:
    """The requests of one route, method and status class."""

    __slots__ = ("buckets", "is_stream", "seconds", "size")

    def __init__(self, *, is_stream: bool) -> None:
        self.is_stream = is_stream
        self.buckets = [0] * len(_LIMITS)
        self.seconds = 0.0
        self.size = 0


class RequestCounts(Collector):
    """Counts requests; a collector of the registry. Used by one thread."""

    def __init__(self, routes: RouteNames, registry: CollectorRegistry) -> None:
        self.in_flight = 0
        self._routes = routes
        self._rows: dict[tuple[str, str, str], _Row] = {}
        """By route, method and status class."""
        self._known: dict[RequestKey, _Row] = {}
        """The row of what was counted lately."""
        registry.register(self)

    def count(self, key: RequestKey, until_head: float, seconds: float, size: int) -> None:
        """Count a request: the seconds until its answer began, and until it was over, and the bytes of its body."""
        row = self._known.get(key)
        if row is None:
            row = self._learn(key)
        if row.is_stream:
            seconds = until_head
        row.buckets[bisect_left(BOUNDS, seconds)] += 1
        row.seconds += seconds
        row.size += size

    def _learn(self, key: RequestKey) -> _Row:
        path, method, status = key
        route = self._routes.find(path)
        labels = (route, method if method in _METHODS else OTHER_METHOD, _CLASSES.get(status // 100, UNANSWERED))
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        row = self._rows.setdefault(labels, _Row(is_stream=route.endswith(STREAMS)))
        self._known[key] = row
        return row

    def describe(self) -> list[Metric]:
        """Return the metrics without their numbers; the registry takes their names from it."""
        return [*self._make_families()]

    def collect(self) -> Iterator[Metric]:
        """Return the metrics as they are now."""
        seconds, size, in_flight = families = self._make_families()
        for labels, row in self._rows.items():
            total, buckets = 0, []
            for limit, number in zip(_LIMITS, row.buckets, strict=True):
                total += number
                buckets.append((limit, total))
            seconds.add_metric(labels, buckets, row.seconds)
            size.add_metric(labels, row.size)
        in_flight.add_metric((), self.in_flight)
        yield from families

    @staticmethod
    def _make_families() -> tuple[HistogramMetricFamily, CounterMetricFamily, GaugeMetricFamily]:
        return (
            HistogramMetricFamily(
                SECONDS,
                "Time from a request's arrival to the last byte of its answer; of a stream to its first.",
                labels=LABELS,
            ),
            CounterMetricFamily(BYTES, "Bytes of answers' bodies, as they were sent.", labels=LABELS),
            GaugeMetricFamily(IN_FLIGHT, "Requests that are being answered."),
        )
