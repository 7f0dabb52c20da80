"""Many metrics now: what a row of a dashboard shows, in one answer of JSON, CSV, NDJSON or Arrow."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, RootModel, WithJsonSchema

from ..market.series import make_kept_grid
from ..model import DAY, MEASURES, Measure
from .context import Context, RouteState
from .list_params import (
    MEASURES_DESCRIPTION,
    MEASURES_SCHEMA,
    MOST_CHARACTERS,
    ListParams,
    parse_measures,
    select_metrics,
)
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
from .row_encoder import JsonFrame, Row, RowEncoder, make_encoder
from .snapshot_rows import (
    FIELDS,
    MEASURE_FIELDS,
    METRIC_FIELDS,
    SnapshotLine,
    SnapshotMoment,
    SnapshotQuestion,
    ask_of_fields,
    ask_of_measures,
    read_rows,
)
from .tables import load_arrow, write_arrow

FIELDS_ACCEPTED = f"{', '.join(METRIC_FIELDS)}, or a number of a measure as in price.value: {', '.join(MEASURES)}; {', '.join(MEASURE_FIELDS)}"
_FIELD = rf"({'|'.join(METRIC_FIELDS)}|({'|'.join(MEASURES)})\.({'|'.join(MEASURE_FIELDS)}))"
MOST_METRICS = 10_000
MOST_LINES = 1_000
"""Metrics of one answer with a line of the day each: 48 reads of the store a metric."""

router = APIRouter(tags=["metrics"])


class SnapshotParams(ListParams):
    measures: Annotated[
        str | None,
        Field(max_length=MOST_CHARACTERS),
        MEASURES_SCHEMA,
        Field(description=f"{MEASURES_DESCRIPTION} Without it: {Measure.PRICE}."),
    ] = None  # type: ignore[assignment]  # that it was not written matters here
    limit: Annotated[int, Field(ge=1, le=MOST_METRICS, description="How many metrics at most.")] = 1000
    cursor: Annotated[str, Field(max_length=100, description="Where to go on: `next` of the answer before.")] = ""
    fields: Annotated[
        str | None,
        Field(max_length=MOST_CHARACTERS),
        WithJsonSchema(
            {
                "type": "string",
                "pattern": f"^ *{_FIELD} *(, *{_FIELD} *)*$",
                "maxLength": MOST_CHARACTERS,
            }
        ),
        Field(
            description="For instance `metric,at,price.value,interval_volume.ratio`. With it, a metric is one row of these "
            f"fields alone, with commas between: {FIELDS_ACCEPTED}. What is not asked for is not worked out, so the answer "
            "comes sooner, and without an `age` it is the same one until the next tick. Not together with `measures`."
        ),
    ] = None


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


class SnapshotFields(RootModel[dict[str, float | str | list[float | None] | None]]):
    """A metric now: the fields that were asked for, and its sparkline where that was."""


class SnapshotView(BaseModel):
    """Metrics now, by name; of each a row for each measure, or one of the fields that are asked for."""

    at: Annotated[int | None, Field(description="The newest tick; null before the first.")]
    replay: Annotated[
        ReplayView | None, Field(description="Where the market is replayed from a recording; null: it is not.")
    ]
    of: Annotated[int, Field(description="How many metrics there are to answer, on all pages.")]
    measures: list[Measure]
    sparkline_ends: Annotated[
        list[int], Field(description="The last second of the time that each number of `sparkline` stands for.")
    ]
    rows: Annotated[
        list[SnapshotLine] | list[SnapshotFields],
        Field(description="Of each measure of each metric; with `fields`, of each metric."),
    ]
    next: Annotated[str | None, Field(description="The `cursor` of what follows; null at the end.")]


_FAILS = UNKNOWN | NOT_ACCEPTED | AWAY | UNCHANGED


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
    it is answered page by page. With `fields` each metric is one row of those alone: `price.value`,
    `interval_volume.ratio`.

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
    """
    Many metrics now, as a table: a line for each measure of each, or one for each metric of the fields that are asked for.
    What is empty is not known.
    """
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
    asked = _read_question(params, format_)
    reader, now = context["reader"], int(context["clock"]())
    tick, names, dead, notes = await asyncio.gather(
        reader.read_tick(), reader.read_metrics(), reader.read_dead_metrics(), reader.read_market_notes()
    )
    found = await select_metrics(reader, params.metrics, names.keys() | dead.keys())
    left = [metric for metric in found if metric > params.cursor]
    page = left[: params.limit]
    places = await context["lists"].read_places(page, asked.ranks)
    moment = SnapshotMoment(tick, now, context["interval"], dead, notes, places)
    ends = _list_line_ends(params, max([tick or 0, *[names.get(metric, 0) for metric in page]]))
    following = page[-1] if len(left) > len(page) else None
    replay = await context["replays"].read() if context["market"].is_replayed else None
    about = {
        "at": tick,
        "replay": show_replay(replay),
        "of": len(found),
        "measures": [*asked.parts],
        "sparkline_ends": [*ends],
    }
    rows = read_rows(context, page, asked, moment, ends)
    frame = JsonFrame(about, "rows", {"next": following})
    encoder = make_encoder(Format.JSON if format_ is Format.ARROW else format_, asked.columns, params)
    body, ageless = await (
        _write_arrow(encoder, rows, frame) if format_ is Format.ARROW else _write(encoder, rows, frame)
    )
    # The ages alone do not make another answer, but they must not grow old in a cache either.
    meant = None if ageless is None else f"{now // context['interval']} {ageless}"
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


def _read_question(params: SnapshotParams, format_: Format) -> SnapshotQuestion:
    """Return what of each metric is asked: all of its measures, or some fields. Raises `HttpRefusal`."""
    if params.fields is None:
        # JSON has the line always, be it null.
        measures = Measure.PRICE if params.measures is None else params.measures
        return ask_of_measures(parse_measures(measures), has_line=format_ is Format.JSON)
    names = [name.strip() for name in params.fields.split(",")]
    unknown = [name for name in names if name not in FIELDS]
    if unknown:
        raise refuse_fields(*[("fields", name, FIELDS_ACCEPTED) for name in unknown])
    if params.measures is not None:
        raise refuse_fields(("measures", params.measures, "only without fields, which name the measure of each number"))
    has_line = isinstance(params, SparklineParams) and params.sparkline is not LineLength.NONE
    return ask_of_fields([*dict.fromkeys(names)], has_line=has_line)


async def _write(encoder: RowEncoder, parts: AsyncIterator[list[Row]], frame: JsonFrame) -> tuple[str, str | None]:
    """Return an answer, and beside it what stands for it in a tag: the same without the ages; `None`: it has none."""
    has_age = any(column.name == "age" for column in encoder.columns)
    texts, ageless = [], []
    async for rows in parts:
        texts.append(encoder.encode(rows))
        if has_age:
            ageless.append(encoder.encode(_leave_out_ages(encoder, rows)))
    return encoder.frame(texts, frame), encoder.frame(ageless, frame) if has_age else None


async def _write_arrow(encoder: RowEncoder, parts: AsyncIterator[list[Row]], frame: JsonFrame) -> tuple[bytes, str]:
    """Return the same of Arrow, which is written whole."""
    rows = [row async for part in parts for row in part]
    ageless = encoder.frame([encoder.encode(_leave_out_ages(encoder, rows))], frame)
    return write_arrow(encoder.columns, rows), ageless


def _leave_out_ages(encoder: RowEncoder, rows: Sequence[Row]) -> Iterator[Row]:
    """Yield rows with no age in them, however often the column was asked for."""
    columns = [*zip(*rows, strict=True)]
    unknown = (None,) * len(rows)
    ageless = [
        unknown if column.name == "age" else cells for column, cells in zip(encoder.columns, columns, strict=False)
    ]
    return zip(*ageless, strict=True)
