"""Sources: who gives what, how each does, and what was left out of its answers and why."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from ..numbers import exact_json
from .context import Context
from .health import SourceHealth, show_source
from .params import NoParams
from .problems import Problem, refuse_unknown_id
from .response_docs import AWAY, NOT_ACCEPTED, UNCHANGED, Responses
from .responses import respond_until_changed

router = APIRouter(tags=["sources"])


class SourceView(SourceHealth):
    """A source, and how it does, as the worker last reported."""

    source: Annotated[str, Field(description="Its name, as in `TRACKER_SOURCES`.")]


class SourceList(BaseModel):
    """All sources, by name."""

    sources: list[SourceView]


class RejectView(BaseModel):
    """Something that was left out."""

    at: Annotated[int, Field(description="The tick at which it was read; 0: it belongs to none, as a candle.")]
    metric: Annotated[str | None, Field(description="Of which metric; null: that is not known.")]
    reason: str
    text: Annotated[str, Field(description="What was sent, 200 characters at most; secrets are hidden.")]


class RejectList(BaseModel):
    """What was left out of a source's answers since the worker started."""

    source: str
    counts: Annotated[dict[str, int], Field(description="How often, by reason.")]
    rejects: Annotated[list[RejectView], Field(description="The newest five of each reason, the newest first.")]


SourceName = Annotated[str, Path(max_length=64, description="As in `TRACKER_SOURCES`.", examples=["kraken"])]
_UNKNOWN: Responses = {
    404: {"model": Problem, "description": "There is no such source; `errors` has the nearest names."}
}


@router.get(
    "/sources",
    summary="List the sources",
    operation_id="list_sources",
    response_model=SourceList,
    responses=NOT_ACCEPTED | AWAY | UNCHANGED,
)
async def list_sources(_: Annotated[NoParams, Query()], request: Request, context: Context) -> Response:
    """Who is asked for samples, how each does, and how many readings were left out, by reason."""
    states = await context["reader"].read_source_states()
    shown = [{"source": name} | show_source(state, context["redact"]) for name, state in sorted(states.items())]
    return respond_until_changed(request, exact_json.dumps({"sources": shown}))


@router.get(
    "/sources/{source}/rejects",
    summary="What a source sent that was left out",
    operation_id="list_rejects",
    response_model=RejectList,
    responses=NOT_ACCEPTED | AWAY | UNCHANGED | _UNKNOWN,
)
async def list_rejects(
    source: SourceName, _: Annotated[NoParams, Query()], request: Request, context: Context
) -> Response:
    """
    What was left out of the answers of a source since the worker started, with what was sent.

    A reading is left out where a number cannot be read, is below zero or missing; where a day's volumes disagree with
    its prices; where the provider's time is older than the last, or in the future; and where a price jumps, until a
    second reading or another source confirms it.
    """
    states = await context["reader"].read_source_states()
    state = states.get(source)
    if state is None:
        raise refuse_unknown_id("source", source, sorted(states), "source")
    body: dict[str, Any] = {
        "source": source,
        "counts": state.get("rejects", {}),
        "rejects": state.get("rejected", []),
    }
    return respond_until_changed(request, exact_json.dumps(body))
