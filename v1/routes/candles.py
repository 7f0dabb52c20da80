"""Candles of one metric, as far back as the archive goes: JSON, CSV or NDJSON, digits as received."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from ..archive import ArchiveReader, RowFormat
from ..market import candles
from ..market.candles import CandleLength, CandleRow, GapFill, HourCandle, HourSlot
from ..model import DAY, HOUR, Metric, find_hour
from ..store import Reader
from .context import Context, RouteState
from .params import Format, FormatAsked, Name, QueryParams, TableAsked, Time, TimeFormat
from .problems import HttpRefusal, Problem, refuse_fields, refuse_unknown_metric
from .response_docs import NOT_ACCEPTED, UNCHANGED, UNKNOWN, Responses
from .responses import (
    AnswerBody,
    CsvResponse,
    NdjsonResponse,
    choose_format,
    iso,
    mark,
    only_in_csv,
    respond_until_next_tick,
)

MOST_CANDLES = 10_000
USUAL_CANDLES = 200
_NULL = "null"

router = APIRouter(tags=["metrics"])


class CandlesParams(QueryParams):
    interval: Annotated[
        CandleLength, Field(description="How long a candle is. Days and weeks are UTC's, and weeks start on Monday.")
    ] = CandleLength.HOUR
    from_: Annotated[
        Time | None,
        Field(
            alias="from",
            description=f"Only candles that start then or later. Without it: {USUAL_CANDLES} candles.",
            examples=["-1d"],
        ),
    ] = None
    to: Annotated[
        Time | None,
        Field(description="Only candles that start then or earlier. Without it: the newest tick.", examples=["now"]),
    ] = None
    fill: Annotated[
        GapFill, Field(description="What stands where nothing is known; a candle is missing unless told otherwise.")
    ] = GapFill.NONE


class CandlesTableAsked(TableAsked, CandlesParams):
    """The same of CSV."""


class CandlesInFormatAsked(TableAsked, FormatAsked, CandlesParams):
    """The same where the format is not known by the path."""


class CandleView(BaseModel):
    """What one stretch of time came to. All is null where there is only a gap that was filled."""

    start: Annotated[int, Field(description="Its first second. It speaks of the samples after it, to its end.")]
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    mean: Annotated[
        float | None,
        Field(
            description="Of all prices that are known one by one: it speaks of `mean_coverage`, which is less than "
            "`coverage` where hours are known by the provider's candle alone; null where all are."
        ),
    ]
    latest: Annotated[float | None, Field(description="The newest price that was known when the candle was made.")]
    volume: Annotated[float | None, Field(description="Traded, in the base currency; null where nobody said it.")]
    samples: Annotated[int, Field(description="How many prices are behind it.")]
    coverage: Annotated[float, Field(description="The part of its whole time that is known.")]
    mean_coverage: Annotated[float, Field(description="The part of its whole time that `mean` speaks of.")]
    revision: Annotated[int, Field(description="Grows whenever it is corrected; 0 while it is not kept yet.")]
    complete: Annotated[bool, Field(description="Whether all of it is known and kept: closed, with a coverage of 1.")]
    closed: Annotated[bool, Field(description="Whether its time is over, and what is known of it is kept.")]


class CandleList(BaseModel):
    """Candles, oldest first."""

    metric: str
    interval: CandleLength
    from_: Annotated[int, Field(alias="from", description="The start of the first candle that was asked for.")]
    to: Annotated[int, Field(description="The start of the last one.")]
    fill: GapFill
    candles: list[CandleView]


class CandleRange(NamedTuple):
    """What was asked for, settled against what there is."""

    length: CandleLength
    starts: range
    """Of the candles that were asked for."""
    newest: int
    """The newest tick of which anything is known."""

    @property
    def until(self) -> int:
        return self.starts[-1] + self.length.seconds if self.starts else self.starts.start


_AWAY: Responses = {
    503: {"model": Problem, "description": "The store or the archive is away; ask again after `Retry-After` seconds."}
}
_FAILS = UNKNOWN | NOT_ACCEPTED | _AWAY | UNCHANGED


@router.get(
    "/metrics/{metric}/candles",
    summary="The past of a metric",
    operation_id="get_candles",
    response_model=CandleList,
    responses=_FAILS,
)
async def read_candles(
    metric: Name, asked: Annotated[CandlesInFormatAsked, Query()], request: Request, context: Context
) -> Response:
    """
    Open, high, low, close, mean and volume of hours, or of longer stretches, as far back as the archive goes.

    A candle speaks of the samples with a tick after its start and up to its end. The hour that is running, and one
    that just ended and is not kept yet, are made of the samples of the last day, with `closed: false`, as is every
    longer candle that holds one of them. `complete` says that all of a candle's time is known. An hour without a
    sample is missing.

    `format=csv` or `Accept: text/csv` here is the same as `candles.csv`, and so with `ndjson`.
    """
    format_ = choose_format(request, asked.format, tuple(Format))
    only_in_csv(format_, asked, "time", "bom")
    return await _answered(metric, asked, format_, request, context)


@router.get(
    "/metrics/{metric}/candles.csv",
    summary="The past of a metric as CSV",
    operation_id="get_candles_csv",
    response_class=CsvResponse,
    responses=_FAILS,
)
async def read_candles_csv(
    metric: Name, asked: Annotated[CandlesTableAsked, Query()], request: Request, context: Context
) -> Response:
    """The candles of a metric, oldest first, as a table. What is empty is not known."""
    return await _answered(metric, asked, Format.CSV, request, context)


@router.get(
    "/metrics/{metric}/candles.ndjson",
    summary="The past of a metric, a line a candle",
    operation_id="get_candles_ndjson",
    response_class=NdjsonResponse,
    responses=_FAILS,
)
async def read_candles_ndjson(
    metric: Name, asked: Annotated[CandlesParams, Query()], request: Request, context: Context
) -> Response:
    """The candles of a metric, oldest first, each a JSON document on a line of its own."""
    return await _answered(metric, asked, Format.NDJSON, request, context)


async def _answered(
    metric: str, asked: CandlesParams, format_: Format, request: Request, context: RouteState
) -> Response:
    reader, archive, name = context["reader"], context["archive"], Metric(metric.upper())
    tick, (record,), kept = await asyncio.gather(
        reader.read_tick(), reader.read_metric_states([name]), archive.read_newest_hour(name)
    )
    if record is None and kept is None:
        raise await refuse_unknown_metric(reader, name, "in the last day or in the archive")
    newest = max(tick or 0, record.newest if record else 0, kept + HOUR if kept is not None else 0)
    span = _resolve_range(asked, newest, context, request.query_params)
    after = find_hour(newest - DAY) if kept is None else max(kept + HOUR, find_hour(newest - DAY))
    running = await _make_running_hours(reader, name, after, span, context["interval"]) if record else []
    if span.length is CandleLength.HOUR and asked.fill is GapFill.NONE:
        kept_lines = await archive.read_text(name, span.starts.start, _until(span, running), _make_row_format(format_))
        bars: Sequence[CandleRow] = [candles.make_row(candles.start_sums(hour)) for hour in running]
    else:
        kept_lines, bars = "", await _read_rows(archive, name, asked.fill, span, running)
    open_since = span.length.find_start(running[0].start) if running else span.until
    closed_until = min(open_since, newest - span.length.seconds + 1)
    lines = [_line(bar, span.length.seconds, format_, is_closed=bar.start < closed_until) for bar in bars]
    body = _body(name, asked, span, [*filter(None, [kept_lines]), *lines], format_)
    return respond_until_next_tick(request, context, AnswerBody(body, tick, format_))


def _resolve_range(asked: CandlesParams, newest: int, context: RouteState, said: Mapping[str, str]) -> CandleRange:
    """Settle which candles are asked for. Times from now are whole ticks, so that answers change with them."""
    length, interval = asked.interval, context["interval"]
    now = int(context["clock"]()) // interval * interval
    start = asked.from_.resolve(now) if asked.from_ else None
    end = asked.to.resolve(now) if asked.to else max(newest - 1, start or 0)
    if start is None:
        start = max(0, length.find_start(end) - (USUAL_CANDLES - 1) * length.seconds)
    if start > end:
        raise refuse_fields(
            ("from", said.get("from", start), f"a time that is not after `to`, {end}"),
            ("to", said.get("to", end), f"a time that is not before `from`, {start}"),
        )
    first = length.find_start(start - 1) + length.seconds
    starts = range(first, length.find_start(end) + 1, length.seconds)
    if len(starts) > MOST_CANDLES:
        raise _refuse_too_many(starts, length, said)
    return CandleRange(length, starts, newest)


def _refuse_too_many(starts: range, length: CandleLength, said: Mapping[str, str]) -> HttpRefusal:
    """Refuse a range, with the latest beginning and, where there is one, the length that would do."""
    most = f"{MOST_CANDLES:,} candles at most"
    wrong: list[tuple[str, object, str]] = [("from", said["from"], f"{starts[-MOST_CANDLES]} or later: {most}")]
    longer = [each for each in CandleLength if len(starts) * length.seconds <= MOST_CANDLES * each.seconds]
    if longer:
        wrong.append(("interval", said.get("interval", length), f"{' or '.join(longer)}: {most}"))
    return refuse_fields(*wrong)


async def _make_running_hours(
    reader: Reader, metric: Metric, after: int, span: CandleRange, interval: int
) -> list[HourCandle]:
    """Make the hours that are not kept yet of their samples, those that were asked for."""
    first, last = max(after, span.starts.start), min(find_hour(span.newest), span.until - HOUR)
    made = []
    for hour in range(first, last + 1, HOUR):
        samples = await reader.read_samples(metric, hour, hour + HOUR)
        made.append(candles.make_hour_from_samples(HourSlot(metric, hour, 0), samples, interval))
    return [hour._replace(revision=0) for hour in made if hour]


def _until(span: CandleRange, running: Sequence[HourCandle]) -> int:
    """Return where the hours end that the archive is asked for."""
    return running[0].start if running else span.until


async def _read_rows(
    archive: ArchiveReader, metric: Metric, gaps: GapFill, span: CandleRange, running: Sequence[HourCandle]
) -> Sequence[CandleRow]:
    """Return the candles that there are, the database's with what is running added to them, and fill the gaps."""
    since, until = span.starts.start, _until(span, running)
    added = [candles.start_sums(hour) for hour in running]
    if span.length is CandleLength.HOUR:
        bars = [*await archive.read_rows(metric, since, until), *map(candles.make_row, added)]
    else:
        kept = await archive.read_sums(metric, span.length, since, until)
        bars = [candles.make_row(sums) for sums in candles.group_hours([*kept, *added], span.length)]
    if gaps is GapFill.NONE:
        return bars
    before = await archive.read_close_before(metric, since) if gaps is GapFill.PREVIOUS else None
    last = span.length.find_start(find_hour(span.newest))
    return candles.fill_gaps(bars, range(since, min(span.until, last + 1), span.length.seconds), gaps, before)


