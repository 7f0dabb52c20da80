"""
Reads recorded one-minute candles from a folder, minute by minute over all pairs, and reports what is wrong with them.

One file a pair, `DOGE_BTC.csv.gz` or `DOGE_BTC.csv`, ascending, a minute without a trade may be absent:

    timestamp,open,high,low,close,volume
    1621209600,0.00001106,0.00001108,0.000011,0.00001102,1082374.0

`timestamp` is where the minute starts, unix seconds. Numbers are decimals of zero or more, and stay the
text they are. A line that is no candle stops the reading; a candle that cannot be true, such as a row of zeros, is left
out and counted, as a provider's is.
"""

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TextIO, cast

from worker.latest import MINUTE, Candle, Metric, candles, decimals

HEADER = "timestamp,open,high,low,close,volume"
COLUMNS = HEADER.split(",")
ENDINGS = (".csv", ".csv.gz")

# Ten digits last until 2286; more of them are milliseconds, and would be centuries of empty minutes.
_TIME = re.compile(r"[0-9]{1,10}")
_NAME = re.compile(r"[A-Z0-9][A-Z0-9._-]*")
_LONGEST_LINE = 1000


class InvalidRecording(Exception):
    """A recording that cannot be played. The message, one line, says where, what, and what is accepted."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Candles of many pairs over one stretch of time, checked from the first line to the last."""

    files: Mapping[Metric, Path]
    first: int
    """The first tick: the end of the first minute."""
    last: int
    candles: int
    """How many there are, of all pairs."""
    shift: int = 0
    """Seconds that are added to every recorded time."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """How many rows are left out beside them, by what cannot be true of them."""

    @property
    def without(self) -> str | None:
        """Return in words what is left out; `None` where nothing is."""
        if not self.left_out:
            return None
        parts = ", ".join(f"{count:,} with {reason}" for reason, count in sorted(self.left_out.items()))
        return f"candles that cannot be true are left out: {parts}"

    def shift_by(self, by: int) -> "Recording":
        """Return the same recording, later by `by` seconds: a multiple of 60, or ticks would leave the minute."""
        if by % MINUTE:
            raise ValueError(f"a shift of {by} seconds: must be a multiple of {MINUTE}")
        return replace(self, first=self.first + by, last=self.last + by, shift=self.shift + by)

    def shift_to_end(self, until: int, step: int = MINUTE) -> "Recording":
        """Return the same recording, moved so that its last tick is the newest multiple of `step` up to `until`."""
        return self.shift_by(until - until % step - self.last)

    def list_ticks(self) -> Iterator[tuple[int, dict[Metric, Candle]]]:
        """
        Return every tick from the first to the last with the candles that end there, also where there are none.

        Reads as it goes, a line of each file at a time. Raises `InvalidRecording` where a file changed since.
        """
        due = self.first
        with ExitStack() as opened:
            streams = [opened.enter_context(closing(self._stream(metric))) for metric in self.files]
            for tick, together in groupby(merge(*streams, key=itemgetter(0)), key=itemgetter(0)):
                yield from ((empty, {}) for empty in range(due, tick, MINUTE))
                yield tick, {metric: candle for _, metric, candle in together}
                due = tick + MINUTE

    def _stream(self, metric: Metric) -> Generator[tuple[int, Metric, Candle], None, None]:
        with closing(read_candles(self.files[metric])) as lines:
            for candle in lines:
                start = candle.start + self.shift
                yield start + MINUTE, metric, candle._replace(start=start)


def open_recording(folder: Path, exchange: str | None = None) -> Recording:
    """
    Find a recording in `folder` and check every line of it, so that no fault shows half-way through playing.

    Without `exchange` it is the first word of the folder's name: `kucoin-spot-20230322` is KUCOIN. Raises
    `BadRecording`.
    """
    files = _find_files(folder, exchange)
    left_out: Counter[str] = Counter()
    extents = [_find_extent(path, left_out) for path in files.values()]
    return Recording(
        files,
        min(first for first, _, _ in extents) + MINUTE,
        max(last for _, last, _ in extents) + MINUTE,
        sum(count for _, _, count in extents),
        left_out=dict(left_out),
    )


def read_candles(path: Path, left_out: Counter[str] | None = None) -> Generator[Candle, None, None]:
    """
    Return the candles of one file, in order. Raises `InvalidRecording` at the first line that is not one.

    Those that cannot be true are left out, and counted in `left_out` by what is wrong with them.
    """
    number = 0
    last = -1
    try:
        with _open_text(path) as file:
            # A line's length is bounded, or a file without line ends would be read into memory whole.
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), ""), 1):
                if number == 1:
                    _check_header(path, line)
                    continue
                candle = _parse_candle(f"{path}, line {number}", line.rstrip("\n"), last)
                last = candle.start
                wrong = candles.find_fault(candle)
                if wrong is None:
                    yield candle
                elif left_out is not None:
                    left_out[wrong] += 1
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        # A gzip that breaks off is an EOFError, one that is none an OSError, a damaged one either or zlib's own.
        raise InvalidRecording(f"{path}: cannot be read beyond line {number}: {error}") from error
    if not number:
        raise InvalidRecording(f"{path}: is empty; its first line must be {HEADER!r}")


def _open_text(path: Path) -> TextIO:
    # The "-sig" takes the mark away that spreadsheets put before the first line.
    if path.suffix == ".gz":
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8-sig"))
    return path.open(encoding="utf-8-sig")


def _check_header(path: Path, line: str) -> None:
    if line.rstrip("\n") != HEADER:
        raise InvalidRecording(f"{path}, line 1: the header is {_quote(line)}; it must be {HEADER!r}")


def _parse_candle(where: str, line: str, last: int) -> Candle:
    cells = line.split(",")
    if len(cells) != len(COLUMNS):
        raise InvalidRecording(
            f"{where}: {_quote(line)} has {len(cells)} columns; there must be {len(COLUMNS)}: {HEADER}"
        )
    timestamp, *numbers = cells
    if not _TIME.fullmatch(timestamp) or int(timestamp) % MINUTE:
        raise InvalidRecording(
            f"{where}: timestamp {_quote(timestamp)} is not the start of a minute; "
            f"it must be unix seconds, a multiple of {MINUTE}"
        )
    start = int(timestamp)
    if start <= last:
        raise InvalidRecording(
            f"{where}: timestamp {start} comes after {last}; every line must be later than the one before"
        )
    for column, number in zip(COLUMNS[1:], numbers, strict=True):
        if not decimals.is_number(number) or number.startswith("-"):
            raise InvalidRecording(
                f"{where}: {column} {_quote(number)} is not a number; it must be a decimal of zero or more, like 0.00662"
            )
    return Candle(start, *numbers)


def _find_extent(path: Path, left_out: Counter[str]) -> tuple[int, int, int]:
    """Return the start of the first and the last candle, and how many there are."""
    first = last = None
    count, before = 0, left_out.total()
    for candle in read_candles(path, left_out):
        first = candle.start if first is None else first
        last = candle.start
        count += 1
    if first is None or last is None:
        is_empty = left_out.total() == before
        raise InvalidRecording(f"{path}: has no candle after its header{'' if is_empty else ' that can be true'}")
    return first, last, count


def _find_files(folder: Path, exchange: str | None) -> Mapping[Metric, Path]:
    """Find the files and name their metrics."""
    try:
        paths = sorted(path for path in folder.iterdir() if _is_ours(path))
    except OSError as error:
        raise InvalidRecording(f"{folder}: is not a folder that can be read: {error.strerror}") from error
    if not paths:
        raise InvalidRecording(
            f"{folder}: has no recorded pair; there must be files like BTC_USDT.csv.gz or BTC_USDT.csv"
        )
    exchange = _name_exchange(folder, exchange)
    files: dict[Metric, Path] = {}
    for path in paths:
        pair = _name_pair(path)
        metric = Metric(f"{exchange}:{pair}")
        if metric in files:
            raise InvalidRecording(f"{path}: {metric} is there twice, also as {files[metric].name}; keep one of them")
        files[metric] = path
    return files


def _is_ours(path: Path) -> bool:
    return path.name.endswith(ENDINGS) and not path.name.startswith(".") and path.is_file()


def _name_exchange(folder: Path, given: str | None) -> str:
    guess = re.split(r"[^A-Za-z0-9]", folder.resolve().name)[0]
    name = (guess if given is None else given).upper()
    if not _NAME.fullmatch(name):
        origin = f"the exchange {given!r}" if given is not None else f"the first word of the folder's name, {guess!r},"
        raise InvalidRecording(f"{folder}: {origin} names no exchange; name one of letters, digits, '.', '_' and '-'")
    return name


def _name_pair(path: Path) -> str:
    pair = path.name.removesuffix(".gz").removesuffix(".csv").replace("_", "").upper()
    if not _NAME.fullmatch(pair):
        raise InvalidRecording(f"{path}: {pair!r} names no pair; the file must be named like BTC_USDT.csv.gz")
    return pair


def _quote(text: str) -> str:
    """Quote what a file says, on one line and not too much of it."""
    return repr(text if len(text) <= 80 else f"{text[:80]}...")  # noqa: PLR2004  # as much as fits a line of a terminal
