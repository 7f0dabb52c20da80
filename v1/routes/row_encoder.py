"""
Rows of numbers, as JSON, CSV or NDJSON. One encoder for every answer that is a table.

Each format is a subclass of `RowEncoder`: what it writes before, between and after the cells of a row, how it writes a
text, and what stands around the rows. A format of later is one more subclass in `_ENCODERS`. Numbers are written with
the digits that they have.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any, ClassVar, NamedTuple

from ..archive import RowFormat
from .params import Format, QueryParams, TableParams, TimeFormat

BYTE_ORDER_MARK = "\ufeff"
_NULL = "null"
_dump = json.JSONEncoder(separators=(",", ":")).encode
_FORMULA = (*"=+-@＝＋－＠", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of a formula, also in the full width of East Asian writing."""

Row = Sequence[object]
CellWriter = Callable[[Any], object]


class CellKind(Enum):
    """What the cells of a column are."""

    NUMBER = auto()
    """Written as it is; `None` is not known."""
    COUNT = auto()
    """A whole number that is counted, not received; it fits into 64 bits."""
    TEXT = auto()
    TIME = auto()
    """Unix seconds; in CSV ISO 8601 on request."""
    FLAG = auto()
    """`true` or `false`."""


class Column(NamedTuple):
    """One column of a table."""

    name: str
    kind: CellKind = CellKind.NUMBER
    title: str | None = None
    """What CSV calls it; without it, its name."""


class JsonFrame(NamedTuple):
    """What stands around rows in a JSON document: its fields before them, and the name of the rows."""

    fields: Mapping[str, object]
    rows: str
    last_fields: Mapping[str, object] = {}
    """Its fields after them."""


