"""
Calls the functions of routes directly, where a request is a plain valid question.

FastAPI matches a path against one route after the other, and has a graph of dependencies solved and a model validated
for each request, which takes longer than most answers. What a path and a query mean is always the same, so here it is
remembered. Whatever is not a plain question goes on to FastAPI's own routes: another method, a parameter that is
unknown, wrong or given twice. Errors of a route go to the same handlers, so every answer is the same.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, get_origin

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel, ValidationError
from starlette.datastructures import QueryParams as WrittenQuery
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from .context import read_route_state
from .params import QueryParams
from .problems import refuse_repeated

_MOST_CALLS = 4096
_LONGEST_QUESTION = 300
"""Bytes of a path and a query that are remembered; longer ones are rare, and only those of FastAPI's routes."""
_CONTEXT = ("request", "context")
"""The parameters of a route's function that no request spells."""
_CALL = f"{__package__}.call"
"""Where the scope of a request holds which call it is."""
ENDED_WITH = f"{__package__}.ended_with"
"""Where the scope of a request holds the error that its call has raised already, so that it is answered as all are."""


class Operation(NamedTuple):
    """A route that can be called directly."""

    path: re.Pattern[str]
    route: APIRoute
    params: type[BaseModel]
    params_name: str
    """What the route's function calls its query parameters."""


class DirectCall(NamedTuple):
    """What a request asks for: a route, and all that its function is called with but the request itself."""

    route: APIRoute
    path_params: Mapping[str, str]
    arguments: Mapping[str, Any]

    async def respond(self, scope: Scope, receive: Receive) -> Response:
        """Return what the route's function answers. Raises what it raises."""
        request = Request(scope, receive)
        response: Response = await self.route.endpoint(**self.arguments, request=request, context=request.state)
        return response


class DirectRoutes(BaseRoute):
    """Stands before FastAPI's routes, and answers for those whose questions are simple."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._read = lru_cache(_MOST_CALLS)(self._read_call)

    def install(self, app: FastAPI) -> None:
        """Have every route of `app` called directly that can be. The others, and their description, stay as they are."""
        found = [_find_operation(route) for route in iter_route_contexts(app.routes)]
        self.operations = [operation for operation in found if operation]
        app.router.routes.insert(0, self)

    def find_call(self, scope: Scope) -> DirectCall | None:
        """Return which call a request is; `None` where it is none."""
        if scope["type"] != "http" or scope["method"] != "GET":
            return None
        path, query = scope["path"].removeprefix(scope.get("root_path", "")), scope["query_string"]
        return self._read(path, query) if len(path) + len(query) <= _LONGEST_QUESTION else None

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        call = self.find_call(scope)
        if call is None:
            return Match.NONE, {}
        route = call.route
        return Match.FULL, {
            "endpoint": route.endpoint,
            "path_params": call.path_params,
            "route": route,
            _CALL: call,
        }

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        call: DirectCall = scope[_CALL]
        if error := scope.get(ENDED_WITH):
            raise error
        await (await call.respond(scope, receive))(scope, receive, send)

    def _read_call(self, path: str, query: bytes) -> DirectCall | None:
        """Return what a path and a query ask; `None` where that is not plain and valid."""
        for operation in self.operations:
            found = operation.path.fullmatch(path)
            if found:
                params = _read_params(operation.params, query)
                path_params = found.groupdict()
                known = {**path_params, operation.params_name: params}
                return None if params is None else DirectCall(operation.route, path_params, known)
        return None


@lru_cache(_MOST_CALLS)
def _read_params(params: type[BaseModel], query: bytes) -> BaseModel | None:
    """Return the parameters of a query, the same object for all metrics; `None` where one is wrong, unknown, or given twice."""
    pairs = WrittenQuery(query).multi_items()
    written = dict(pairs)
    if len(written) != len(pairs):
        return None
    try:
        return params.model_validate(written)
    except ValidationError:
        return None


def _find_operation(context: Any) -> Operation | None:
    """
    Return a route as an operation; `None` where it is none.

    It reads, depends on nothing that is not done here, and its function takes texts of the path, one model of the
    query without lists, and the context.
    """
    route = context.original_route
    if not isinstance(route, APIRoute) or route.methods != {"GET"} or len(route.dependant.query_params) != 1:
        return None
    if {each.call for each in context.dependant.dependencies} - {refuse_repeated, read_route_state}:
        return None
    (field,) = route.dependant.query_params
    params, names = field.field_info.annotation, {each.name for each in route.dependant.path_params}
    if not (isinstance(params, type) and issubclass(params, QueryParams)):
        return None
    is_plain = (
        not any(get_origin(each.annotation) in (list, tuple) for each in params.model_fields.values())
        and all(each.field_info.annotation is str for each in route.dependant.path_params)
        and names | {field.name, *_CONTEXT} == {*_list_arguments(route)}
    )
    return Operation(context.path_regex, route, params, field.name) if is_plain else None


def _list_arguments(route: APIRoute) -> Iterable[str]:
    code = route.endpoint.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
