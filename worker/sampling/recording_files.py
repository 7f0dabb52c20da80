"""
Writes a recording pair by pair, so that it can be broken off anywhere and gone on with. `recording` reads what it makes.

    BTCUSD.csv.gz                        the candles, once all that was asked for is there
    .BTCUSD.json                         of which stretches of time they are, and how long they are
    .BTCUSD.parts/<start>-<end>.csv      a stretch that is there and not joined yet

Every file is written beside its place and renamed, and a part is deleted when it is in the candles and these are
written: killed at any moment, nothing is half there, and the same steps again come to the same bytes.
"""

import gzip
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from heapq import merge
from itertools import chain, pairwise
from operator import attrgetter
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from worker.latest import MINUTE, Candle, Metric
from worker.sampling.recording import ENDINGS, HEADER, InvalidRecording, read_candles

_PART = re.compile(r"([0-9]{1,10})-([0-9]{1,10})\.csv")


class TimeSpan(NamedTuple):
    """A stretch of time, in unix seconds, without its end."""

    start: int
    end: int


class RecordedPair:
    """The files of one pair in a recording folder, of candles that are `length` seconds long."""

    def __init__(self, folder: Path, metric: Metric, length: int) -> None:
        self.metric = metric
        self._length = length
        self._folder = folder
        pair = metric.partition(":")[2]
        self.path = folder / f"{pair}.csv.gz"
        self._note = folder / f".{pair}.json"
        self._parts = folder / f".{pair}.parts"

    def open(self) -> None:
        """Make the folders. Raises `InvalidRecording` where the pair is there as something else, and `OSError`."""
        self._parts.mkdir(parents=True, exist_ok=True)
        for other in sorted(self._folder.iterdir()):
            name = other.name.removesuffix(".gz").removesuffix(".csv").replace("_", "").upper()
            if other.name.endswith(ENDINGS) and other != self.path and f"{name}.csv.gz" == self.path.name:
                raise InvalidRecording(f"{other}: {self.metric} is there already; choose another folder with --into")
        noted = self._read_note()
        if noted and noted["length"] != self._length:
            raise InvalidRecording(
                f"{self.path}: holds candles of {noted['length']} seconds, and candles of {self._length} do not go "
                "together with them; choose another folder with --into"
            )
        self._write_note(self._list_joined())

    def list_missing(self, span: TimeSpan, longest: int) -> list[TimeSpan]:
        """Return the stretches of `span` that are not there, oldest first, none across a multiple of `longest` seconds."""
        missing: list[TimeSpan] = []
        for start, end in subtract_spans(span, self._list_covered()):
            edges = [start, *range((start // longest + 1) * longest, end, longest), end]
            missing += [TimeSpan(*pair) for pair in pairwise(edges)]
        return missing

    def write_part(self, span: TimeSpan, candles: Iterable[Candle]) -> None:
        """Keep the candles of a stretch; where it has none, that is kept, too."""
        with _replace_file(self._parts / f"{span.start}-{span.end}.csv") as file:
            _write_candles(file, [self._date(candle) for candle in candles])

    def join(self) -> None:
        """Put all parts into the file of the pair, where there are any. Raises `InvalidRecording` and `OSError`."""
        parts = self._list_parts()
        if parts:
            paths = [self._parts / f"{start}-{end}.csv" for start, end in parts]
            covered = join_spans([*self._list_joined(), *parts])
            fresh = chain.from_iterable(map(read_candles, paths))
            kept = read_candles(self.path) if self.path.exists() else iter(())
            with (
                _replace_file(self.path) as file,
                # Without a name and a time in it, so that the same candles are the same bytes.
                gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
            ):
                # Of two candles of a minute, the one that came last is the first here.
                _write_candles(cast("IO[bytes]", packed), _skip_repeated(merge(fresh, kept, key=attrgetter("start"))))
            self._write_note(covered)
        shutil.rmtree(self._parts)

    def count_candles(self, span: TimeSpan) -> int:
        """Return how many candles of a stretch the file of the pair holds."""
        return sum(span.start <= candle.start < span.end for candle in read_candles(self.path))

    def remove_empty(self) -> None:
        """Delete what was written of a pair of which there is no candle at all."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def _date(self, candle: Candle) -> Candle:
        """Return a candle as one of the minute in which it ended: its close is known then, and not before."""
        return candle._replace(start=candle.start + self._length - MINUTE)

    def _list_covered(self) -> list[TimeSpan]:
        return join_spans([*self._list_joined(), *self._list_parts()])

    def _list_parts(self) -> list[TimeSpan]:
        found = [_PART.fullmatch(path.name) for path in self._parts.iterdir()]
        return sorted(TimeSpan(int(each[1]), int(each[2])) for each in found if each)

    def _list_joined(self) -> list[TimeSpan]:
        """Return the stretches of which the file of the pair holds all candles."""
        noted = self._read_note()
        return [TimeSpan(*span) for span in noted["covered"]] if noted and self.path.exists() else []

    def _read_note(self) -> dict[str, Any] | None:
        noted: Any = None
        try:
            noted = json.loads(self._note.read_text())
            is_ours = type(noted["length"]) is int and all(0 <= start < end for start, end in noted["covered"])
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, LookupError):
            is_ours = False
        if not is_ours:
            raise InvalidRecording(f"{self._note}: is not as it was written; delete it, and all is downloaded again")
        return cast("dict[str, Any]", noted)

    def _write_note(self, covered: Sequence[TimeSpan]) -> None:
        with _replace_file(self._note) as file:
            file.write(json.dumps({"length": self._length, "covered": covered}).encode())


def join_spans(spans: Iterable[TimeSpan]) -> list[TimeSpan]:
    """Return the same stretches in order, with those that touch as one."""
    joined: list[TimeSpan] = []
    for span in sorted(spans):
        if joined and span.start <= joined[-1].end:
            joined[-1] = TimeSpan(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined


def subtract_spans(span: TimeSpan, others: Sequence[TimeSpan]) -> list[TimeSpan]:
    """Return what of a stretch lies in none of some others, which are in order and do not touch."""
    left, start = [], span.start
    for other in others:
        if start < other.start < span.end:
            left.append(TimeSpan(start, other.start))
        start = max(start, other.end)
    return [*left, TimeSpan(start, span.end)] if start < span.end else left


def _skip_repeated(candles: Iterable[Candle]) -> Iterator[Candle]:
    last = -1
    for candle in candles:
        if candle.start > last:
            last = candle.start
            yield candle


def _write_candles(file: IO[bytes], candles: Iterable[Candle]) -> None:
    file.write(f"{HEADER}\n".encode())
    for candle in candles:
        file.write(f"{','.join(map(str, candle))}\n".encode())


@contextmanager
def _replace_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file that takes the place of another once it is whole and on the disk."""
    beside = path.with_name(f".{path.name.removeprefix('.')}.new")
    with beside.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
