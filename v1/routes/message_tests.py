"""Tests of rules: a message by the way that a rule's alerts take, and what became of it."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from ..numbers import exact_json
from ..rules import Alert, Rule, invent_metric, make_test_alert
from ..rules.message_text import write_single
from ..rules.rule_set import read_rule_set
from ..store import DeliveryAttempt, MessageTest, TooEarly
from .context import Context, RouteState
from .params import NoParams
from .problems import HttpRefusal, Problem, refuse_unknown_id
from .response_docs import AWAY, NOT_ACCEPTED, UNCHANGED, Responses
from .responses import respond_changed, respond_until_changed
from .rules import ShownId

router = APIRouter(tags=["rules"])

QUEUED = "queued"
"""What became of a message that no channel has tried to send yet."""


class MessageTestDelivery(BaseModel):
    """What became of a test at one channel."""

    channel: str
    status: Annotated[
        str, Field(description="`queued`: it has not been tried yet; else that of the newest attempt, as of an alert.")
    ]
    at: Annotated[float | None, Field(description="When that was, unix seconds.")]
    answer: Annotated[str | None, Field(description="What the provider said, or why it was not asked.")]


class MessageTestView(BaseModel):
    """A test of a rule, and what became of it."""

    id: Annotated[
        str | None,
        Field(
            description="Id of the message; `null`, as `at`, `title` and `text`, where there was no test in the last day."
        ),
    ]
    rule: Annotated[str, Field(description="Id of the rule.")]
    at: Annotated[int | None, Field(description="When it was asked for, unix seconds.")]
    title: Annotated[str | None, Field(description="The title of the message.")]
    text: Annotated[str | None, Field(description="The body of the message; its numbers are invented.")]
    is_worker_running: Annotated[bool, Field(description="Whether a worker runs: without one nothing is sent.")]
    deliveries: Annotated[
        list[MessageTestDelivery], Field(description="One for each channel that it goes to, by name.")
    ]


_UNKNOWN: Responses = {404: {"model": Problem, "description": "There is no such rule; `errors` has the nearest ids."}}
_NOBODY: Responses = {409: {"model": Problem, "description": "Nobody would send it: no channel, or no worker."}}
_TOO_EARLY: Responses = {
    429: {"model": Problem, "description": "The rule was tested in the last minute; ask again after `Retry-After`."}
}


@router.post(
    "/rules/{id:rule}/test",
    summary="Send a test of a rule",
    operation_id="send_message_test",
    response_model=MessageTestView,
    responses=_UNKNOWN | NOT_ACCEPTED | _NOBODY | _TOO_EARLY | AWAY,
    status_code=HTTPStatus.ACCEPTED,
)
async def send_test(id: ShownId, _: Annotated[NoParams, Query()], request: Request, context: Context) -> Response:  # noqa: A002
    """
    A message to each channel of the rule, as an alert of it would look, with `TEST` in front of its title.

    The worker sends it as it sends every alert. It is in no history and in no count, and neither silences nor hours of
    mute hold it back. One rule is tested once a minute at most.
    """
    rule = await _find_rule(id, context)
    channels = await _read_channels(rule, context)
    await _refuse_unless_sent(context)
    # By the machine's clock: a worker gives a message up by that.
    alert = await _make_alert(rule, context["market"].read_wall(), context)
    try:
        await context["message_tests"].send(alert)
    except TooEarly as error:
        detail = f"the rule {id!r} was tested less than a minute ago; ask again in {error.seconds} seconds"
        headers = {"Retry-After": str(error.seconds)}
        raise HttpRefusal(HTTPStatus.TOO_MANY_REQUESTS, detail, headers=headers) from error
    body = _show_test(MessageTest(alert, ()), channels, context["interval"], is_worker_running=True)
    return respond_changed(exact_json.dumps(body), HTTPStatus.ACCEPTED, Location=request.url.path)


@router.get(
    "/rules/{id:rule}/test",
    summary="The newest test of a rule",
    operation_id="get_message_test",
    response_model=MessageTestView,
    responses=_UNKNOWN | NOT_ACCEPTED | AWAY | UNCHANGED,
)
async def get_test(id: ShownId, _: Annotated[NoParams, Query()], request: Request, context: Context) -> Response:  # noqa: A002
    """The newest test of a rule in the last day, and what each channel made of it so far."""
    rule = await _find_rule(id, context)
    channels, found, is_running = await asyncio.gather(
        context["reader"].read_channels(),
        context["message_tests"].read(rule.id),
        context["message_tests"].is_worker_running(),
    )
    if found is None:
        body = _show_none(rule, is_worker_running=is_running)
    else:
        body = _show_test(found, channels, context["interval"], is_worker_running=is_running)
    # That a worker stops changes it, too, and whoever is stopped tells nobody.
    return respond_until_changed(request, exact_json.dumps(body), is_brief=True)


async def _find_rule(rule_id: str, context: RouteState) -> Rule:
    entries = read_rule_set((await context["admin"].read_rules()).written, context["interval"]).entries
    if rule_id not in entries:
        raise refuse_unknown_id("rule", rule_id, [*entries])
    return entries[rule_id].rule


async def _read_channels(rule: Rule, context: RouteState) -> Mapping[str, object]:
    """Return the channels that there are. Raises `HttpRefusal` where the rule is sent to none of them."""
    channels = await context["reader"].read_channels()
    if any(not rule.channels or name in rule.channels for name in channels):
        return channels
    if not channels:
        there = "there is no channel: set TRACKER_PUSHOVER_TOKEN and TRACKER_PUSHOVER_USER, or TRACKER_NOTIFY"
    else:
        there = f"the rule names {', '.join(rule.channels)}; configured: {', '.join(sorted(channels))}"
    raise HttpRefusal(HTTPStatus.CONFLICT, f"nobody would get a test of {rule.id!r}: {there}")


async def _refuse_unless_sent(context: RouteState) -> None:
    """Raise `HttpRefusal` where no worker would send a message."""
    replay, is_running = await asyncio.gather(context["replays"].read(), context["message_tests"].is_worker_running())
    if replay is not None:
        raise HttpRefusal(
            HTTPStatus.CONFLICT, "nothing is sent: the market is replayed, and a replay sends no messages"
        )
    if not is_running:
        raise HttpRefusal(HTTPStatus.CONFLICT, "nothing is sent: no worker runs; start it, and ask again")


async def _make_alert(rule: Rule, at: float, context: RouteState) -> Alert:
    metrics = await context["reader"].read_metrics()
    watched = sorted(metric for metric in metrics if rule.matches(metric))
    metric = watched[0] if watched else invent_metric(rule.metrics)
    return make_test_alert(rule, metric, len(metrics), int(at), context["interval"])


def _show_test(
    test: MessageTest, channels: Mapping[str, object], interval: int, *, is_worker_running: bool
) -> dict[str, object]:
    written = write_single(test.alert, interval)
    newest = {attempt.channel: attempt for attempt in test.deliveries}
    # A channel that was taken away since is shown by what became of the message there.
    named = sorted({*newest, *(each for each in channels if each in (test.alert.channels or channels))})
    return {
        "id": test.alert.id,
        "rule": test.alert.rule,
        "at": test.alert.at,
        "title": written.title,
        "text": written.body,
        "is_worker_running": is_worker_running,
        "deliveries": [_show_delivery(channel, newest.get(channel)) for channel in named],
    }


def _show_none(rule: Rule, *, is_worker_running: bool) -> dict[str, object]:
    nothing = dict.fromkeys(("at", "title", "text"))
    return {"id": None, "rule": rule.id, **nothing, "is_worker_running": is_worker_running, "deliveries": []}


def _show_delivery(channel: str, attempt: DeliveryAttempt | None) -> dict[str, object]:
    if attempt is None:
        return {"channel": channel, "status": QUEUED, "at": None, "answer": None}
    return {"channel": channel, "status": attempt.status, "at": attempt.at, "answer": attempt.answer}
