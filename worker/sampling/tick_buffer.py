"""Ticks that were heard and are not committed yet: kept, packed, while Redis is away. Keeps; commits nothing."""

import json
import zlib
from collections import deque
from collections.abc import Mapping

from worker.latest import HOUR, Metric, Reading, SourceReading

AT_LEAST = 2 * HOUR
"""Seconds of ticks that are kept: an hour is promised, and another for whoever has to get up first."""
LATELY = 10
"""Seconds of ticks that are kept although they are committed: Redis says yes up to two seconds before it writes to
its log, when the disk is busy, and forgets that much if it is killed."""


class TickBuffer:
    """
    The ticks to commit, oldest first. Bounded: a new one pushes the oldest out, which `dropped` counts.

    Each is kept as compressed JSON, some 40 bytes a metric, so that two hours of 10,000 metrics fit
    into 50 MB.
    """

    def __init__(self, interval: int) -> None:
        self._ticks: deque[tuple[int, bytes]] = deque(maxlen=max(2, AT_LEAST // interval))
        self._committed: deque[tuple[int, bytes]] = deque(maxlen=max(1, LATELY // interval))
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._ticks)

    def add(self, at: int, heard: Mapping[Metric, SourceReading]) -> None:
        """Put a tick at the end."""
        self.dropped += len(self._ticks) == self._ticks.maxlen
        plain = {metric: [each.source, *each.reading] for metric, each in heard.items()}
        self._ticks.append((at, zlib.compress(json.dumps(plain, separators=(",", ":")).encode(), 1)))

    def peek(self) -> tuple[int, dict[Metric, SourceReading]]:
        """Return the tick to commit next. It stays until `done`."""
        at, packed = self._ticks[0]
        plain = json.loads(zlib.decompress(packed))
        return at, {
            Metric(metric): SourceReading(Reading(*reading), source) for metric, (source, *reading) in plain.items()
        }

    def remove(self, at: int, *, is_committed: bool = True) -> None:
        """Let go of tick `at`, the oldest: it is committed. It may have been pushed out while that was going on."""
        if self._ticks and self._ticks[0][0] == at:
            oldest = self._ticks.popleft()
            if is_committed:
                self._committed.append(oldest)

    def restore_after(self, after: int) -> None:
        """Take up again what was committed lately: the store has nothing after that tick."""
        while self._committed and self._committed[-1][0] > after and len(self._ticks) != self._ticks.maxlen:
            self._ticks.appendleft(self._committed.pop())
