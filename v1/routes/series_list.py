"""The samples of many metrics and measures in one answer: JSON, CSV, NDJSON or Arrow, digits as received."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from ..market.series import (
    Aggregation,
    SeriesFill,
    SeriesQuery,
    find_read_span,
    find_step_end,
    make_kept_grid,
    make_table,
)
from ..model import DAY, Measure, Metric
from ..numbers.chunks import split_into_chunks
from ..store import ColumnQuery, ListReader
from .context import Context, RouteState
from .history import Moment, SeriesParams, make_query
from .list_params import ListParams, parse_measures, select_metrics
from .params import ALL_FORMATS, Format, FormatParams, TableParams
from .problems import HttpRefusal, refuse_fields
from .response_docs import AWAY, NO_ARROW, NOT_ACCEPTED, UNCHANGED, UNKNOWN
from .responses import (
    AnswerBody,
    ArrowResponse,
    CsvResponse,
    NdjsonResponse,
    choose_format,
    refuse_unless_csv,
    respond_until_next_tick,
)
from .row_encoder import CellKind, Column, JsonFrame, Row, make_encoder
from .tables import load_arrow, write_arrow

MOST_NUMBERS = 200_000
"""Numbers of one answer: a day of 138 metrics at one a minute; 5 MB of JSON."""
MOST_SAMPLES = 2_000_000
"""Samples that one answer is made of: a day of 1,388 metrics at one a minute."""
METRICS_AT_ONCE = 10
"""Metrics that are read in one round trip; what they come to takes some 20 ms, in which nobody else is answered."""

router = APIRouter(tags=["metrics"])


class SeriesListParams(SeriesParams, ListParams):
    """Which points of which metrics and measures."""


class SeriesListTableParams(TableParams, SeriesListParams):
    """The same of CSV."""


class SeriesListFormatParams(TableParams, FormatParams, SeriesListParams):
    """The same where the format is not known by the path."""


class SeriesView(BaseModel):
    """The points of one metric, oldest first."""

    metric: str
    hourly: Annotated[
        list[int],
        Field(description="Ticks at the end of hours of which one price is known and no minute, as in a history."),
    ]
    points: Annotated[
        list[list[float | None]], Field(description="Each a tick, and a number of each of `measures`, in their order.")
    ]


class SeriesListView(BaseModel):
    """Series of many metrics, by name."""

    measures: list[Measure]
    from_: Annotated[int, Field(alias="from", description="The first tick that was asked for.")]
    to: Annotated[int, Field(description="The last tick that was asked for.")]
    kept_from: Annotated[int, Field(description="Where the kept day begins; later than `from` if more was asked for.")]
    step: int | None
    agg: Aggregation
    fill: SeriesFill
    series: list[SeriesView]


class MetricTable(NamedTuple):
    """The points of one metric."""

    metric: Metric
    hourly: Sequence[int]
    rows: Sequence[Row]
    """Each a tick, and a number of each measure."""


_FAILS = UNKNOWN | NOT_ACCEPTED | AWAY | UNCHANGED


@router.get(
    "/history",
    summary="The day of many metrics",
    operation_id="list_history",
    response_model=SeriesListView,
    responses=_FAILS,
)
async def list_history(
    params: Annotated[SeriesListFormatParams, Query()], request: Request, context: Context
) -> Response:
    """
    The samples of many metrics, by name, several measures side by side, oldest first.

    Points are those of the history of one metric, with the same parameters. Where measures differ in the ticks at which
    they are known, a point has null for those that are not. With `agg=minmax` and `agg=lttb` samples are chosen by each
    measure, and the others are answered at the same ticks.

    An answer has 200,000 numbers at most: ask for fewer metrics, a shorter range or a longer step.

    `format=csv` or `Accept: text/csv` here is the same as `history.csv`, and so with `ndjson` and `arrow`.
    """
    format_ = choose_format(request, params.format, ALL_FORMATS)
    refuse_unless_csv(format_, params, "time", "bom")
    return await _respond(params, format_, request, context)


@router.get(
    "/history.csv",
    summary="The day of many metrics as CSV",
    operation_id="list_history_csv",
    response_class=CsvResponse,
    responses=_FAILS,
)
async def list_history_csv(
    params: Annotated[SeriesListTableParams, Query()], request: Request, context: Context
) -> Response:
    """The samples of many metrics, as one table of `metric`, `tick` and each measure. What is empty is not known."""
    return await _respond(params, Format.CSV, request, context)


@router.get(
    "/history.ndjson",
    summary="The day of many metrics, a line a point",
    operation_id="list_history_ndjson",
    response_class=NdjsonResponse,
    responses=_FAILS,
)
async def list_history_ndjson(
    params: Annotated[SeriesListParams, Query()], request: Request, context: Context
) -> Response:
    """The samples of many metrics, each a JSON document on a line of its own: `metric`, `tick` and each measure."""
    return await _respond(params, Format.NDJSON, request, context)


@router.get(
    "/history.arrow",
    summary="The day of many metrics as Arrow",
    operation_id="list_history_arrow",
    response_class=ArrowResponse,
    responses=_FAILS | NO_ARROW,
)
async def list_history_arrow(
    params: Annotated[SeriesListParams, Query()], request: Request, context: Context
) -> Response:
    """The samples of many metrics, as a stream of Arrow's IPC format: `metric`, `tick` and each measure, doubles."""
    return await _respond(params, Format.ARROW, request, context)


