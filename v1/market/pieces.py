"""
Hours of series that are encoded already, so that a day is put together instead of made: pieces, and what keeps them.

A piece is the rows of one hour of one metric in one layout: a measure, a step, a format. A run is the pieces of hours
that follow one another, which every question about all of them shares. Whoever reads the samples says when an hour has
changed; here is neither a clock nor a connection.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import NamedTuple

from ..model import DAY, HOUR, Metric, list_hours
from .series import Known, SeriesFill, SeriesQuery, clip_grid, make_kept_grid

_OVERHEAD = 400
"""Bytes that a piece takes beside its text: its fields, their objects, and its places in the dictionaries."""
_MOST_HOURS = 2 * DAY // HOUR
"""Hours of a metric that are kept: those of its day, and those of questions from around it."""
_REFERENCE = 8
"""Bytes of a reference."""
_MOST_RUNS = 8
"""Runs of a metric that are kept: its day in some layouts, and some shorter ranges."""


class HourColumn(NamedTuple):
    """What one hour of a metric holds of one measure."""

    samples: Sequence[Known]
    """The known numbers, oldest first."""
    newest: int
    """The tick of the newest sample, also where its number is not known; 0 of an hour without any."""
    hourly_after: int | None
    """Of what begins after this tick, one price at the end of the hour is all that is known; `None`: there is more."""


class Piece(NamedTuple):
    """The rows of one hour, encoded."""

    text: bytes
    seconds: "array[int]"
    """Of each row, from the start of the hour to its tick."""
    newest: int
    hourly_after: int | None
    """Both as in `HourColumn`."""


class RowSeparator(NamedTuple):
    """What stands in a text around its rows, which hold it nowhere else."""

    opening: bytes
    """Before each row."""
    between: bytes
    """Between two rows."""


@dataclass(frozen=True, slots=True)
class HourRun:
    """The rows of whole hours that follow one another."""

    texts: Sequence[bytes]
    """Stretches of rows, oldest first; none is empty."""
    newest: int
    """The tick of the newest sample; 0 without any."""
    hourly: Sequence[int]
    """The ends of those hours of which one price is all that is known."""
    digest: bytes
    """Other bytes for other rows (SHA-256); empty without any."""
    deflated: bytes = b""
    """All of them with what stands between them, compressed, as `gzip_parts` has it; empty where nobody asked yet."""


NO_HOURS = HourRun((), 0, (), b"")


class RowRange(NamedTuple):
    """Which samples a query reads, and which rows it answers. Times are in unix seconds."""

    after: int
    until: int
    """It reads the samples with after < tick <= until,"""
    first: int
    last: int
    """and answers the rows with first <= tick <= last."""

    @property
    def hours(self) -> range:
        return list_hours(self.after, self.until) if self.after < self.until else range(0)


NO_ROWS = RowRange(0, 0, 0, -1)


def can_join_hours(fill: SeriesFill, step: int | None) -> bool:
    """Return whether a series is its hours one after the other: gaps stay, and no step reaches from one into the next."""
    return fill is SeriesFill.NONE and (step is None or HOUR % step == 0)


def find_row_range(query: SeriesQuery) -> RowRange:
    """Return what `series.query_series` reads and answers, of a query whose hours can be joined."""
    if query.step is None:
        after, until = max(query.start - 1, query.newest - DAY), min(query.end, query.newest)
        return RowRange(after, until, after + 1, until)
    part = clip_grid(make_kept_grid(query.newest, query.step), query.start, query.end)
    if not part.list_ticks:
        return NO_ROWS
    return RowRange(part.first - part.step, min(part.last, query.newest), part.first, part.last)


def make_piece(hour: int, column: HourColumn, ticks: Sequence[int], text: bytes) -> Piece:
    """Return the piece of an hour whose rows have these ticks and are written so."""
    return Piece(text, array("H", [tick - hour for tick in ticks]), column.newest, column.hourly_after)


def make_run(hours: Iterable[int], pieces: Sequence[Piece]) -> HourRun:
    """Return the run of hours that follow one another."""
    texts = [piece.text for piece in pieces if piece.text]
    hourly = [hour + HOUR for hour, piece in zip(hours, pieces, strict=True) if piece.hourly_after == 0]
    return HourRun(texts, max([piece.newest for piece in pieces], default=0), hourly, hash_rows(texts))


def hash_rows(texts: Sequence[bytes]) -> bytes:
    """Return the digest of stretches of rows; how they are cut makes no difference to it."""
    return sha256(b"\n".join(texts)).digest() if texts else b""


def clip_rows(piece: Piece, hour: int, rows: RowRange, separator: RowSeparator) -> bytes:
    """Return the rows of a piece that lie in a range."""
    low, high = bisect_left(piece.seconds, rows.first - hour), bisect_right(piece.seconds, rows.last - hour)
    if low == 0 and high == len(piece.seconds):
        return piece.text
    if low >= high:
        return b""
    opening, between = separator.opening, separator.between + separator.opening
    return opening + between.join(piece.text[len(opening) :].split(between)[low:high])


def is_hourly(piece: Piece, hour: int, rows: RowRange) -> bool:
    """Return whether one price at the end of an hour is all that is known of it within a range, see `SampleColumn`."""
    return piece.hourly_after is not None and piece.hourly_after <= rows.after and hour + HOUR <= rows.until


Layouts = dict[str, Piece]
"""The pieces of one hour, by layout."""


class RunKey(NamedTuple):
    """Which run of a metric."""

    layout: str
    hours: range


class _KeptMetric(NamedTuple):
    """What is kept of one metric."""

    hours: dict[int, Layouts]
    runs: dict[RunKey, HourRun]


class KeptPieces:
    """
    Pieces by metric, hour and layout: bounded in bytes, and the metric that was asked for longest ago goes first.

    An hour is opened with its reading, and dropped when it changes. A piece is added to the hour that it was read
    with: where that was dropped meanwhile, the piece is not kept. A run goes with the first of its hours that does.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        """How many all pieces and runs take."""
        self._metrics: OrderedDict[Metric, _KeptMetric] = OrderedDict()

    def get_hours(self, metric: Metric) -> Mapping[int, Layouts]:
        """Return the hours of a metric that are kept; it is now the one that was asked for last."""
        kept = self._metrics.get(metric)
        if kept is None:
            return {}
        self._metrics.move_to_end(metric)
        return kept.hours

    def open_hour(self, metric: Metric, hour: int) -> Layouts:
        """Return where the pieces of an hour belong that is as it was read just now."""
        hours = self._metrics.setdefault(metric, _KeptMetric({}, {})).hours
        if hour not in hours:
            hours[hour] = {}
            self.bytes += _OVERHEAD
            if len(hours) > _MOST_HOURS:
                self.drop_hour(metric, min(hours))
            self._evict()
        return hours.get(hour, {})

    def add_piece(self, metric: Metric, hour: int, opened: Layouts, layout: str, piece: Piece) -> None:
        """Keep a piece of an hour that was opened, unless it has changed since."""
        kept = self._metrics.get(metric)
        if kept and kept.hours.get(hour) is opened and layout not in opened:
            opened[layout] = piece
            self.bytes += _measure_piece(piece)
            self._evict()

    def find_run(self, metric: Metric, key: RunKey) -> HourRun | None:
        """Return a run, made of the pieces that are kept where it is not there yet; `None` where one is missing."""
        kept = self._metrics.get(metric)
        if kept is None or not key.hours:
            return None if key.hours else NO_HOURS
        run = kept.runs.get(key)
        if run is None:
            pieces = [kept.hours.get(hour, {}).get(key.layout) for hour in key.hours]
            found = [piece for piece in pieces if piece is not None]
            if len(found) < len(pieces):
                return None
            run = kept.runs[key] = make_run(key.hours, found)
            self.bytes += _measure_run(run)
            if len(kept.runs) > _MOST_RUNS:
                self.bytes -= _measure_run(kept.runs.pop(next(iter(kept.runs))))
            self._evict()
        return run

    def add_deflated(self, metric: Metric, key: RunKey, run: HourRun, deflated: bytes) -> None:
        """Keep what a run is when it is compressed, unless it has gone since."""
        kept = self._metrics.get(metric)
        if kept and kept.runs.get(key) is run:
            kept.runs[key] = replace(run, deflated=deflated)
            self.bytes += len(deflated) - len(run.deflated)
            self._evict()

    def drop_hour(self, metric: Metric, hour: int) -> None:
        """Drop the pieces of an hour, which has changed."""
        kept = self._metrics.get(metric)
        if kept and hour in kept.hours:
            self.bytes -= _measure_hours([kept.hours.pop(hour)])
            for key in [key for key in kept.runs if hour in key.hours]:
                self.bytes -= _measure_run(kept.runs.pop(key))
            if not kept.hours:
                del self._metrics[metric]

    def clear(self) -> None:
        """Drop all pieces."""
        self._metrics.clear()
        self.bytes = 0

    def _evict(self) -> None:
        while self.bytes > self.most_bytes and self._metrics:
            _, kept = self._metrics.popitem(last=False)
            self.bytes -= _measure_hours([*kept.hours.values()]) + sum(map(_measure_run, kept.runs.values()))


def _measure_piece(piece: Piece) -> int:
    """Return the bytes that a piece takes."""
    return _OVERHEAD + len(piece.text) + len(piece.seconds) * piece.seconds.itemsize


def _measure_run(run: HourRun) -> int:
    """Return the bytes that a run takes, of which the texts are its pieces'."""
    return _OVERHEAD + _REFERENCE * (len(run.texts) + len(run.hourly)) + len(run.deflated)


def _measure_hours(hours: Sequence[Layouts]) -> int:
    return sum(_OVERHEAD + sum(map(_measure_piece, pieces.values())) for pieces in hours)
