"""Many metrics now: what a row of a dashboard shows, in one answer of JSON, CSV, NDJSON or Arrow."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from ..market.current import CurrentMeasure, PastValue, summarize_measures
from ..market.freshness import Freshness, judge_freshness
from ..market.series import make_kept_grid
from ..model import DAY, By, Measure, Metric
from ..numbers.chunks import split_into_chunks
from ..store import CurrentMetric, SharedPlace
from .context import Context, RouteState
from .list_params import ListParams, parse_measures, select_metrics
from .params import ALL_FORMATS, Format, FormatParams, TableParams
from .problems import refuse_fields
from .replay_view import ReplayView, show_replay
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

MOST_METRICS = 10_000
MOST_LINES = 1_000
"""Metrics of one answer with a line of the day each: 48 reads of the store a metric."""
METRICS_AT_ONCE = 250
"""Metrics that are read in one go; what they come to takes some 20 ms, in which nobody else is answered."""
LINES_AT_ONCE = 50
_KINDS = {
    **dict.fromkeys(("metric", "measure", "state", "source"), CellKind.TEXT),
    **dict.fromkeys(("age", "hour_samples", "rank", "of", "cv_rank", "cv_of", "samples"), CellKind.COUNT),
    **dict.fromkeys(("at", "provider_time", "hour_ago_at", "day_ago_at"), CellKind.TIME),
}

router = APIRouter(tags=["metrics"])


class SnapshotParams(ListParams):
    limit: Annotated[int, Field(ge=1, le=MOST_METRICS, description="How many metrics at most.")] = 1000
    cursor: Annotated[str, Field(max_length=100, description="Where to go on: `next` of the answer before.")] = ""


class LineLength(StrEnum):
    """How many prices of the day come with a metric."""

    NONE = "0"
    HOURS = "24"
    """The last one of each hour."""
    HALF_HOURS = "48"
    """The last one of each half an hour."""


class SparklineParams(SnapshotParams):
    sparkline: Annotated[
        LineLength,
        Field(
            description="How many prices of the day come with each metric: the last one of each of 24 hours, or of 48 "
            f"half hours; for {MOST_LINES:,} metrics at most."
        ),
    ] = LineLength.NONE


class SnapshotTableParams(TableParams, SnapshotParams):
    """The same of CSV."""


class SnapshotFormatParams(TableParams, FormatParams, SparklineParams):
    """The same where the format is not known by the path."""


class SnapshotRow(BaseModel):
    """A measure of a metric now. What is not known is null, as nearly all is of a dead market."""

    metric: str
    measure: Measure
    at: Annotated[int | None, Field(description="Tick of the newest sample.")]
    age: Annotated[int | None, Field(description="Seconds since then.")]
    state: Freshness
    source: Annotated[str | None, Field(description="Who gave the newest sample.")]
    provider_time: Annotated[int | None, Field(description="When the provider says it was so; null: it does not say.")]
    value: Annotated[float | None, Field(description="In the newest sample, digits as received.")]
    change_1h: Annotated[
        float | None,
        Field(
            description="From `hour_ago` to `value`, in percent of it, rounded half to even at 3 places; null from zero or below."
        ),
    ]
    hour_ago: Annotated[
        float | None, Field(description="In the newest sample of the hour that ended an hour before `at`.")
    ]
    hour_ago_at: Annotated[int | None, Field(description="Tick of that sample.")]
    change_24h: Annotated[float | None, Field(description="The same from `day_ago`.")]
    day_ago: Annotated[
        float | None,
        Field(
            description="In the oldest sample of the kept day, if it lies in the day's first hour: 24 h ago but one interval."
        ),
    ]
    day_ago_at: Annotated[int | None, Field(description="Tick of that sample.")]
    hour_mean: Annotated[float | None, Field(description="Mean over the hour before the newest tick.")]
    hour_samples: Annotated[int, Field(description="How many numbers are behind it.")]
    ratio: Annotated[float | None, Field(description="value / hour_mean; null where that is zero or below.")]
    stddev: Annotated[float | None, Field(description="Population standard deviation over the day.")]
    rank: Annotated[int | None, Field(description="Place by `stddev`; 1 moves most, equals share a place.")]
    of: Annotated[int | None, Field(description="How many metrics are ranked by it.")]
    cv: Annotated[float | None, Field(description="Coefficient of variation: that deviation / |mean|.")]
    cv_rank: Annotated[int | None, Field(description="Place by `cv`.")]
    cv_of: Annotated[int | None, Field(description="How many metrics are ranked by it.")]
    samples: Annotated[int, Field(description="How many numbers of the day are behind deviation and rank.")]
    coverage: Annotated[float, Field(description="samples / those of a day without a gap")]


class SnapshotLine(SnapshotRow):
    """A measure of a metric now, with its prices of the day."""

    sparkline: Annotated[
        list[float | None] | None,
        Field(description="Prices of the day as `sparkline` asks for them, oldest first; null where it does not."),
    ]


class SnapshotView(BaseModel):
    """Metrics now, by name; of each a row for each measure."""

    at: Annotated[int | None, Field(description="The newest tick; null before the first.")]
    replay: Annotated[
        ReplayView | None, Field(description="Where the market is replayed from a recording; null: it is not.")
    ]
    of: Annotated[int, Field(description="How many metrics there are to answer, on all pages.")]
    measures: list[Measure]
    sparkline_ends: Annotated[
        list[int], Field(description="The last second of the time that each number of `sparkline` stands for.")
    ]
    rows: list[SnapshotLine]
    next: Annotated[str | None, Field(description="The `cursor` of what follows; null at the end.")]


class SnapshotMoment(NamedTuple):
    """When it is, and what is judged by that."""

    tick: int | None
    now: int
    interval: int
    dead: Mapping[Metric, str]
    """Markets that a provider lists without a price."""
    places: Mapping[Metric, Mapping[tuple[Measure, By], SharedPlace]]


_FAILS = UNKNOWN | NOT_ACCEPTED | AWAY | UNCHANGED
_COLUMNS = [Column(name, _KINDS.get(name, CellKind.NUMBER)) for name in SnapshotLine.model_fields]
_TABLE_COLUMNS = _COLUMNS[: len(SnapshotRow.model_fields)]
_AGE = [column.name for column in _COLUMNS].index("age")


@router.get(
    "/snapshot",
    summary="Many metrics now",
    operation_id="get_snapshot",
    response_model=SnapshotView,
    responses=_FAILS,
)
async def get_snapshot(
    params: Annotated[SnapshotFormatParams, Query()], request: Request, context: Context
) -> Response:
    """
    The newest sample of many metrics, by name: of each measure its value, its change within an hour and 24 hours, its
    hour mean and the ratio to it, its ranks, how fresh and how complete it is.

    Numbers and ranks are those of the routes of one metric. Dead markets are among the rows. With `limit` and `cursor`
    it is answered page by page.

    `format=csv` or `Accept: text/csv` here is the same as `snapshot.csv`, and so with `ndjson` and `arrow`; a
    `sparkline` is answered in JSON alone.
    """
    format_ = choose_format(request, params.format, ALL_FORMATS)
    refuse_unless_csv(format_, params, "time", "bom")
    has_line = params.sparkline is not LineLength.NONE
    if has_line and format_ is not Format.JSON:
        raise refuse_fields(("sparkline", params.sparkline, "only with format=json"))
    if has_line and params.limit > MOST_LINES:
        raise refuse_fields(("limit", params.limit, f"{MOST_LINES} or fewer with a sparkline"))
    return await _respond(params, format_, request, context)


@router.get(
    "/snapshot.csv",
    summary="Many metrics now, as CSV",
    operation_id="get_snapshot_csv",
    response_class=CsvResponse,
    responses=_FAILS,
)
async def get_snapshot_csv(
    params: Annotated[SnapshotTableParams, Query()], request: Request, context: Context
) -> Response:
    """Many metrics now, as a table: a line for each measure of each. What is empty is not known."""
    return await _respond(params, Format.CSV, request, context)


@router.get(
    "/snapshot.ndjson",
    summary="Many metrics now, a line a measure",
    operation_id="get_snapshot_ndjson",
    response_class=NdjsonResponse,
    responses=_FAILS,
)
async def get_snapshot_ndjson(
    params: Annotated[SnapshotParams, Query()], request: Request, context: Context
) -> Response:
    """Many metrics now, each measure of each a JSON document on a line of its own."""
    return await _respond(params, Format.NDJSON, request, context)


@router.get(
    "/snapshot.arrow",
    summary="Many metrics now, as Arrow",
    operation_id="get_snapshot_arrow",
    response_class=ArrowResponse,
    responses=_FAILS | NO_ARROW,
)
async def get_snapshot_arrow(
    params: Annotated[SnapshotParams, Query()], request: Request, context: Context
) -> Response:
    """Many metrics now, as a stream of Arrow's IPC format with the columns of `snapshot.csv`; numbers are doubles."""
    return await _respond(params, Format.ARROW, request, context)


