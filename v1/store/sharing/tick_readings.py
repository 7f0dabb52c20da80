"""
What whoever asks the sources leaves of a tick for whoever commits it: for each partition, what it takes to advance its
metrics. Values and how they are written; no Redis.

One hash a tick, written whole by one command, so that a tick is there for all partitions or for none:

    field      content
    (none)     what is the same for all: JSON array [asked since, previous tick, skipped slots, is late, sources, otherwise]
    <tag>      of a partition, deflated JSON array [{metric: [source, *reading]}, {metric: reason}, [unranked metric]]

A metric of which nothing was read stands with the reason; one of which no reason is known has that of its source, or the
one that is said of all others.
"""

import json
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from ...market.metric_state import SourceReading
from ...market.slot_marking import TickEvidence
from ...market.slots import SlotMark, SlotReason
from ...model import Metric, Reading

COMMON = "common"
"""The field of what is the same for all partitions."""

Explain = Callable[[Metric, str], SlotReason]


class CommonEvidence(NamedTuple):
    """What is known of a tick, whatever the partition."""

    asked_since: int
    """The tick after which sources were asked without a pause."""
    previous: int | None
    """The tick that was committed before it."""
    skipped: Sequence[SlotMark]
    """The slots between the two."""
    is_late: bool
    """Whether the next slot has begun already."""
    sources: Mapping[str, SlotReason]
    """Why a source has no reading of a metric that it is not known to give."""
    otherwise: SlotReason
    """The same of any other source."""


class PartitionReadings(NamedTuple):
    """What is known of the metrics of a partition at a tick."""

    readings: Mapping[Metric, SourceReading]
    absent: Mapping[Metric, SlotReason]
    """Why metrics have no reading."""
    unranked: Collection[Metric]
    """Those that are not to be ranked."""


NO_READINGS = PartitionReadings({}, {}, ())


class TickReadings(NamedTuple):
    """What is known of a tick, of some partitions."""

    at: int
    common: CommonEvidence
    partitions: Mapping[str, PartitionReadings]
    """By tag."""

    def merge(self, tags: Iterable[str]) -> PartitionReadings:
        """Return what is known of all metrics of some of the partitions."""
        some = [self.partitions[tag] for tag in tags]
        return PartitionReadings(
            {metric: heard for each in some for metric, heard in each.readings.items()},
            {metric: reason for each in some for metric, reason in each.absent.items()},
            frozenset().union(*[each.unranked for each in some]),
        )

    def make_evidence(self, interval: int, absent: Mapping[Metric, SlotReason]) -> TickEvidence:
        """Return what marks the slots of metrics, of which `absent` have no reading."""
        common = self.common

        def explain(metric: Metric, source: str) -> SlotReason:
            reason = absent.get(metric) or common.sources.get(source)
            return reason or common.sources.get(metric.partition(":")[0].lower(), common.otherwise)

        return TickEvidence(interval, common.previous, explain, common.skipped, lambda: common.is_late)


def write_tick_readings(tick: TickReadings) -> dict[str, str | bytes]:
    """Return the fields of a tick's hash."""
    return {COMMON: _write_common(tick.common)} | {tag: _pack(each) for tag, each in tick.partitions.items()}


def read_tick_readings(at: int, common: bytes, packed: Mapping[str, bytes]) -> TickReadings:
    """Return what was written of a tick. Raises `ValueError`, `TypeError` or `zlib.error` of something else."""
    return TickReadings(at, _read_common(common), {tag: _unpack(each) for tag, each in packed.items()})


def _write_common(common: CommonEvidence) -> str:
    skipped = [[mark.first, mark.last, mark.reason] for mark in common.skipped]
    return json.dumps([*common[:2], skipped, *common[3:]], separators=(",", ":"))


def _read_common(written: bytes) -> CommonEvidence:
    asked_since, previous, skipped, is_late, sources, otherwise = json.loads(written)
    return CommonEvidence(
        asked_since,
        previous,
        [SlotMark(first, last, SlotReason(reason)) for first, last, reason in skipped],
        is_late,
        {source: SlotReason(reason) for source, reason in sources.items()},
        SlotReason(otherwise),
    )


def _pack(each: PartitionReadings) -> bytes:
    readings = {metric: [heard.source, *heard.reading] for metric, heard in each.readings.items()}
    plain = [readings, dict(each.absent), sorted(each.unranked)]
    return zlib.compress(json.dumps(plain, separators=(",", ":")).encode(), 1)


def _unpack(packed: bytes) -> PartitionReadings:
    readings, absent, unranked = json.loads(zlib.decompress(packed))
    return PartitionReadings(
        {Metric(name): SourceReading(Reading(*reading), source) for name, (source, *reading) in readings.items()},
        {Metric(name): SlotReason(reason) for name, reason in absent.items()},
        frozenset(unranked),
    )
