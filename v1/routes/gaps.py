"""The slots of the kept day of a metric: which were sampled, which came late or were filled, and why others are missing."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from ..market.slots import SlotReason, SlotRun, SlotState, list_slots
from ..model import DAY, Metric
from .context import Context, RouteState
from .params import Format, JsonOrCsvParams, Name, QueryParams, TableParams
from .problems import refuse_unknown_metric
from .response_docs import AWAY, NOT_ACCEPTED, UNCHANGED, UNKNOWN
from .responses import AnswerBody, CsvResponse, choose_format, refuse_unless_csv, respond_until_next_tick
from .row_encoder import CellKind, Column, JsonFrame, make_encoder
from .time_range import floor_to_tick

router = APIRouter(tags=["metrics"])


class GapsParams(QueryParams):
    state: Annotated[SlotState | None, Field(description="Only runs of this state; the counts are of all.")] = None


class GapsTableParams(TableParams, GapsParams):
    """The same of CSV."""


class GapsFormatParams(TableParams, JsonOrCsvParams, GapsParams):
    """The same where the format is not known by the path."""


class SlotRunView(BaseModel):
    """Consecutive slots of one state and reason."""

    from_: Annotated[int, Field(alias="from", description="The first slot, a tick.")]
    until: Annotated[int, Field(description="The last slot, a tick.")]
    state: SlotState
    reason: Annotated[SlotReason | None, Field(description="Why it is not `ok`; null where it is.")]
    slots: int


class SlotList(BaseModel):
    """Every slot of the kept day of a metric, in runs, oldest first."""

    metric: str
    from_: Annotated[int, Field(alias="from", description="The first slot of the day.")]
    until: Annotated[int, Field(description="The last one.")]
    interval: Annotated[int, Field(description="Seconds between two slots.")]
    slots: Annotated[int, Field(description="How many the day has.")]
    coverage: Annotated[float, Field(description="The part of them that has a sample.")]
    counts: Annotated[dict[SlotState, int], Field(description="How many slots are in each state.")]
    reasons: Annotated[dict[SlotReason, int], Field(description="How many slots have each reason; others have none.")]
    runs: list[SlotRunView]


_KINDS = {
    "from": CellKind.TIME,
    "until": CellKind.TIME,
    "state": CellKind.TEXT,
    "reason": CellKind.TEXT,
    "slots": CellKind.COUNT,
}
_COLUMNS = [Column(name, kind) for name, kind in _KINDS.items()]
_FAILS = UNKNOWN | NOT_ACCEPTED | AWAY | UNCHANGED


@router.get(
    "/metrics/{metric}/gaps",
    summary="The slots of a metric",
    operation_id="list_gaps",
    response_model=SlotList,
    responses=_FAILS,
)
async def list_gaps(
    metric: Name, params: Annotated[GapsFormatParams, Query()], request: Request, context: Context
) -> Response:
    """
    Every slot of the sampling grid in the past day, in runs of one state, and the reason where it is not `ok`.

    `ok`: sampled at its tick. `late`: read at its tick, and written after the next had begun. `filled`: put in afterwards,
    from candles or the archive. `missing`: without a sample. What is missing between the newest tick and now, while no
    tick is committed, is counted as well.

    `format=csv` or `Accept: text/csv` here is the same as `gaps.csv`.
    """
    format_ = choose_format(request, Format(params.format) if params.format else None, (Format.JSON, Format.CSV))
    refuse_unless_csv(format_, params, "time", "bom")
    return await _respond(metric, params, format_, request, context)


@router.get(
    "/metrics/{metric}/gaps.csv",
    summary="The slots of a metric as CSV",
    operation_id="list_gaps_csv",
    response_class=CsvResponse,
    responses=_FAILS,
)
async def list_gaps_csv(
    metric: Name, params: Annotated[GapsTableParams, Query()], request: Request, context: Context
) -> Response:
    """Every slot of the sampling grid in the past day, in runs of one state, as a table."""
    return await _respond(metric, params, Format.CSV, request, context)


async def _respond(metric: str, params: GapsParams, format_: Format, request: Request, context: RouteState) -> Response:
    reader, interval, name = context["reader"], context["interval"], Metric(metric.upper())
    (record,) = await reader.read_metric_states([name])
    if record is None:
        raise await refuse_unknown_metric(reader, name)
    # The newest slot by the clock may be on its way still.
    until = max(record.at, floor_to_tick(context["clock"](), interval) - interval)
    held = await reader.read_ticks(name, until - DAY, until)
    runs = list_slots(record.marks, held, until - DAY, until, interval)
    shown = [run for run in runs if params.state in (None, run.state)]
    encoder = make_encoder(format_, _COLUMNS, params)
    rows = encoder.encode([(run.first, run.last, run.state, run.reason, run.slots) for run in shown])
    body = encoder.frame([rows], JsonFrame(_summarize(name, runs, interval), "runs"))
    return respond_until_next_tick(request, context, AnswerBody(body, record.at, format_, is_brief=until > record.at))


def _summarize(metric: Metric, runs: list[SlotRun], interval: int) -> dict[str, object]:
    """Return what is said of all slots together."""
    counts, reasons = dict.fromkeys(SlotState, 0), dict[SlotReason, int]()
    for run in runs:
        counts[run.state] += run.slots
        if run.reason is not None:
            reasons[run.reason] = reasons.get(run.reason, 0) + run.slots
    slots = sum(counts.values())
    return {
        "metric": metric,
        "from": runs[0].first,
        "until": runs[-1].last,
        "interval": interval,
        "slots": slots,
        "coverage": (slots - counts[SlotState.MISSING]) / slots,
        "counts": counts,
        "reasons": reasons,
    }