async def _respond(params: SnapshotParams, format_: Format, request: Request, context: RouteState) -> Response:
    if format_ is Format.ARROW:
        load_arrow()
    reader, measures, now = context["reader"], parse_measures(params.measures), int(context["clock"]())
    tick, names, dead = await asyncio.gather(reader.read_tick(), reader.read_metrics(), reader.read_dead_metrics())
    found = await select_metrics(reader, params.metrics, names.keys() | dead.keys())
    left = [metric for metric in found if metric > params.cursor]
    page = left[: params.limit]
    places = await context["lists"].read_places(page, measures)
    moment = SnapshotMoment(tick, now, context["interval"], dead, places)
    ends = _list_line_ends(params, max([tick or 0, *[names.get(metric, 0) for metric in page]]))
    following = page[-1] if len(left) > len(page) else None
    replay = await context["replays"].read() if context["market"].is_replayed else None
    about = {
        "at": tick,
        "replay": show_replay(replay),
        "of": len(found),
        "measures": measures,
        "sparkline_ends": [*ends],
    }
    rows = _read_rows(context, page, measures, moment, ends)
    body, identity = await _write(format_, rows, JsonFrame(about, "rows", {"next": following}), params)
    # The ages alone do not make another answer, but they must not grow old in a cache either.
    meant = f"{now // context['interval']} {identity}"
    answer = respond_until_next_tick(request, context, AnswerBody(body, tick, format_, meant))
    if following and format_ is not Format.JSON:
        answer.headers["Link"] = f'<{_find_next(request, following)}>; rel="next"'
    return answer


