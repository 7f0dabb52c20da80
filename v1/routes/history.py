"""The samples of one metric as a series: JSON, CSV or NDJSON, digits as received."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Annotated, NamedTuple
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.datastructures import QueryParams as WrittenQuery

from ..market.candles import CandleLength
from ..market.downsampling import FEWEST_POINTS
from ..market.freshness import is_ahead
from ..market.pieces import RowSeparator
from ..market.series import Aggregation, SeriesFill, SeriesQuery, find_step_end, make_kept_grid, query_series
from ..model import DAY, Measure, Metric
from .candles import MOST_CANDLES
from .context import Context, RouteState
from .params import (
    ALL_FORMATS,
    Format,
    FormatParams,
    MeasureParam,
    Name,
    QueryParams,
    Step,
    TableParams,
    Time,
    TimeFormat,
)
from .problems import refuse_fields, refuse_unknown_metric
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
from .row_encoder import CellKind, Column, JsonFrame, make_encoder
from .series_text import RangedQuery, SeriesBody, SeriesLayout, SeriesText, join_series_text, read_series_text
from .tables import write_table
from .time_range import CoarserStep, RangeDefaults, TimeRange, floor_to_tick, refuse_too_many

MOST_POINTS = 10_000
USUAL_POINTS = 500
"""Points that `agg=lttb` leaves where nobody says how many."""
_MOST_QUESTIONS = 256
"""Questions that are remembered as they were understood; those of dashboards are few, whatever metric they are of."""

router = APIRouter(tags=["metrics"])


class Moment(NamedTuple):
    """When something is asked."""

    now: int
    """The newest tick by the clock, see `floor_to_tick`."""
    interval: int
    """Seconds between two ticks."""

    @classmethod
    def read(cls, context: RouteState) -> "Moment":
        interval = context["interval"]
        return cls(floor_to_tick(context["clock"](), interval), interval)


class OneMeasureParams(QueryParams):
    measure: MeasureParam = Measure.PRICE


class SeriesParams(QueryParams):
    """Which points of a series."""

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
    agg: Annotated[
        Aggregation,
        Field(
            description="Which number stands for all samples of a step; `minmax`: the lowest and the highest, at their "
            "own ticks. `lttb`, without a step: so many samples as `points` says, chosen so that a chart looks the same."
        ),
    ] = Aggregation.LAST
    points: Annotated[
        int | None,
        Field(
            ge=FEWEST_POINTS,
            le=MOST_POINTS,
            description=f"With `agg=lttb`: how many samples at most. Without it: {USUAL_POINTS}.",
        ),
    ] = None
    fill: Annotated[
        SeriesFill,
        Field(description="What stands where there is no sample; a missing point is left out unless told otherwise."),
    ] = SeriesFill.NONE


class HistoryParams(SeriesParams, OneMeasureParams):
    """Which points of one series."""


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

    With `agg=minmax` each step has two points, its lowest and its highest sample. With `agg=lttb` the whole range has
    as many as `points` says, chosen by Largest-Triangle-Three-Buckets, the lowest and the highest of all among them:
    enough for a chart of so many pixels. Both answer samples at their own ticks, with the digits that were received.

    `format=csv` or `Accept: text/csv` here is the same as `history.csv`, and so with `ndjson` and `arrow`.
    """
    format_ = choose_format(request, params.format, ALL_FORMATS)
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


@router.get(
    "/metrics/{metric}/history.arrow",
    summary="The day of a metric as Arrow",
    operation_id="get_history_arrow",
    response_class=ArrowResponse,
    responses=_FAILS | NO_ARROW,
)
async def get_history_arrow(
    metric: Name, params: Annotated[HistoryParams, Query()], request: Request, context: Context
) -> Response:
    """The samples of a metric, oldest first, as a stream of Arrow's IPC format: `tick` and the measure, a double."""
    return await _respond(metric, params, Format.ARROW, request, context)


async def _respond(
    metric: str, params: HistoryParams, format_: Format, request: Request, context: RouteState
) -> Response:
    if format_ is Format.ARROW or params.agg.is_choice:
        return await _respond_with_samples(Metric(metric.upper()), params, format_, request, context)
    question = _read_question(params, format_, request.scope["query_string"])
    series = await _write_series(Metric(metric.upper()), question, context)
    query, older = series.query, _find_older(request, series.query)
    written = SeriesBody.make(series, question.layout, JsonFrame(_show_query(query, older, series.hourly), "points"))
    answer = AnswerBody(
        written.body,
        query.newest,
        format_,
        fingerprint=written.make_fingerprint(),
        compress=partial(written.compress, context["tracked"]),
    )
    response = respond_until_next_tick(request, context, answer)
    if older:
        response.headers["Link"] = f'<{older}>; rel="prev-archive"'
    return response


@dataclass(frozen=True, eq=False, slots=True)
class _HistoryQuestion:
    """What is asked of any metric."""

    params: HistoryParams
    written: bytes
    """The query as it came, for refusals."""
    layout: SeriesLayout


@lru_cache(_MOST_QUESTIONS)
def _read_question(params: HistoryParams, format_: Format, written: bytes) -> _HistoryQuestion:
    encoder = make_encoder(format_, _list_columns(format_, params.measure), params, is_array=True)
    time = params.time if isinstance(params, TableParams) and format_ is Format.CSV else TimeFormat.UNIX
    name = f"{params.measure} {format_} {time} {params.step} {params.agg if params.step else Aggregation.LAST}"
    separator = RowSeparator(encoder.list_texts()[0].encode(), encoder.between.encode())
    layout = SeriesLayout(params.measure, params.step, params.agg, params.fill, encoder, separator, name)
    return _HistoryQuestion(params, written, layout)


