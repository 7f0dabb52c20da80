"""Backtests of rules over the kept day: the alerts they would have raised, how many, and how sensitive they are."""

from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..backtest.process.job import Job
from ..backtest.process.runner import RequestAbandoned, ServerStopping, TooManyBacktests
from ..rules import InvalidDocument
from ..rules.validation import list_faults
from .alert_view import AlertFields
from .context import Context, RouteState
from .examples import EXAMPLE_BACKTEST
from .params import AnyTime, NoParams, Time
from .problems import RETRY_SECONDS, HttpRefusal, Problem, refuse_fields
from .request_body import NOT_READ, describe_body, make_refusal, read_document
from .response_docs import AWAY, NOT_ACCEPTED, Responses
from .responses import respond_changed
from .rules import check_rule
from .schemas import NEW_RULE, add_model_schema, add_schema, make_request_schema

router = APIRouter(tags=["rules"])

MOST_RULES = 20
MOST_SWEPT = 4
"""Rules of one call for which the table is made; more rules, no table."""
MOST_SAMPLES = 150_000
"""Of all metrics together: 104 metrics with a full day of one sample a minute."""
MOST_SECONDS = 30.0
MOST_BYTES = 512 * 1024**2
"""Of memory, address space and all: a day of 150,000 samples and its table of four rules take half of it."""
_LATER = {"Retry-After": str(RETRY_SECONDS)}


class BacktestRequest(BaseModel):
    """What is tried."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    rules: Annotated[list[Any], Field(min_length=1, max_length=MOST_RULES)]
    """As they would be made; what `enabled` says counts."""
    from_: Annotated[Time | None, Field(alias="from")] = None
    """The first tick at which they are on. Before it windows fill, and what holds is known to hold; that nobody was told then, is taken for granted. Without it: the first of the kept day."""
    to: AnyTime | None = None
    """The last tick."""
    sweep: Annotated[bool, Field(strict=True)] = True
    """Whether to count also with other factors and cooldowns; of up to 4 rules."""
    limit: Annotated[int, Field(strict=True, ge=0, le=1000)] = 100
    """How many alerts, and messages, are listed at most; all are counted."""


class WarmUp(BaseModel):
    until: int
    why: str


class SweepTable(BaseModel):
    """How many alerts and messages there would have been, by main number and cooldown."""

    field: Annotated[str, Field(description="The rule's main number: `factor`, `percent`, ...")]
    cells: Annotated[
        list[dict[str, float]],
        Field(description="One for each pair: the main number by its name, `cooldown`, `alerts`, `messages`."),
    ]
    why: Annotated[str | None, Field(description="Why a longer cooldown comes to more messages here, where it does.")]


class RuleResult(BaseModel):
    """What one rule came to."""

    rule: str
    matches: Annotated[int, Field(description="How many metrics it watches.")]
    fires: Annotated[int, Field(description="How often it began to fire, at any metric, be it told or not.")]
    flaps: Annotated[int, Field(description="How often it did so within an hour after it was over.")]
    alerts: int
    suppressed: Annotated[int, Field(description="Alerts that are recorded and not sent: mute hours, and silences.")]
    messages: Annotated[int, Field(description="After cooldown, steps, mute hours, silences and digests.")]
    by_metric: Annotated[dict[str, int], Field(description="Alerts of each metric.")]
    sweep: SweepTable | None


class MessageView(BaseModel):
    """A message that would have been sent."""

    id: str
    at: int
    rule: str
    alerts: Annotated[int, Field(description="How many it tells of; a digest of more than one.")]
    title: str
    body: str


class BacktestReport(BaseModel):
    """What the rules would have said."""

    interval: int
    from_: Annotated[int | None, Field(alias="from", description="The first tick at which they were on.")]
    to: Annotated[int | None, Field(description="The last tick.")]
    metrics: int
    samples: int
    warm_up: Annotated[
        WarmUp | None, Field(description="Until when windows were shorter, and holds later, than in a live run.")
    ]
    notes: Annotated[list[str], Field(description="What else to know.")]
    rules: list[RuleResult]
    messages: Annotated[list[MessageView], Field(description="Oldest first.")]
    alerts: Annotated[list[AlertFields], Field(description="Oldest first.")]
    left_out: Annotated[int, Field(description="How many alerts are counted and not listed.")]


def _schema() -> dict[str, Any]:
    schema = add_model_schema(BacktestRequest)
    schema["properties"]["rules"] |= {"items": NEW_RULE}
    return add_schema("BacktestRequest", make_request_schema(schema))


_BUSY: Responses = {429: {"model": Problem, "description": "Rules are being tried already; ask again."}}


@router.post(
    "/rules/backtest",
    summary="Try rules",
    operation_id="backtest_rules",
    response_model=BacktestReport,
    responses=NOT_READ | NOT_ACCEPTED | _BUSY | AWAY,
    openapi_extra=describe_body(_schema(), EXAMPLE_BACKTEST),
)
async def backtest(_: Annotated[NoParams, Query()], request: Request, context: Context) -> Response:
    """
    What rules would have said over the kept day: the same engine, with cooldown, steps, mute hours, silences and digests.

    Nothing is written, and nobody is told. What was before the kept day is not known, so windows fill
    at first, and rules with `for` hold later (`warm_up`); nor is what was told before, so no cooldown goes on. One call may play 150,000 samples: of all metrics where that is enough, else
    of those that the rules watch, and then without ranks.
    """
    asked = _read(await read_document(request))
    job = await _job(asked, context)
    try:
        body = await context["backtests"].run(job, partial(_leave, request))
    except InvalidDocument as error:
        raise make_refusal(error) from error
    except TooManyBacktests as error:
        detail = f"rules are being tried already, one call at a time; ask again in {RETRY_SECONDS} seconds"
        raise HttpRefusal(HTTPStatus.TOO_MANY_REQUESTS, detail, headers=_LATER) from error
    except (RequestAbandoned, ServerStopping) as error:
        detail = f"the server is about to stop; ask again in {RETRY_SECONDS} seconds"
        raise HttpRefusal(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=_LATER) from error
    return respond_changed(body.decode())


async def _leave(request: Request) -> None:
    """Return when whoever asked has gone. The document has been read, so nothing else is to come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _read(document: object) -> BacktestRequest:
    try:
        return BacktestRequest.model_validate(document)
    except ValidationError as error:
        raise make_refusal(InvalidDocument(list_faults(error, BacktestRequest))) from error


async def _job(asked: BacktestRequest, context: RouteState) -> Job:
    stored = await context["admin"].read_rules()
    interval, now = context["interval"], int(context["clock"]())
    rules = [check_rule(rule, stored.channels, interval, f"rules.{number}") for number, rule in enumerate(asked.rules)]
    twice = next((rule.id for rule in rules if [each.id for each in rules].count(rule.id) > 1), None)
    if twice:
        raise refuse_fields(("rules", twice, "rules with an id of their own"))
    start, end = (moment.resolve(now) if moment else None for moment in (asked.from_, asked.to))
    is_swept = asked.sweep and len(rules) <= MOST_SWEPT
    notes = [f"no table of other numbers: that is made of {MOST_SWEPT} rules at most"] if asked.sweep > is_swept else []
    return Job(
        redis=context["redis_address"],
        rules=[rule.write_fields() for rule in rules],
        interval=interval,
        start=start,
        end=end,
        sweep=is_swept,
        limit=asked.limit,
        notes=notes,
        most_samples=MOST_SAMPLES,
        most_seconds=MOST_SECONDS,
        most_bytes=MOST_BYTES,
        min_coverage=context["min_coverage"],
    )
