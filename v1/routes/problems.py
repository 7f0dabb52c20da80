"""
Errors as problem documents (RFC 9457) that name the field, the value, and what would be accepted.

    HttpRefusal     raised by routes: why a request cannot be answered
    StoreError      503 with Retry-After: Redis is away or answers something unforeseen, ask again
    ArchiveError    the same of the archive
    anything else   500 without its inside, which goes to the log
"""

import json
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, cast, get_origin

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from rapidfuzz import process
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Mount

from ..archive import ArchiveError
from ..model import Metric
from ..rules.validation import MOST_FAULTS, shorten, take_first
from ..store import Reader, StoreAway, StoreError
from .params import NoParams, describe_accepted

MEDIA_TYPE = "application/problem+json"
OPEN = "/health/"
"""What begins so is answered without a key: who starts and watches the process has none."""
RETRY_SECONDS = 5
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
"""The type that is registered for a limit that is used up."""
WARN_SECONDS = 60

log = structlog.get_logger()


class FieldProblem(BaseModel):
    """One thing that was asked wrongly."""

    field: str
    value: str
    accepted: str


class Problem(BaseModel):
    """Why there is no answer (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: Annotated[
        list[FieldProblem], Field(max_length=MOST_FAULTS, description="The first of them; `detail` says how many more.")
    ]


class QuotaProblem(Problem):
    """Why there is no answer: a limit is used up (draft-ietf-httpapi-ratelimit-headers-11, section 5.1)."""

    violated_policies: Annotated[
        list[str], Field(alias="violated-policies", description="Which limits: `requests`, `points`.")
    ]


class HttpRefusal(Exception):
    """What was asked cannot be answered; the message says why."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.errors = errors
        self.headers = headers


def refuse_fields(*wrongs: tuple[str, object, str]) -> HttpRefusal:
    """Refuse fields, each given as its name, its value, and what would be accepted; the first of many are told."""
    errors = [
        FieldProblem(field=shorten(field), value=shorten(value), accepted=what)
        for field, value, what in wrongs[:MOST_FAULTS]
    ]
    lines = [f"{each.field}: {each.value!r} is not accepted; accepted: {each.accepted}" for each in errors]
    return HttpRefusal(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(take_first(lines, len(wrongs))), errors)


async def refuse_unknown_metric(reader: Reader, metric: str, where: str = "in the last day") -> HttpRefusal:
    """Refuse a metric without samples: it is dead, or nobody gives it, or its name is wrong; with the nearest names."""
    nearest, written = suggest_names(metric, [*await reader.read_metrics()]), shorten(metric)
    dead, unmet = await reader.read_dead_metrics(), await reader.read_unmet_wishes()
    why = f"no metric {written!r} has a sample {where}"
    if metric in dead:
        why = f"the market {written!r} is dead: {dead[Metric(metric)]} lists it and has no price of it, so {why}"
    elif metric in unmet:
        why = f"{why}, although it is wished for: {unmet[metric]}"
    detail = f"{why}; nearest: {nearest or 'there is no metric at all'}"
    return HttpRefusal(HTTPStatus.NOT_FOUND, detail, [FieldProblem(field="metric", value=written, accepted=nearest)])


def refuse_unknown_id(what: str, name: str, names: Sequence[str] = (), field: str = "id") -> HttpRefusal:
    """Refuse what is asked for by its id, or by what else `field` says, and is not there."""
    nearest, written = suggest_names(name, names), shorten(name)
    detail = f"there is no {what} {written!r}{f'; nearest: {nearest}' if nearest else ''}"
    return HttpRefusal(HTTPStatus.NOT_FOUND, detail, [FieldProblem(field=field, value=written, accepted=nearest)])


def suggest_names(name: str, names: Sequence[str]) -> str:
    return ", ".join(name for name, _, _ in process.extract(shorten(name), names, limit=3))