async def _write_series(metric: Metric, question: _HistoryQuestion, context: RouteState) -> SeriesText:
    moment = Moment.read(context)

    def settle_query(newest: int) -> RangedQuery:
        return _settle_query(question, newest, moment)

    joined = await join_series_text(context["tracked"], metric, question.layout, moment.now, settle_query)
    if joined is not None:
        return joined
    reader = context["reader"]
    tick, (record,) = await asyncio.gather(reader.read_tick(), reader.read_metric_states([metric]))
    if record is None:
        raise await refuse_unknown_metric(reader, metric)
    query = settle_query(max(tick or 0, record.newest)).query._replace(metric=metric)
    return await read_series_text(reader, query, question.layout.encoder)


@lru_cache(_MOST_QUESTIONS)
def _settle_query(question: _HistoryQuestion, newest: int, moment: Moment) -> RangedQuery:
    """Return what a question is by the newest tick of its metric, which is nearly always that of all others."""
    params = question.params
    query = make_query(params, newest, moment, WrittenQuery(question.written))
    return RangedQuery.make(query._replace(measure=params.measure))


async def _respond_with_samples(
    metric: Metric, params: HistoryParams, format_: Format, request: Request, context: RouteState
) -> Response:
    """Answer what is no text, or what is chosen from all samples of the range: neither is joined from hours."""
    reader = context["reader"]
    tick, (record,) = await asyncio.gather(reader.read_tick(), reader.read_metric_states([metric]))
    if record is None:
        raise await refuse_unknown_metric(reader, metric)
    query = make_query(params, max(tick or 0, record.newest), Moment.read(context), request.query_params)
    query = query._replace(metric=metric, measure=params.measure)
    series, older = await query_series(reader, query), _find_older(request, query)
    frame = JsonFrame(_show_query(query, older, series.hourly), "points")
    body = write_table(format_, _list_columns(format_, params.measure), series.points, frame, params)
    answer = respond_until_next_tick(request, context, AnswerBody(body, query.newest, format_))
    if older:
        answer.headers["Link"] = f'<{older}>; rel="prev-archive"'
    return answer


def _list_columns(format_: Format, measure: Measure) -> Sequence[Column]:
    return Column("tick", CellKind.TIME), Column(measure if format_ in (Format.CSV, Format.ARROW) else "value")


def make_query(params: SeriesParams, newest: int, moment: Moment, written: Mapping[str, str]) -> SeriesQuery:
    """
    Return which points are asked for, of any metric and measure. `written` is the query itself, for the refusal.

    Raises `HttpRefusal` where they are too many, and where parameters do not go together.
    """
    _refuse_contradictions(params, written)
    now, interval = moment
    step = params.step or interval
    if step % interval:
        raise refuse_fields(("step", written["step"], f"a multiple of the interval, {interval} seconds"))
    latest = now if is_ahead(newest, now, interval) else newest
    most = count_most_steps(params.agg, interval)
    defaults = RangeDefaults(latest, lambda end: end - min(DAY, most * step) + step)
    start, end = TimeRange.resolve((params.from_, params.to), now, defaults, written)
    if (end - start) // step >= most and params.agg is not Aggregation.LTTB:
        coarser = find_step_end((end - start) // most + 1, interval)
        wider = CoarserStep("step", step, f"{coarser} seconds or more" if coarser <= DAY else "")
        raise refuse_too_many(f"{MOST_POINTS:,} points at most", end - (most - 1) * step, wider, written)
    return SeriesQuery(
        metric=Metric(""),
        measure=Measure.PRICE,
        start=start,
        end=end,
        newest=newest,
        interval=interval,
        step=params.step,
        agg=params.agg,
        fill=params.fill,
        most=params.points or USUAL_POINTS,
    )


def count_most_steps(agg: Aggregation, interval: int) -> int:
    """Return how many steps, or samples, a range may have."""
    if agg is Aggregation.LTTB:
        return DAY // interval  # all that is kept, because few of them are answered
    return MOST_POINTS // 2 if agg is Aggregation.MINMAX else MOST_POINTS


def _refuse_contradictions(params: SeriesParams, written: Mapping[str, str]) -> None:
    """Refuse parameters that do not go together. Raises `HttpRefusal`."""
    agg = params.agg
    wrongs: list[tuple[str, object, str]] = []
    if agg is Aggregation.MINMAX and params.step is None:
        wrongs.append(("agg", agg, "minmax with a step; or lttb, last, mean, min, max, first"))
    if agg is Aggregation.LTTB and params.step is not None:
        wrongs.append(("step", written["step"], "no step with agg=lttb: points says how many there are"))
    if agg is not Aggregation.LTTB and params.points is not None:
        wrongs.append(("points", params.points, "only with agg=lttb"))
    if agg.is_choice and params.fill is not SeriesFill.NONE:
        wrongs.append(("fill", params.fill, f"none with agg={agg}, which chooses among the samples that there are"))
    if wrongs:
        raise refuse_fields(*wrongs)


def _find_older(request: Request, query: SeriesQuery) -> str | None:
    """Return where to ask for the part of the range that lies before the kept day."""
    kept_after = query.newest - DAY
    if query.start > kept_after:
        return None
    until = min(query.end, kept_after)
    length = next(
        each
        for each in CandleLength
        if (not each.is_short and (until - query.start) // each.seconds < MOST_CANDLES) or each is CandleLength.WEEK
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
