"""The samples of one metric as a series: JSON, CSV or NDJSON, digits as received."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from ..market.candles import CandleLength
from ..market.freshness import is_ahead
from ..market.series import Aggregation, SeriesFill, SeriesQuery, find_step_end, make_kept_grid, query_series
from ..model import DAY, Measure, Metric
from .candles import MOST_CANDLES
from .context import Context, RouteState
from .params import Format, FormatParams, MeasureParam, Name, QueryParams, Step, TableParams, Time
from .problems import refuse_fields, refuse_unknown_metric
from .response_docs import AWAY, NOT_ACCEPTED, UNCHANGED, UNKNOWN
from .responses import (
    AnswerBody,
    CsvResponse,
    NdjsonResponse,
    choose_format,
    refuse_unless_csv,
    respond_until_next_tick,
)
from .row_encoder import CellKind, Column, JsonFrame, make_encoder
from .time_range import CoarserStep, RangeDefaults, TimeRange, floor_to_tick, refuse_too_many

MOST_POINTS = 10_000

router = APIRouter(tags=["metrics"])


class HistoryParams(QueryParams):
    measure: MeasureParam = Measure.PRICE
    from_: Annotated[
        Time | None,
        Field(
            alias="from",
            examples=["-4h"],
            description=f"The first tick. Without it: 24 hours, or {MOST_POINTS:,} points, before `to`.",
        ),
    ] = None
    to: Annotated[Time | None, Field(description="The last tick. Without it: the newest one.", examples=["now"])] = None
    step: Annotated[
        Step | None,
        Field(
            examples=["1h"],
            description="One point for so many seconds (`300`, `5m`, `1h`), a multiple of the interval; else every sample.",
        ),
    ] = None
    agg: Annotated[Aggregation, Field(description="Which number stands for all samples of a step.")] = Aggregation.LAST
    fill: Annotated[
        SeriesFill,
        Field(description="What stands where there is no sample; a missing point is left out unless told otherwise."),
    ] = SeriesFill.NONE


class HistoryTableParams(TableParams, HistoryParams):
    """The same of CSV."""


class HistoryFormatParams(TableParams, FormatParams, HistoryParams):
    """The same where the format is not known by the path."""


class HistoryView(BaseModel):
    """A series, oldest first."""

    metric: str
    measure: Measure
    from_: Annotated[int, Field(alias="from", description="The first tick that was asked for.")]
    to: Annotated[int, Field(description="The last tick that was asked for.")]
    kept_from: Annotated[int, Field(description="Where the kept day begins; later than `from` if more was asked for.")]
    older: Annotated[
        str | None,
        Field(description="Where to ask for what lies before the kept day, if it was asked for; also as a `Link`."),
    ]
    step: int | None
    agg: Aggregation
    fill: SeriesFill
    hourly: Annotated[
        list[int],
        Field(
            description="Ticks at the end of hours of which one price is known and no minute: "
            "the archive gave it, where the source keeps no minutes that old."
        ),
    ]
    points: list[tuple[int, float | None]]


_FAILS = UNKNOWN | NOT_ACCEPTED | AWAY | UNCHANGED


@router.get(
    "/metrics/{metric}/history",
    summary="The day of a metric",
    operation_id="get_history",
    response_model=HistoryView,
    responses=_FAILS,
)
async def get_history(
    metric: Name, params: Annotated[HistoryFormatParams, Query()], request: Request, context: Context
) -> Response:
    """
    The samples of a metric, oldest first; without parameters, every price of the last 24 hours, 10,000 at most.

    With `step`, a point stands for the samples in (tick - step, tick], and ticks are multiples of the
    step. A point is answered if its tick lies between `from` and `to` and its step begins within the
    kept day, so that it does not depend on the range that was asked for. `first`, `last`, `min` and
    `max` are the digits that were received; `mean` and `fill=linear` are computed exactly and rounded
    once, to the nearest double. Nothing is drawn beyond the newest tick. What lies before the kept day,
    `candles` know; `older` and the header `Link` say where.

    `format=csv` or `Accept: text/csv` here is the same as `history.csv`, and so with `ndjson`.
    """
    format_ = choose_format(request, params.format, tuple(Format))
    refuse_unless_csv(format_, params, "time", "bom")
    return await _respond(metric, params, format_, request, context)


@router.get(
    "/metrics/{metric}/history.csv",
    summary="The day of a metric as CSV",
    operation_id="get_history_csv",
    response_class=CsvResponse,
    responses=_FAILS,
)
async def get_history_csv(
    metric: Name, params: Annotated[HistoryTableParams, Query()], request: Request, context: Context
) -> Response:
    """The samples of a metric, oldest first, as a table of `tick` and the measure. What is empty is not known."""
    return await _respond(metric, params, Format.CSV, request, context)


@router.get(
    "/metrics/{metric}/history.ndjson",
    summary="The day of a metric, a line a point",
    operation_id="get_history_ndjson",
    response_class=NdjsonResponse,
    responses=_FAILS,
)
async def get_history_ndjson(
    metric: Name, params: Annotated[HistoryParams, Query()], request: Request, context: Context
) -> Response:
    """The samples of a metric, oldest first, each a JSON document on a line of its own: `tick` and `value`."""
    return await _respond(metric, params, Format.NDJSON, request, context)


async def _respond(
    metric: str, params: HistoryParams, format_: Format, request: Request, context: RouteState
) -> Response:
    reader, name = context["reader"], Metric(metric.upper())
    tick, (record,) = await asyncio.gather(reader.read_tick(), reader.read_metric_states([name]))
    if record is None:
        raise await refuse_unknown_metric(reader, name)
    newest = max(tick or 0, record.newest)
    query = _make_query(name, params, newest, context, request.query_params)
    series = await query_series(reader, query)
    older = _find_older(request, query)
    encoder = make_encoder(format_, _list_columns(format_, params.measure), params, is_array=True)
    body = encoder.frame([encoder.encode(series.points)], JsonFrame(_show_query(query, older, series.hourly), "points"))
    answer = respond_until_next_tick(request, context, AnswerBody(body, newest, format_))
    if older:
        answer.headers["Link"] = f'<{older}>; rel="prev-archive"'
    return answer


def _list_columns(format_: Format, measure: Measure) -> Sequence[Column]:
    return Column("tick", CellKind.TIME), Column(measure if format_ is Format.CSV else "value")


def _make_query(
    metric: Metric, params: HistoryParams, newest: int, context: RouteState, written: Mapping[str, str]
) -> SeriesQuery:
    interval = context["interval"]
    step, now = params.step or interval, floor_to_tick(context["clock"](), interval)
    if step % interval:
        raise refuse_fields(("step", written["step"], f"a multiple of the interval, {interval} seconds"))
    latest = now if is_ahead(newest, now, interval) else newest
    defaults = RangeDefaults(latest, lambda end: end - min(DAY, MOST_POINTS * step) + step)
    start, end = TimeRange.resolve((params.from_, params.to), now, defaults, written)
    if (end - start) // step >= MOST_POINTS:
        coarser = find_step_end((end - start) // MOST_POINTS + 1, interval)
        wider = CoarserStep("step", step, f"{coarser} seconds or more" if coarser <= DAY else "")
        raise refuse_too_many(f"{MOST_POINTS:,} points at most", end - (MOST_POINTS - 1) * step, wider, written)
    return SeriesQuery(
        metric=metric,
        measure=params.measure,
        start=start,
        end=end,
        newest=newest,
        interval=interval,
        step=params.step,
        agg=params.agg,
        fill=params.fill,
    )


def _find_older(request: Request, query: SeriesQuery) -> str | None:
    """Return where to ask for the part of the range that lies before the kept day."""
    kept_after = query.newest - DAY
    if query.start > kept_after:
        return None
    until = min(query.end, kept_after)
    length = next(
        each
        for each in CandleLength
        if (until - query.start) // each.seconds < MOST_CANDLES or each is CandleLength.WEEK
    )
    base = request.url.path.partition("/metrics/")[0]
    return f"{base}/metrics/{quote(query.metric, safe=':')}/candles?interval={length}&from={query.start}&to={until}"


def _show_query(query: SeriesQuery, older: str | None, hourly: Sequence[int]) -> dict[str, object]:
    return {
        "metric": query.metric,
        "measure": query.measure,
        "from": query.start,
        "to": query.end,
        "kept_from": max(query.start, make_kept_grid(query.newest, query.grid_step).first),
        "older": older,
        "step": query.step,
        "agg": query.agg,
        "fill": query.fill,
        "hourly": hourly,
    }