def _list_line_ends(params: SnapshotParams, newest: int) -> range:
    """Return the ends of the stretches of the kept day that a sparkline has a price for; none where there is no line."""
    points = int(params.sparkline) if isinstance(params, SparklineParams) else 0
    return make_kept_grid(newest, DAY // points).list_ticks if points else range(0)


def _find_next(request: Request, cursor: str) -> str:
    """Return where the next page is: the same question from another metric on."""
    return f"{request.url.path}?{request.url.include_query_params(cursor=cursor).query}"


async def _read_rows(
    context: RouteState, page: Sequence[Metric], measures: Sequence[Measure], moment: SnapshotMoment, ends: range
) -> AsyncIterator[list[Row]]:
    """Yield the rows of some metrics at a time, in order."""
    lists = context["lists"]
    for chunk in split_into_chunks(page, LINES_AT_ONCE if ends else METRICS_AT_ONCE):
        prices = await lists.read_lines(chunk, ends) if ends else []
        lines = {metric: write_line(line) for metric, line in zip(chunk, prices, strict=False)}
        known = {each.metric: each for each in await lists.read_current(chunk, measures)}
        rows: list[Row] = []
        for metric in chunk:
            line = lines.get(metric)
            if metric in known:
                rows += [(*row, line) for row in _make_rows(known[metric], measures, moment)]
            elif metric in moment.dead:
                rows += [(*_make_dead_row(metric, measure), line) for measure in measures]
        yield rows


def write_line(prices: Sequence[str | None]) -> str:
    """Return prices as a JSON list, with their digits."""
    return f"[{','.join(['null' if price is None else price for price in prices])}]"


def _make_rows(current: CurrentMetric, measures: Sequence[Measure], moment: SnapshotMoment) -> Iterator[Row]:
    """Yield the cells of `SnapshotRow`, for each measure of a metric."""
    record = current.record
    state = judge_freshness(record, moment.tick, moment.now, moment.interval)
    if state is Freshness.STALE and current.metric in moment.dead:
        state = Freshness.DEAD
    places, age, expected = moment.places.get(current.metric, {}), moment.now - record.newest, DAY // moment.interval
    known = summarize_measures(measures, record, current.newest, current.past)
    for measure, each in zip(measures, known, strict=True):
        about = (current.metric, measure, record.newest, age, state, record.source, record.provider_time)
        yield *about, *_list_numbers(each, measure, places), each.samples / expected


def _list_numbers(known: CurrentMeasure, measure: Measure, places: Mapping[tuple[Measure, By], SharedPlace]) -> Row:
    hour, day = _list_past(known.hour_ago), _list_past(known.day_ago)
    by_stddev = places.get((measure, By.STDDEV), (None, None))
    by_cv = places.get((measure, By.CV), (None, None))
    mean = known.hour_mean, known.hour_samples, known.ratio
    return known.value, *hour, *day, *mean, known.stddev, *by_stddev, known.cv, *by_cv, known.samples


def _list_past(past: PastValue | None) -> Row:
    return (None, None, None) if past is None else (past.change, past.value, past.tick)


def _make_dead_row(metric: Metric, measure: Measure) -> Row:
    """Return the cells of `SnapshotRow` of a market without a sample."""
    known: dict[str, object] = {"metric": metric, "measure": measure, "state": Freshness.DEAD}
    known |= {"hour_samples": 0, "samples": 0, "coverage": 0.0}
    return [known.get(column.name) for column in _TABLE_COLUMNS]


async def _write(
    format_: Format, parts: AsyncIterator[list[Row]], frame: JsonFrame, params: SnapshotParams
) -> tuple[str | bytes, str]:
    """Return an answer, and beside it what stands for it in a tag: the same without the ages."""
    columns = _COLUMNS if format_ is Format.JSON else _TABLE_COLUMNS
    encoder = make_encoder(Format.JSON if format_ is Format.ARROW else format_, columns, params)
    whole: list[Row] = []
    texts, ageless = [], []
    async for part in parts:
        rows = [row[: len(columns)] for row in part]
        ageless.append(encoder.encode([(*row[:_AGE], None, *row[_AGE + 1 :]) for row in rows]))
        if format_ is Format.ARROW:
            whole += rows
        else:
            texts.append(encoder.encode(rows))
    body = write_arrow(columns, whole) if format_ is Format.ARROW else encoder.frame(texts, frame)
    return body, encoder.frame(ageless, frame)
