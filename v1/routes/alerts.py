"""The history of alerts: what rules reported, each attempt to send it, and who acknowledged it."""

import re
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from ..numbers import exact_json
from ..rules import InvalidDocument, Severity
from ..rules.validation import list_faults
from ..store import OF_ACKNOWLEDGEMENT, Acknowledgement, AlertQuery, HistoryCursor, LimitReached
from .alert_view import AlertView, show_alert
from .context import Context
from .examples import EXAMPLE_ACKNOWLEDGEMENT, EXAMPLE_ALERT
from .params import Limit, NoParams, QueryParams, Time
from .problems import HttpRefusal, Problem, refuse_fields, refuse_unknown_id
from .request_body import NOT_READ, describe_body, make_refusal, read_document
from .response_docs import AWAY, NOT_ACCEPTED, UNCHANGED, Responses
from .responses import respond_changed, respond_until_changed
from .schemas import add_model_schema, add_schema, make_request_schema

router = APIRouter(tags=["alerts"])

CURSOR_ACCEPTED = "`next` of the answer before"
_CURSOR = re.compile("([0-9]{1,10})-([0-9]{1,6})")


def _parse_cursor(written: object) -> HistoryCursor | None:
    found = _CURSOR.fullmatch(str(written))
    if written and not found:
        raise PydanticCustomError("not_accepted", "{accepted}", {"accepted": CURSOR_ACCEPTED})
    return HistoryCursor(int(found[1]), int(found[2])) if found else None


class AlertsParams(QueryParams):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    metric: Annotated[
        str,
        Field(min_length=1, max_length=120, description="Only of metrics like this: `KRAKEN:*`; case does not matter."),
    ] = "*"
    rule: Annotated[
        str | None, Field(max_length=64, description="Only of the rule of this id.", examples=["stale"])
    ] = None
    severity: Annotated[Severity | None, Field(description="Only of this severity.")] = None
    acknowledged: Annotated[
        bool | None, Field(description="Only those that somebody has acknowledged, or only those that nobody has.")
    ] = None
    since: Annotated[Time | None, Field(description="Only from this tick on.", examples=["-1d"])] = None
    until: Annotated[Time | None, Field(description="Only up to this tick.", examples=["now"])] = None
    limit: Limit = 100
    cursor: Annotated[
        object,
        PlainValidator(_parse_cursor),
        WithJsonSchema({"type": "string", "pattern": "^([0-9]{1,10}-[0-9]{1,6})?$"}),
        Field(description="Where to go on: `next` of the answer before.", examples=[""]),
    ] = None


class AlertList(BaseModel):
    """Alerts, newest first."""

    alerts: list[AlertView]
    next: Annotated[str | None, Field(description="The `cursor` of what follows; null at the end.")]


class AcknowledgeRequest(BaseModel):
    """That somebody has seen an alert."""

    model_config = ConfigDict(extra="forbid", strict=True)

    by: Annotated[str, Field(min_length=1, max_length=100, description="Who.")]
    comment: Annotated[str, Field(max_length=500, description="What there is to say.")] = ""
    until: Annotated[
        Literal["over"] | None,
        Field(description="`over`: no message is sent about it until it is over; null: messages go on."),
    ] = None


AlertId = Annotated[str, Path(max_length=250, description="As the list of alerts has it.", examples=[EXAMPLE_ALERT])]
NOT_ACKNOWLEDGED = "nobody has acknowledged the alert {!r}, so there is nothing to take back"
ENDS = ("resolved", "leaves")
"""Events of alerts that tell that something is over."""
_UNKNOWN: Responses = {404: {"model": Problem, "description": "There is no such alert any more."}}
_NOT_ACKNOWLEDGED: Responses = {
    404: {"model": Problem, "description": "There is no such alert any more, or nobody has acknowledged it."}
}
_TOO_MANY: Responses = {409: {"model": Problem, "description": "Too many are acknowledged until they are over."}}


@router.get(
    "/alerts",
    summary="The alerts",
    operation_id="list_alerts",
    response_model=AlertList,
    responses=NOT_ACCEPTED | AWAY | UNCHANGED,
)
async def list_alerts(params: Annotated[AlertsParams, Query()], request: Request, context: Context) -> Response:
    """
    What the rules said, newest first, with every attempt to send it.

    An answer may hold less than `limit`, even nothing, and have a `next` all the same: then none of the
    alerts that were looked at is of those that are asked for, and there are more.
    """
    page = await context["admin"].read_alerts(_make_query(params, int(context["clock"]())))
    following = f"{page.next.tick}-{page.next.behind}" if page.next else None
    shown = [show_alert(told, context["interval"]) for told in page.alerts]
    return respond_until_changed(request, exact_json.dumps({"alerts": shown, "next": following}))


