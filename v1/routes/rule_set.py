"""All rules and silences of the API as one document: to keep it, to move it, and to write it back as a whole."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..numbers import exact_json
from ..rules import Fault, InvalidDocument, Rule, Silence, parse_rule, parse_silence
from ..rules.rule import DECIMALS
from ..rules.rule_set import StoredRules, read_rule_set, write_document
from ..rules.rules_file import MOST_RULES, find_unknown_channels
from ..rules.validation import list_faults
from ..store import MOST_SILENCES
from .context import Context
from .examples import EXAMPLE_RULE, EXAMPLE_SILENCE
from .params import NoParams, QueryParams
from .problems import HttpRefusal, Problem
from .request_body import LARGEST_SET, describe_body, describe_unread, make_refusal, read_document
from .response_docs import AWAY, NOT_ACCEPTED, UNCHANGED, Responses
from .responses import respond_changed, respond_until_changed
from .schemas import NEW_RULE, add_model_schema, add_schema, make_request_schema

router = APIRouter(tags=["rules"])


class RuleSetParams(QueryParams):
    dry_run: Annotated[
        bool, Field(description="Whether to say only what would be changed, and to write nothing.", examples=[True])
    ] = False


class RuleSetDocument(BaseModel):
    """All rules and silences of the API."""

    model_config = ConfigDict(extra="forbid")

    rules: Annotated[list[Any], Field(max_length=MOST_RULES, description="As they are made, by id.")]
    silences: Annotated[list[Any], Field(max_length=MOST_SILENCES, description="As they are made, by id.")]


class ChangedIds(BaseModel):
    """What becomes of rules, or of silences: their ids."""

    created: list[str]
    changed: list[str]
    deleted: list[str]
    unchanged: list[str]


class RuleSetChanges(BaseModel):
    """What the document changes."""

    dry_run: Annotated[bool, Field(description="Whether nothing was written.")]
    rules: Annotated[
        ChangedIds,
        Field(description="Of the rules that are written here; a default one that is `deleted` is on again."),
    ]
    silences: ChangedIds
    left_out: Annotated[list[str], Field(description="Silences of the document that are over, and are not written.")]


class _Parsed(NamedTuple):
    """A document that can be meant."""

    rules: Sequence[Rule]
    silences: Sequence[Silence]


def _make_schema() -> dict[str, Any]:
    schema = add_model_schema(RuleSetDocument)
    schema["properties"]["rules"] |= {"items": NEW_RULE}
    schema["properties"]["silences"] |= {"items": add_schema("WholeSilence", add_model_schema(Silence))}
    return add_schema("RuleSetDocument", make_request_schema(schema))


_SCHEMA = _make_schema()
_SHOWN: Responses = {
    200: {"description": "The rules and silences.", "content": {"application/json": {"schema": _SCHEMA}}}
}
_OF_FILE: Responses = {409: {"model": Problem, "description": "A rule is one of the file."}}
_EXAMPLE = {
    "rules": [EXAMPLE_RULE],
    "silences": [EXAMPLE_SILENCE | {"id": "example-of-a-set", "from": 0, "to": 4_102_444_800}],
}


@router.get(
    "/rule-set",
    summary="All rules and silences",
    operation_id="get_rule_set",
    responses=_SHOWN | NOT_ACCEPTED | AWAY | UNCHANGED,
)
async def get_rule_set(_: Annotated[NoParams, Query()], request: Request, context: Context) -> Response:
    """
    What was written through this API, as one document that `PUT` takes: rules, and silences that are not over.

    Of default rules only those are in it that somebody has changed or switched off. Rules of the file stay in the file.
    Fields that have their default are left out.
    """
    now = int(context["clock"]())
    written = (await context["admin"].read_rules()).written
    stored = read_rule_set(StoredRules(written.api, {}, written.silences), context["interval"])
    body = {
        "rules": [_write_rule(entry.rule) for name, entry in stored.entries.items() if name in written.api],
        "silences": [each.model_dump(by_alias=True) for each in stored.silences.values() if each.end > now],
    }
    return respond_until_changed(request, exact_json.dumps(body))


@router.put(
    "/rule-set",
    summary="Put all rules and silences",
    operation_id="put_rule_set",
    response_model=RuleSetChanges,
    responses=describe_unread(LARGEST_SET) | NOT_ACCEPTED | _OF_FILE | AWAY,
    openapi_extra=describe_body(_SCHEMA, _EXAMPLE),
)
async def put_rule_set(params: Annotated[RuleSetParams, Query()], request: Request, context: Context) -> Response:
    """
    The document in place of all that was written through this API: all of it, or nothing where anything is wrong.

    Rules and silences that are not in it are deleted; silences that are over stay, to be looked up. A default rule that is not in it is as it was to begin with.
    """
    now, interval, admin = int(context["clock"]()), context["interval"], context["admin"]
    document = await read_document(request, LARGEST_SET)
    stored = await admin.read_rules()
    lasting_before = _select_lasting(stored.written, interval, now)
    parsed = _parse(document, stored.channels, interval)
    _refuse_file_rules(parsed.rules, stored.written.file)
    lasting = [each for each in parsed.silences if each.end > now]
    body = {
        "dry_run": params.dry_run,
        "rules": _compare(stored.written.api, parsed.rules),
        "silences": _compare(lasting_before, lasting),
        "left_out": [each.id for each in parsed.silences if each.end <= now],
    }
    if not params.dry_run:
        await admin.replace_rule_set(parsed.rules, lasting, [*lasting_before])
    return respond_changed(exact_json.dumps(body))


def _select_lasting(written: StoredRules, interval: int, now: int) -> Mapping[str, str]:
    """Return the silences that are not over, as they are written; what cannot be read is among them."""
    known = read_rule_set(StoredRules({}, {}, written.silences), interval).silences
    return {name: text for name, text in written.silences.items() if name not in known or known[name].end > now}


def _write_rule(rule: Rule) -> dict[str, object]:
    """Return the fields of a rule that differ from their defaults, numbers with their digits."""
    own = rule.write_fields()
    given = rule.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {
        name: exact_json.digits(value) if name in DECIMALS and isinstance(value, str) else value
        for name, value in own.items()
        if name in given
    }


def _parse(document: object, channels: frozenset[str] | None, interval: int) -> _Parsed:
    """Return what a document means. Raises `HttpRefusal` with every fault of it."""
    try:
        whole = RuleSetDocument.model_validate(document)
    except ValidationError as error:
        raise make_refusal(InvalidDocument(list_faults(error, RuleSetDocument))) from error
    faults: list[Fault] = []
    rules: list[Rule] = []
    silences: list[Silence] = []
    for number, each in enumerate(whole.rules):
        try:
            rules.append(_parse_rule(each, channels, interval))
        except InvalidDocument as error:
            faults += _place(error, f"rules.{number}")
    for number, each in enumerate(whole.silences):
        try:
            silences.append(parse_silence(each))
        except InvalidDocument as error:
            faults += _place(error, f"silences.{number}")
    faults += _find_repeated("rules", rules) + _find_repeated("silences", silences)
    if faults:
        raise make_refusal(InvalidDocument(faults))
    return _Parsed(rules, silences)


def _parse_rule(document: object, channels: frozenset[str] | None, interval: int) -> Rule:
    rule = parse_rule(document, interval)
    unknown = find_unknown_channels(rule, channels)
    if unknown:
        there = ", ".join(sorted(channels or ())) or "none, for there is no channel"
        raise InvalidDocument([("channels", unknown[0], there)])
    return rule


def _place(error: InvalidDocument, where: str) -> list[Fault]:
    return [(f"{where}.{field}" if field else where, value, accepted) for field, value, accepted in error.errors]


def _find_repeated(where: str, found: Sequence[Rule | Silence]) -> list[Fault]:
    names = [each.id for each in found]
    repeated = sorted({name for name in names if names.count(name) > 1})
    return [(where, name, "each id once") for name in repeated]


def _refuse_file_rules(rules: Sequence[Rule], of_file: Mapping[str, str]) -> None:
    found = sorted({rule.id for rule in rules} & of_file.keys())
    if found:
        detail = (
            f"of the file of rules are {', '.join(map(repr, found))}; take them out of the document, or of the file"
        )
        raise HttpRefusal(HTTPStatus.CONFLICT, detail)


def _compare(written: Mapping[str, str], wanted: Sequence[Rule | Silence]) -> dict[str, list[str]]:
    """Return what becomes of what is written, by id."""
    after = {each.id: write_document(each) for each in wanted}
    kept = sorted(written.keys() & after.keys())
    return {
        "created": sorted(after.keys() - written.keys()),
        "changed": [name for name in kept if written[name] != after[name]],
        "deleted": sorted(written.keys() - after.keys()),
        "unchanged": [name for name in kept if written[name] == after[name]],
    }
