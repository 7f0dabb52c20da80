"""The OpenAPI document: made of the routes' own descriptions, with recorded answers as examples."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.utils import get_openapi

from ..model import By, Measure
from ..numbers import exact_json
from ..store import AlertQuery, KeyScope, StoreError
from .access import find_wanted_scope
from .context import Context, RouteState
from .examples import EXAMPLE_ALERT, EXAMPLE_METRIC, NO_ALERT, NO_METRIC
from .problems import MEDIA_TYPE as PROBLEM
from .problems import OPEN
from .schemas import COMPONENTS
from .webhook import describe_webhooks

EXAMPLES = Path(__file__).with_name("examples.json")
"""Answers to recorded data; a test asks for all of them again, and compares."""

BEYOND_SCOPE = {
    "description": "The scope of the key does not allow it.",
    "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_REFERENCE = re.compile('"#/components/schemas/([^"]+)"')
_OF_FORMATS = ("format", "columns", "time", "bom")
"""Parameters that say how an answer is written."""

ABOUT = """
Samples of crypto markets, the last 24 hours of every metric, and who moves most.

Times are unix seconds; in a query ISO 8601 is accepted too. Numbers are answered with the digits that
the provider sent: read them as decimals where a double is not enough. Answers that change once a tick
carry `ETag` and `Cache-Control` until the next one. Errors are problem documents (RFC 9457) that name
the field, the value and what would be accepted.
"""


def make_openapi_router(app: FastAPI, prefix: str, root_path: str, *, is_guarded: bool) -> APIRouter:
    """
    Serve the document of `app`; it is made when it is first asked for.

    `root_path` is the path that a proxy serves all of it below; `is_guarded`: requests need a key.
    """
    made: list[str] = []
    routes = APIRouter(include_in_schema=False)

    @routes.get("/openapi.json")
    async def openapi(context: Context) -> Response:
        """The description of this API, for machines."""
        if not made:
            servers = {"servers": [{"url": root_path}]} if root_path else {}
            made.append(exact_json.dumps(make_document(app, prefix, is_guarded=is_guarded) | servers))
        metric, alert = await _find_examples(context)
        body = made[0].replace(EXAMPLE_METRIC, _escape(metric)).replace(EXAMPLE_ALERT, _escape(alert))
        return Response(body, media_type="application/json")

    return routes


async def _find_examples(context: RouteState) -> tuple[str, str]:
    """Return a metric and an alert that are there, so that the examples work; where there is none, names like theirs."""
    try:
        ranking, page = await asyncio.gather(
            context["reader"].read_ranking(Measure.PRICE, By.STDDEV, 0, 1),
            context["admin"].read_alerts(AlertQuery(1, "*", None, 0, None)),
        )
    except StoreError:
        return NO_METRIC, NO_ALERT
    metric = ranking.places[0].metric if ranking.places else NO_METRIC
    return metric, str(page.alerts[0].alert["id"]) if page.alerts else NO_ALERT


def _escape(name: str) -> str:
    return json.dumps(name)[1:-1]


def make_document(app: FastAPI, prefix: str, *, is_guarded: bool) -> dict[str, Any]:
    """Return the document of `app`, whose routes are below `prefix`; `is_guarded`: requests need a key."""
    whole = get_openapi(title=app.title, version=app.version, description=ABOUT.strip(), routes=app.routes)
    whole["webhooks"] = describe_webhooks()
    whole["components"]["schemas"] |= COMPONENTS
    examples: Any = exact_json.loads(EXAMPLES.read_text()) if EXAMPLES.exists() else {}
    for operation, status, response in _iterate_responses(whole, prefix):
        content = response.get("content", {})
        for media_type in [*content]:
            if content[media_type].get("schema", {}).get("$ref", "").endswith(("/Problem", "/QuotaProblem")):
                content[PROBLEM] = content.pop(media_type)
        for media_type, example in examples.get(operation, {}).get(status, {}).items():
            content[media_type]["example"] = example
    for path, described in _iterate_operations(whole):
        _settle_parameters(described, has_formats=f"{path}.csv" in whole["paths"])
    if is_guarded:
        _add_security(whole)
    _prune_schemas(whole)
    return whole


def _prune_schemas(whole: dict[str, Any]) -> None:
    """Leave out schemas that nothing refers to: of parameters that the document does not have."""
    schemas = whole["components"]["schemas"]
    rest = json.dumps({name: part for name, part in whole.items() if name != "components"})
    known: set[str] = set()
    found = set(_REFERENCE.findall(rest))
    while found - known:
        known |= found
        found = {name for each in known for name in _REFERENCE.findall(json.dumps(schemas[each]))}
    whole["components"]["schemas"] = {name: schema for name, schema in schemas.items() if name in known}


def _iterate_operations(whole: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in whole["paths"].items():
        for operation in operations.values():
            yield path, operation


def _settle_parameters(operation: dict[str, Any], *, has_formats: bool) -> None:
    """
    Put examples where documentation pages look for them.

    Of what `has_formats` this operation answers JSON, and the others have operations of their own, so that
    a client that is generated knows what it gets.
    """
    shown = [
        parameter
        for parameter in operation.get("parameters", ())
        if not (has_formats and parameter["name"] in _OF_FORMATS)
    ]
    for parameter in shown:
        if examples := parameter["schema"].pop("examples", None):
            parameter["example"] = examples[0]
    if shown:
        operation["parameters"] = shown


def _add_security(whole: dict[str, Any]) -> None:
    """Say how a key is shown."""
    whole["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A key, made by `scripts/keys.sh`."},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same in a header."},
        "basic": {"type": "http", "scheme": "basic", "description": "The key as the password, with any name."},
    }
    whole["security"] = [{"bearer": []}, {"header": []}, {"basic": []}]
    for path, operations in whole["paths"].items():
        for method, operation in operations.items():
            if path.startswith(OPEN):
                operation["security"] = []
            elif find_wanted_scope(method.upper(), path) is not KeyScope.READ:
                operation["responses"]["403"] = BEYOND_SCOPE


def _iterate_responses(whole: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Return every answer, by its operation (`/rules`; of other methods than GET `POST /rules`) and its status."""
    for path, operations in whole["paths"].items():
        for method, operation in operations.items():
            named = f"{'' if method == 'get' else f'{method.upper()} '}{path.removeprefix(prefix)}"
            for status, response in operation["responses"].items():
                yield named, status, response
