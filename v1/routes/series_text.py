"""The rows of a series, written: joined from hours that are encoded already where it can be, else made from samples."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from ..market.pieces import (
    NO_HOURS,
    NO_ROWS,
    HourRun,
    Piece,
    RowRange,
    RowSeparator,
    RunKey,
    can_join_hours,
    clip_rows,
    find_row_range,
    hash_rows,
    is_hourly,
    make_piece,
    make_run,
)
from ..market.series import Aggregation, SeriesFill, SeriesQuery, group_by_step, query_series
from ..model import HOUR, Measure, Metric
from ..store import MetricReading, OpenedHour, Reader, TrackedReader
from .gzip_parts import AT_ONCE, compress_middle, join_gzip
from .problems import HttpRefusal
from .row_encoder import JsonFrame, RowEncoder

_MOST_READINGS = 3
"""A tick may come while one is under way; the next then finds everything as it is."""
_FEWEST_TEXTS = 4
"""Hours of a run from which on it is worth while to keep them compressed."""


class RangedQuery(NamedTuple):
    """A query whose hours can be joined, and where its rows are."""

    query: SeriesQuery
    """Of any metric."""
    rows: RowRange
    hours: range
    """The hours of these rows."""

    @classmethod
    def make(cls, query: SeriesQuery) -> "RangedQuery":
        rows = find_row_range(query)
        return cls(query, rows, rows.hours)


QueryMaker = Callable[[int], RangedQuery]
"""Returns what is asked for, by the newest tick that is known of its metric."""


class SeriesText(NamedTuple):
    """A series as it is written."""

    query: SeriesQuery
    first: bytes
    """Rows before those of the run, or all of them; may be empty."""
    hourly: Sequence[int]
    """As `Series` has them."""
    run: HourRun = NO_HOURS
    last: bytes = b""
    """Rows after those of the run; may be empty."""
    run_key: RunKey | None = None
    """Which run that is, if it is kept."""

    def list_rows(self) -> Sequence[bytes]:
        """Return stretches of rows, oldest first; none is empty."""
        return [*([self.first] if self.first else ()), *self.run.texts, *([self.last] if self.last else ())]


class SeriesLayout(NamedTuple):
    """Which numbers stand in the rows of a series, and how they are written."""

    measure: Measure
    step: int | None
    agg: Aggregation
    fill: SeriesFill
    encoder: RowEncoder
    separator: RowSeparator
    name: str
    """The same for series whose rows are written the same way."""

    def make_piece(self, opened: OpenedHour) -> Piece:
        """Return the rows of one hour."""
        column = opened.make_column(self.measure)
        points = group_by_step(column.samples, self.step, self.agg) if self.step else column.samples
        text = self.encoder.encode(points).encode()
        return make_piece(opened.hour, column, [tick for tick, _ in points], text)


class SeriesBody(NamedTuple):
    """A whole answer, of which the rows are a series."""

    series: SeriesText
    between: bytes
    """What stands between two rows,"""
    before: bytes
    """before all of them,"""
    after: bytes
    """and after them."""
    body: bytes

    @classmethod
    def make(cls, series: SeriesText, layout: SeriesLayout, frame: JsonFrame) -> "SeriesBody":
        rows, between = series.list_rows(), layout.separator.between
        before, after = [text.encode() for text in layout.encoder.write_frame(frame, has_rows=bool(rows))]
        return cls(series, between, before, after, b"".join([before, between.join(rows), after]))

    def make_fingerprint(self) -> bytes:
        """Return what is another one for another body, and much shorter than that: for a tag."""
        series = self.series
        return b"\0".join([self.before, series.first, series.run.digest, series.last, self.after])

    def compress(self, reader: TrackedReader) -> bytes | None:
        """
        Return the body in gzip; `None` where it is not worth while, or so large that it is compressed in a thread.

        What it has of whole hours is compressed for the first who asks, and kept.
        """
        series, between = self.series, self.between
        run, key = series.run, series.run_key
        if key is None or len(run.texts) < _FEWEST_TEXTS or len(self.body) > AT_ONCE:
            return None
        middle = run.deflated
        if not middle:
            middle = compress_middle(run.texts, between)
            reader.kept.add_deflated(series.query.metric, key, run, middle)
        before = self.before + series.first + (between if series.first else b"")
        return join_gzip(before, middle, (between if series.last else b"") + series.last + self.after, self.body)


class _JoinedHours(NamedTuple):
    """The hours of a range, encoded: those at its edges, and the run between them."""

    edges: Mapping[int, Piece]
    run: HourRun
    run_key: RunKey | None

    @property
    def newest(self) -> int:
        return max([self.run.newest, *[piece.newest for piece in self.edges.values()]])


async def read_series_text(reader: Reader, query: SeriesQuery, encoder: RowEncoder) -> SeriesText:
    """Return a series that is made from its samples."""
    series = await query_series(reader, query)
    hours = find_row_range(query).hours if can_join_hours(query.fill, query.step) else range(0)
    cuts = [bisect_right(series.points, hour + HOUR, key=lambda point: point[0]) for hour in hours[:-1]]
    parts = [series.points[begin:end] for begin, end in pairwise([0, *cuts, len(series.points)])]
    # In the same stretches as one that is joined, so that its tag is the same.
    first, *inner, last = [*[encoder.encode(part).encode() for part in parts], *([] if cuts else [b""])]
    texts = [text for text in inner if text]
    return SeriesText(query, first, series.hourly, HourRun(texts, 0, (), hash_rows(texts)), last)


async def join_series_text(
    reader: TrackedReader, metric: Metric, layout: SeriesLayout, expected: int, make_query: QueryMaker
) -> SeriesText | None:
    """
    Return a series that is joined from encoded hours; those that are not kept are read, with the newest tick.

    `expected` is what the newest tick will probably be: what is missing until then is read in the same round trip.
    `None` where the series cannot be joined, or something else is there than a series: samples alone tell what.
    """
    if not reader.kept.most_bytes or not can_join_hours(layout.fill, layout.step):
        return None
    missing = _list_expected(reader, metric, layout, expected, make_query)
    for _ in range(_MOST_READINGS):
        reading = await reader.read(metric, missing)
        if reading.tick is None or reading.newest is None:
            return None
        fresh = _make_pieces(reader, metric, layout, reading)
        asked = make_query(max(reading.tick, reading.newest))
        joined = _join_hours(reader, metric, layout, asked.hours, fresh)
        if joined is None:
            missing = [*asked.hours]  # all of them: what was kept had to go for what was read
        elif joined.newest <= asked.query.newest:
            return _clip(asked.query._replace(metric=metric), asked.rows, joined, layout)
    return None


def _list_expected(
    reader: TrackedReader, metric: Metric, layout: SeriesLayout, expected: int, make_query: QueryMaker
) -> list[int]:
    """Return the hours that are not kept."""
    try:
        hours = make_query(expected).hours
    except HttpRefusal:  # it may be a good question by the real newest tick, or of an unknown metric
        return []
    kept, name = reader.kept.get_hours(metric), layout.name
    run = reader.kept.find_run(metric, RunKey(name, hours[1:-1]))
    return [hour for hour in (hours if run is None else _list_edges(hours)) if name not in kept.get(hour, ())]


def _list_edges(hours: range) -> Sequence[int]:
    return (hours[0], hours[-1]) if len(hours) > 1 else hours


def _make_pieces(
    reader: TrackedReader, metric: Metric, layout: SeriesLayout, reading: MetricReading
) -> dict[int, Piece]:
    made = {}
    for opened in reading.hours:
        piece = made[opened.hour] = layout.make_piece(opened)
        reader.kept.add_piece(metric, opened.hour, opened.layouts, layout.name, piece)
    return made


def _join_hours(
    reader: TrackedReader, metric: Metric, layout: SeriesLayout, hours: range, fresh: Mapping[int, Piece]
) -> _JoinedHours | None:
    """Return the hours of a range, as they were read just now or are kept; `None` where some are neither."""
    kept, name, inner = reader.kept.get_hours(metric), layout.name, hours[1:-1]

    def find_pieces(some: Sequence[int]) -> dict[int, Piece]:
        found = {hour: fresh.get(hour) or kept.get(hour, {}).get(name) for hour in some}
        return {hour: piece for hour, piece in found.items() if piece is not None}

    edges = find_pieces(_list_edges(hours))
    if len(edges) < min(2, len(hours)):
        return None
    key = RunKey(name, inner)
    run = reader.kept.find_run(metric, key)
    if run is not None:
        return _JoinedHours(edges, run, key)
    pieces = find_pieces(inner)
    return _JoinedHours(edges, make_run(inner, [*pieces.values()]), None) if len(pieces) == len(inner) else None


def _clip(query: SeriesQuery, rows: RowRange, joined: _JoinedHours, layout: SeriesLayout) -> SeriesText:
    """Return the rows of a range out of its hours."""
    if rows == NO_ROWS:
        return SeriesText(query, b"", ())
    texts = [clip_rows(piece, hour, rows, layout.separator) for hour, piece in joined.edges.items()]
    first, last = texts if len(texts) > 1 else (*texts, b"", b"")[:2]
    hourly: list[int] = []
    if layout.measure is Measure.PRICE:
        ends = [hour + HOUR for hour, piece in joined.edges.items() if is_hourly(piece, hour, rows)]
        hourly = sorted([*ends, *joined.run.hourly])
    return SeriesText(query, first, hourly, joined.run, last, joined.run_key)
