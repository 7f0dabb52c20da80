"""
Schemas that routes write themselves, each under a name of its own, as `#/components/schemas/<name>`.

FastAPI names what it finds in signatures. Documents that are sent to us are read by hand, and rules are of
many kinds, so these are put together here. What a document may hold is decided in `rules`.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from ..rules import Kind, Rule
from ..rules.mute_hours import MuteHours
from ..rules.rule import DECIMALS, NEVER_NEGATIVE, OF_ANY_KIND, OF_KIND
from ..rules.rule_set import Origin

Schema = dict[str, Any]
_AT = "#/components/schemas/"
_NUMBERS = ("integer", "number")
_NAMED = {"direction": "Direction", "event": "Crossing"}
"""Fields of few words, and what their type is called."""
COMPONENTS: dict[str, Schema] = {}
"""Every schema that was named, for the document."""


def add_schema(name: str, schema: Mapping[str, Any]) -> Schema:
    """Put a schema among the components, and return what refers to it."""
    COMPONENTS[name] = {**schema, "title": name}
    return {"$ref": f"{_AT}{name}"}


def add_model_schema(model: type[BaseModel]) -> Schema:
    """Return the schema of a model; what it is made of is put among the components."""
    whole = model.model_json_schema(by_alias=True, ref_template=f"{_AT}{{model}}")
    for name, inner in whole.pop("$defs", {}).items():
        add_schema(name, inner)
    for field in whole["properties"].values():
        field.pop("title", None)
    return whole


def make_request_schema(schema: Schema) -> Schema:
    """
    Return the schema of a document that is sent to us, with its defaults in words.

    Generated clients take a field with a `default` for one that is always there, and want it to be given.
    """
    return schema | {"properties": {name: _describe_default(field) for name, field in schema["properties"].items()}}


def _describe_default(field: Schema) -> Schema:
    default = field.get("default")
    told = {key: value for key, value in field.items() if key != "default"}
    if default in (None, "", []):
        return told
    return told | {"description": f"{told.get('description', '')} Without it: {json.dumps(default)}.".strip()}


def _list_new_rule_schemas() -> dict[str, Schema]:
    """Return the schema of each kind of rule, as it is sent to us, by name."""
    whole = add_model_schema(Rule)
    made = {}
    for kind in Kind:
        fields = _fields(whole, kind)
        for name in ("factor", "score", "percent"):
            if name in fields:
                fields[name] = _above_zero(fields[name])
        must = ["id", "kind", *(["percent"] if kind is Kind.CHANGE else [])]
        made[f"New{kind.title()}Rule"] = _close_schema(fields, must, kind)
    return made | _thresholds(made.pop("NewThresholdRule"))


def _thresholds(whole: Schema) -> dict[str, Schema]:
    """Return the two of a threshold: it has one bound, and not both."""
    made = {}
    for bound, other in (("above", "below"), ("below", "above")):
        fields = {name: field for name, field in whole["properties"].items() if name != other}
        number = next(each for each in fields[bound]["anyOf"] if each["type"] == "number")
        text = next(each for each in fields[bound]["anyOf"] if each["type"] == "string")
        fields[bound] = {"anyOf": [number, text], "description": fields[bound]["description"]}
        made[f"NewThreshold{bound.title()}Rule"] = whole | {
            "properties": fields,
            "required": [*whole["required"], bound],
        }
    never = {"properties": {"measure": {"enum": [*NEVER_NEGATIVE]}}}
    above_zero = {"properties": {"below": {"exclusiveMinimum": 0}}}
    made["NewThresholdBelowRule"] |= {"if": never, "then": above_zero}
    return made


def _list_put_rule_schemas(new: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return the schema of each kind of rule, as it is put at the path of its id, by name."""
    return {
        f"Put{name.removeprefix('New')}": schema
        | {
            "properties": schema["properties"]
            | {"id": schema["properties"]["id"] | {"description": "As in the path. Without it: that one."}},
            "required": [field for field in schema["required"] if field != "id"],
        }
        for name, schema in new.items()
    }


