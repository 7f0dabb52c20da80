"""
Keeps ticks that wait in files, oldest first, so that a worker that is killed meanwhile finds them again.

A folder of segments, `ticks-<tick of the first>.journal`. A segment begins with a line that says its format and the
interval, and goes on with records: tick (8 bytes), length (4) and CRC-32 (4) of what follows, big-endian, and so many
bytes. What was half-written when a worker was killed is left out.
"""

import fcntl
import struct
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import structlog

log = structlog.get_logger()

FOLDER = "waiting-ticks"
"""The folder in the data directory for ticks that wait while Redis is away."""
SEGMENT_BYTES = 8 * 1024 * 1024
"""A segment is closed at this size: whole ones are deleted when their ticks are committed, or when room is needed."""
_RECORD = struct.Struct(">qII")


class WaitingTick(NamedTuple):
    """A tick, and what was read at it, packed."""

    at: int
    packed: bytes


class _Record(NamedTuple):
    at: int
    segment: Path
    offset: int
    length: int


class TickJournal:
    """
    A queue of packed ticks in the files of a folder, of `most_bytes` at most: a new one pushes the oldest segment out.

    Where a disk takes no more, the oldest ticks make room, too. `dropped` counts all that went in either way.
    """

    def __init__(self, folder: Path, interval: int, most_bytes: int) -> None:
        """Know where the files are. Nothing is read before `read`, and nothing written before `add`."""
        self._folder = folder
        self._header = f"data-tracker ticks 1, interval {interval}\n".encode()
        self._most_bytes = most_bytes
        self._records = deque[_Record]()
        self._segments: dict[Path, int] = {}
        """Those that are there, oldest first, with their sizes in bytes."""
        self._file: BinaryIO | None = None
        self._has_logged = False
        self.dropped = 0

    def read(self, after: int) -> None:
        """Take in every tick later than `after` that a worker left in the files; delete what is older."""
        for path in sorted(self._folder.glob("ticks-*.journal")):
            records = [record for record in _read_records(path, self._header) if record.at > after]
            if not records:
                path.unlink(missing_ok=True)
                continue
            self._records.extend(records)
            self._segments[path] = path.stat().st_size

    def close(self) -> None:
        """Close the file that is written. What waits stays in the files; the next tick begins another."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def __len__(self) -> int:
        return len(self._records)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self._segments.values())

    def add(self, tick: WaitingTick) -> bool:
        """Put a tick at the end. Return whether it could be written, which a disk without room may refuse."""
        data = _RECORD.pack(tick.at, len(tick.packed), zlib.crc32(tick.packed)) + tick.packed
        while len(self._segments) > 1 and self.size + len(data) > self._most_bytes:
            self._drop_oldest("the journal is full")
        while True:
            try:
                self._write(tick.at, data)
            except OSError as error:
                if not self._segments:
                    self._log_full(str(error))
                    return False
                self._drop_oldest(str(error))
            else:
                return True

    def peek(self) -> WaitingTick | None:
        """Return the oldest tick; `None` where there is none, or none that can still be read."""
        while self._records:
            record = self._records[0]
            try:
                with record.segment.open("rb") as file:
                    file.seek(record.offset)
                    packed = file.read(record.length)
            except OSError as error:
                packed, reason = b"", str(error)
            else:
                reason = "the file is shorter than it was"
            if len(packed) == record.length:
                return WaitingTick(record.at, packed)
            log.warning("waiting ticks cannot be read", file=str(record.segment), reason=reason)
            self._drop_oldest(reason)
        return None

    def remove(self) -> None:
        """Remove the oldest tick; its file, where it was the last one in it."""
        record = self._records.popleft()
        if not self._records or self._records[0].segment != record.segment:
            self._delete(record.segment)
        self._has_logged = self._has_logged and bool(self._records)

    def _write(self, at: int, data: bytes) -> None:
        file = self._file or self._begin_segment(at)
        path = next(reversed(self._segments))
        size = self._segments[path]
        try:
            _write_whole(file, data)
        except OSError:
            self._truncate(file, path, size)
            raise
        self._records.append(_Record(at, path, size + _RECORD.size, len(data) - _RECORD.size))
        self._segments[path] = size + len(data)
        if self._segments[path] >= SEGMENT_BYTES:
            self.close()

    def _begin_segment(self, at: int) -> BinaryIO:
        path = self._folder / f"ticks-{at:012}.journal"
        # Unbuffered: what a write was refused must not come again with the next.
        file = path.open("wb", buffering=0)
        try:
            _write_whole(file, self._header)
        except OSError:
            file.close()
            path.unlink(missing_ok=True)
            raise
        self._file, self._segments[path] = file, len(self._header)
        return file

    def _truncate(self, file: BinaryIO, path: Path, size: int) -> None:
        """Take a half-written record away, so that the next one is found."""
        try:
            file.truncate(size)
            file.seek(size)
        except OSError:
            self.close()
        if size == len(self._header):
            self._delete(path)

    def _drop_oldest(self, reason: str) -> None:
        path = next(iter(self._segments))
        before = len(self._records)
        self._records = deque(record for record in self._records if record.segment != path)
        self.dropped += before - len(self._records)
        self._log_full(reason)
        self._delete(path)

    def _log_full(self, reason: str) -> None:
        if not self._has_logged:
            log.warning("the oldest ticks that wait are dropped", reason=reason, folder=str(self._folder))
        self._has_logged = True

    def _delete(self, path: Path) -> None:
        if self._file is not None and path == next(reversed(self._segments)):
            self.close()
        self._segments.pop(path, None)
        path.unlink(missing_ok=True)


@contextmanager
def open_journal(folder: Path, interval: int, most_bytes: int, after: int) -> Iterator[TickJournal | None]:
    """
    Yield the journal in `folder`, with every tick later than `after` that a worker left there.

    `None` where the folder cannot be used, or another worker uses it; the log says why.
    """
    journal = TickJournal(folder, interval, most_bytes)
    with ExitStack() as held:
        try:
            _hold_folder(folder, held)
            journal.read(after)
        except BlockingIOError:
            log.warning("another worker keeps its waiting ticks there, ours stay in memory", folder=str(folder))
            yield None
            return
        except OSError as error:
            log.warning("waiting ticks stay in memory", folder=str(folder), reason=str(error))
            yield None
            return
        if waiting := journal.peek():
            log.info("ticks were waiting to be committed", ticks=len(journal), oldest=waiting.at)
        held.callback(journal.close)
        yield journal


def _hold_folder(folder: Path, held: ExitStack) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lock = held.enter_context((folder / "lock").open("wb"))
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _write_whole(file: BinaryIO, data: bytes) -> None:
    """Write all bytes. A disk that gets full takes a part of them first, and raises `OSError` at the next."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _read_records(path: Path, header: bytes) -> Iterator[_Record]:
    """Yield the records of a segment up to the first that is not whole; none where it is of another interval."""
    with path.open("rb") as file:
        if file.read(len(header)) != header:
            log.warning("waiting ticks of another interval are dropped", file=str(path))
            return
        while len(head := file.read(_RECORD.size)) == _RECORD.size:
            at, length, checksum = _RECORD.unpack(head)
            offset, packed = file.tell(), file.read(length)
            if len(packed) != length or zlib.crc32(packed) != checksum:
                return
            yield _Record(at, path, offset, length)