async def _respond(params: SeriesListParams, format_: Format, request: Request, context: RouteState) -> Response:
    if format_ is Format.ARROW:
        load_arrow()
    reader, measures = context["reader"], parse_measures(params.measures)
    tick, newest = await reader.read_tick(), await reader.read_metrics()
    metrics = await select_metrics(reader, params.metrics, newest)
    latest = max([tick or 0, *[newest[metric] for metric in metrics]])
    query = make_query(params, latest, Moment.read(context), request.query_params)
    _refuse_too_much(query, len(metrics), len(measures), request.query_params)
    queries = [query._replace(metric=metric, newest=max(tick or 0, newest[metric])) for metric in metrics]
    tables = _read_tables(context["lists"], queries, measures)
    if format_ is Format.JSON:
        body: str | bytes = await _write_json(tables, measures, _show_query(query, measures), params)
    else:
        body = await _write_rows(format_, tables, measures, params)
    return respond_until_next_tick(request, context, AnswerBody(body, latest or None, format_))


def _refuse_too_much(query: SeriesQuery, metrics: int, measures: int, written: Mapping[str, str]) -> None:
    """Refuse what would be too large an answer, or be made of too many samples. Raises `HttpRefusal`."""
    after, until = find_read_span(query)
    samples = max(0, until - after) // query.interval
    points = min(samples, count_most_points(query))
    if metrics * points * measures > MOST_NUMBERS:
        raise _refuse_size(query, metrics * measures, MOST_NUMBERS // max(1, points * measures), written)
    if metrics * samples > MOST_SAMPLES:
        most = MOST_SAMPLES // samples
        raise refuse_fields(
            (
                "metrics",
                written.get("metrics", "*"),
                f"{most:,} metrics or fewer of this range, and these are {metrics:,}",
            )
        )


def count_most_points(query: SeriesQuery) -> int:
    """Return how many points a series has at most."""
    if query.agg is Aggregation.LTTB:
        return query.most
    grid = make_kept_grid(query.newest, query.grid_step)
    first, last = max(grid.first, query.start), min(grid.last, query.end)
    return (max(0, last - first) // query.grid_step + 1) * (2 if query.agg is Aggregation.MINMAX else 1)


def _refuse_size(query: SeriesQuery, series: int, metrics: int, written: Mapping[str, str]) -> HttpRefusal:
    most = f"{MOST_NUMBERS:,} numbers at most"
    wrong: list[tuple[str, object, str]] = [
        ("metrics", written.get("metrics", "*"), f"{metrics:,} or fewer of this range and step: {most}")
    ]
    step = find_step_end(DAY * series // MOST_NUMBERS + 1, query.interval)
    if query.agg is Aggregation.LTTB:
        wrong.append(("points", query.most, f"{MOST_NUMBERS // series:,} or fewer: {most}"))
    elif query.grid_step < step <= DAY:
        wrong.append(("step", written.get("step", query.grid_step), f"{step} seconds or more: {most}"))
    return refuse_fields(*wrong)


async def _read_tables(
    reader: ListReader, queries: Sequence[SeriesQuery], measures: Sequence[Measure]
) -> AsyncIterator[MetricTable]:
    """Yield the points of each query's metric, a few of which are read at a time."""
    for chunk in split_into_chunks(queries, METRICS_AT_ONCE):
        asked = [ColumnQuery(query.metric, *find_read_span(query)) for query in chunk]
        for query, columns in zip(chunk, await reader.read_columns(asked, measures), strict=True):
            hourly = [tick for column in columns for tick in column.hourly if query.start <= tick <= query.end]
            yield MetricTable(query.metric, hourly, make_table(query, columns))


async def _write_json(
    tables: AsyncIterator[MetricTable],
    measures: Sequence[Measure],
    about: Mapping[str, object],
    params: SeriesListParams,
) -> str:
    columns = [Column("tick", CellKind.TIME), *map(Column, measures)]
    encoder = make_encoder(Format.JSON, columns, params, is_array=True)
    series = [
        encoder.frame(
            [encoder.encode(table.rows)], JsonFrame({"metric": table.metric, "hourly": table.hourly}, "points")
        )
        async for table in tables
    ]
    return encoder.frame(series, JsonFrame(about, "series"))


async def _write_rows(
    format_: Format, tables: AsyncIterator[MetricTable], measures: Sequence[Measure], params: SeriesListParams
) -> str | bytes:
    columns = [Column("metric", CellKind.TEXT), Column("tick", CellKind.TIME), *map(Column, measures)]
    if format_ is Format.ARROW:
        return write_arrow(columns, [(table.metric, *row) async for table in tables for row in table.rows])
    encoder = make_encoder(format_, columns, params)
    chunks = [encoder.encode([(table.metric, *row) for row in table.rows]) async for table in tables]
    return encoder.frame(chunks, JsonFrame({}, "points"))


def _show_query(query: SeriesQuery, measures: Sequence[Measure]) -> dict[str, object]:
    return {
        "measures": measures,
        "from": query.start,
        "to": query.end,
        "kept_from": max(query.start, make_kept_grid(query.newest, query.grid_step).first),
        "step": query.step,
        "agg": query.agg,
        "fill": query.fill,
    }