def _list_rule_schemas() -> dict[str, Schema]:
    """Return the schema of each kind of rule, as it is answered, by name."""
    whole = add_model_schema(Rule)
    made = {}
    for kind in Kind:
        fields = {name: _show_field(name, field) for name, field in _fields(whole, kind).items()}
        fields |= {
            "origin": add_schema("Origin", {"enum": [origin.value for origin in Origin], "type": "string"})
            | {"description": "Who has written it: nobody, somebody through this API, or the file of rules."},
            "matches": {"type": "integer", "description": "How many metrics it watches now."},
            "note": {"type": ["string", "null"], "description": "Why it says nothing now, where that is known."},
        }
        made[f"{kind.title()}Rule"] = {
            "type": "object",
            "properties": fields,
            "required": [*fields],
            "description": f"A {kind} rule as it is in force.",
        }
    return made


def _fields(whole: Schema, kind: Kind) -> dict[str, Schema]:
    fields = {
        name: field for name, field in whole["properties"].items() if name not in OF_ANY_KIND or name in OF_KIND[kind]
    }
    for name, its_name in _NAMED.items():
        if name in fields:
            words, default = fields[name].get("description"), fields[name].get("default")
            alone = {key: value for key, value in fields[name].items() if key not in ("description", "default")}
            fields[name] = add_schema(its_name, alone) | {"description": words, "default": default}
    fields = {name: _with_bounds(name, field) for name, field in fields.items()}
    return fields | {"kind": {"const": kind.value, "type": "string", "description": kind.value}}


def _with_bounds(name: str, field: Schema) -> Schema:
    """Return a field with the bounds that a number in it has, where it may also be written as a text."""
    known = next(each for key, each in Rule.model_fields.items() if name in (key, each.alias))
    bounds = {
        word: value
        for each in known.metadata
        for word, value in (("minimum", getattr(each, "ge", None)), ("maximum", getattr(each, "le", None)))
        if value is not None
    }
    bounds = {"minimum": 0} if name == "step" else bounds
    branches = [each | (bounds if each.get("type") in _NUMBERS else {}) for each in field.get("anyOf", ())]
    return field | ({"anyOf": branches} if branches else {})


def _close_schema(fields: dict[str, Schema], must: list[str], kind: Kind) -> Schema:
    return make_request_schema(
        {
            "type": "object",
            "properties": fields,
            "required": must,
            "additionalProperties": False,
            "description": f"A {kind} rule to be.",
        }
    )


def _above_zero(field: Schema) -> Schema:
    branches = [each | ({"exclusiveMinimum": 0} if each["type"] == "number" else {}) for each in field["anyOf"]]
    told = {key: value for key, value in field.items() if key != "default" or value is not None}
    return told | {"anyOf": [each for each in branches if each["type"] != "null"]}


def _show_field(name: str, field: Schema) -> Schema:
    """Return a field as it is answered: of all ways to write it one, and never left out."""
    told = {"description": field["description"]} if "description" in field else {}
    kinds = [each.get("type") for each in field.get("anyOf", [])]
    if name in DECIMALS:
        return told | {"type": ["number", "null"] if "null" in kinds else "number"}
    if "integer" in kinds and "string" in kinds:
        return told | {"type": "integer", "description": f"{told.get('description', '')} In seconds.".strip()}
    return {key: value for key, value in field.items() if key != "default"}


def _union(schemas: Mapping[str, Schema]) -> list[Schema]:
    return [add_schema(name, schema) for name, schema in schemas.items()]


_NEW, _SHOWN = _list_new_rule_schemas(), _list_rule_schemas()
add_schema("Mute", make_request_schema(add_model_schema(MuteHours)))
NEW_RULE = add_schema("NewRule", {"anyOf": _union(_NEW), "description": "A rule to be, with the fields of its kind."})
PUT_RULE = add_schema(
    "PutRule",
    {
        "anyOf": _union(_list_put_rule_schemas(_NEW)),
        "description": "A rule to be at the path of its id, with the fields of its kind.",
    },
)
RULE = add_schema(
    "Rule",
    {
        "oneOf": _union(_SHOWN),
        "discriminator": {
            "propertyName": "kind",
            "mapping": {kind.value: f"{_AT}{kind.title()}Rule" for kind in Kind},
        },
        "description": "A rule in force, with the fields of its kind.",
    },
)
RULES = add_schema(
    "Rules",
    {
        "type": "object",
        "properties": {
            "rules": {"type": "array", "items": RULE},
            "problem": {"type": ["string", "null"], "description": "What is wrong with the file of rules."},
            "next": {"type": ["string", "null"], "description": "The `cursor` of what follows; null at the end."},
        },
        "required": ["rules", "problem", "next"],
        "description": "The rules, by id.",
    },
)
