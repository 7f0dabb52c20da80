"""Whether the process runs, and whether its answers can be relied on; both with reasons, and without a key."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from ..states import Health, health
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


class TickNow(BaseModel):
    at: Annotated[int | None, Field(description="The newest one; null before the first.")]
    age: Annotated[int | None, Field(description="Seconds since then.")]
    interval: Annotated[int, Field(description="Seconds between two.")]


class Ready(BaseModel):
    status: Health
    reasons: Annotated[list[str], Field(description="Everything that is not as it should be.")]
    store: Annotated[str, Field(description="`ok`, or why it does not answer.")]
    tick: TickNow
    sources: dict[str, SourceNow]


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

    `ready`: the store answers and ticks are committed. `degraded`: so it is, but a source is failing.
    `unready`, with 503: the store is away, or the newest tick is more than three intervals old.
    """
    reader, interval, now = context["reader"], context["interval"], int(context["clock"]())
    try:
        tick, sources = await asyncio.gather(reader.tick(), reader.sources())
    except StoreError as error:
        status, reasons, store, tick, sources = Health.UNREADY, [str(error)], str(error), None, {}
    else:
        store = "ok"
        status, reasons = health(tick, now, interval, sources)
    known = {
        "status": status,
        "reasons": reasons,
        "store": store,
        "tick": {"at": tick, "age": None if tick is None else now - tick, "interval": interval},
        "sources": {name: _source(said) for name, said in sources.items()},
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


def _answer(status: HTTPStatus, known: dict[str, Any]) -> Response:
    headers = {"Cache-Control": "no-store"}
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_SECONDS)
    return Response(exact.dumps(known), status, headers, media_type="application/json")
