"""Candles of one metric, as far back as the archive goes: JSON, CSV or NDJSON, digits as received."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from ..archive import ArchiveReader
from ..market import candles
from ..market.candles import CandleKind, CandleLength, CandleRow, CandleSums, GapFill, HourSlot
from ..market.exchange_hours import merge_exchange_hour
from ..market.price_ranges import add_ranges
from ..market.short_candles import NO_RANGES, find_first_start, list_priced_ticks, make_short_candles
from ..model import DAY, HOUR, Metric, find_hour
from ..store import Reader
from .context import Context, RouteState
from .params import Format, Name, QueryParams, TableParams, TextFormatParams, Time
from .problems import Problem, refuse_fields, refuse_unknown_metric
from .response_docs import NOT_ACCEPTED, UNCHANGED, UNKNOWN, Responses
from .responses import (
    AnswerBody,
    CsvResponse,
    NdjsonResponse,
    choose_format,
    refuse_unless_csv,
    respond_until_next_tick,
)
from .row_encoder import CellKind, Column, JsonFrame, Row, make_encoder
from .time_range import CoarserStep, RangeDefaults, TimeRange, floor_to_tick, refuse_too_many

MOST_CANDLES = 10_000
USUAL_CANDLES = 200
_CELL_KINDS = {
    "start": CellKind.TIME,
    "kind": CellKind.TEXT,
    "complete": CellKind.FLAG,
    "closed": CellKind.FLAG,
}

_FORMATS = (Format.JSON, Format.CSV, Format.NDJSON)

router = APIRouter(tags=["metrics"])


class CandlesParams(QueryParams):
    interval: Annotated[
        CandleLength,
        Field(
            description="How long a candle is; below an hour, of the last 24 hours alone. "
            "Days and weeks are UTC's, and weeks start on Monday."
        ),
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
    kind: Annotated[
        CandleKind | None,
        Field(
            description="Only the exchange's own candles, or only those of what was sampled. "
            "Without it: of each hour, and of each minute that filled a gap, the exchange's where it is known."
        ),
    ] = None


class CandlesTableParams(TableParams, CandlesParams):
    """The same of CSV."""


class CandlesFormatParams(TableParams, TextFormatParams, CandlesParams):
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
            "`coverage` where hours are known by the exchange's candle alone; null where all are."
        ),
    ]
    latest: Annotated[float | None, Field(description="The newest price that was known when the candle was made.")]
    volume: Annotated[float | None, Field(description="Traded, in the base currency; null where it is not known.")]
    samples: Annotated[int, Field(description="How many prices are known of it one by one.")]
    coverage: Annotated[float, Field(description="The part of its whole time that is known.")]
    mean_coverage: Annotated[float, Field(description="The part of its whole time that `mean` speaks of.")]
    revision: Annotated[int, Field(description="Grows whenever it is corrected; 0 while it is not kept yet.")]
    kind: Annotated[
        CandleKind | Literal["mixed"] | None,
        Field(
            description="Whose open, high, low, close and volume these are: `exchange`, its own candle of every trade; "
            "`sampled`, the prices that were sampled or filled in; `mixed`, of hours of both kinds, "
            "or with some minutes that filled a gap, whose range the exchange told; "
            "null where there is only a gap."
        ),
    ]
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


COLUMNS = [Column(name, _CELL_KINDS.get(name, CellKind.NUMBER)) for name in CandleView.model_fields]
_COVERED = CandleRow._fields.index("covered")


class CandleRange(NamedTuple):
    """What was asked for, settled against what there is."""

    length: CandleLength
    starts: range
    """Of the candles that were asked for."""
    newest: int
    """The newest tick of which anything is known."""
    kind: CandleKind | None

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
    metric: Name, params: Annotated[CandlesFormatParams, Query()], request: Request, context: Context
) -> Response:
    """
    Open, high, low, close, mean and volume of hours, or of longer stretches, as far back as the archive goes.

    A candle speaks of the samples with a tick after its start and up to its end. The hour that is running, and one
    that just ended and is not kept yet, are made of the samples of the last day, with `closed: false`, as is every
    longer candle that holds one of them. The open, high, low, close and volume are the exchange's own where its hourly
    candle is known, a few minutes after the hour and as far back as was asked for (`kind`). `complete` says that all of a candle's time is known. An hour without a
    sample is missing.

    Candles of 1, 5, 15 and 30 minutes are made of the samples of the last 24 hours, and are not kept: their
    `revision` is 0, and they are `closed` when their time is over. Minutes that filled a gap have the exchange's open,
    high and low.

    `format=csv` or `Accept: text/csv` here is the same as `candles.csv`, and so with `ndjson`.
    """
    format_ = choose_format(request, Format(params.format) if params.format else None, _FORMATS)
    refuse_unless_csv(format_, params, "time", "bom")
    return await _respond(metric, params, format_, request, context)


@router.get(
    "/metrics/{metric}/candles.csv",
    summary="The past of a metric as CSV",
    operation_id="get_candles_csv",
    response_class=CsvResponse,
    responses=_FAILS,
)
async def read_candles_csv(
    metric: Name, params: Annotated[CandlesTableParams, Query()], request: Request, context: Context
) -> Response:
    """The candles of a metric, oldest first, as a table. What is empty is not known."""
    return await _respond(metric, params, Format.CSV, request, context)


@router.get(
    "/metrics/{metric}/candles.ndjson",
    summary="The past of a metric, a line a candle",
    operation_id="get_candles_ndjson",
    response_class=NdjsonResponse,
    responses=_FAILS,
)
async def read_candles_ndjson(
    metric: Name, params: Annotated[CandlesParams, Query()], request: Request, context: Context
) -> Response:
    """The candles of a metric, oldest first, each a JSON document on a line of its own."""
    return await _respond(metric, params, Format.NDJSON, request, context)


async def _respond(
    metric: str, params: CandlesParams, format_: Format, request: Request, context: RouteState
) -> Response:
    if params.interval.is_short:
        return await _respond_short(Metric(metric.upper()), params, format_, request, context)
    reader, archive, name = context["reader"], context["archive"], Metric(metric.upper())
    tick, (record,), archived = await asyncio.gather(
        reader.read_tick(), reader.read_metric_states([name]), archive.read_newest_hours(name)
    )
    if record is None and archived.newest is None:
        raise await refuse_unknown_metric(reader, name, "in the last day or in the archive")
    newest = max(tick or 0, record.newest if record else 0, *[each + HOUR for each in archived if each is not None])
    span = _resolve_range(params, newest, context, request.query_params)
    day = find_hour(newest - DAY)
    after = day if archived.sampled is None else max(archived.sampled + HOUR, day)
    sampled = await _make_running_hours(reader, name, after, span, context["interval"]) if record else []
    running = await _choose_running_hours(archive, name, sampled, span)
    encoder = make_encoder(format_, COLUMNS, params)
    if span.length is CandleLength.HOUR and params.fill is GapFill.NONE:
        # A year of hours is read in a third of the time where the database writes the rows itself.
        start, end = span.starts.start, _find_archive_end(span, running)
        archive_text = await archive.read_text(name, start, end, encoder.make_row_format([True]), params.kind)
        rows: Sequence[CandleRow] = [candles.make_row(hour) for hour in running]
    else:
        archive_text, rows = "", await _read_rows(archive, name, params, span, running)
    cells = _make_cells(rows, span.length.seconds, _find_open_start(span, running))
    chunks = [encoder.convert_times(archive_text), encoder.encode(cells)]
    body = encoder.frame(chunks, JsonFrame(_show_range(name, params, span), "candles"))
    return respond_until_next_tick(request, context, AnswerBody(body, tick, format_, is_brief=True))


async def _respond_short(
    metric: Metric, params: CandlesParams, format_: Format, request: Request, context: RouteState
) -> Response:
    """Answer candles that are shorter than an hour, without the archive."""
    reader, length, interval = context["reader"], params.interval, context["interval"]
    if length.seconds % interval:
        *fitting, last = [each for each in CandleLength if not each.is_short or not each.seconds % interval]
        accepted = f"{', '.join(fitting)} or {last}: a multiple of {interval} seconds, the sampling interval"
        raise refuse_fields(("interval", length, accepted))
    tick, (record,) = await asyncio.gather(reader.read_tick(), reader.read_metric_states([metric]))
    if record is None:
        raise await refuse_unknown_metric(reader, metric)
    span = _resolve_range(params, max(tick or 0, record.newest), context, request.query_params)
    rows = await _read_short_rows(reader, metric, params, span, interval)
    encoder = make_encoder(format_, COLUMNS, params)
    cells = encoder.encode(_make_cells(rows, length.seconds, _find_open_start(span, ())))
    body = encoder.frame([cells], JsonFrame(_show_range(metric, params, span), "candles"))
    return respond_until_next_tick(request, context, AnswerBody(body, tick, format_))


def _resolve_range(params: CandlesParams, newest: int, context: RouteState, written: Mapping[str, str]) -> CandleRange:
    """Settle which candles are asked for."""
    length = params.interval
    defaults = RangeDefaults(newest - 1, lambda end: length.find_start(end) - (USUAL_CANDLES - 1) * length.seconds)
    now = floor_to_tick(context["clock"](), context["interval"])
    start, end = TimeRange.resolve((params.from_, params.to), now, defaults, written)
    first = length.find_start(start - 1) + length.seconds
    starts = range(first, length.find_start(end) + 1, length.seconds)
    if len(starts) > MOST_CANDLES:
        longer = [each for each in CandleLength if len(starts) * length.seconds <= MOST_CANDLES * each.seconds]
        coarser = CoarserStep("interval", length, " or ".join(longer))
        raise refuse_too_many(f"{MOST_CANDLES:,} candles at most", starts[-MOST_CANDLES], coarser, written)
    return CandleRange(length, starts, newest, params.kind)


async def _make_running_hours(
    reader: Reader, metric: Metric, after: int, span: CandleRange, interval: int
) -> list[CandleSums]:
    """Make the hours of the range whose samples are not archived yet of them."""
    first, last = max(after, span.starts.start), min(find_hour(span.newest), span.until - HOUR)
    made = []
    for hour in range(first, last + 1, HOUR):
        samples = await reader.read_samples(metric, hour, hour + HOUR)
        sampled = candles.make_hour_from_samples(HourSlot(metric, hour, 0), samples, interval)
        if sampled:
            ranges = await reader.read_ranges(metric, hour, hour + HOUR)
            made.append(add_ranges(sampled, HOUR, list_priced_ticks(samples), ranges, interval))
    return [candles.start_sums(hour._replace(revision=0), HOUR, span.kind) for hour in made]


async def _choose_running_hours(
    archive: ArchiveReader, metric: Metric, sampled: Sequence[CandleSums], span: CandleRange
) -> Sequence[CandleSums]:
    """Return hours that are not archived yet as they are answered: of those that are over, the exchange's may be known."""
    if span.kind is CandleKind.EXCHANGE:
        return ()  # all that there is, the archive has
    if span.kind is CandleKind.SAMPLED or not sampled or sampled[0].start + HOUR > span.newest:
        return sampled
    known = {hour.start: hour for hour in sampled}
    told = await archive.read_exchange_hours(metric, sampled[0].start, span.until)
    known |= {hour.start: merge_exchange_hour(known.get(hour.start), hour) for hour in told}
    return [known[start] for start in sorted(known)]


