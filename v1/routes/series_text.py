"""The rows of a series, written: joined from hours that are encoded already where it can be, else made from samples."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..market.pieces import (
    NO_ROWS,
    Layouts,
    Piece,
    RowRange,
    RowSeparator,
    can_join_hours,
    clip_rows,
    find_row_range,
    list_hourly,
    make_piece,
)
from ..market.series import Aggregation, SeriesFill, SeriesQuery, group_by_step, query_series
from ..model import Measure, Metric
from ..store import MetricReading, OpenedHour, Reader, TrackedReader
from .problems import HttpRefusal
from .row_encoder import RowEncoder

_MOST_READINGS = 3
"""A tick may come while one is under way; the next then finds everything as it is."""

QueryMaker = Callable[[int], SeriesQuery]
"""Returns the query, by the newest tick that is known of its metric."""


class SeriesText(NamedTuple):
    """A series as it is written."""

    query: SeriesQuery
    rows: Sequence[str]
    """Stretches of rows, oldest first; some may be empty."""
    hourly: Sequence[int]
    """As `Series` has them."""


class SeriesLayout(NamedTuple):
    """Which numbers stand in the rows of a series, and how they are written."""

    measure: Measure
    step: int | None
    agg: Aggregation
    fill: SeriesFill
    encoder: RowEncoder
    name: str
    """The same for series whose rows are written the same way."""

    @property
    def separator(self) -> RowSeparator:
        return RowSeparator(self.encoder.list_texts()[0], self.encoder.between)

    def make_piece(self, opened: OpenedHour) -> Piece:
        """Return the rows of one hour."""
        column = opened.make_column(self.measure)
        points = group_by_step(column.samples, self.step, self.agg) if self.step else column.samples
        return make_piece(opened.hour, column, [tick for tick, _ in points], self.encoder.encode(points))


async def read_series_text(reader: Reader, query: SeriesQuery, encoder: RowEncoder) -> SeriesText:
    """Return a series that is made from its samples."""
    series = await query_series(reader, query)
    return SeriesText(query, [encoder.encode(series.points)], series.hourly)


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
    missing = _list_expected(reader.kept.get_hours(metric), layout, expected, make_query)
    for _ in range(_MOST_READINGS):
        reading = await reader.read(metric, missing)
        if reading.tick is None or reading.newest is None:
            return None
        fresh = _make_pieces(reader, metric, layout, reading)
        query = make_query(max(reading.tick, reading.newest))
        rows, kept = find_row_range(query), reader.kept.get_hours(metric)
        if not fresh.keys() >= {*_list_missing(kept, layout, rows)}:
            missing = [*rows.hours]  # all of them: what was kept had to go for what was read
            continue
        pieces = {hour: fresh[hour] if hour in fresh else kept[hour][layout.name] for hour in rows.hours}
        if all(piece.newest <= query.newest for piece in pieces.values()):
            return _join(query, rows, pieces, layout)
    return None


def _list_expected(
    kept: Mapping[int, Layouts], layout: SeriesLayout, expected: int, make_query: QueryMaker
) -> list[int]:
    try:
        return _list_missing(kept, layout, find_row_range(make_query(expected)))
    except HttpRefusal:  # it may be a good question by the real newest tick, or of an unknown metric
        return []


def _list_missing(kept: Mapping[int, Layouts], layout: SeriesLayout, rows: RowRange) -> list[int]:
    name = layout.name
    return [hour for hour in rows.hours if name not in kept.get(hour, ())]


def _make_pieces(
    reader: TrackedReader, metric: Metric, layout: SeriesLayout, reading: MetricReading
) -> dict[int, Piece]:
    made = {}
    for opened in reading.hours:
        piece = made[opened.hour] = layout.make_piece(opened)
        reader.kept.add_piece(metric, opened.hour, opened.layouts, layout.name, piece)
    return made


def _join(query: SeriesQuery, rows: RowRange, pieces: Mapping[int, Piece], layout: SeriesLayout) -> SeriesText:
    if rows == NO_ROWS:
        return SeriesText(query, (), ())
    separator, hours = layout.separator, [*pieces]
    written = [piece.text for piece in pieces.values()]
    for edge in {0, len(hours) - 1} if hours else ():
        written[edge] = clip_rows(pieces[hours[edge]], hours[edge], rows, separator)
    return SeriesText(query, written, list_hourly(pieces, layout.measure, rows))
