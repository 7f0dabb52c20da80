"""Alert rules: list them, and create, replace and delete those of the API."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field
from starlette.convertors import StringConvertor, register_url_convertor

from ..numbers import exact_json
from ..rules import InvalidRule, Rule, parse_rule
from ..rules.rule import DECIMALS, RESERVED, explain_never_fires
from ..rules.rule_set import Origin, RuleEntry, RuleSet, read_rule_set
from ..rules.rules_file import find_unknown_channels
from ..store import LimitReached
from .context import Context, RouteState
from .examples import EXAMPLE_RULE
from .match_counts import MetricNames
from .params import Limit, NoParams, QueryParams
from .problems import HttpRefusal, Problem, refuse_fields, refuse_unknown_id
from .request_body import NOT_READ, describe_body, make_refusal, read_document
from .response_docs import AWAY, NOT_ACCEPTED, UNCHANGED, Responses
from .responses import respond_changed, respond_until_changed
from .schemas import NEW_RULE, PUT_RULE, RULE, RULES

router = APIRouter(tags=["rules"])


class _Name(StringConvertor):
    """The id of a rule in a path. `backtest` is none: that is what rules are sent to."""

    regex = f"(?!{RESERVED}$)[^/]+"


register_url_convertor("rule", _Name())

_ID = "As it was given when the rule was made."
ShownId = Annotated[str, Path(max_length=64, description=_ID, examples=["stale"])]
RuleId = Annotated[str, Path(max_length=64, description=_ID, examples=[EXAMPLE_RULE["id"]])]


class RulesParams(QueryParams):
    limit: Limit = 100
    cursor: Annotated[str, Field(max_length=64, description="Where to go on: `next` of the answer before.")] = ""


class _RuleContext(NamedTuple):
    """What is known while a question about rules is answered."""

    rule_set: RuleSet
    channels: frozenset[str] | None
    problem: str | None
    names: MetricNames
    interval: int


def _answer(schema: Mapping[str, Any], status: int = 200, description: str = "The rule.") -> Responses:
    return {status: {"description": description, "content": {"application/json": {"schema": schema}}}}


_LIST = _answer(RULES, description="The rules, by id.")
_ONE = _answer(RULE)
_UNKNOWN: Responses = {404: {"model": Problem, "description": "There is no such rule; `errors` has the nearest ids."}}
_IN_THE_WAY: Responses = {
    409: {"model": Problem, "description": "There is one of this id, it is one of the file, or there are too many."}
}
_WRITTEN = NOT_READ | NOT_ACCEPTED | _IN_THE_WAY | AWAY


@router.get(
    "/rules", summary="List the rules", operation_id="list_rules", responses=_LIST | NOT_ACCEPTED | AWAY | UNCHANGED
)
async def list_rules(params: Annotated[RulesParams, Query()], request: Request, context: Context) -> Response:
    """
    The rules there are, by id: those that are there by default, those of this API, and those of the file.

    One of the file comes before one of this API, and that before a default one of the same id.
    """
    known = await _read_context(context)
    found = [entry for name, entry in known.rule_set.entries.items() if name > params.cursor]
    page = found[: params.limit]
    body = {
        "rules": [_show_rule(entry, known) for entry in page],
        "problem": known.problem,
        "next": page[-1].rule.id if len(found) > len(page) else None,
    }
    return respond_until_changed(request, exact_json.dumps(body))


@router.get(
    "/rules/{id:rule}",
    summary="One rule",
    operation_id="get_rule",
    responses=_ONE | _UNKNOWN | NOT_ACCEPTED | AWAY | UNCHANGED,
)
async def get_rule(id: ShownId, _: Annotated[NoParams, Query()], request: Request, context: Context) -> Response:  # noqa: A002
    """A rule as it is in force."""
    known = await _read_context(context)
    return respond_until_changed(request, exact_json.dumps(_show_rule(_find_entry(known.rule_set, id), known)))


@router.post(
    "/rules",
    summary="Make a rule",
    operation_id="create_rule",
    responses=_answer(RULE, 201) | _WRITTEN,
    openapi_extra=describe_body(NEW_RULE, EXAMPLE_RULE),
    status_code=HTTPStatus.CREATED,
)
async def create_rule(_: Annotated[NoParams, Query()], request: Request, context: Context) -> Response:
    """A new rule. It is judged from the next tick on. A pattern that matches nothing yet is accepted, and marked so."""
    known = await _read_context(context)
    new = _check_rule(await read_document(request), known)
    if new.id in known.rule_set.entries:
        raise HttpRefusal(HTTPStatus.CONFLICT, f"there is a rule {new.id!r} already; PUT changes it")
    return await _write_rule(new, known, context, request.url.path)


@router.put(
    "/rules/{id:rule}",
    summary="Put a rule",
    operation_id="put_rule",
    responses=_ONE | _answer(RULE, 201, "The rule, which is new.") | _WRITTEN,
    openapi_extra=describe_body(PUT_RULE, EXAMPLE_RULE),
)
async def put_rule(id: RuleId, _: Annotated[NoParams, Query()], request: Request, context: Context) -> Response:  # noqa: A002
    """A rule in place of the one of its id, be that a default one; or a new one. The document need not repeat the id."""
    known = await _read_context(context)
    document = await read_document(request)
    new = _check_rule({"id": id} | document if isinstance(document, dict) else document, known)
    if new.id != id:
        raise refuse_fields(("id", new.id, f"{id}, as in the path"))
    return await _write_rule(new, known, context, request.url.path.rpartition("/")[0])


@router.delete(
    "/rules/{id:rule}",
    summary="Delete a rule",
    operation_id="delete_rule",
    responses={204: {"description": "It is gone."}} | _UNKNOWN | NOT_ACCEPTED | _IN_THE_WAY | AWAY,
    status_code=HTTPStatus.NO_CONTENT,
)
async def delete_rule(id: RuleId, _: Annotated[NoParams, Query()], context: Context) -> Response:  # noqa: A002
    """The rule is gone from the next tick on. A default one is not `enabled` any more instead; PUT brings it back."""
    known = await _read_context(context)
    _find_entry(known.rule_set, id)
    _refuse_file_rule(known.rule_set, id)
    await context["admin"].delete_rule(id)
    return Response(status_code=HTTPStatus.NO_CONTENT, headers={"Cache-Control": "no-store"})


async def _read_context(context: RouteState) -> _RuleContext:
    stored, metrics = await asyncio.gather(context["admin"].read_rules(), context["reader"].read_metrics())
    interval = context["interval"]
    rule_set = read_rule_set(stored.written, interval)
    return _RuleContext(rule_set, stored.channels, stored.problem, MetricNames([*metrics]), interval)


def check_rule(document: object, channels: frozenset[str] | None, interval: int, where: str = "") -> Rule:
    """Read a rule that was sent; `where` it stands in the document. Raises `Refused`."""
    try:
        made = parse_rule(document, interval)
    except InvalidRule as error:
        raise make_refusal(error, where) from error
    unknown = find_unknown_channels(made, channels)
    if unknown:
        there = ", ".join(sorted(channels or ())) or "none, for there is no channel"
        raise refuse_fields((f"{where}.channels".lstrip("."), unknown[0], there))
    return made


def _check_rule(document: object, known: _RuleContext) -> Rule:
    made = check_rule(document, known.channels, known.interval)
    _refuse_file_rule(known.rule_set, made.id)
    return made


async def _write_rule(new: Rule, known: _RuleContext, context: RouteState, rules_path: str) -> Response:
    is_new = new.id not in known.rule_set.entries
    try:
        await context["admin"].put_rule(new)
    except LimitReached as error:
        raise HttpRefusal(HTTPStatus.CONFLICT, str(error)) from error
    body = exact_json.dumps(_show_rule(RuleEntry(new, Origin.API), known))
    if not is_new:
        return respond_changed(body)
    return respond_changed(body, HTTPStatus.CREATED, Location=f"{rules_path}/{new.id}")


def _find_entry(rule_set: RuleSet, rule_id: str) -> RuleEntry:
    found = rule_set.entries.get(rule_id)
    if found is None:
        raise refuse_unknown_id("rule", rule_id, [*rule_set.entries])
    return found


def _refuse_file_rule(rule_set: RuleSet, rule_id: str) -> None:
    found = rule_set.entries.get(rule_id)
    if found and found.origin is Origin.FILE:
        raise HttpRefusal(HTTPStatus.CONFLICT, f"the rule {rule_id!r} is one of the file of rules; change it there")


def _show_rule(entry: RuleEntry, known: _RuleContext) -> dict[str, object]:
    fields = entry.rule.write_fields()
    numbers = {
        name: exact_json.digits(value) for name, value in fields.items() if name in DECIMALS and isinstance(value, str)
    }
    matches = known.names.matches(entry.rule.metrics)
    return (
        fields | numbers | {"origin": entry.origin, "matches": matches, "note": _make_note(entry.rule, matches, known)}
    )


def _make_note(shown: Rule, matches: int, known: _RuleContext) -> str | None:
    fault = explain_never_fires(shown, known.interval)
    if fault:
        return f"it can never fire: {fault[0]}: accepted: {fault[2]}"
    unknown = find_unknown_channels(shown, known.channels)
    if unknown:
        return f"there is no channel {', '.join(unknown)}: nobody is told through it"
    return None if matches else f"no metric matches {shown.metrics} yet"
