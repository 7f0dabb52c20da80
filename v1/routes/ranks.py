"""Ranks: metrics ordered by how much they moved, and the rank of one metric."""

import asyncio
import json
from collections.abc import Iterable
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from ..market.freshness import format_utc
from ..market.market_note import UNRANKED
from ..market.metric_state import MetricState
from ..model import DAY, By, Measure, Metric
from ..store import Reader, UnrankedMetric
from .context import Context, RouteState
from .params import ByParam, Format, JsonOrCsvParams, Limit, MeasureParam, Name, QueryParams, TableParams
from .problems import HttpRefusal, refuse_unknown_metric
from .response_docs import AWAY, NOT_ACCEPTED, UNCHANGED, UNKNOWN
from .responses import AnswerBody, CsvResponse, choose_format, refuse_unless_csv, respond_until_next_tick
from .row_encoder import CellKind, Column, JsonFrame, make_encoder

FURTHEST = 1_000_000

router = APIRouter(tags=["ranks"])


class RankParams(QueryParams):
    measure: MeasureParam = Measure.PRICE
    by: ByParam = By.STDDEV


class RanksParams(RankParams):
    limit: Limit = 100
    offset: Annotated[int, Field(ge=0, le=FURTHEST, description="How many of the first to leave out.")] = 0


class RanksTableParams(TableParams, RanksParams):
    """The same of CSV."""


class RanksFormatParams(TableParams, JsonOrCsvParams, RanksParams):
    """The same where the format is not known by the path."""


class RankView(BaseModel):
    """The place of a metric among all."""

    metric: str
    measure: Measure
    by: By
    rank: Annotated[int, Field(description="1 moves most; equal values share a place: 1, 1, 3.")]
    of: Annotated[int, Field(description="How many metrics are ranked.")]
    value: Annotated[float, Field(description="Deviation, or coefficient of variation.")]
    samples: Annotated[int, Field(description="How many numbers of the day are behind it.")]
    coverage: Annotated[float, Field(description="samples / those of a day without a gap")]
    at: Annotated[int | None, Field(description="The newest tick.")]


class RankRow(BaseModel):
    rank: int
    metric: str
    value: float
    samples: int
    coverage: Annotated[float, Field(description="samples / those of a day without a gap")]


class UnrankedReason(StrEnum):
    """Why a metric that has numbers of a measure is not ranked by it."""

    COVERAGE = "coverage"
    """It has too few of them beside the most complete metric: less than `TRACKER_MIN_COVERAGE` says."""


class UnrankedRow(BaseModel):
    metric: str
    samples: int
    coverage: Annotated[float, Field(description="samples / those of a day without a gap")]
    reason: Annotated[
        UnrankedReason,
        Field(description="`coverage`: too few samples beside the most complete metric, by `TRACKER_MIN_COVERAGE`."),
    ]


COLUMNS = [Column(name, CellKind.TEXT if name == "metric" else CellKind.NUMBER) for name in RankRow.model_fields]


class RankList(BaseModel):
    """Metrics by how much they move, those that move most first."""

    measure: Measure
    by: By
    at: Annotated[int | None, Field(description="The newest tick; null before the first.")]
    of: Annotated[int, Field(description="How many metrics are ranked.")]
    ranks: list[RankRow]
    unranked: Annotated[
        list[UnrankedRow],
        Field(
            description="Metrics that would be ranked wrongly, those with most samples first; with `offset` 0 alone."
        ),
    ]