# ---- how it is written: by the database where it can, by us where not, and both alike ----------------------


def _make_row_format(format_: Format, *, is_closed: bool = True) -> RowFormat:
    closed = _said(is_closed)
    if format_ is Format.CSV:
        return RowFormat(["", *[","] * len(CandleRow._fields), f",{closed}"], "", "\n")
    first, *others, last = CandleView.model_fields
    texts = [f'{{"{first}":', *[f',"{name}":' for name in others], f',"{last}":{closed}}}']
    return RowFormat(texts, _NULL, "," if format_ is Format.JSON else "\n")


def _line(bar: CandleRow, length: int, format_: Format, *, is_closed: bool) -> str:
    texts, nothing, _ = _make_row_format(format_, is_closed=is_closed)
    is_complete = is_closed and bar.covered == length
    cells = [*bar[:9], bar.covered / length, bar.averaged / length, bar.revision, _said(is_complete)]
    parts = [f"{text}{nothing if cell is None else cell}" for text, cell in zip(texts, cells, strict=False)]
    return "".join([*parts, texts[-1]])


def _said(is_so: bool) -> str:
    return "true" if is_so else "false"


def _csv(asked: CandlesParams, lines: Sequence[str]) -> str:
    how = asked if isinstance(asked, TableAsked) else TableAsked()
    if how.time is TimeFormat.ISO:
        # The database writes many lines as one text; each begins with the candle's start.
        cut = [line.partition(",") for line in "\n".join(lines).split("\n") if line]
        lines = [f"{iso(int(start))},{rest}" for start, _, rest in cut]
    return "\n".join([f"{mark(how)}{','.join(CandleView.model_fields)}", *lines, ""])


def _body(metric: Metric, asked: CandlesParams, span: CandleRange, lines: Sequence[str], format_: Format) -> str:
    if format_ is Format.CSV:
        return _csv(asked, lines)
    if format_ is Format.NDJSON:
        return "\n".join([*lines, ""]) if lines else ""
    head = {
        "metric": metric,
        "interval": span.length,
        "from": span.starts.start,
        "to": span.starts[-1] if span.starts else span.starts.start,
        "fill": asked.fill,
    }
    opened = json.dumps(head, separators=(",", ":"))[:-1]
    return f'{opened},"candles":[{",".join(lines)}]}}'
