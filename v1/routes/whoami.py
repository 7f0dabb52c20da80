"""Who asks, as far as the API knows: the key that was sent, what it may do, and what it has left of its limits."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from ..numbers import exact_json
from ..store import KeyScope
from .access import read_caller
from .context import Context
from .params import NoParams
from .response_docs import NOT_ACCEPTED
from .responses import respond_changed

router = APIRouter(tags=["access"])


class CallerView(BaseModel):
    """Who asks."""

    id: Annotated[str | None, Field(description="The id of the key; `settings-1` for the first of `TRACKER_API_KEYS`.")]
    name: Annotated[str | None, Field(description="Whose key it is; null without a key.")]
    scope: Annotated[KeyScope, Field(description="What it may do; each may do what those before it may.")]
    until: Annotated[int | None, Field(description="When the key ends, unix seconds; null: it has no end.")]
    needs_key: Annotated[bool, Field(description="Whether nobody is answered without a key.")]
    address: Annotated[str | None, Field(description="The address that the request came from, as limits see it.")]


@router.get(
    "/whoami",
    summary="Who asks",
    operation_id="get_caller",
    response_model=CallerView,
    responses=NOT_ACCEPTED,
)
async def get_caller(_: Annotated[NoParams, Query()], request: Request, context: Context) -> Response:
    """What the key of this request may do. Where no key is needed, everybody may do everything."""
    caller = read_caller(request.scope)
    body = {
        "id": caller.id,
        "name": caller.name,
        "scope": caller.scope,
        "until": caller.until,
        "needs_key": not context["is_shared"],
        "address": request.client.host if request.client else None,
    }
    return respond_changed(exact_json.dumps(body))
