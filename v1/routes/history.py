"""The samples of one metric as a series: JSON, CSV or NDJSON, digits as received."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, NamedTuple
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from ..candles import Length
from ..model import DAY, HOUR, MEASURES, Measure, Metric
from ..series import Agg, Fill, Known, Point, cut, end_of, filled, grouped, kept
from ..states import is_ahead
from ..store import Reader
from .answers import Answer, CsvResponse, NdjsonResponse, only_in_csv, table, times, until_next_tick, wanted
from .asked import Asked, Format, FormatAsked, Name, OfMeasure, Step, TableAsked, Time
from .candles import MOST_CANDLES
from .context import Context, State
from .document import AWAY, NOT_ACCEPTED, UNCHANGED, UNKNOWN
from .problems import Refused, not_accepted, unknown

MOST_POINTS = 10_000
_NULL = "null"
_PRICE_ONLY = f"{f',{_NULL}' * (len(MEASURES) - 1)}]"
"""How a sample ends of which nothing but the price is known."""

router = APIRouter(tags=["metrics"])


class HistoryAsked(Asked):
    measure: OfMeasure = Measure.PRICE
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
    agg: Annotated[Agg, Field(description="Which number stands for all samples of a step.")] = Agg.LAST
    fill: Annotated[
        Fill,
        Field(description="What stands where there is no sample; a missing point is left out unless told otherwise."),
    ] = Fill.NONE


class HistoryTableAsked(TableAsked, HistoryAsked):
    """The same of CSV."""


class HistoryInFormatAsked(TableAsked, FormatAsked, HistoryAsked):
    """The same where the format is not known by the path."""


class History(BaseModel):
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
    agg: Agg
    fill: Fill
    hourly: Annotated[
        list[int],
        Field(
            description="Ticks at the end of hours of which one price is known and no minute: "
            "the archive gave it, where the source keeps no minutes that old."
        ),
    ]
    points: list[tuple[int, float | None]]


class Series(NamedTuple):
    """What was asked for, settled against what there is."""

    asked: HistoryAsked
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
    response_model=History,
    responses=_FAILS,
)
async def history(
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
    format_ = wanted(request, asked.format, tuple(Format))
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
    metric: Name, asked: Annotated[HistoryAsked, Query()], request: Request, context: Context
) -> Response:
    """The samples of a metric, oldest first, each a JSON document on a line of its own: `tick` and `value`."""
    return await _answered(metric, asked, Format.NDJSON, request, context)


async def _answered(metric: str, asked: HistoryAsked, format_: Format, request: Request, context: State) -> Response:
    reader, name = context["reader"], Metric(metric.upper())
    tick, (record,) = await asyncio.gather(reader.tick(), reader.records([name]))
    if record is None:
        raise await unknown(reader, name)
    newest = max(tick or 0, record.newest)
    series = _settled(asked, newest, context["interval"], int(context["clock"]()), request.query_params)
    points, hourly = await _points(reader, name, series)
    older = _older(request, name, series)
    if format_ is Format.JSON:
        body = _json(name, series, points, older, hourly)
    elif format_ is Format.CSV:
        body = _csv(asked, points)
    else:
        body = "".join([f'{{"tick":{at},"value":{_NULL if value is None else value}}}\n' for at, value in points])
    answer = until_next_tick(request, context, Answer(body, newest, format_))
    if older:
        answer.headers["Link"] = f'<{older}>; rel="prev-archive"'
    return answer


def _csv(asked: HistoryAsked, points: Sequence[Point]) -> str:
    how = asked if isinstance(asked, TableAsked) else TableAsked()
    ticks, values = [point[0] for point in points], [point[1] for point in points]
    return table(("tick", asked.measure), zip(times(ticks, how), values, strict=True), how)


def _older(request: Request, metric: Metric, series: Series) -> str | None:
    """Say where to ask for what was asked for here, and lies before the kept day."""
    kept_after = series.newest - DAY
    if series.start > kept_after:
        return None
    until = min(series.end, kept_after)
    length = next(
        each for each in Length if (until - series.start) // each.seconds < MOST_CANDLES or each is Length.WEEK
    )
    base = request.url.path.partition("/metrics/")[0]
    return f"{base}/metrics/{quote(metric, safe=':')}/candles?interval={length}&from={series.start}&to={until}"


def _settled(asked: HistoryAsked, newest: int, interval: int, now: int, said: Mapping[str, str]) -> Series:
    """Settle where the series begins and ends. Times from now are whole ticks, so that answers change with them."""
    step = asked.step or interval
    if step % interval:
        raise not_accepted(("step", said["step"], f"a multiple of the interval, {interval} seconds"))
    now = now // interval * interval
    start = asked.from_.at(now) if asked.from_ else None
    latest = now if is_ahead(newest, now, interval) else newest
    end = asked.to.at(now) if asked.to else max(latest, start or 0)
    if start is None:
        start = max(0, end - min(DAY, MOST_POINTS * step) + step)
    if start > end:
        raise not_accepted(
            ("from", said.get("from", start), f"a time that is not after `to`, {end}"),
            ("to", said.get("to", end), f"a time that is not before `from`, {start}"),
        )
    if (end - start) // step >= MOST_POINTS:
        raise _too_many(start, end, step, interval, said)
    return Series(asked, start, end, newest, interval)


def _too_many(start: int, end: int, step: int, interval: int, said: Mapping[str, str]) -> Refused:
    """Refuse a range, with the latest beginning and, where there is one, the step that would do."""
    most = f"{MOST_POINTS:,} points at most"
    coarser = end_of((end - start) // MOST_POINTS + 1, interval)
    wrong: list[tuple[str, object, str]] = [
        ("from", said["from"], f"{end - (MOST_POINTS - 1) * step} or later: {most}")
    ]
    if coarser <= DAY:
        wrong.append(("step", said.get("step", step), f"{coarser} seconds or more: {most}"))
    return not_accepted(*wrong)


async def _points(reader: Reader, metric: Metric, series: Series) -> tuple[Sequence[Point], Sequence[int]]:
    """Return the points, and which ticks of the range are all that is known of their hour."""
    asked, start, end, newest, _ = series
    if asked.step is None and asked.fill is Fill.NONE:
        hours = await reader.members(metric, max(start - 1, newest - DAY), min(end, newest))
        return _column(hours, asked.measure), _hourly(hours, asked.measure)
    day = kept(newest, series.step)
    part = cut(day, start, end)
    # A gap is filled from both its sides, and they may lie outside of the part.
    read = part if asked.fill in (Fill.NONE, Fill.NULL) else day
    hours = await reader.members(metric, read.first - read.step, min(read.last, newest)) if part.ticks else []
    points = grouped(_column(hours, asked.measure), read.step, asked.agg if asked.step else Agg.LAST)
    if asked.fill is not Fill.NONE:
        points = filled(points, read, asked.fill)
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


def _column(hours: Iterable[tuple[int, Iterable[str]]], measure: Measure) -> list[Known]:
    """Cut one measure out of samples as they are kept, without reading a number of it."""
    column = MEASURES.index(measure) + 1
    cells = [(hour, member[1:-1].split(",", column + 1)) for hour, members in hours for member in members]
    return [(hour + int(cell[0]), cell[column]) for hour, cell in cells if cell[column] != _NULL]


def _json(metric: Metric, series: Series, points: Iterable[Point], older: str | None, hourly: Sequence[int]) -> str:
    asked, start, end, newest, _ = series
    head = {
        "metric": metric,
        "measure": asked.measure,
        "from": start,
        "to": end,
        "kept_from": max(start, kept(newest, series.step).first),
        "older": older,
        "step": asked.step,
        "agg": asked.agg,
        "fill": asked.fill,
        "hourly": hourly,
    }
    written = ",".join([f"[{tick},{_NULL if value is None else value}]" for tick, value in points])
    opened = json.dumps(head, separators=(",", ":"))[:-1]
    return f'{opened},"points":[{written}]}}'
