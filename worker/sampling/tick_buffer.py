"""Keeps the ticks that are collected and not committed yet: in bounded memory, and beyond it in files."""

import json
import zlib
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from worker.latest import DAY, HOUR, Metric, Reading
from worker.latest.market import SourceReading
from worker.sampling.tick_journal import TickJournal, WaitingTick

MEMORY_SECONDS = 2 * HOUR
"""Seconds of ticks that are kept in memory: an hour is promised, another is reserve."""
MEMORY_BYTES = 32 * 1024 * 1024
"""Bytes of packed ticks that are kept in memory, where there are files for the others."""
JOURNAL_SECONDS = DAY
"""Seconds of ticks that files keep: what is older has left the day."""
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
    The ticks to commit, oldest first:

        oldest ── in memory, packed ── in the journal, packed ── newest

    The oldest and the newest are kept as they are, so a tick that is committed before the second next comes is never
    serialised. All between are packed as compressed JSON, some 40 bytes a metric. Without a journal, a new tick pushes
    the oldest out after two hours; with one, after a day, or where the journal is full. `dropped` counts what went.
    """

    def __init__(self, interval: int, journal: TickJournal | None = None, memory_bytes: int = MEMORY_BYTES) -> None:
        self._journal = journal
        self._memory_bytes = memory_bytes
        self._most = max(2, (JOURNAL_SECONDS if journal is not None else MEMORY_SECONDS) // interval)
        self._most_in_memory = max(1, MEMORY_SECONDS // interval - 1)
        self._oldest = deque[_BufferedTick]()
        self._packed_bytes = 0
        self._newest: tuple[int, Readings] | None = None
        self._committed: deque[_BufferedTick] = deque(maxlen=max(1, RESTORABLE_SECONDS // interval))
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._oldest) + self._count_in_journal() + (self._newest is not None)

    @property
    def dropped(self) -> int:
        """How many ticks were never committed, because newer ones needed their room."""
        return self._dropped + (self._journal.dropped if self._journal is not None else 0)

    def add(self, at: int, readings: Readings) -> None:
        """Put a tick at the end."""
        if self._newest is not None:
            self._settle(*self._newest)
        self._newest = at, readings
        while len(self) > self._most:
            self._dropped += 1
            self.remove(self.peek()[0], is_committed=False)

    def peek(self) -> tuple[int, Readings]:
        """Return the tick to commit next. It stays until `remove`. Raises `IndexError` where there is none."""
        at, readings = self._find_oldest()
        return at, _unpack(readings) if isinstance(readings, bytes) else readings

    def remove(self, at: int, *, is_committed: bool = True) -> None:
        """Remove tick `at`, the oldest. It may have been pushed out meanwhile; then nothing happens."""
        if not self or (oldest := self._find_oldest()).at != at:
            return
        if self._oldest:
            self._packed_bytes -= _measure(self._oldest.popleft())
        elif self._journal:
            self._journal.remove()
        else:
            self._newest = None
        if is_committed:
            self._committed.append(oldest)

    def restore_after(self, after: int) -> None:
        """Put the ticks back that were committed lately and that the store lost: it has nothing later than `after`."""
        while self._committed and self._committed[-1].at > after and len(self) < self._most:
            self._oldest.appendleft(self._committed.pop())
            self._packed_bytes += _measure(self._oldest[0])

    def _find_oldest(self) -> _BufferedTick:
        if self._oldest:
            return self._oldest[0]
        if self._journal and (waiting := self._journal.peek()):
            return _BufferedTick(*waiting)
        if self._newest is None:
            raise IndexError("no tick is kept")
        return _BufferedTick(*self._newest)

    def _settle(self, at: int, readings: Readings) -> None:
        """Keep a tick that is not the newest any more."""
        if len(self) == 1:
            self._oldest.append(_BufferedTick(at, readings))
            return
        packed = _pack(readings)
        if self._journal is None or not (self._journal or self._is_memory_full(packed)):
            self._keep_in_memory(at, packed)
        elif not self._journal.add(WaitingTick(at, packed)):
            # Nothing is left in the journal that could make room: the oldest in memory does.
            self._keep_in_memory(at, packed)
            while len(self._oldest) > 1 and self._packed_bytes > self._memory_bytes:
                self._dropped += 1
                self._packed_bytes -= _measure(self._oldest.popleft())

    def _keep_in_memory(self, at: int, packed: bytes) -> None:
        self._oldest.append(_BufferedTick(at, packed))
        self._packed_bytes += len(packed)

    def _is_memory_full(self, packed: bytes) -> bool:
        return len(self._oldest) >= self._most_in_memory or self._packed_bytes + len(packed) > self._memory_bytes

    def _count_in_journal(self) -> int:
        return 0 if self._journal is None else len(self._journal)


def _measure(tick: _BufferedTick) -> int:
    """Return the bytes that a tick takes, packed; 0 of one that is not."""
    return len(tick.readings) if isinstance(tick.readings, bytes) else 0


def _pack(readings: Readings) -> bytes:
    plain = {metric: [each.source, *each.reading] for metric, each in readings.items()}
    return zlib.compress(json.dumps(plain, separators=(",", ":")).encode(), 1)


def _unpack(packed: bytes) -> dict[Metric, SourceReading]:
    plain = json.loads(zlib.decompress(packed))
    return {Metric(metric): SourceReading(Reading(*reading), source) for metric, (source, *reading) in plain.items()}
