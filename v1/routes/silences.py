"""Silences: no messages about some metrics for a time. Their alerts are still recorded."""

from http import HTTPStatus
from secrets import token_hex
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from ..numbers import exact_json
from ..rules import InvalidSilence, Silence, parse_silence
from ..rules.rule_set import read_rule_set
from ..store import LimitReached
from .context import Context
from .examples import EXAMPLE_SILENCE
from .params import ANY_TIME_SCHEMA, Limit, NoParams, QueryParams, parse_any_time
from .problems import HttpRefusal, Problem, refuse_fields, refuse_unknown_id
from .request_body import NOT_READ, describe_body, make_refusal, read_document
from .response_docs import AWAY, NOT_ACCEPTED, UNCHANGED, Responses
from .responses import respond_changed, respond_until_changed
from .schemas import add_model_schema, add_schema, make_request_schema

router = APIRouter(tags=["silences"])


class SilencesParams(QueryParams):
    limit: Limit = 100
    cursor: Annotated[str, Field(max_length=64, description="Where to go on: `next` of the answer before.")] = ""


class SilenceView(BaseModel):
    """No message about some metrics for a while."""

    id: str
    metrics: Annotated[str, Field(description="Pattern of the metrics.")]
    rule: Annotated[str, Field(description="Pattern of the rules' ids.")]
    from_: Annotated[int, Field(alias="from", description="Unix seconds.")]
    to: Annotated[int, Field(description="Unix seconds; itself not silent any more.")]
    comment: str
    state: Annotated[Literal["pending", "active", "ended"], Field(description="Now.")]


class SilenceList(BaseModel):
    """The silences, by id."""

    silences: list[SilenceView]
    next: Annotated[str | None, Field(description="The `cursor` of what follows; null at the end.")]


def _schema() -> dict[str, Any]:
    schema = add_model_schema(Silence)
    # An id is made where none is given, and times may be written in other ways, too.
    schema["properties"] |= {
        "from": ANY_TIME_SCHEMA | {"description": "When it begins; without it now."},
        "to": ANY_TIME_SCHEMA
        | {"description": "When it ends, `+1h` for an hour from now; itself not silent any more."},
    }
    return add_schema(
        "NewSilence", make_request_schema(schema | {"required": ["to"], "description": "A silence to be."})
    )


SilenceId = Annotated[
    str,
    Path(
        max_length=64,
        description="As it was given, or made, with the silence.",
        examples=[EXAMPLE_SILENCE["id"]],
    ),
]
_UNKNOWN: Responses = {
    404: {"model": Problem, "description": "There is no such silence; `errors` has the nearest ids."}
}
_IN_THE_WAY: Responses = {409: {"model": Problem, "description": "There is one of this id, or there are too many."}}


@router.get(
    "/silences",
    summary="List the silences",
    operation_id="list_silences",
    response_model=SilenceList,
    responses=NOT_ACCEPTED | AWAY | UNCHANGED,
)
async def list_silences(params: Annotated[SilencesParams, Query()], request: Request, context: Context) -> Response:
    """The silences there are, by id; those that ended are kept for 30 days."""
    rule_set = read_rule_set((await context["admin"].read_rules()).written, context["interval"])
    found = [silence for name, silence in rule_set.silences.items() if name > params.cursor]
    page, now = found[: params.limit], int(context["clock"]())
    body = {
        "silences": [_show_silence(silence, now) for silence in page],
        "next": page[-1].id if len(found) > len(page) else None,
    }
    return respond_until_changed(request, exact_json.dumps(body))


@router.post(
    "/silences",
    summary="Make a silence",
    operation_id="create_silence",
    response_model=SilenceView,
    responses=NOT_READ | NOT_ACCEPTED | _IN_THE_WAY | AWAY,
    openapi_extra=describe_body(_schema(), EXAMPLE_SILENCE),
    status_code=HTTPStatus.CREATED,
)
async def create_silence(_: Annotated[NoParams, Query()], request: Request, context: Context) -> Response:
    """
    A new silence. Alerts of the metrics are recorded and not sent from `from` until `to`.

    A source that is silent as a whole, `kraken:*`, is one of the metrics `KRAKEN:*`.
    """
    now = int(context["clock"]())
    new = _check_silence(await read_document(request), now)
    rule_set = read_rule_set((await context["admin"].read_rules()).written, context["interval"])
    if new.id in rule_set.silences:
        raise HttpRefusal(HTTPStatus.CONFLICT, f"there is a silence {new.id!r} already; delete it first")
    try:
        await context["admin"].put_silence(new, now)
    except LimitReached as error:
        raise HttpRefusal(HTTPStatus.CONFLICT, str(error)) from error
    return respond_changed(
        exact_json.dumps(_show_silence(new, now)), HTTPStatus.CREATED, Location=f"{request.url.path}/{new.id}"
    )


@router.delete(
    "/silences/{id}",
    summary="Delete a silence",
    operation_id="delete_silence",
    responses={204: {"description": "It is gone."}} | _UNKNOWN | NOT_ACCEPTED | AWAY,
    status_code=HTTPStatus.NO_CONTENT,
)
async def delete_silence(
    id: SilenceId,  # noqa: A002
    _: Annotated[NoParams, Query()],
    context: Context,
) -> Response:
    """The silence is gone from the next tick on."""
    admin = context["admin"]
    if not await admin.delete_silence(id):
        raise refuse_unknown_id("silence", id, [*(await admin.read_rules()).written.silences])
    return Response(status_code=HTTPStatus.NO_CONTENT, headers={"Cache-Control": "no-store"})


def _check_silence(document: object, now: int) -> Silence:
    if not isinstance(document, dict):
        raise refuse_fields(("body", document, "a document of fields and values"))
    given = {"id": token_hex(4), "from": now} | document
    for name in ("from", "to"):
        if name in given:
            given[name] = _parse_instant(name, given[name], now)
    try:
        made = parse_silence(given)
    except InvalidSilence as error:
        raise make_refusal(error) from error
    if made.end <= now:
        raise refuse_fields(("to", document.get("to"), f"a time after now, {now}"))
    return made


def _parse_instant(name: str, written: object, now: int) -> int:
    try:
        return parse_any_time(written).resolve(now)
    except ValueError as error:
        raise refuse_fields((name, written, str(error))) from error


def _show_silence(silence: Silence, now: int) -> dict[str, object]:
    state = "pending" if now < silence.start else "active" if now < silence.end else "ended"
    return silence.model_dump(by_alias=True) | {"state": state}
