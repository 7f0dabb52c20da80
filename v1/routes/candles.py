"""Candles of one metric, as far back as the archive goes: JSON, CSV or NDJSON, digits as received."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from .. import candles, keys
from ..archive import ArchiveReader, Form
from ..candles import Bar, Gaps, HourCandle, Length, Slot
from ..model import DAY, HOUR, Metric
from ..store import Reader
from .answers import Answer, until_next_tick, wanted
from .asked import Asked, Format, Name, Time
from .context import Context
from .document import NOT_ACCEPTED, UNCHANGED, UNKNOWN, also_as
from .problems import Problem, Refused, not_accepted, unknown

MOST_CANDLES = 10_000
USUAL_CANDLES = 200
_NULL = "null"

router = APIRouter(tags=["metrics"])


class CandlesAsked(Asked):
    interval: Annotated[
        Length, Field(description="How long a candle is. Days and weeks are UTC's, and weeks start on Monday.")
    ] = Length.HOUR
    from_: Annotated[
        Time | None,
        Field(alias="from", description=f"Only candles that start then or later. Without it: {USUAL_CANDLES} candles."),
    ] = None
    to: Annotated[
        Time | None, Field(description="Only candles that start then or earlier. Without it: the newest tick.")
    ] = None
    fill: Annotated[
        Gaps, Field(description="What stands where nothing is known; a candle is missing unless told otherwise.")
    ] = Gaps.NONE
    format: Annotated[Format | None, Field(description="Without it, as the header `Accept` says; else JSON.")] = None


class CandleItem(BaseModel):
    """What one stretch of time came to. All is null where there is only a gap that was filled."""

    start: Annotated[int, Field(description="Its first second. It speaks of the samples after it, to its end.")]
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    mean: Annotated[float | None, Field(description="Of all prices; null where only the provider's candle is known.")]
    latest: Annotated[float | None, Field(description="The newest price that was known when the candle was made.")]
    volume: Annotated[float | None, Field(description="Traded, in the base currency; null where nobody said it.")]
    samples: Annotated[int, Field(description="How many prices are behind it.")]
    coverage: Annotated[float, Field(description="The part of its whole time that they speak of.")]
    revision: Annotated[int, Field(description="Grows whenever it is corrected; 0 while it is not kept yet.")]
    complete: Annotated[bool, Field(description="Whether its time is over, and it is kept.")]


class Candles(BaseModel):
    """Candles, oldest first."""

    metric: str
    interval: Length
    from_: Annotated[int, Field(alias="from", description="The start of the first candle that was asked for.")]
    to: Annotated[int, Field(description="The start of the last one.")]
    fill: Gaps
    candles: list[CandleItem]


class Span(NamedTuple):
    """What was asked for, settled against what there is."""

    length: Length
    starts: range
    """Of the candles that were asked for."""
    newest: int
    """The newest tick of which anything is known."""

    @property
    def until(self) -> int:
        return self.starts[-1] + self.length.seconds if self.starts else self.starts.start


@router.get(
    "/metrics/{metric}/candles",
    summary="The past of a metric",
    response_model=Candles,
    responses=UNKNOWN
    | NOT_ACCEPTED
    | {
        503: {
            "model": Problem,
            "description": "The store or the archive is away; ask again after `Retry-After` seconds.",
        }
    }
    | UNCHANGED
    | also_as(Format.CSV, Format.NDJSON),
)
async def read_candles(
    metric: Name, asked: Annotated[CandlesAsked, Query()], request: Request, context: Context
) -> Response:
    """
    Open, high, low, close, mean and volume of hours, or of longer stretches, as far back as the archive goes.

    A candle speaks of the samples with a tick after its start and up to its end. The hour that is running, and one
    that just ended and is not kept yet, are made of the samples of the last day, with `complete: false`, as is every
    longer candle that holds one of them. An hour without a sample is missing.
    """
    reader, archive, name = context["reader"], context["archive"], Metric(metric.upper())
    tick, (record,), kept = await asyncio.gather(reader.tick(), reader.records([name]), archive.newest(name))
    if record is None and kept is None:
        raise await unknown(reader, name, "in the last day or in the archive")
    newest = max(tick or 0, record.newest if record else 0, kept + HOUR if kept is not None else 0)
    span = _settled(asked, newest, context, request.query_params)
    after = keys.hour_of(newest - DAY) if kept is None else max(kept + HOUR, keys.hour_of(newest - DAY))
    running = await _running(reader, name, after, span, context["interval"]) if record else []
    format_ = wanted(request, asked.format, tuple(Format))
    if span.length is Length.HOUR and asked.fill is Gaps.NONE:
        kept_lines = await archive.written(name, span.starts.start, _until(span, running), _form(format_))
        bars: Sequence[Bar] = [candles.bar(candles.sums(hour)) for hour in running]
    else:
        kept_lines, bars = "", await _bars(archive, name, asked.fill, span, running)
    open_since = span.length.start(running[0].start) if running else span.until
    complete_until = min(open_since, newest - span.length.seconds + 1)
    lines = [_line(bar, span.length.seconds, format_, is_complete=bar.start < complete_until) for bar in bars]
    body = _body(name, asked, span, [*filter(None, [kept_lines]), *lines], format_)
    return until_next_tick(request, context, Answer(body, tick, format_))


def _settled(asked: CandlesAsked, newest: int, context: Context, said: Mapping[str, str]) -> Span:
    """Settle which candles are asked for. Times from now are whole ticks, so that answers change with them."""
    length, interval = asked.interval, context["interval"]
    now = int(context["clock"]()) // interval * interval
    start = asked.from_.at(now) if asked.from_ else None
    end = asked.to.at(now) if asked.to else max(newest - 1, start or 0)
    if start is None:
        start = max(0, length.start(end) - (USUAL_CANDLES - 1) * length.seconds)
    if start > end:
        raise not_accepted(
            ("from", said.get("from", start), f"a time that is not after `to`, {end}"),
            ("to", said.get("to", end), f"a time that is not before `from`, {start}"),
        )
    first = length.start(start - 1) + length.seconds
    starts = range(first, length.start(end) + 1, length.seconds)
    if len(starts) > MOST_CANDLES:
        raise _too_many(starts, length, said)
    return Span(length, starts, newest)


def _too_many(starts: range, length: Length, said: Mapping[str, str]) -> Refused:
    """Refuse a range, with the latest beginning and, where there is one, the length that would do."""
    most = f"{MOST_CANDLES:,} candles at most"
    wrong: list[tuple[str, object, str]] = [("from", said["from"], f"{starts[-MOST_CANDLES]} or later: {most}")]
    longer = [each for each in Length if len(starts) * length.seconds <= MOST_CANDLES * each.seconds]
    if longer:
        wrong.append(("interval", said.get("interval", length), f"{' or '.join(longer)}: {most}"))
    return not_accepted(*wrong)


async def _running(reader: Reader, metric: Metric, after: int, span: Span, interval: int) -> list[HourCandle]:
    """Make the hours that are not kept yet of their samples, those that were asked for."""
    first, last = max(after, span.starts.start), min(keys.hour_of(span.newest), span.until - HOUR)
    made = []
    for hour in range(first, last + 1, HOUR):
        samples = await reader.samples(metric, hour, hour + HOUR)
        made.append(candles.of_samples(Slot(metric, hour, 0), samples, interval))
    return [hour._replace(revision=0) for hour in made if hour]


def _until(span: Span, running: Sequence[HourCandle]) -> int:
    """Give where the hours end that the archive is asked for."""
    return running[0].start if running else span.until


async def _bars(
    archive: ArchiveReader, metric: Metric, gaps: Gaps, span: Span, running: Sequence[HourCandle]
) -> Sequence[Bar]:
    """Give the candles that there are, the database's with what is running added to them, and fill the gaps."""
    since, until = span.starts.start, _until(span, running)
    added = [candles.sums(hour) for hour in running]
    if span.length is Length.HOUR:
        bars = [*await archive.bars(metric, since, until), *map(candles.bar, added)]
    else:
        kept = await archive.sums(metric, span.length, since, until)
        bars = [candles.bar(sums) for sums in candles.longer([*kept, *added], span.length)]
    if gaps is Gaps.NONE:
        return bars
    before = await archive.close_before(metric, since) if gaps is Gaps.PREVIOUS else None
    last = span.length.start(keys.hour_of(span.newest))
    return candles.filled(bars, range(since, min(span.until, last + 1), span.length.seconds), gaps, before)


# ---- how it is written: by the database where it can, by us where not, and both alike ----------------------


def _form(format_: Format, *, is_complete: bool = True) -> Form:
    complete = "true" if is_complete else "false"
    if format_ is Format.CSV:
        return Form(["", *[","] * (len(Bar._fields) - 1), f",{complete}"], "", "\n")
    first, *others, last = CandleItem.model_fields
    texts = [f'{{"{first}":', *[f',"{name}":' for name in others], f',"{last}":{complete}}}']
    return Form(texts, _NULL, "," if format_ is Format.JSON else "\n")


def _line(bar: Bar, length: int, format_: Format, *, is_complete: bool) -> str:
    texts, nothing, _ = _form(format_, is_complete=is_complete)
    cells = [*bar[:9], bar.covered / length, bar.revision]
    parts = [f"{text}{nothing if cell is None else cell}" for text, cell in zip(texts, cells, strict=False)]
    return "".join([*parts, texts[-1]])


def _body(metric: Metric, asked: CandlesAsked, span: Span, lines: Sequence[str], format_: Format) -> str:
    if format_ is Format.CSV:
        return "\n".join([",".join(CandleItem.model_fields), *lines, ""])
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
