"""
The counters and histograms of the worker, by name, in a registry of their own.

A part that is made without them gets some that nobody reads, so that none has to ask whether there are any.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from worker.latest import Metric as MarketMetric
from worker.latest import __version__
from worker.latest.market import STATES, SlotReason, SlotState, TickEvidence

TICK_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
REQUEST_BOUNDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
REDIS_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0)
DELIVERY_BOUNDS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0)
"""Seconds."""

SENT = "sent"

ReadMetrics = Callable[[], Iterable[Metric]]
"""Returns metrics as they are now."""


class StateCollector(Collector):
    """Asks the parts of the worker for what they know, whenever the registry is read."""

    def __init__(self) -> None:
        self._readers: dict[str, ReadMetrics] = {}

    def follow(self, part: str, read: ReadMetrics) -> None:
        """Ask `read` from now on, instead of what was followed as `part` before: parts are made anew after a wrong clock."""
        self._readers[part] = read

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is shows when it is read."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return the metrics of every part."""
        for read in list(self._readers.values()):
            yield from read()


@dataclass(frozen=True)
class TickInstruments:
    """Of the ticks."""

    interval: Gauge
    newest: Gauge
    committed: Counter
    missing: Counter
    recommits: Counter
    waiting: Gauge
    metrics: Gauge
    states: Gauge
    samples: Counter
    filled: Counter
    gaps: Counter
    collect_seconds: Histogram
    commit_seconds: Histogram
    delay: Histogram

    def count(self, at: int, sources: Iterable[str], metrics: int, seconds: float, delay: float | None) -> None:
        """
        Count a committed tick.

        `sources` names the source of each of its samples; the commit took so many `seconds`, and ended `delay` seconds
        after the tick, which is not known where nobody watches the clock.
        """
        self.newest.set(at)
        self.committed.inc()
        self.metrics.set(metrics)
        self.commit_seconds.observe(seconds)
        if delay is not None:
            self.delay.observe(delay)
        for source, number in Tally(sources).items():
            self.samples.labels(source).inc(number)

    def count_gaps(
        self, evidence: TickEvidence, known: AbstractSet[MarketMetric], given: AbstractSet[MarketMetric]
    ) -> None:
        """Count the slots of a tick, and of those left out before it, that were not sampled in time."""
        tally: Tally[SlotReason] = Tally()
        for run in evidence.skipped:
            tally[run.reason] += len(known) * ((run.last - run.first) // evidence.interval + 1)
        for metric in known - given:
            tally[evidence.explain(metric, "")] += 1
        tally[SlotReason.WAITED] += len(given) if evidence.is_late() else 0
        for reason, number in tally.items():
            if number:
                self.gaps.labels(STATES.get(reason, SlotState.MISSING), reason).inc(number)


@dataclass(frozen=True)
class WorkerInstruments:
    """Written by the parts of the worker as things happen."""

    registry: CollectorRegistry
    states: StateCollector
    ticks: TickInstruments
    redis_up: Gauge
    redis_seconds: Histogram
    redis_failures: Counter
    lease_held: Gauge
    provider_requests: Counter
    provider_seconds: Histogram
    deliveries: Counter
    delivery_delay: Histogram

    def record_redis(self, seconds: float, *, is_failed: bool) -> None:
        """Count one exchange with Redis, which may be many commands in one pipeline."""
        if is_failed:
            self.redis_failures.inc()
        else:
            self.redis_seconds.observe(seconds)

    def record_request(self, host: str, status: int | None, seconds: float) -> None:
        """Count a request to a provider, `None` where no answer came."""
        self.provider_requests.labels(host, "none" if status is None else f"{status // 100}xx").inc()
        self.provider_seconds.labels(host).observe(seconds)

    def record_delivery(self, channel: str, status: str, delay: float) -> None:
        """Count what became of a message that is about a tick `delay` seconds ago."""
        self.deliveries.labels(channel, status).inc()
        if status == SENT:
            self.delivery_delay.labels(channel).observe(max(0.0, delay))


class _Maker:
    """Makes instruments of one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def count(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"data_tracker_{name}", about, labels, registry=self._registry)

    def show(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"data_tracker_{name}", about, labels, registry=self._registry)

    def time(self, name: str, about: str, bounds: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"data_tracker_{name}", about, labels, buckets=bounds, registry=self._registry)


def _make_ticks(make: _Maker) -> TickInstruments:
    return TickInstruments(
        interval=make.show("interval_seconds", "Seconds between two ticks, as set."),
        newest=make.show("tick_timestamp_seconds", "The newest committed tick, unix time; 0 before the first."),
        committed=make.count("ticks", "Committed ticks."),
        missing=make.count("missing_ticks", "Ticks that were never committed; their samples are filled later."),
        recommits=make.count(
            "recommits", "Parts of a divided store whose commits a failover forgot, and that were committed again."
        ),
        waiting=make.show("waiting_ticks", "Ticks that wait to be committed."),
        metrics=make.show("metrics", "Metrics of the newest tick, those without a sample at it counted."),
        states=make.show("metric_states", "Metrics by how fresh they are at the newest tick.", "state"),
        samples=make.count("samples", "Samples committed with their tick.", "source"),
        filled=make.count("filled_samples", "Samples of the past day that were filled from candles.", "source"),
        gaps=make.count(
            "gap_slots",
            "Slots of metrics that were not sampled in time; what is filled later counts.",
            "state",
            "reason",
        ),
        collect_seconds=make.time("collect_seconds", "Time that asking all sources took, of a tick.", TICK_BOUNDS),
        commit_seconds=make.time(
            "commit_seconds", "Time that computing and committing a tick took, with its alerts.", TICK_BOUNDS
        ),
        delay=make.time("tick_delay_seconds", "Time from a tick to the end of its commit.", TICK_BOUNDS),
    )


def make_instruments() -> WorkerInstruments:
    """Return the instruments of a worker, in a registry of their own."""
    registry, states = CollectorRegistry(), StateCollector()
    make = _Maker(registry)
    registry.register(states)
    Info("data_tracker_worker_build", "The version that runs.", registry=registry).info({"version": __version__})
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return WorkerInstruments(
        registry,
        states,
        ticks=_make_ticks(make),
        redis_up=make.show("redis_up", "Whether the newest try to commit to Redis succeeded."),
        redis_seconds=make.time(
            "redis_seconds", "Time of one exchange with Redis: a command, or a pipeline of them.", REDIS_BOUNDS
        ),
        redis_failures=make.count("redis_failures", "Exchanges with Redis that got no answer."),
        lease_held=make.show("lease_held", "Whether this worker is the one that feeds the Redis."),
        provider_requests=make.count(
            "provider_requests", "Requests to providers, by the status of the answer.", "host", "status"
        ),
        provider_seconds=make.time(
            "provider_request_seconds", "Time until a provider answered, or did not.", REQUEST_BOUNDS, "host"
        ),
        deliveries=make.count("deliveries", "What became of tries to deliver a message.", "channel", "status"),
        delivery_delay=make.time(
            "delivery_delay_seconds",
            "Time from a tick until the message about it was sent.",
            DELIVERY_BOUNDS,
            "channel",
        ),
    )