async def _read_short_rows(
    reader: Reader, metric: Metric, params: CandlesParams, span: CandleRange, interval: int
) -> Sequence[CandleRow]:
    """Return candles that are shorter than an hour, made of the kept day, and fill the gaps."""
    gaps, length, oldest = params.fill, span.length.seconds, find_first_start(span.newest, span.length)
    first, until = max(span.starts.start, oldest), min(span.until, span.newest)
    # What a gap is filled with may lie before the range.
    after = oldest if gaps is GapFill.PREVIOUS else first
    if first >= until:
        return ()
    samples = await reader.read_samples(metric, after, until)
    ranges = NO_RANGES if params.kind is CandleKind.SAMPLED else await reader.read_ranges(metric, after, until)
    rows = make_short_candles(metric, span.length, samples, interval, ranges)
    if params.kind is CandleKind.EXCHANGE:
        rows = [row for row in rows if row.kind == CandleKind.EXCHANGE]
    known = [row for row in rows if row.start >= first]
    if gaps is GapFill.NONE:
        return known
    before = next((row.close for row in reversed(rows) if row.start < first), None)
    return candles.fill_gaps(known, range(first, until, length), gaps, before)


def _find_archive_end(span: CandleRange, running: Sequence[CandleSums]) -> int:
    """Return where the hours end that the archive is asked for."""
    return running[0].start if running else span.until


