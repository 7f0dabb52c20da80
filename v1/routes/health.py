"""Whether the process runs, and whether its answers can be relied on; both with reasons, and without a key."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from ..states import Health, health, troubles
from ..store import StoreError
from . import exact
from .asked import Nothing
from .context import Context
from .document import NOT_ACCEPTED
from .problems import RETRY_SECONDS

router = APIRouter(tags=["health"])


class Live(BaseModel):
    status: Literal["live"]


class SourceNow(BaseModel):
    """How a source does, as the worker last said."""

    state: Annotated[str, Field(description="`ok` or `failing`")]
    since: Annotated[int | None, Field(description="The tick since when.")]
    reason: str | None
    metrics: Annotated[int, Field(description="How many it gives.")]
    missing: Annotated[dict[str, str], Field(description="Metrics that are wished for and not given, with the reason.")]
    rejects: Annotated[dict[str, int], Field(description="Readings left out since the start of the worker, by reason.")]


class ArchiveNow(BaseModel):
    """How the archive does, as the worker last said."""

    state: Annotated[str, Field(description="`ok` or `failing`")]
    since: Annotated[int | None, Field(description="Since when, unix seconds.")]
    newest: Annotated[int | None, Field(description="The newest hour that is kept, by its first second.")]
    reason: str | None


class TopRole(BaseModel):
    """How a role of the top list does, as it last said. What does not concern it is null."""

    state: Annotated[str, Field(description="`ok`, `off`, `waiting`, `late`, `failing`, `slowed` or `stopped`")]
    reason: str | None
    at: Annotated[int | None, Field(description="When it said so.")]
    source: Annotated[str | None, Field(description="Whom it asks.")]
    interval: Annotated[int | None, Field(description="Seconds between two lists, as what is left of the plan allows.")]
    planned: Annotated[int | None, Field(description="Seconds between two lists, as the whole plan allows.")]
    used: Annotated[int | None, Field(description="What of the plan is used this month.")]
    limit: Annotated[int | None, Field(description="What of the plan may be used in a month.")]
    unit: Annotated[str | None, Field(description="`credits` or `calls`.")]
    resets: Annotated[int | None, Field(description="When the next month begins.")]
    until: Annotated[int | None, Field(description="It asks nobody before.")]
    list_at: Annotated[int | None, Field(description="The minute of its newest list.")]
    age: Annotated[int | None, Field(description="Seconds since then.")]
    faults: Annotated[dict[str, int] | None, Field(description="Lists that did not come this month, by reason.")]
    of: Annotated[int | None, Field(description="How many coins the newest top list has.")]
    unpriced: Annotated[int | None, Field(description="How many of them have no price.")]


class TickNow(BaseModel):
    at: Annotated[int | None, Field(description="The newest one; null before the first.")]
    age: Annotated[int | None, Field(description="Seconds since then; below zero where it lies in the future.")]
    interval: Annotated[int, Field(description="Seconds between two.")]


class Ready(BaseModel):
    status: Health
    reasons: Annotated[list[str], Field(description="Everything that is not as it should be.")]
    store: Annotated[str, Field(description="`ok`, or why it does not answer.")]
    tick: TickNow
    sources: dict[str, SourceNow]
    archive: Annotated[ArchiveNow | None, Field(description="null before the worker has said anything of it.")]
    top: Annotated[dict[str, TopRole], Field(description="The roles that make the top list, by name.")]


@router.get("/health/live", summary="Does it run", response_model=Live, responses=NOT_ACCEPTED)
async def live(_: Annotated[Nothing, Query()]) -> Response:
    """Whether the process runs. Asks nobody else."""
    return _answer(HTTPStatus.OK, {"status": "live"})


@router.get(
    "/health/ready",
    summary="Can it be relied on",
    response_model=Ready,
    responses=NOT_ACCEPTED | {503: {"model": Ready, "description": "Not ready; `reasons` says why."}},
)
async def ready(_: Annotated[Nothing, Query()], context: Context) -> Response:
    """
    Whether answers can be relied on.

    `ready`: the store answers and ticks are committed. `degraded`: so it is, but a source, the archive or
    the file of rules is wrong.
    `unready`, with 503: the store is away, the newest tick is more than three intervals old or in the
    future, or the worker's clock cannot be relied on.
    """
    reader, interval, now = context["reader"], context["interval"], int(context["clock"]())
    try:
        tick, sources, archive, clock, shelved, top = await asyncio.gather(
            reader.tick(),
            reader.sources(),
            reader.archive(),
            reader.clock(),
            context["desk"].shelved(),
            context["top"].roles(),
        )
    except StoreError as error:
        status, reasons, store = Health.UNREADY, [str(error)], str(error)
        tick, sources, archive, top = None, {}, None, {}
    else:
        store = "ok"
        status, reasons = health(tick, now, interval, sources, archive)
        wrong = [f"the file of rules is wrong: {shelved.problem}"] if shelved.problem else []
        reasons = [*reasons, *wrong, *troubles(top, now)]
        if clock is not None:
            status, reasons = Health.UNREADY, [f"nothing is sampled: {clock}", *reasons]
        status = Health.DEGRADED if status is Health.READY and reasons else status
    known = {
        "status": status,
        "reasons": reasons,
        "store": store,
        "tick": {"at": tick, "age": None if tick is None else now - tick, "interval": interval},
        "sources": {name: _source(said) for name, said in sources.items()},
        "archive": archive and {name: archive.get(name) for name in ArchiveNow.model_fields},
        "top": {role: _role(said, now) for role, said in sorted(top.items())},
    }
    return _answer(HTTPStatus.SERVICE_UNAVAILABLE if status is Health.UNREADY else HTTPStatus.OK, known)


def _source(said: dict[str, Any]) -> dict[str, Any]:
    return {
        "state": said.get("state", "unknown"),
        "since": said.get("since"),
        "reason": said.get("reason"),
        "metrics": said.get("metrics", 0),
        "missing": said.get("missing", {}),
        "rejects": said.get("rejects", {}),
    }


def _role(said: dict[str, Any], now: int) -> dict[str, Any]:
    listed = said.get("list_at")
    known = {"state": "unknown"} | said | {"age": None if listed is None else now - listed}
    return {name: known.get(name) for name in TopRole.model_fields}


def _answer(status: HTTPStatus, known: dict[str, Any]) -> Response:
    headers = {"Cache-Control": "no-store"}
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_SECONDS)
    return Response(exact.dumps(known), status, headers, media_type="application/json")
