"""One table in the format that is asked for: text by `row_encoder`, or a stream of Arrow's IPC format."""

import io
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from .params import Format, QueryParams
from .problems import HttpRefusal
from .row_encoder import CellKind, Column, JsonFrame, Row, make_encoder

EXTRA = "arrow"
"""The extra of the package that brings what writes Arrow."""


def write_table(
    format_: Format, columns: Sequence[Column], rows: Sequence[Row], frame: JsonFrame, params: QueryParams
) -> str | bytes:
    """
    Return rows in a format; in JSON each is a list, within `frame`. `params` may say how CSV is written.

    Raises `HttpRefusal` for Arrow where the package is not installed that writes it.
    """
    if format_ is Format.ARROW:
        return write_arrow(columns, rows)
    encoder = make_encoder(format_, columns, params, is_array=True)
    return encoder.frame([encoder.encode(rows)], frame)


def write_arrow(columns: Sequence[Column], rows: Iterable[Row]) -> bytes:
    """
    Return rows as a stream of Arrow's IPC format (Apache Arrow Columnar Format, "IPC Streaming Format"), one batch.

    Numbers are float64, counts int64, times int64 in unix seconds, flags booleans, texts utf8; what is not known is
    null. Raises `HttpRefusal` where the package is not installed that writes it.
    """
    arrow = load_arrow()
    known = [*rows]
    cells = [*zip(*known, strict=True)] or [()] * len(columns)
    types = {
        CellKind.NUMBER: arrow.float64,
        CellKind.COUNT: arrow.int64,
        CellKind.TIME: arrow.int64,
        CellKind.FLAG: arrow.bool_,
    }
    fields = {column.name: types.get(column.kind, arrow.string)() for column in columns}
    arrays = [
        arrow.c_array(_convert_cells(column.kind, values), fields[column.name])
        for column, values in zip(columns, cells, strict=True)
    ]
    table = arrow.c_array_from_buffers(arrow.struct(fields), length=len(known), buffers=[None], children=arrays)
    written = io.BytesIO()
    with arrow.ipc.StreamWriter.from_writable(written) as writer:
        writer.write_stream(table)
    return written.getvalue()


def _convert_cells(kind: CellKind, cells: Sequence[Any]) -> list[Any]:
    if kind is not CellKind.NUMBER:
        return [*cells]
    return [None if cell is None else float(cell) for cell in cells]


def load_arrow() -> Any:
    """Return the package that writes Arrow. Raises `HttpRefusal` where it is not installed."""
    try:
        import nanoarrow.ipc  # noqa: PLC0415  # an extra, loaded where somebody asks for it
    except ImportError as error:
        raise HttpRefusal(
            HTTPStatus.NOT_ACCEPTABLE,
            f"this server cannot write Arrow: the package nanoarrow is not installed; install it (the extra `{EXTRA}` of "
            "data-tracker), or ask for json, csv or ndjson",
        ) from error
    return nanoarrow
