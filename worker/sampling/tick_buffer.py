"""Keeps the ticks that are collected and not committed yet, in bounded memory, while Redis is away."""

import json
import zlib
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from worker.latest import HOUR, Metric, Reading
from worker.latest.market import SourceReading

KEPT_SECONDS = 2 * HOUR
"""Seconds of ticks that are kept: an hour is promised, another is reserve."""
RESTORABLE_SECONDS = 10
"""Seconds of ticks that are kept although they are committed: Redis acknowledges a write up to two seconds before it
writes to its log, when the disk is busy, and loses that much if it is killed."""

Readings = Mapping[Metric, SourceReading]


class _BufferedTick(NamedTuple):
    at: int
    readings: Readings | bytes
    """As they were collected, or packed."""


class TickBuffer:
    """
    The ticks to commit, oldest first. Bounded: a new one pushes the oldest out, which `dropped` counts.

    The oldest and the newest are kept as they are, so a tick that is committed before the second next comes is never
    serialised. All between are packed as compressed JSON, some 40 bytes a metric, so that two hours of 10,000 metrics
    fit into 50 MB.
    """

    def __init__(self, interval: int) -> None:
        self._ticks: deque[_BufferedTick] = deque(maxlen=max(2, KEPT_SECONDS // interval))
        self._committed: deque[_BufferedTick] = deque(maxlen=max(1, RESTORABLE_SECONDS // interval))
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._ticks)

    def add(self, at: int, readings: Readings) -> None:
        """Put a tick at the end."""
        self.dropped += len(self._ticks) == self._ticks.maxlen
        if len(self._ticks) > 1:
            self._ticks[-1] = _pack(self._ticks[-1])
        self._ticks.append(_BufferedTick(at, readings))

    def peek(self) -> tuple[int, Readings]:
        """Return the tick to commit next. It stays until `remove`."""
        at, readings = self._ticks[0]
        return at, _unpack(readings) if isinstance(readings, bytes) else readings

    def remove(self, at: int, *, is_committed: bool = True) -> None:
        """Remove tick `at`, the oldest. It may have been pushed out meanwhile; then nothing happens."""
        if self._ticks and self._ticks[0].at == at:
            oldest = self._ticks.popleft()
            if is_committed:
                self._committed.append(oldest)

    def restore_after(self, after: int) -> None:
        """Put the ticks back that were committed lately and that the store lost: it has nothing later than `after`."""
        while self._committed and self._committed[-1].at > after and len(self._ticks) != self._ticks.maxlen:
            self._ticks.appendleft(self._committed.pop())


def _pack(tick: _BufferedTick) -> _BufferedTick:
    if isinstance(tick.readings, bytes):
        return tick
    plain = {metric: [each.source, *each.reading] for metric, each in tick.readings.items()}
    return tick._replace(readings=zlib.compress(json.dumps(plain, separators=(",", ":")).encode(), 1))


def _unpack(packed: bytes) -> dict[Metric, SourceReading]:
    plain = json.loads(zlib.decompress(packed))
    return {Metric(metric): SourceReading(Reading(*reading), source) for metric, (source, *reading) in plain.items()}
