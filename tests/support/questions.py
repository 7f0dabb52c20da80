"""
Every question that the API's own document knows: each path that can be got, alone and with each of its parameters.
What is answered can then be compared with what is answered elsewhere, whatever routes there are.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any
from urllib.parse import quote

GIVEN = {
    "columns": ["id,name"],
    "datetime": ["-90m"],
    "from": ["-5h", "-3d"],
    "limit": ["1", "1000"],
    "metric": ["*:B*"],
    "offset": ["1"],
    "q": ["b"],
    "since": ["-2h"],
    "step": ["1h", "30m"],
    "to": ["-1h"],
}
"""What to ask for where the document lists no values."""
BESIDE = ("/openapi.json", "/latest/metrics", "/v1/nothing")
STREAM = "text/event-stream"


def questions(document: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> list[str]:
    """Return them all; `names` says what stands for the parameters in paths."""
    return [*BESIDE, *dict.fromkeys(_all(document, names))]


def _all(document: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for path, operations in document["paths"].items():
        asked = operations.get("get")
        if asked is None or STREAM in asked["responses"].get("200", {}).get("content", {}):
            continue
        parameters = asked.get("parameters", ())
        queries = [query for each in parameters if each["in"] == "query" for query in _queries(document, each)]
        for place in _places(path, [each["name"] for each in parameters if each["in"] == "path"], names):
            yield place
            yield from (f"{place}?{query}" for query in queries)


def _places(path: str, parameters: Sequence[str], names: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for values in product(*[names[name] for name in parameters]):
        place = path
        for name, value in zip(parameters, values, strict=True):
            place = place.replace(f"{{{name}}}", quote(value, safe=":"))
        yield place


def _queries(document: Mapping[str, Any], parameter: Mapping[str, Any]) -> list[str]:
    name, schema = parameter["name"], parameter["schema"]
    values = [*_values(document, schema), *GIVEN.get(name, ())]
    return [f"{name}={quote(str(value))}" for value in values]


def _values(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterable[str]:
    """Return the values that a schema lists."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return [*schema.get("enum", ()), *(value for each in schema.get("anyOf", ()) for value in _values(document, each))]
