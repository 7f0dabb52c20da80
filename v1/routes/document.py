"""The OpenAPI document: what routes say of themselves, errors as they are sent, and answers that were really given."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.utils import get_openapi

from .. import exact
from .answers import MEDIA_TYPES
from .asked import Format
from .problems import MEDIA_TYPE as PROBLEM
from .problems import Problem

EXAMPLES = Path(__file__).with_name("examples.json")
"""Answers to recorded data; a test asks for all of them again, and compares."""

Responses = dict[int | str, dict[str, Any]]

NOT_ACCEPTED: Responses = {
    422: {"model": Problem, "description": "A parameter is not accepted; `errors` says what is."}
}
AWAY: Responses = {503: {"model": Problem, "description": "The store is away; ask again after `Retry-After` seconds."}}
UNKNOWN: Responses = {
    404: {"model": Problem, "description": "There is no such metric; `errors` has the nearest names."}
}
KEY_WANTED: Responses = {401: {"model": Problem, "description": "Nobody is answered without a key."}}
UNCHANGED: Responses = {304: {"description": "The answer is still the one of `If-None-Match`."}}

ABOUT = """
Samples of crypto markets, the last 24 hours of every metric, and who moves most.

Times are unix seconds; in a query ISO 8601 is accepted too. Numbers are answered with the digits that
the provider sent: read them as decimals where a double is not enough. Answers that change once a tick
carry `ETag` and `Cache-Control` until the next one. Errors are problem documents (RFC 9457) that name
the field, the value and what would be accepted.
"""


def also_as(*formats: Format) -> Responses:
    """Say that an answer comes in other formats than JSON, too."""
    content = {_bare(MEDIA_TYPES[each]): {"schema": {"type": "string"}} for each in formats}
    return {200: {"content": content}}


def router(app: FastAPI, prefix: str) -> APIRouter:
    """Serve the document of `app`; it is made when it is first asked for."""
    made: list[str] = []
    routes = APIRouter(include_in_schema=False)

    @routes.get("/openapi.json")
    async def openapi() -> Response:
        """The description of this API, for machines."""
        if not made:
            made.append(exact.dumps(_document(app, prefix)))
        return Response(made[0], media_type="application/json")

    return routes


def _document(app: FastAPI, prefix: str) -> dict[str, Any]:
    whole = get_openapi(title=app.title, version=app.version, description=ABOUT.strip(), routes=app.routes)
    examples: Any = exact.loads(EXAMPLES.read_text()) if EXAMPLES.exists() else {}
    for operation, status, response in _responses(whole, prefix):
        content = response.get("content", {})
        if content.get("application/json", {}).get("schema", {}).get("$ref", "").endswith("/Problem"):
            content[PROBLEM] = content.pop("application/json")
        for media_type, example in examples.get(operation, {}).get(status, {}).items():
            content[media_type]["example"] = example
    return whole


def _responses(whole: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give every answer, by its operation (`/rules`; of other methods than GET `POST /rules`) and its status."""
    for path, operations in whole["paths"].items():
        for method, operation in operations.items():
            named = f"{'' if method == 'get' else f'{method.upper()} '}{path.removeprefix(prefix)}"
            for status, response in operation["responses"].items():
                yield named, status, response


def _bare(media_type: str) -> str:
    return media_type.partition(";")[0]
