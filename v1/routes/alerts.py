"""The history of alerts: what rules reported, each attempt to send it, and who acknowledged it."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from ..numbers import exact_json
from ..numbers.decimals import is_number
from ..rules import InvalidDocument
from ..rules.validation import list_faults
from ..store import AlertQuery, AlertRecord, HistoryCursor
from .context import Context
from .examples import EXAMPLE_ACKNOWLEDGEMENT, EXAMPLE_ALERT
from .params import Limit, NoParams, QueryParams, Time
from .problems import Problem, refuse_unknown_id
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
    since: Annotated[Time | None, Field(description="Only from this tick on.", examples=["-1d"])] = None
    limit: Limit = 100
    cursor: Annotated[
        object,
        PlainValidator(_parse_cursor),
        WithJsonSchema({"type": "string", "pattern": "^([0-9]{1,10}-[0-9]{1,6})?$"}),
        Field(description="Where to go on: `next` of the answer before.", examples=[""]),
    ] = None


class DeliveryView(BaseModel):
    """One attempt to send a message with the alert in it."""

    at: Annotated[float, Field(description="Unix seconds.")]
    channel: str
    status: Annotated[str, Field(description="`sent`, `failed`, `waiting`, `refused` or `given up`.")]
    answer: Annotated[str, Field(description="What the provider said, or why it was not params.")]
    message: Annotated[str, Field(description="Id of the message: the alert's, or that of the digest it was in.")]


class AcknowledgedView(BaseModel):
    """Who has seen it."""

    at: Annotated[int, Field(description="Unix seconds.")]
    by: str
    comment: str


class AlertTold(BaseModel):
    """What a rule said at a tick, as a webhook is told it, too."""

    id: str
    rule: Annotated[str, Field(description="Id of the rule.")]
    name: str
    kind: str
    severity: str
    event: Annotated[str, Field(description="`firing` or `resolved`; of a rank rule `enters` or `leaves`.")]
    metric: Annotated[str, Field(description="The metric; of a source that is silent as a whole, `<source>:*`.")]
    measure: str | None
    at: Annotated[int, Field(description="The tick.")]
    value: Annotated[float | None, Field(description="What was judged, digits as received; of a rank rule the rank.")]
    mean: Annotated[float | None, Field(description="Of the numbers that it was compared with.")]
    ratio: Annotated[
        float | None, Field(description="Times the mean, percent (of a bound), or deviations, as the kind has it.")
    ]
    samples: Annotated[int | None, Field(description="How many numbers are behind the mean; or metrics, of a source.")]
    since: Annotated[int | None, Field(description="The tick from which on they were counted.")]
    rank: int | None
    of: Annotated[int | None, Field(description="How many metrics were ranked.")]
    reference: Annotated[
        float | None,
        Field(description="The one number that the value was compared with: a bound, or what it moved from."),
    ]
    reference_kind: Annotated[
        str | None, Field(description="`above` or `below` a bound; the `lowest`, `highest` or `first` of the window.")
    ]


class AlertFields(AlertTold):
    """What a rule said at a tick."""

    suppressed_by: Annotated[str | None, Field(description="Why nobody was told; null: somebody was.")]
    group_size: Annotated[int, Field(description="How many the rule had at this tick; many are sent as one message.")]
    channels: Annotated[list[str], Field(description="Where it goes; empty: everywhere.")]


class AlertView(AlertFields):
    """What a rule said at a tick, and what became of it."""

    ended_at: Annotated[int | None, Field(description="The tick at which it did not hold any more, or was told again.")]
    acknowledged: AcknowledgedView | None
    deliveries: Annotated[list[DeliveryView], Field(description="Oldest first.")]


class AlertList(BaseModel):
    """Alerts, newest first."""

    alerts: list[AlertView]
    next: Annotated[str | None, Field(description="The `cursor` of what follows; null at the end.")]


class AcknowledgeRequest(BaseModel):
    """That somebody has seen an alert."""

    model_config = ConfigDict(extra="forbid", strict=True)

    by: Annotated[str, Field(min_length=1, max_length=100, description="Who.")]
    comment: Annotated[str, Field(max_length=500, description="What there is to say.")] = ""


_UNKNOWN: Responses = {404: {"model": Problem, "description": "There is no such alert any more."}}


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
    since = params.since.resolve(int(context["clock"]())) if params.since else 0
    place: Any = params.cursor
    page = await context["admin"].read_alerts(
        AlertQuery(params.limit, params.metric.upper(), params.rule, since, place)
    )
    following = f"{page.next.tick}-{page.next.behind}" if page.next else None
    return respond_until_changed(
        request, exact_json.dumps({"alerts": [*map(_show_alert, page.alerts)], "next": following})
    )


@router.post(
    "/alerts/{id}/acknowledge",
    summary="Acknowledge an alert",
    operation_id="acknowledge_alert",
    response_model=AlertView,
    responses=NOT_READ | _UNKNOWN | NOT_ACCEPTED | AWAY,
    openapi_extra=describe_body(
        add_schema("Acknowledgement", make_request_schema(add_model_schema(AcknowledgeRequest))),
        EXAMPLE_ACKNOWLEDGEMENT,
    ),
)
async def acknowledge(
    id: Annotated[str, Path(max_length=250, description="As the list of alerts has it.", examples=[EXAMPLE_ALERT])],  # noqa: A002
    _: Annotated[NoParams, Query()],
    request: Request,
    context: Context,
) -> Response:
    """Note that somebody has seen an alert. Who did so first stays; a channel that repeats it until then stops."""
    try:
        seen = AcknowledgeRequest.model_validate(await read_document(request))
    except ValidationError as error:
        raise make_refusal(InvalidDocument(list_faults(error, AcknowledgeRequest))) from error
    told = await context["admin"].read_alert(id)
    if told is None:
        raise refuse_unknown_id("alert", id)
    known = await context["admin"].acknowledge(id, int(context["clock"]()), seen.by, seen.comment)
    return respond_changed(exact_json.dumps(_show_alert(told._replace(known=known))))


def _show_alert(told: AlertRecord) -> dict[str, object]:
    alert, known, deliveries = told
    value, reference = alert["value"], alert.get("reference")
    acknowledged = None
    if "acknowledged" in known:
        acknowledged = {
            "at": int(known["acknowledged"]),
            "by": known.get("by", ""),
            "comment": known.get("comment", ""),
        }
    return alert | {
        "value": exact_json.digits(value) if is_number(value) else value,
        "reference": exact_json.digits(reference) if is_number(reference) else None,
        "reference_kind": alert.get("reference_kind"),
        "ended_at": int(known["ended_at"]) if "ended_at" in known else None,
        "acknowledged": acknowledged,
        "deliveries": [attempt._asdict() for attempt in deliveries],
    }