@router.get(
    "/metrics/{metric}/rank",
    summary="The rank of a metric",
    operation_id="get_rank",
    response_model=RankView,
    responses=UNKNOWN | NOT_ACCEPTED | AWAY | UNCHANGED,
)
async def get_rank(
    metric: Name, params: Annotated[RankParams, Query()], request: Request, context: Context
) -> Response:
    """The place of one metric among all by how much a measure moved over the last 24 hours."""
    reader, name = context["reader"], Metric(metric.upper())
    tick, found = await asyncio.gather(reader.read_tick(), reader.read_place(name, params.measure, params.by))
    if found is None:
        raise await _refuse_unranked(reader, name, params)
    place, of = found
    answer = {
        "metric": name,
        "measure": params.measure,
        "by": params.by,
        "rank": place.rank,
        "of": of,
        "value": place.value,
        "samples": place.samples,
        "coverage": place.samples / (DAY // context["interval"]),
        "at": tick,
    }
    return respond_until_next_tick(request, context, AnswerBody(json.dumps(answer, separators=(",", ":")), tick))


async def _refuse_unranked(reader: Reader, metric: Metric, params: RankParams) -> HttpRefusal:
    (record,) = await reader.read_metric_states([metric])
    if record is None:
        return await refuse_unknown_metric(reader, metric)
    reason = await _explain_unranked(reader, metric, record, params)
    if reason is not None:
        return HttpRefusal(HTTPStatus.NOT_FOUND, f"{metric} has no rank by {params.by} of {params.measure}: {reason}")
    reason = f"the last day holds no number of its {params.measure}"
    if params.by is By.CV:
        reason += ", or their mean is zero and has no coefficient of variation"
    return HttpRefusal(HTTPStatus.NOT_FOUND, f"{metric} has no rank by {params.by} of {params.measure}: {reason}")


async def _explain_unranked(reader: Reader, metric: Metric, record: MetricState, params: RankParams) -> str | None:
    """Return why a metric with numbers is not ranked; `None` where nobody left it out."""
    note = (await reader.read_market_notes()).get(metric)
    if note is not None and note.state in UNRANKED:
        return f"it is {note.state} since {format_utc(note.since)}: {note.reason}"
    if any(each.metric == metric for each in await reader.read_unranked(params.measure)):
        samples = record.count_day(params.measure)
        return f"its day has {samples} samples, too few beside the most complete metric (TRACKER_MIN_COVERAGE)"
    return None


@router.get(
    "/ranks",
    summary="Who moves most",
    operation_id="list_ranks",
    response_model=RankList,
    responses=NOT_ACCEPTED | AWAY | UNCHANGED,
)
async def list_ranks(params: Annotated[RanksFormatParams, Query()], request: Request, context: Context) -> Response:
    """
    All metrics by how much a measure moved over the last 24 hours, those that moved most first.

    `format=csv` or `Accept: text/csv` here is the same as `ranks.csv`.
    """
    format_ = choose_format(request, Format(params.format) if params.format else None, (Format.JSON, Format.CSV))
    refuse_unless_csv(format_, params, "time", "bom")
    return await _respond(params, format_, request, context)


@router.get(
    "/ranks.csv",
    summary="Who moves most, as CSV",
    operation_id="list_ranks_csv",
    response_class=CsvResponse,
    responses=NOT_ACCEPTED | AWAY | UNCHANGED,
)
async def list_ranks_csv(params: Annotated[RanksTableParams, Query()], request: Request, context: Context) -> Response:
    """All metrics by how much a measure moved over the last 24 hours, as a table; it has no times."""
    return await _respond(params, Format.CSV, request, context)


async def _respond(params: RanksParams, format_: Format, request: Request, context: RouteState) -> Response:
    reader, expected = context["reader"], DAY // context["interval"]
    tick, ranking, unranked = await asyncio.gather(
        reader.read_tick(),
        reader.read_ranking(params.measure, params.by, params.offset, params.limit),
        reader.read_unranked(params.measure),
    )
    encoder = make_encoder(format_, COLUMNS, params)
    rows = encoder.encode(
        [(place.rank, place.metric, place.value, place.samples, place.samples / expected) for place in ranking.places]
    )
    known = {"measure": params.measure, "by": params.by, "at": tick, "of": ranking.of}
    left_out = [] if params.offset else _show_unranked(unranked[: params.limit], expected)
    body = encoder.frame([rows], JsonFrame(known, "ranks", {"unranked": left_out}))
    return respond_until_next_tick(request, context, AnswerBody(body, tick, format_))


def _show_unranked(unranked: Iterable[UnrankedMetric], expected: int) -> list[dict[str, object]]:
    return [
        {
            "metric": metric,
            "samples": samples,
            "coverage": samples / expected,
            "reason": UnrankedReason.COVERAGE,
        }
        for metric, samples in unranked
    ]