def _find_open_start(span: CandleRange, running: Sequence[CandleSums]) -> int:
    """Return the first second of which no candle is closed that starts then or later."""
    open_since = span.length.find_start(running[0].start) if running else span.until
    return min(open_since, span.newest - span.length.seconds + 1)


async def _read_rows(
    archive: ArchiveReader, metric: Metric, params: CandlesParams, span: CandleRange, running: Sequence[CandleSums]
) -> Sequence[CandleRow]:
    """Return the archive's candles with the running hours added to them, and fill the gaps."""
    since, until, gaps, kind = span.starts.start, _find_archive_end(span, running), params.fill, params.kind
    if span.length is CandleLength.HOUR:
        rows = [*await archive.read_rows(metric, since, until, kind), *map(candles.make_row, running)]
    else:
        archived = await archive.read_sums(metric, span.length, since, until, kind)
        rows = [candles.make_row(sums) for sums in candles.group_hours([*archived, *running], span.length)]
    if gaps is GapFill.NONE:
        return rows
    before = await archive.read_close_before(metric, since, kind) if gaps is GapFill.PREVIOUS else None
    last = span.length.find_start(find_hour(span.newest))
    return candles.fill_gaps(rows, range(since, min(span.until, last + 1), span.length.seconds), gaps, before)


def _make_cells(rows: Iterable[CandleRow], length: int, open_start: int) -> list[Row]:
    """Return the cells of `COLUMNS`, of candles of `length` seconds."""
    return [
        (
            *row[:_COVERED],
            row.covered / length,
            row.averaged / length,
            row.revision,
            row.kind,
            row.start < open_start and row.covered == length,
            row.start < open_start,
        )
        for row in rows
    ]


def _show_range(metric: Metric, params: CandlesParams, span: CandleRange) -> dict[str, object]:
    return {
        "metric": metric,
        "interval": span.length,
        "from": span.starts.start,
        "to": span.starts[-1] if span.starts else span.starts.start,
        "fill": params.fill,
    }
