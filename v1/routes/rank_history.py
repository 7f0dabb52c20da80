"""The rank of a metric through the day: its place at one tick of each quarter of an hour."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from ..market.kept_ranks import EVERY_SECONDS
from ..model import DAY, By, Measure, Metric
from .context import Context, RouteState
from .params import Format, JsonOrCsvParams, Name, TableParams, Time
from .problems import refuse_unknown_metric
from .ranks import RankParams
from .response_docs import AWAY, NOT_ACCEPTED, UNCHANGED, UNKNOWN
from .responses import AnswerBody, CsvResponse, choose_format, refuse_unless_csv, respond_until_next_tick
from .row_encoder import CellKind, Column, JsonFrame, make_encoder
from .time_range import RangeDefaults, TimeRange, floor_to_tick

router = APIRouter(tags=["ranks"])


class RankHistoryParams(RankParams):
    from_: Annotated[
        Time | None,
        Field(alias="from", examples=["-4h"], description="The first tick. Without it: 24 hours before `to`."),
    ] = None
    to: Annotated[Time | None, Field(description="The last tick. Without it: the newest one.", examples=["now"])] = None


class RankHistoryTableParams(TableParams, RankHistoryParams):
    """The same of CSV."""


class RankHistoryFormatParams(TableParams, JsonOrCsvParams, RankHistoryParams):
    """The same where the format is not known by the path."""


class KeptPlaceRow(BaseModel):
    """The place of a metric at a tick."""

    at: Annotated[int, Field(description="The tick.")]
    rank: Annotated[int | None, Field(description="1 moves most; null: it has no rank then.")]
    of: Annotated[int, Field(description="How many metrics are ranked then.")]


class RankHistoryView(BaseModel):
    """The place of a metric through the day, oldest first."""

    metric: str
    measure: Measure
    by: By
    from_: Annotated[int, Field(alias="from", description="The first tick that was asked for.")]
    to: Annotated[int, Field(description="The last tick that was asked for.")]
    step: Annotated[
        int,
        Field(description="Seconds between two ticks whose places are kept; one is missing where the worker was away."),
    ]
    places: list[KeptPlaceRow]


COLUMNS = [Column(name, CellKind.TIME if name == "at" else CellKind.NUMBER) for name in KeptPlaceRow.model_fields]
_FAILS = UNKNOWN | NOT_ACCEPTED | AWAY | UNCHANGED


@router.get(
    "/metrics/{metric}/rank-history",
    summary="The rank of a metric through the day",
    operation_id="get_rank_history",
    response_model=RankHistoryView,
    responses=_FAILS,
)
async def get_rank_history(
    metric: Name, params: Annotated[RankHistoryFormatParams, Query()], request: Request, context: Context
) -> Response:
    """
    The place of one metric among all by how much a measure moved over the 24 hours before each tick.

    Places are kept of one tick in each quarter of an hour, for a day.
    """
    format_ = choose_format(request, Format(params.format) if params.format else None, (Format.JSON, Format.CSV))
    refuse_unless_csv(format_, params, "time", "bom")
    return await _respond(Metric(metric.upper()), params, format_, request, context)


@router.get(
    "/metrics/{metric}/rank-history.csv",
    summary="The rank of a metric through the day, as CSV",
    operation_id="get_rank_history_csv",
    response_class=CsvResponse,
    responses=_FAILS,
)
async def get_rank_history_csv(
    metric: Name, params: Annotated[RankHistoryTableParams, Query()], request: Request, context: Context
) -> Response:
    """The place of one metric among all through the day, as a table."""
    return await _respond(Metric(metric.upper()), params, Format.CSV, request, context)


async def _respond(
    metric: Metric, params: RankHistoryParams, format_: Format, request: Request, context: RouteState
) -> Response:
    reader, now = context["reader"], floor_to_tick(context["clock"](), context["interval"])
    tick, (state,) = await asyncio.gather(reader.read_tick(), reader.read_metric_states([metric]))
    if state is None:
        raise await refuse_unknown_metric(reader, metric)
    defaults = RangeDefaults(max(now, tick or 0), lambda end: end - DAY)
    start, end = TimeRange.resolve((params.from_, params.to), now, defaults, dict(request.query_params))
    places = await context["rank_history"].read_places(metric, params.measure, params.by, start, end)
    encoder = make_encoder(format_, COLUMNS, params)
    known = {"metric": metric, "measure": params.measure, "by": params.by}
    frame = JsonFrame(known | {"from": start, "to": end, "step": EVERY_SECONDS}, "places")
    body = encoder.frame([encoder.encode([(each.tick, each.rank, each.of) for each in places])], frame)
    return respond_until_next_tick(request, context, AnswerBody(body, tick, format_))
