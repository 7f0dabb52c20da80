"""
The instruments of one process of the API, by name. Other parts of the server are given them and write into them.

Each belongs to the application's own registry, so that two applications in one process do not mix. The children of
labels are looked up once, here: a call of `inc` or `observe` takes half a microsecond to one.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from starlette.routing import BaseRoute

from ... import __version__
from ...routes.access import POINTS, REQUESTS
from .request_counts import RequestCounts
from .route_names import RouteNames
from .statistics import StatisticsCollector

PREFIX = "data_tracker_api_"
LIMITS = (REQUESTS, POINTS)
PHASES = ("waiting", "arriving", "answering")
REDIS_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 4.0)


@dataclass(frozen=True)
class ServerInstruments:
    """Of connections, and of requests that never reached the application."""

    accepted: Counter
    turned_away: Counter
    refused: Counter
    """With the label `status`."""
    connections: Mapping[str, Gauge]
    """By phase: `waiting`, `arriving`, `answering`."""

    def follow_connections(self, count_phases: Callable[[], Mapping[str, int]]) -> None:
        """Have the open connections counted whenever somebody asks for them."""
        for phase, gauge in self.connections.items():
            gauge.set_function(lambda phase=phase: count_phases().get(phase, 0))  # type: ignore[misc]  # a default


@dataclass(frozen=True)
class ApiInstruments:
    """Counters that other parts of the server write into."""

    server: ServerInstruments
    limited: Mapping[str, Counter]
    """Requests refused by a limit, by limit: `requests`, `points`."""
    redis_seconds: Histogram
    redis_failures: Counter

    def record_redis(self, seconds: float, *, is_failed: bool) -> None:
        """Count one exchange with Redis, which may be many commands in one pipeline."""
        if is_failed:
            self.redis_failures.inc()
        else:
            self.redis_seconds.observe(seconds)

    def note_limited(self, limit: str) -> None:
        """Count a request that a limit refused, by the name of the limit."""
        self.limited[limit].inc()


class ApiTelemetry(NamedTuple):
    """What one application measures."""

    registry: CollectorRegistry
    instruments: ApiInstruments
    requests: RequestCounts
    statistics: StatisticsCollector
    """Shows what other parts count by themselves."""

    @classmethod
    def make(
        cls, list_routes: Callable[[], Iterable[BaseRoute]], root_path: str, latest: str, prefix: str
    ) -> "ApiTelemetry":
        """Return the instruments of a new application; see `RouteNames` for the arguments."""
        registry = CollectorRegistry()
        counts = RequestCounts(RouteNames(list_routes, root_path, latest, prefix), registry)
        instruments = _make_instruments(registry)
        Info("data_tracker_api_build", "The version that runs.", registry=registry).info({"version": __version__})
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        return cls(registry, instruments, counts, StatisticsCollector(registry))


def _make_instruments(registry: CollectorRegistry) -> ApiInstruments:
    limited = Counter(f"{PREFIX}limited_requests", "Requests that a limit refused.", ["limit"], registry=registry)
    redis_seconds = Histogram(
        f"{PREFIX}redis_seconds",
        "Time of one exchange with Redis: a command, or a pipeline of them.",
        buckets=REDIS_BOUNDS,
        registry=registry,
    )
    redis_failures = Counter(f"{PREFIX}redis_failures", "Exchanges with Redis that got no answer.", registry=registry)
    return ApiInstruments(
        server=_make_server(registry),
        limited={limit: limited.labels(limit) for limit in LIMITS},
        redis_seconds=redis_seconds,
        redis_failures=redis_failures,
    )


def _make_server(registry: CollectorRegistry) -> ServerInstruments:
    connections = Gauge(f"{PREFIX}connections", "Open connections, by what they do.", ["phase"], registry=registry)
    return ServerInstruments(
        accepted=Counter(f"{PREFIX}accepted_connections", "Connections that were accepted.", registry=registry),
        turned_away=Counter(
            f"{PREFIX}turned_away_connections",
            "Connections that were closed, for there were too many.",
            registry=registry,
        ),
        refused=Counter(
            f"{PREFIX}refused_requests",
            "Requests that the server refused before any route: too slow, too large, or no HTTP.",
            ["status"],
            registry=registry,
        ),
        connections={phase: connections.labels(phase) for phase in PHASES},
    )
