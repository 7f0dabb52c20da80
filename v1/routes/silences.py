"""Silences: no message about some metrics for a while. Alerts are recorded all the same."""

from http import HTTPStatus
from secrets import token_hex
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from .. import exact
from ..rules import Silence, WrongSilence, parse_silence
from ..rules.book import read_book
from ..store import TooMany
from .answers import changed, until_changed
from .asked import ANY_TIME_SCHEMA, Asked, Limit, Nothing, any_moment
from .bodies import NOT_READ, described, refused, sent
from .context import Context
from .document import AWAY, NOT_ACCEPTED, UNCHANGED, Responses
from .examples import EXAMPLE_SILENCE
from .problems import Problem, Refused, not_accepted, not_there
from .schemas import named, schema_of, sent_schema

router = APIRouter(tags=["silences"])


class SilencesAsked(Asked):
    limit: Limit = 100
    cursor: Annotated[str, Field(max_length=64, description="Where to go on: `next` of the answer before.")] = ""


class SilenceOut(BaseModel):
    """No message about some metrics for a while."""

    id: str
    metrics: Annotated[str, Field(description="Pattern of the metrics.")]
    rule: Annotated[str, Field(description="Pattern of the rules' ids.")]
    from_: Annotated[int, Field(alias="from", description="Unix seconds.")]
    to: Annotated[int, Field(description="Unix seconds; itself not silent any more.")]
    comment: str
    state: Annotated[Literal["pending", "active", "ended"], Field(description="Now.")]


class Silences(BaseModel):
    """The silences, by id."""

    silences: list[SilenceOut]
    next: Annotated[str | None, Field(description="The `cursor` of what follows; null at the end.")]


def _schema() -> dict[str, Any]:
    schema = schema_of(Silence)
    # An id is made where none is given, and times may be written in other ways, too.
    schema["properties"] |= {
        "from": ANY_TIME_SCHEMA | {"description": "When it begins; without it now."},
        "to": ANY_TIME_SCHEMA
        | {"description": "When it ends, `+1h` for an hour from now; itself not silent any more."},
    }
    return named("NewSilence", sent_schema(schema | {"required": ["to"], "description": "A silence to be."}))


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
    response_model=Silences,
    responses=NOT_ACCEPTED | AWAY | UNCHANGED,
)
async def silences(asked: Annotated[SilencesAsked, Query()], request: Request, context: Context) -> Response:
    """The silences there are, by id; those that ended are kept for 30 days."""
    book = read_book((await context["desk"].shelved()).written, context["interval"])
    found = [silence for name, silence in book.silences.items() if name > asked.cursor]
    page, now = found[: asked.limit], int(context["clock"]())
    body = {
        "silences": [_shown(silence, now) for silence in page],
        "next": page[-1].id if len(found) > len(page) else None,
    }
    return until_changed(request, exact.dumps(body))


@router.post(
    "/silences",
    summary="Make a silence",
    operation_id="create_silence",
    response_model=SilenceOut,
    responses=NOT_READ | NOT_ACCEPTED | _IN_THE_WAY | AWAY,
    openapi_extra=described(_schema(), EXAMPLE_SILENCE),
    status_code=HTTPStatus.CREATED,
)
async def make(_: Annotated[Nothing, Query()], request: Request, context: Context) -> Response:
    """
    A new silence. Alerts of the metrics are recorded and not sent from `from` until `to`.

    A source that is silent as a whole, `kraken:*`, is one of the metrics `KRAKEN:*`.
    """
    now = int(context["clock"]())
    new = _checked(await sent(request), now)
    book = read_book((await context["desk"].shelved()).written, context["interval"])
    if new.id in book.silences:
        raise Refused(HTTPStatus.CONFLICT, f"there is a silence {new.id!r} already; delete it first")
    try:
        await context["desk"].put_silence(new, now)
    except TooMany as error:
        raise Refused(HTTPStatus.CONFLICT, str(error)) from error
    return changed(exact.dumps(_shown(new, now)), HTTPStatus.CREATED, Location=f"{request.url.path}/{new.id}")


@router.delete(
    "/silences/{id}",
    summary="Delete a silence",
    operation_id="delete_silence",
    responses={204: {"description": "It is gone."}} | _UNKNOWN | NOT_ACCEPTED | AWAY,
    status_code=HTTPStatus.NO_CONTENT,
)
async def delete(
    id: SilenceId,  # noqa: A002
    _: Annotated[Nothing, Query()],
    context: Context,
) -> Response:
    """The silence is gone from the next tick on."""
    desk = context["desk"]
    if not await desk.delete_silence(id):
        raise not_there("silence", id, [*(await desk.shelved()).written.silences])
    return Response(status_code=HTTPStatus.NO_CONTENT, headers={"Cache-Control": "no-store"})


def _checked(document: object, now: int) -> Silence:
    if not isinstance(document, dict):
        raise not_accepted(("body", document, "a document of fields and values"))
    given = {"id": token_hex(4), "from": now} | document
    for name in ("from", "to"):
        if name in given:
            given[name] = _instant(name, given[name], now)
    try:
        made = parse_silence(given)
    except WrongSilence as error:
        raise refused(error) from error
    if made.end <= now:
        raise not_accepted(("to", document.get("to"), f"a time after now, {now}"))
    return made


def _instant(name: str, written: object, now: int) -> int:
    try:
        return any_moment(written).at(now)
    except ValueError as error:
        raise not_accepted((name, written, str(error))) from error


def _shown(silence: Silence, now: int) -> dict[str, object]:
    state = "pending" if now < silence.start else "active" if now < silence.end else "ended"
    return silence.model_dump(by_alias=True) | {"state": state}
