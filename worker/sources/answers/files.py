"""The files of kept answers: written a piece at a time, closed each hour, the oldest removed; and read again."""

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from worker.latest import HOUR
from worker.sources.answers.lines import (
    AnswersHeader,
    InvalidAnswers,
    KeptAnswer,
    KeptTick,
    parse_header,
    parse_line,
    write_answer,
    write_header,
    write_tick,
)
from worker.sources.asking import AskedFor

FOLDER = "answers"
"""The folder in the data directory."""
PATTERN = "answers-*.jsonl.gz"
PARTS = 8
"""Of the bytes that all files may have: a file is closed when it has one of them, so that one can be removed."""
LEVEL = 6
"""Of compression: beyond it, it takes twice the time for a hundredth less."""


class AnswerLimits(NamedTuple):
    """How much is kept."""

    seconds: int
    size: int
    """Bytes of all files, at most."""


class AnswerFiles:
    """
    Writes files into a folder.

    Each begins with what was sampled and with the newest answer about each source's markets, so that it can be played
    without those before it. Every method but `close` may block, and raises `OSError`.
    """

    def __init__(self, folder: Path, header: AnswersHeader, limits: AnswerLimits) -> None:
        self._folder = folder
        self._header = header
        self._limits = limits
        self._file: gzip.GzipFile | None = None
        self._raw: IO[bytes] | None = None
        self._path = folder
        self._began = 0
        self._markets: dict[tuple[str, str], KeptAnswer] = {}

    def write(self, kept: Sequence[KeptAnswer | KeptTick], now: int) -> None:
        """Add what was kept at `now`; what is written so far can be read, whatever happens next."""
        if self._file is None or now >= self._began + HOUR or self._count_bytes() * PARTS > self._limits.size:
            self._begin(now)
        for each in kept:
            if isinstance(each, KeptAnswer) and each.asked_for is AskedFor.MARKETS:
                self._markets[each.source, each.url] = each
            self._add(write_tick(each) if isinstance(each, KeptTick) else write_answer(each))
        if self._file is not None and self._raw is not None:
            self._file.flush(zlib.Z_SYNC_FLUSH)
            self._raw.flush()
        self._remove_old(now)

    def close(self) -> None:
        """End the file that is written; whatever cannot be written any more is lost."""
        file, raw, self._file, self._raw = self._file, self._raw, None, None
        try:
            if file is not None:
                file.close()
        except OSError:
            pass
        finally:
            if raw is not None:
                raw.close()

    def _begin(self, now: int) -> None:
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path = self._folder / f"answers-{now}.jsonl.gz"
        while self._path.exists():
            self._path = self._path.with_name(f"{self._path.name.removesuffix('.jsonl.gz')}+.jsonl.gz")
        self._raw = self._path.open("xb")
        self._began = now
        self._file = gzip.GzipFile(filename="", fileobj=self._raw, mode="wb", compresslevel=LEVEL, mtime=now)
        self._add(write_header(self._header))
        for answer in self._markets.values():
            self._add(write_answer(answer))

    def _add(self, line: str) -> None:
        if self._file is not None:
            self._file.write(line.encode())

    def _count_bytes(self) -> int:
        return self._raw.tell() if self._raw is not None else 0

    def _remove_old(self, now: int) -> None:
        """Remove what is too old, and the oldest where all of it is too large; never what is written just now."""
        others = [path for path in list_files(self._folder) if path != self._path]
        sizes = {path: path.stat().st_size for path in others}
        total = sum(sizes.values()) + self._count_bytes()
        for path in others:
            is_old = _find_start(path) + HOUR <= now - self._limits.seconds
            if is_old or total > self._limits.size:
                path.unlink(missing_ok=True)
                total -= sizes[path]


def list_files(folder: Path) -> list[Path]:
    """Return the files of a folder, oldest first."""
    return sorted(folder.glob(PATTERN), key=lambda path: (_find_start(path), len(path.name), path.name))


def _find_start(path: Path) -> int:
    """Return when a file was begun, unix seconds, by its name."""
    number = path.name.removeprefix("answers-").removesuffix(".jsonl.gz").rstrip("+")
    return int(number) if number.isdecimal() else 0


class AnswerRecording(NamedTuple):
    """Files of answers that were kept under the same settings, checked from the first line to the last."""

    paths: Sequence[Path]
    header: AnswersHeader
    first: int
    """The first tick."""
    last: int
    ticks: int
    answers: int

    def list_lines(self) -> Iterator[KeptAnswer | KeptTick]:
        """Return what was kept, in order. Raises `InvalidAnswers`."""
        for path in self.paths:
            _, lines = read_file(path)
            yield from lines


def has_answers(folder: Path) -> bool:
    """Return whether a folder holds kept answers."""
    return next(iter(folder.glob(PATTERN)), None) is not None


def open_answers(folder: Path) -> AnswerRecording:
    """Read every line of a folder, so that no fault shows half-way through playing. Raises `InvalidAnswers`."""
    paths = list_files(folder)
    headers = [read_file(path)[0] for path in paths]
    for path, header in zip(paths, headers, strict=True):
        if header._replace(version="") != headers[0]._replace(version=""):
            raise InvalidAnswers(
                f"{path}: was kept under other settings than {paths[0].name}; play one after the other, each in a folder "
                f"of its own: here {_describe(header)}, there {_describe(headers[0])}"
            )
    ticks: list[int] = []
    answers = 0
    for path in paths:
        for line in read_file(path)[1]:
            if isinstance(line, KeptTick):
                ticks.append(line.at)
            else:
                answers += 1
    if not ticks:
        raise InvalidAnswers(f"{folder}: has no tick; the worker had not sampled yet")
    return AnswerRecording(paths, headers[0], min(ticks), max(ticks), len({*ticks}), answers)


def _describe(header: AnswersHeader) -> str:
    return json.dumps({name: value for name, value in header._asdict().items() if name != "version"})


def read_file(path: Path) -> tuple[AnswersHeader, Iterator[KeptAnswer | KeptTick]]:
    """
    Return the first line of a file, and the others as they are read. Raises `InvalidAnswers`.

    What was half-written when the worker was killed is left out: that can be the end of a file alone.
    """
    lines = _read_lines(path)
    first = next(lines, None)
    if first is None:
        raise InvalidAnswers(f"{path}: is empty")
    try:
        header = parse_header(first)
    except InvalidAnswers as error:
        raise InvalidAnswers(f"{path}, line 1: {error}") from error
    return header, _parse_lines(path, lines)


def _parse_lines(path: Path, lines: Iterator[str]) -> Iterator[KeptAnswer | KeptTick]:
    for number, line in enumerate(lines, 2):
        try:
            yield parse_line(line)
        except InvalidAnswers as error:
            raise InvalidAnswers(f"{path}, line {number}: {error}") from error


def _read_lines(path: Path) -> Iterator[str]:
    """Yield every whole line of a file."""
    try:
        with gzip.open(path, "rb") as file:
            while line := file.readline():
                if line.endswith(b"\n"):
                    yield line.decode()
    except EOFError:
        return  # the worker was killed, or still writes
    except (OSError, zlib.error, UnicodeDecodeError) as error:
        raise InvalidAnswers(f"{path}: cannot be read: {error}") from error