def _make_query(params: AlertsParams, now: int) -> AlertQuery:
    place: Any = params.cursor
    return AlertQuery(
        params.limit,
        params.metric.upper(),
        params.rule,
        params.since.resolve(now) if params.since else 0,
        place,
        until=params.until.resolve(now) if params.until else None,
        severity=params.severity,
        is_acknowledged=params.acknowledged,
    )


@router.get(
    "/alerts/{id}",
    summary="One alert",
    operation_id="get_alert",
    response_model=AlertView,
    responses=_UNKNOWN | NOT_ACCEPTED | AWAY | UNCHANGED,
)
async def get_alert(id: AlertId, _: Annotated[NoParams, Query()], request: Request, context: Context) -> Response:  # noqa: A002
    """An alert with every attempt to send it, and who acknowledged it."""
    told = await context["admin"].read_alert(id)
    if told is None:
        raise refuse_unknown_id("alert", id)
    return respond_until_changed(request, exact_json.dumps(show_alert(told, context["interval"])))


@router.post(
    "/alerts/{id}/acknowledge",
    summary="Acknowledge an alert",
    operation_id="acknowledge_alert",
    response_model=AlertView,
    responses=NOT_READ | _UNKNOWN | _TOO_MANY | NOT_ACCEPTED | AWAY,
    openapi_extra=describe_body(
        add_schema("Acknowledgement", make_request_schema(add_model_schema(AcknowledgeRequest))),
        EXAMPLE_ACKNOWLEDGEMENT,
    ),
)
async def acknowledge(
    id: AlertId,  # noqa: A002
    _: Annotated[NoParams, Query()],
    request: Request,
    context: Context,
) -> Response:
    """
    Note that somebody has seen an alert. Who did so first stays; a channel that repeats it until then stops.

    With `until`, which may follow later, the rule sends no more about this metric for as long as it holds without a
    break. Its alerts are listed all the same; that it is over is told as the rule says.
    """
    try:
        seen = AcknowledgeRequest.model_validate(await read_document(request))
    except ValidationError as error:
        raise make_refusal(InvalidDocument(list_faults(error, AcknowledgeRequest))) from error
    told = await context["admin"].read_alert(id)
    if told is None:
        raise refuse_unknown_id("alert", id)
    if seen.until and told.alert["event"] in ENDS:
        raise refuse_fields(
            ("until", seen.until, f"null: the alert is of the event {told.alert['event']}, so it is over")
        )
    given = Acknowledgement(int(context["clock"]()), seen.by, seen.comment, until_over=seen.until is not None)
    try:
        known = await context["admin"].acknowledge(told.alert, given)
    except LimitReached as error:
        raise HttpRefusal(HTTPStatus.CONFLICT, str(error)) from error
    return respond_changed(exact_json.dumps(show_alert(told._replace(known=known), context["interval"])))


@router.delete(
    "/alerts/{id}/acknowledge",
    summary="Take an acknowledgement back",
    operation_id="take_back_acknowledgement",
    response_model=AlertView,
    responses=_NOT_ACKNOWLEDGED | NOT_ACCEPTED | AWAY,
)
async def take_back(id: AlertId, _: Annotated[NoParams, Query()], context: Context) -> Response:  # noqa: A002
    """
    The alert is as if nobody had acknowledged it. Messages that were kept back until it is over are sent from the next
    tick on, as the rule says; what was not sent until then stays so, and what a channel has stopped to repeat, too.
    """
    admin = context["admin"]
    told = await admin.read_alert(id)
    if told is None:
        raise refuse_unknown_id("alert", id)
    if "acknowledged" not in told.known:
        raise HttpRefusal(HTTPStatus.NOT_FOUND, NOT_ACKNOWLEDGED.format(id))
    await admin.take_back(told.alert)
    known = {name: value for name, value in told.known.items() if name not in OF_ACKNOWLEDGEMENT}
    return respond_changed(exact_json.dumps(show_alert(told._replace(known=known), context["interval"])))
