"""
Hours of series that are encoded already, so that a day is put together instead of made: pieces, and what keeps them.

A piece is the rows of one hour of one metric in one layout: a measure, a step, a format. Whoever reads the samples
says when an hour has changed; here is neither a clock nor a connection.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..model import DAY, HOUR, Measure, Metric, list_hours
from .series import Known, SeriesFill, SeriesQuery, clip_grid, make_kept_grid

_OVERHEAD = 400
"""Bytes that a piece takes beside its text: its fields, their objects, and its places in the dictionaries."""
_MOST_HOURS = 2 * DAY // HOUR
"""Hours of a metric that are kept: those of its day, and those of questions from around it."""


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

    text: str
    seconds: "array[int]"
    """Of each row, from the start of the hour to its tick."""
    newest: int
    hourly_after: int | None
    """Both as in `HourColumn`."""


class RowSeparator(NamedTuple):
    """What stands in a text around its rows, which hold it nowhere else."""

    opening: str
    """Before each row."""
    between: str
    """Between two rows."""


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


def make_piece(hour: int, column: HourColumn, ticks: Sequence[int], text: str) -> Piece:
    """Return the piece of an hour whose rows have these ticks and are written so."""
    return Piece(text, array("H", [tick - hour for tick in ticks]), column.newest, column.hourly_after)


def clip_rows(piece: Piece, hour: int, rows: RowRange, separator: RowSeparator) -> str:
    """Return the rows of a piece that lie in a range."""
    low, high = bisect_left(piece.seconds, rows.first - hour), bisect_right(piece.seconds, rows.last - hour)
    if low == 0 and high == len(piece.seconds):
        return piece.text
    if low >= high:
        return ""
    opening, between = separator.opening, separator.between + separator.opening
    return opening + between.join(piece.text[len(opening) :].split(between)[low:high])


def list_hourly(pieces: Mapping[int, Piece], measure: Measure, rows: RowRange) -> list[int]:
    """Return the ticks of a range that are all that is known of their hour, as `SampleColumn` has them."""
    if measure is not Measure.PRICE:
        return []
    return [
        hour + HOUR
        for hour, piece in pieces.items()
        if piece.hourly_after is not None and piece.hourly_after <= rows.after and hour + HOUR <= rows.until
    ]


Layouts = dict[str, Piece]
"""The pieces of one hour, by layout."""


class KeptPieces:
    """
    Pieces by metric, hour and layout: bounded in bytes, and the metric that was asked for longest ago goes first.

    An hour is opened with its reading, and dropped when it changes. A piece is added to the hour that it was read
    with: where that was dropped meanwhile, the piece is not kept.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        """How many all pieces take."""
        self._metrics: OrderedDict[Metric, dict[int, Layouts]] = OrderedDict()

    def get_hours(self, metric: Metric) -> Mapping[int, Layouts]:
        """Return the hours of a metric that are kept; it is now the one that was asked for last."""
        hours = self._metrics.get(metric)
        if hours is None:
            return {}
        self._metrics.move_to_end(metric)
        return hours

    def open_hour(self, metric: Metric, hour: int) -> Layouts:
        """Return where the pieces of an hour belong that is as it was read just now."""
        hours = self._metrics.setdefault(metric, {})
        if hour not in hours:
            hours[hour] = {}
            self.bytes += _OVERHEAD
            if len(hours) > _MOST_HOURS:
                self.drop_hour(metric, min(hours))
            self._evict()
        return hours.get(hour, {})

    def add_piece(self, metric: Metric, hour: int, opened: Layouts, layout: str, piece: Piece) -> None:
        """Keep a piece of an hour that was opened, unless it has changed since."""
        if self._metrics.get(metric, {}).get(hour) is opened and layout not in opened:
            opened[layout] = piece
            self.bytes += _measure_piece(piece)
            self._evict()

    def drop_hour(self, metric: Metric, hour: int) -> None:
        """Drop the pieces of an hour, which has changed."""
        hours = self._metrics.get(metric)
        if hours and hour in hours:
            self.bytes -= _measure_hours([hours.pop(hour)])
            if not hours:
                del self._metrics[metric]

    def clear(self) -> None:
        """Drop all pieces."""
        self._metrics.clear()
        self.bytes = 0

    def _evict(self) -> None:
        while self.bytes > self.most_bytes and self._metrics:
            _, hours = self._metrics.popitem(last=False)
            self.bytes -= _measure_hours([*hours.values()])


def _measure_piece(piece: Piece) -> int:
    """Return the bytes that a piece takes; nearly all texts are ASCII, which takes a byte a letter."""
    return _OVERHEAD + len(piece.text) + len(piece.seconds) * piece.seconds.itemsize


def _measure_hours(hours: Sequence[Layouts]) -> int:
    return sum(_OVERHEAD + sum(map(_measure_piece, pieces.values())) for pieces in hours)
