"""The samples of one metric as a series: JSON, CSV or NDJSON, digits as received."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, NamedTuple
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from ..market.candles import CandleLength
from ..market.freshness import is_ahead
from ..market.series import (
    Aggregation,
    Known,
    Point,
    SeriesFill,
    clip_grid,
    fill_points,
    find_step_end,
    group_by_step,
    make_kept_grid,
)
from ..model import DAY, HOUR, MEASURES, Measure, Metric
from ..store import Reader
from .candles import MOST_CANDLES
from .context import Context, RouteState
from .params import Format, FormatAsked, MeasureParam, Name, QueryParams, Step, TableAsked, Time
from .problems import HttpRefusal, refuse_fields, refuse_unknown_metric
from .response_docs import AWAY, NOT_ACCEPTED, UNCHANGED, UNKNOWN
from .responses import (
    AnswerBody,
    CsvResponse,
    NdjsonResponse,
    choose_format,
    only_in_csv,
    respond_until_next_tick,
    times,
    write_csv,
)

MOST_POINTS = 10_000
_NULL = "null"
_PRICE_ONLY = f"{f',{_NULL}' * (len(MEASURES) - 1)}]"
"""How a sample ends of which nothing but the price is known."""

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


class HistoryTableAsked(TableAsked, HistoryParams):
    """The same of CSV."""


class HistoryInFormatAsked(TableAsked, FormatAsked, HistoryParams):
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


class SeriesQuery(NamedTuple):
    """What was asked for, settled against what there is."""

    asked: HistoryParams
    start: int
    """The first and the last tick that were asked for, unix seconds."""
    end: int
    newest: int
    """The newest tick there is."""
    interval: int

    @property
    def step(self) -> int:
        return self.asked.step or self.interval


_FAILS = UNKNOWN | NOT_ACCEPTED | AWAY | UNCHANGED


@router.get(
    "/metrics/{metric}/history",
    summary="The day of a metric",
    operation_id="get_history",
    response_model=HistoryView,
    responses=_FAILS,
)
async def get_history(
    metric: Name, asked: Annotated[HistoryInFormatAsked, Query()], request: Request, context: Context
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
    format_ = choose_format(request, asked.format, tuple(Format))
    only_in_csv(format_, asked, "time", "bom")
    return await _answered(metric, asked, format_, request, context)


@router.get(
    "/metrics/{metric}/history.csv",
    summary="The day of a metric as CSV",
    operation_id="get_history_csv",
    response_class=CsvResponse,
    responses=_FAILS,
)
async def history_csv(
    metric: Name, asked: Annotated[HistoryTableAsked, Query()], request: Request, context: Context
) -> Response:
    """The samples of a metric, oldest first, as a table of `tick` and the measure. What is empty is not known."""
    return await _answered(metric, asked, Format.CSV, request, context)


@router.get(
    "/metrics/{metric}/history.ndjson",
    summary="The day of a metric, a line a point",
    operation_id="get_history_ndjson",
    response_class=NdjsonResponse,
    responses=_FAILS,
)
async def history_ndjson(
    metric: Name, asked: Annotated[HistoryParams, Query()], request: Request, context: Context
) -> Response:
    """The samples of a metric, oldest first, each a JSON document on a line of its own: `tick` and `value`."""
    return await _answered(metric, asked, Format.NDJSON, request, context)


async def _answered(
    metric: str, asked: HistoryParams, format_: Format, request: Request, context: RouteState
) -> Response:
    reader, name = context["reader"], Metric(metric.upper())
    tick, (record,) = await asyncio.gather(reader.read_tick(), reader.read_metric_states([name]))
    if record is None:
        raise await refuse_unknown_metric(reader, name)
    newest = max(tick or 0, record.newest)
    series = _resolve_range(asked, newest, context["interval"], int(context["clock"]()), request.query_params)
    points, hourly = await _read_points(reader, name, series)
    older = _find_older(request, name, series)
    if format_ is Format.JSON:
        body = _json(name, series, points, older, hourly)
    elif format_ is Format.CSV:
        body = _csv(asked, points)
    else:
        body = "".join([f'{{"tick":{at},"value":{_NULL if value is None else value}}}\n' for at, value in points])
    answer = respond_until_next_tick(request, context, AnswerBody(body, newest, format_))
    if older:
        answer.headers["Link"] = f'<{older}>; rel="prev-archive"'
    return answer


def _csv(asked: HistoryParams, points: Sequence[Point]) -> str:
    how = asked if isinstance(asked, TableAsked) else TableAsked()
    ticks, values = [point[0] for point in points], [point[1] for point in points]
    return write_csv(("tick", asked.measure), zip(times(ticks, how), values, strict=True), how)


def _find_older(request: Request, metric: Metric, series: SeriesQuery) -> str | None:
    """Say where to ask for what was asked for here, and lies before the kept day."""
    kept_after = series.newest - DAY
    if series.start > kept_after:
        return None
    until = min(series.end, kept_after)
    length = next(
        each
        for each in CandleLength
        if (until - series.start) // each.seconds < MOST_CANDLES or each is CandleLength.WEEK
    )
    base = request.url.path.partition("/metrics/")[0]
    return f"{base}/metrics/{quote(metric, safe=':')}/candles?interval={length}&from={series.start}&to={until}"


def _resolve_range(asked: HistoryParams, newest: int, interval: int, now: int, said: Mapping[str, str]) -> SeriesQuery:
    """Settle where the series begins and ends. Times from now are whole ticks, so that answers change with them."""
    step = asked.step or interval
    if step % interval:
        raise refuse_fields(("step", said["step"], f"a multiple of the interval, {interval} seconds"))
    now = now // interval * interval
    start = asked.from_.resolve(now) if asked.from_ else None
    latest = now if is_ahead(newest, now, interval) else newest
    end = asked.to.resolve(now) if asked.to else max(latest, start or 0)
    if start is None:
        start = max(0, end - min(DAY, MOST_POINTS * step) + step)
    if start > end:
        raise refuse_fields(
            ("from", said.get("from", start), f"a time that is not after `to`, {end}"),
            ("to", said.get("to", end), f"a time that is not before `from`, {start}"),
        )
    if (end - start) // step >= MOST_POINTS:
        raise _refuse_too_many(start, end, step, interval, said)
    return SeriesQuery(asked, start, end, newest, interval)


def _refuse_too_many(start: int, end: int, step: int, interval: int, said: Mapping[str, str]) -> HttpRefusal:
    """Refuse a range, with the latest beginning and, where there is one, the step that would do."""
    most = f"{MOST_POINTS:,} points at most"
    coarser = find_step_end((end - start) // MOST_POINTS + 1, interval)
    wrong: list[tuple[str, object, str]] = [
        ("from", said["from"], f"{end - (MOST_POINTS - 1) * step} or later: {most}")
    ]
    if coarser <= DAY:
        wrong.append(("step", said.get("step", step), f"{coarser} seconds or more: {most}"))
    return refuse_fields(*wrong)


async def _read_points(reader: Reader, metric: Metric, series: SeriesQuery) -> tuple[Sequence[Point], Sequence[int]]:
    """Return the points, and which ticks of the range are all that is known of their hour."""
    asked, start, end, newest, _ = series
    if asked.step is None and asked.fill is SeriesFill.NONE:
        hours = await reader.read_members(metric, max(start - 1, newest - DAY), min(end, newest))
        return _read_column(hours, asked.measure), _hourly(hours, asked.measure)
    day = make_kept_grid(newest, series.step)
    part = clip_grid(day, start, end)
    # A gap is filled from both its sides, and they may lie outside of the part.
    read = part if asked.fill in (SeriesFill.NONE, SeriesFill.NULL) else day
    hours = await reader.read_members(metric, read.first - read.step, min(read.last, newest)) if part.list_ticks else []
    points = group_by_step(_read_column(hours, asked.measure), read.step, asked.agg if asked.step else Aggregation.LAST)
    if asked.fill is not SeriesFill.NONE:
        points = fill_points(points, read, asked.fill)
    kept_points = [point for point in points if part.first <= point[0] <= part.last]
    return kept_points, [at for at in _hourly(hours, asked.measure) if part.first <= at <= part.last]


def _hourly(hours: Iterable[tuple[int, Sequence[str]]], measure: Measure) -> list[int]:
    """Return the ends of the hours that the archive gave: their last price, and no other sample or measure."""
    if measure is not Measure.PRICE:
        return []
    return [
        hour + HOUR
        for hour, members in hours
        if len(members) == 1 and members[0].startswith(f"[{HOUR},") and members[0].endswith(_PRICE_ONLY)
    ]


def _read_column(hours: Iterable[tuple[int, Iterable[str]]], measure: Measure) -> list[Known]:
    """Cut one measure out of samples as they are kept, without reading a number of it."""
    column = MEASURES.index(measure) + 1
    cells = [(hour, member[1:-1].split(",", column + 1)) for hour, members in hours for member in members]
    return [(hour + int(cell[0]), cell[column]) for hour, cell in cells if cell[column] != _NULL]


def _json(
    metric: Metric, series: SeriesQuery, points: Iterable[Point], older: str | None, hourly: Sequence[int]
) -> str:
    asked, start, end, newest, _ = series
    head = {
        "metric": metric,
        "measure": asked.measure,
        "from": start,
        "to": end,
        "kept_from": max(start, make_kept_grid(newest, series.step).first),
        "older": older,
        "step": asked.step,
        "agg": asked.agg,
        "fill": asked.fill,
        "hourly": hourly,
    }
    written = ",".join([f"[{tick},{_NULL if value is None else value}]" for tick, value in points])
    opened = json.dumps(head, separators=(",", ":"))[:-1]
    return f'{opened},"points":[{written}]}}'