class RowEncoder(ABC):
    """Writes the rows of one table in one format."""

    nothing: str
    """What stands for a cell that is not known."""
    between: ClassVar[str]
    """What stands between two rows."""

    def __init__(self, columns: Sequence[Column], table: TableParams) -> None:
        self.columns = columns
        self._table = table

    @abstractmethod
    def list_texts(self) -> list[str]:
        """Return the text before each cell of a row, and the one after the last."""

    def frame(self, chunks: Iterable[str], frame: JsonFrame) -> str:
        """Return the whole answer. Each of `chunks` is rows as `encode`, or a database, has written them."""
        rows = self.between.join([chunk for chunk in chunks if chunk])
        before, after = self.write_frame(frame, has_rows=bool(rows))
        return f"{before}{rows}{after}"

    @abstractmethod
    def write_frame(self, frame: JsonFrame, *, has_rows: bool) -> tuple[str, str]:
        """Return what the answer has before all rows, and after them."""

    def get_cell_writer(self, kind: CellKind) -> CellWriter | None:
        """Return what writes the cells of a kind that are known; `None` where they are written as they are."""
        return _write_flag if kind is CellKind.FLAG else None

    def make_row_format(self, constants: Sequence[object] = ()) -> RowFormat:
        """
        Return the format for a database that puts rows together itself.

        The last columns have the same cell in every row, one of `constants`; the database does not read them.
        """
        texts, kinds = self.list_texts(), [column.kind for column in self.columns]
        free = len(kinds) - len(constants)
        writers = [self.get_cell_writer(kind) or str for kind in kinds[free:]]
        ends = [f"{text}{write(cell)}" for text, cell, write in zip(texts[free:-1], constants, writers, strict=True)]
        return RowFormat([*texts[:free], "".join([*ends, texts[-1]])], self.nothing, self.between)

    def encode(self, rows: Iterable[Row]) -> str:
        """Return rows, one after the other, with what stands between them."""
        nothing = self.nothing
        cells = [nothing if cell is None else cell for row in self._convert(rows) for cell in row]
        # One pattern for all rows is filled in two thirds of the time that one for each row takes.
        pattern = "%s".join([text.replace("%", "%%") for text in self.list_texts()])
        return self.between.join([pattern] * (len(cells) // len(self.columns))) % tuple(cells)

    def convert_times(self, text: str) -> str:
        """Return rows that a database wrote, which knows only unix seconds, with the times that are asked for."""
        return text

    def _convert(self, rows: Iterable[Row]) -> Iterable[Row]:
        """Return rows with the cells written that are not written as they are, column by column."""
        writers = [self.get_cell_writer(column.kind) for column in self.columns]
        if not any(writers):
            return rows
        columns = zip(zip(*rows, strict=True), writers, strict=False)  # no columns, of no rows
        return zip(*[cells if write is None else _write_known(write, cells) for cells, write in columns], strict=True)


def _write_known(write: CellWriter, cells: Iterable[object]) -> list[object]:
    return [None if cell is None else write(cell) for cell in cells]


class NdjsonEncoder(RowEncoder):
    """A JSON object a row, each on a line of its own."""

    nothing = _NULL
    between = "\n"

    def list_texts(self) -> list[str]:
        first, *others = [f'"{column.name}":' for column in self.columns]
        return [f"{{{first}", *[f",{name}" for name in others], "}"]

    def get_cell_writer(self, kind: CellKind) -> CellWriter | None:
        return json.dumps if kind is CellKind.TEXT else super().get_cell_writer(kind)

    def write_frame(self, frame: JsonFrame, *, has_rows: bool) -> tuple[str, str]:  # noqa: ARG002  # a frame is of JSON alone
        return "", self.between if has_rows else ""


class JsonEncoder(NdjsonEncoder):
    """One JSON document; a row is an object in a list."""

    between = ","

    def write_frame(self, frame: JsonFrame, *, has_rows: bool) -> tuple[str, str]:  # noqa: ARG002  # nothing hangs on them
        opened = _dump(frame.fields)[:-1]
        closed = f",{_dump(frame.last_fields)[1:]}" if frame.last_fields else "}"
        return f'{opened},"{frame.rows}":[', f"]{closed}"


class JsonArrayEncoder(JsonEncoder):
    """One JSON document; a row is a list in a list."""

    def list_texts(self) -> list[str]:
        return ["[", *[","] * (len(self.columns) - 1), "]"]


class CsvEncoder(RowEncoder):
    """A line of titles, and a line a row. Texts stand in quotation marks."""

    nothing = ""
    between = "\n"

    def __init__(self, columns: Sequence[Column], table: TableParams) -> None:
        super().__init__(columns, table)
        # A line without a sign would be none to most readers.
        self.nothing = "" if len(columns) > 1 else '""'

    def list_texts(self) -> list[str]:
        return ["", *[","] * (len(self.columns) - 1), ""]

    def get_cell_writer(self, kind: CellKind) -> CellWriter | None:
        if kind is CellKind.TEXT:
            return quote_text
        if kind is CellKind.TIME and self._table.time is TimeFormat.ISO:
            return format_iso
        return super().get_cell_writer(kind)

    def convert_times(self, text: str) -> str:
        if self._table.time is TimeFormat.UNIX or not text:
            return text
        cut = [line.partition(",") for line in text.split(self.between)]
        return self.between.join([f"{format_iso(int(start))},{rest}" for start, _, rest in cut])

    def write_frame(self, frame: JsonFrame, *, has_rows: bool) -> tuple[str, str]:  # noqa: ARG002  # a frame is of JSON alone
        titles = ",".join([column.title or column.name for column in self.columns])
        mark = BYTE_ORDER_MARK if self._table.bom else ""
        return f"{mark}{titles}{self.between}", self.between if has_rows else ""


_ENCODERS: dict[Format, type[RowEncoder]] = {
    Format.JSON: JsonEncoder,
    Format.CSV: CsvEncoder,
    Format.NDJSON: NdjsonEncoder,
}


def make_encoder(
    format_: Format, columns: Sequence[Column], params: QueryParams, *, is_array: bool = False
) -> RowEncoder:
    """
    Return the encoder of a format. `params` are the parameters of the query, which may say how CSV is written;
    `is_array`: JSON has each row as a list, without the names of its columns.
    """
    encoder = JsonArrayEncoder if is_array and format_ is Format.JSON else _ENCODERS[format_]
    return encoder(columns, params if isinstance(params, TableParams) else TableParams())


def format_iso(at: int) -> str:
    """Return unix seconds as ISO 8601 in UTC: `2021-05-18T00:00:00Z`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def quote_text(text: str) -> str:
    """
    Return a text for CSV: always in quotation marks, so that `NA` or `1E5` can be told from nothing and a number.

    Where a spreadsheet would take it for a formula, an apostrophe comes before it. Not for numbers: those may be negative.
    """
    harmless = f"'{text}" if text.startswith(_FORMULA) else text
    return '"' + harmless.replace('"', '""') + '"'


def _write_flag(is_so: bool) -> str:
    return "true" if is_so else "false"