def make_problem(
    path: str,
    status: HTTPStatus,
    detail: str,
    errors: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Make the answer that says why there is none."""
    problem = Problem(
        type="about:blank", title=status.phrase, status=status, detail=detail, instance=path, errors=[*errors]
    )
    return _respond_with_problem(problem, headers)


def make_quota_problem(path: str, detail: str, violated: Sequence[str], headers: Mapping[str, str]) -> Response:
    """Make the answer that says which limits are used up."""
    problem = QuotaProblem.model_validate(
        {
            "type": QUOTA_EXCEEDED,
            "title": "Request cannot be satisfied as assigned quota has been exceeded",
            "status": HTTPStatus.TOO_MANY_REQUESTS,
            "detail": detail,
            "instance": path,
            "errors": [],
            "violated-policies": violated,
        }
    )
    return _respond_with_problem(problem, headers)


def _respond_with_problem(problem: Problem, headers: Mapping[str, str] | None) -> Response:
    # Half of a surrogate pair, which JSON may hold and UTF-8 not, goes back as the escape that it came as.
    written = json.dumps(problem.model_dump(by_alias=True), ensure_ascii=False, separators=(",", ":"))
    body = written.encode(errors="backslashreplace")
    return Response(body, problem.status, {"Cache-Control": "no-store", **(headers or {})}, media_type=MEDIA_TYPE)


def install_problems(app: FastAPI, clock: Callable[[], float]) -> None:
    """Make every error of the application a problem document."""
    app.add_exception_handler(StoreAway, _AwayHandler("the store is away", clock))
    app.add_exception_handler(StoreError, _AwayHandler("the store does not answer as it should", clock))
    app.add_exception_handler(ArchiveError, _AwayHandler("the archive is away", clock))
    app.add_exception_handler(HttpRefusal, _handle_refused)
    app.add_exception_handler(RequestValidationError, _handle_invalid)
    app.add_exception_handler(HTTPException, _handle_http)
    app.add_exception_handler(ClientDisconnect, _handle_disconnect)
    app.add_exception_handler(Exception, _handle_unexpected)


class _AwayHandler:
    """Answers 503, and warns once a minute: an outage under load must not fill the disk with one line."""

    def __init__(self, problem: str, clock: Callable[[], float]) -> None:
        self._problem = problem
        self._clock = clock
        self._warned: float | None = None

    async def __call__(self, request: Request, error: Exception) -> Response:
        now = self._clock()
        if self._warned is None or now - self._warned >= WARN_SECONDS:
            self._warned = now
            log.warning(self._problem, reason=str(error))
        detail = f"{self._problem}; ask again in {RETRY_SECONDS} seconds"
        headers = {"Retry-After": str(RETRY_SECONDS)}
        return make_problem(request.url.path, HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=headers)


async def _handle_refused(request: Request, error: Exception) -> Response:
    refused = cast("HttpRefusal", error)
    return make_problem(request.url.path, refused.status, str(refused), refused.errors, refused.headers)


async def refuse_repeated(request: Request) -> None:
    """Refuse a parameter that is given twice: each reader of the address would take another of them for meant."""
    query = request.query_params
    if len(query.multi_items()) == len(query):
        return
    fields = {field.alias or name: field for name, field in _find_params(request).model_fields.items()}
    lists = {name for name, field in fields.items() if get_origin(field.annotation) in (list, tuple)}
    repeated = {name: query.getlist(name) for name in query if name not in lists}
    if wrongs := [(name, ", ".join(given), "it once") for name, given in repeated.items() if len(given) > 1]:
        raise refuse_fields(*wrongs)


def _find_params(request: Request) -> type[BaseModel]:
    """Return the parameters of the route of a request."""
    queries = request.scope["route"].dependant.query_params
    params: type[BaseModel] = queries[0].field_info.annotation if queries else NoParams
    return params


async def _handle_invalid(request: Request, error: Exception) -> Response:
    params = _find_params(request)
    return await _handle_refused(
        request,
        refuse_fields(
            *[
                (str(each["loc"][-1]), each.get("input"), describe_accepted(each, params))
                for each in cast("RequestValidationError", error).errors()
            ]
        ),
    )


async def _handle_disconnect(request: Request, _: Exception) -> Response:
    # Nobody hears it: who has left is no error of ours, and nothing to log.
    return make_problem(request.url.path, HTTPStatus.BAD_REQUEST, "the connection ended before the document did")


async def _handle_http(request: Request, error: Exception) -> Response:
    refused = cast("HTTPException", error)
    status, headers = HTTPStatus(refused.status_code), {**(refused.headers or {})}
    match status:
        case HTTPStatus.NOT_FOUND:
            detail = "nothing is served here; /docs lists what is"
        case HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(_list_methods(request))
            detail = f"{request.method} is not accepted here; accepted: {headers['Allow']}"
        case _:
            detail = str(refused.detail)
    return make_problem(request.url.path, status, detail, headers=headers)


def _list_methods(request: Request) -> list[str]:
    """Return the methods that are accepted here; each is a route of its own, and Starlette tells but the first."""
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    accepted = [
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    return accepted or ["GET"]  # of files


async def _handle_unexpected(request: Request, _: Exception) -> Response:
    # The server logs the exception itself, with its trace: it is raised again after this answer.
    return make_problem(request.url.path, HTTPStatus.INTERNAL_SERVER_ERROR, "an error of ours; the log has the reason")
