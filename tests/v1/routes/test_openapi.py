"""The OpenAPI document says what is served, and what is served keeps to it."""

import json
import re
from urllib.parse import quote

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no types

from scripts import docs
from tests.support.openapi_run import LONGEST_HEAD, canned_backtests, fill_for_run, run_schemathesis
from tests.support.serving import NOON, every_minute, fill, serving
from tests.support.top_made import made
from v1.market.metric_state import SourceReading
from v1.model import Metric, Reading
from v1.numbers import exact_json
from v1.rules import RuleEngine, parse_rule
from v1.store import TopWriter, keys
from worker.sampling.tick import commit_tick

SPIKES = RuleEngine([parse_rule({"id": "spike", "kind": "threshold", "above": 100})], (), 60)


@pytest.fixture(scope="module")
def document():
    """Return the committed document; that it is the one that is served has a test of its own."""
    return json.loads(docs.CONTRACT.read_text())


def test_every_operation_says_what_it_is_and_how_it_fails(document):
    operations = {
        f"{'' if method == 'get' else f'{method.upper()} '}{path}": operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert set(operations) == {
        "/v1/metrics",
        "/v1/metrics/{metric}",
        "/v1/metrics/{metric}/candles",
        "/v1/metrics/{metric}/candles.csv",
        "/v1/metrics/{metric}/candles.ndjson",
        "/v1/metrics/{metric}/history",
        "/v1/metrics/{metric}/history.csv",
        "/v1/metrics/{metric}/history.ndjson",
        "/v1/metrics/{metric}/history.arrow",
        "/v1/metrics/{metric}/gaps",
        "/v1/metrics/{metric}/gaps.csv",
        "/v1/metrics/{metric}/rank",
        "/v1/metrics/{metric}/rank-history",
        "/v1/metrics/{metric}/rank-history.csv",
        "/v1/snapshot",
        "/v1/snapshot.csv",
        "/v1/snapshot.ndjson",
        "/v1/snapshot.arrow",
        "/v1/history",
        "/v1/history.csv",
        "/v1/history.ndjson",
        "/v1/history.arrow",
        "/v1/ranks",
        "/v1/ranks.csv",
        "/v1/top",
        "/v1/top.csv",
        "/v1/rules",
        "POST /v1/rules",
        "POST /v1/rules/backtest",
        "/v1/rules/{id}",
        "PUT /v1/rules/{id}",
        "DELETE /v1/rules/{id}",
        "/v1/rules/{id}/test",
        "POST /v1/rules/{id}/test",
        "/v1/alerts",
        "/v1/alerts/{id}",
        "POST /v1/alerts/{id}/acknowledge",
        "DELETE /v1/alerts/{id}/acknowledge",
        "/v1/rule-set",
        "PUT /v1/rule-set",
        "/v1/silences",
        "/v1/stream",
        "POST /v1/silences",
        "DELETE /v1/silences/{id}",
        "/v1/sources",
        "/v1/sources/{source}/rejects",
        "/v1/whoami",
        "/v1/workers",
        "/health/live",
        "/health/ready",
    }
    for path, operation in operations.items():
        assert operation["summary"], path
        assert operation["description"], path
        assert operation["tags"], path
        assert "422" in operation["responses"], path
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (path, parameter["name"])
        for status, response in operation["responses"].items():
            if status.startswith("4"):
                assert set(response["content"]) == {"application/problem+json"}, (path, status)


def test_operations_have_short_names_that_say_what_they_do(document):
    names = [operation["operationId"] for _, _, operation in operations_of(document)]
    assert len(names) == len(set(names))
    assert [name for name in names if not re.fullmatch("[a-z]+(_[a-z]+){1,3}", name)] == []


STABLE_NAMES = {
    "get /health/live": "check_live",
    "get /health/ready": "check_ready",
    "get /v1/alerts": "list_alerts",
    "get /v1/alerts/{id}": "get_alert",
    "get /v1/metrics": "list_metrics",
    "get /v1/metrics/{metric}": "get_metric",
    "get /v1/metrics/{metric}/candles": "get_candles",
    "get /v1/metrics/{metric}/candles.csv": "get_candles_csv",
    "get /v1/metrics/{metric}/candles.ndjson": "get_candles_ndjson",
    "get /v1/metrics/{metric}/history": "get_history",
    "get /v1/metrics/{metric}/history.csv": "get_history_csv",
    "get /v1/metrics/{metric}/history.ndjson": "get_history_ndjson",
    "get /v1/metrics/{metric}/rank": "get_rank",
    "get /v1/metrics/{metric}/rank-history": "get_rank_history",
    "get /v1/metrics/{metric}/rank-history.csv": "get_rank_history_csv",
    "get /v1/metrics/{metric}/gaps": "list_gaps",
    "get /v1/metrics/{metric}/gaps.csv": "list_gaps_csv",
    "get /v1/ranks": "list_ranks",
    "get /v1/ranks.csv": "list_ranks_csv",
    "get /v1/rules": "list_rules",
    "get /v1/rules/{id}": "get_rule",
    "get /v1/rules/{id}/test": "get_message_test",
    "post /v1/rules/{id}/test": "send_message_test",
    "get /v1/rule-set": "get_rule_set",
    "put /v1/rule-set": "put_rule_set",
    "get /v1/silences": "list_silences",
    "get /v1/sources": "list_sources",
    "get /v1/sources/{source}/rejects": "list_rejects",
    "get /v1/workers": "list_workers",
    "get /v1/top": "get_top_list",
    "get /v1/top.csv": "get_top_list_csv",
    "delete /v1/rules/{id}": "delete_rule",
    "delete /v1/silences/{id}": "delete_silence",
    "post /v1/alerts/{id}/acknowledge": "acknowledge_alert",
    "delete /v1/alerts/{id}/acknowledge": "take_back_acknowledgement",
    "post /v1/rules": "create_rule",
    "post /v1/rules/backtest": "backtest_rules",
    "post /v1/silences": "create_silence",
    "put /v1/rules/{id}": "put_rule",
}
"""Names of operations that generated clients have as functions: more may come, and none changes in this version."""


def test_the_name_of_an_operation_stays(document):
    found = {f"{method} {path}": operation["operationId"] for path, method, operation in operations_of(document)}
    assert {name: found.get(name) for name in STABLE_NAMES} == STABLE_NAMES


async def test_the_committed_document_is_the_one_that_is_served(api):
    committed = docs.CONTRACT.read_text()

    assert committed == docs.make_contract(), "docs/reference/openapi.json is stale; to renew: scripts/docs.sh"
    assert (await api.get("/openapi.json")).json == json.loads(committed)


def test_a_document_is_written_with_the_digits_that_it_has():
    text = '{"a":[1.50,{"b":[]},"\\u00e9"],"c":{},"d":null,"e":true}'

    written = docs.indent_json(exact_json.loads(text))

    assert json.loads(written) == json.loads(text)
    assert written.splitlines()[2] == "  1.50,"
    assert '"é"' in written


def test_every_document_that_is_sent_or_answered_has_a_schema_with_a_name(document):
    for path, method, operation in operations_of(document):
        contents = [response.get("content", {}) for response in operation["responses"].values()]
        for content in [operation.get("requestBody", {}).get("content", {}), *contents]:
            for media_type, said in content.items():
                assert "$ref" in said["schema"] or "json" not in media_type.split("/")[1].split("+"), (path, method)
                assert media_type != "text/csv" or said["schema"] == {"type": "string"}
        succeeds = [
            content
            for status, response in operation["responses"].items()
            if status < "3"
            for content in [response.get("content", {})]
        ]
        assert all(len(content) <= 1 for content in succeeds), (path, method)


async def test_no_schema_is_there_that_nothing_refers_to_and_none_is_missing(api):
    text = (await api.get("/openapi.json")).text

    schemas = set(json.loads(text)["components"]["schemas"])
    assert set(re.findall('"#/components/schemas/([^"]+)"', text)) == schemas


def test_every_example_of_an_answer_keeps_to_its_schema(document):
    for path, method, operation in operations_of(document):
        for status, response in operation["responses"].items():
            for media_type, content in response.get("content", {}).items():
                if "json" in media_type and "ndjson" not in media_type:
                    schema = content["schema"] | {"components": document["components"]}
                    errors = [*Draft202012Validator(schema).iter_errors(content["example"])]
                    assert errors == [], (path, method, status)


@pytest.mark.parametrize("keys, schemes", [("", None), ("a-key-of-sixteen-letters", {"bearer", "header", "basic"})])
async def test_how_a_key_is_shown_is_said_where_one_is_wanted(clock, server, keys, schemes):
    async with serving(clock, server, api_keys=keys) as api:
        document = (await api.get("/openapi.json", Authorization=f"Bearer {keys}")).json

    found = document["components"].get("securitySchemes")
    assert (found and set(found)) == schemes
    assert ("security" in document) == bool(schemes)
    for path, _, operation in operations_of(document):
        assert ("security" in operation) == (bool(schemes) and path.startswith("/health/")), path


async def test_every_example_works_as_it_is_filled_in_and_its_answer_has_exactly_the_fields_of_its_schema(api, writer):
    """What `/docs` sends when somebody presses "Execute" without changing anything."""
    metric = {"SIMULATED:BTCUSD": every_minute([str(minute) for minute in range(1, 90)])}
    await fill(writer, metric)
    await commit_tick(NOON + 60, {Metric("SIMULATED:BTCUSD"): SourceReading(Reading("900"), "tests")}, writer, SPIKES)
    await TopWriter(writer._redis).write_snapshot(made(NOON))
    await writer.write_source_states({"kraken": {"state": "ok"}})
    await writer._redis.hset(keys.CHANNELS, "phone", "pushover")
    await writer._redis.set(keys.LEASE, "worker", ex=600)

    document = (await api.get("/openapi.json")).json

    assert "EXAMPLE:" not in json.dumps(document)
    checked = set()
    for path, method, operation in operations_of(document):
        where, query, body = filled_in(path, operation)
        answer = await (api.get(where, query) if method == "get" else api.send(method.upper(), where, body))
        assert 200 <= answer.status < 300, (method, path, query, answer.text)
        errors = list_schema_errors(document, operation["responses"][str(answer.status)], answer)
        assert errors == [], (method, path)
        checked.add(operation["operationId"])
    assert len(checked) == 50


async def test_every_line_of_a_table_has_the_fields_that_json_has(api, writer):
    await fill(writer, {"KRAKEN:BTCUSD": every_minute([str(minute) for minute in range(1, 90)])})
    schemas = (await api.get("/openapi.json")).json["components"]["schemas"]

    for path, row in (("metrics/KRAKEN:BTCUSD/candles", "CandleView"), ("ranks", "RankRow"), ("top", "TopCoinView")):
        await TopWriter(writer._redis).write_snapshot(made(NOON))
        names = list(schemas[row]["properties"])
        (listed, *_) = [part for part in (await api.get(f"/v1/{path}")).json.values() if isinstance(part, list)]
        assert listed, path
        assert all(list(each) == names for each in listed)
        if path != "top":
            assert (await api.get(f"/v1/{path}.csv")).text.splitlines()[0].split(",") == names
        if row == "CandleView":
            lines = (await api.get(f"/v1/{path}.ndjson")).text.splitlines()
            assert [json.loads(line) for line in lines] == listed


@pytest.mark.parametrize("schema", ["TopView", "SnapshotView", "SeriesListView", "RankList", "AlertList", "Readiness"])
def test_an_answer_with_a_field_too_many_or_too_few_does_not_keep_to_its_schema(document, schema):
    first, *others = document["components"]["schemas"][schema]["properties"]
    validator = close_schema(document, {"$ref": f"#/components/schemas/{schema}"})

    found = [error.message for error in validator.iter_errors(dict.fromkeys(others) | {"unheard_of": 1})]

    assert any("unheard_of" in message for message in found)
    assert f"'{first}' is a required property" in found


async def test_before_the_first_sample_the_examples_are_names_like_theirs(api):
    document = (await api.get("/openapi.json")).json

    example = document["paths"]["/v1/rules"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert example["metrics"] == "KRAKEN:BTCUSD"
    assert parse_rule(example, 60).id == "example-moves-5-percent"


@pytest.mark.parametrize(
    "rule, is_accepted",
    [
        ({"kind": "threshold", "above": 1}, True),
        ({"kind": "threshold", "below": "1.5"}, True),
        ({"kind": "threshold"}, False),
        ({"kind": "threshold", "above": 2, "below": 1}, False),
        ({"kind": "threshold", "below": 0}, False),
        ({"kind": "threshold", "measure": "volume", "below": -1}, False),
        ({"kind": "threshold", "measure": "change_percentage", "below": -1}, True),
        ({"kind": "ratio", "factor": 0}, False),
        ({"kind": "ratio", "window": 86401}, False),
        ({"kind": "ratio", "cooldown": -1}, False),
        ({"kind": "change", "percent": None}, False),
        ({"kind": "change", "percent": 0.1}, True),
        ({"kind": "deviation", "factor": 3}, False),
        ({"kind": "rank", "step": -1}, False),
    ],
    ids=str,
)
async def test_the_schema_of_a_rule_says_what_the_code_does(api, document, rule, is_accepted):
    schema = {"$ref": "#/components/schemas/NewRule", "components": document["components"]}

    answer = await api.send("POST", "/v1/rules", {"id": "r"} | rule)

    assert (answer.status == 201) == is_accepted
    assert Draft202012Validator(schema).is_valid({"id": "r"} | rule) == is_accepted


async def test_the_schema_of_columns_says_what_the_code_does(api, writer):
    await TopWriter(writer._redis).write_snapshot(made(NOON))
    await writer.write_source_states({"kraken": {"state": "ok"}})
    parameters = (await api.get("/openapi.json")).json["paths"]["/v1/top.csv"]["get"]["parameters"]
    (schema,) = [each["schema"] for each in parameters if each["name"] == "columns"]

    for columns in ("rank", "rank,name", "rank , id", "", "prize", "rank,", ",", "rank;id"):
        is_accepted = (await api.get("/v1/top.csv", {"columns": columns})).status == 200
        assert Draft202012Validator(schema).is_valid(columns) == is_accepted, columns


def filled_in(path, operation):
    """Return the path, the query and the body of an operation, with the examples that the document has."""
    query = {}
    for parameter in operation.get("parameters", []):
        value = parameter.get("example", parameter["schema"].get("default"))
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", quote(value))
        elif value is not None:
            query[parameter["name"]] = value
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    return path, query, body


def list_schema_errors(document, described, answer):
    """Return what of an answer its description does not promise: its media type, and each field of JSON."""
    media_type = answer.headers.get("Content-Type", "").partition(";")[0]
    content = described.get("content", {})
    if media_type not in content:
        return [media_type] if content or answer.text else []
    if media_type != "application/json":
        return []
    return [error.message for error in close_schema(document, content[media_type]["schema"]).iter_errors(answer.json)]


def close_schema(document, schema):
    """Return a validator that takes neither a field that a schema does not name nor the lack of one."""
    components = {
        name: part
        | ({"additionalProperties": False, "required": list(part["properties"])} if "properties" in part else {})
        for name, part in document["components"]["schemas"].items()
    }
    return Draft202012Validator(schema | {"components": {"schemas": components}})


def operations_of(document):
    """Return path, method and description of every operation, in the order of the document."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation


# Every boundary value of every parameter, and 20,000 requests in all, are sent by `scripts/bench.sh contract`: minutes.
@pytest.mark.timeout(300)  # hundreds of requests
async def test_answers_to_whatever_the_document_allows_and_forbids_are_those_it_promises(
    server, clock, archive_address, writer, tmp_path
):
    await fill_for_run(writer._redis)

    # An address that is too long for any request is not the document's matter.
    settings = {"database_url": archive_address, "head_bytes": LONGEST_HEAD}
    with canned_backtests(tmp_path):
        async with serving(clock, server, **settings) as api:
            run = await run_schemathesis(
                api.url, tmp_path, "--max-examples=15", "--phases=examples,fuzzing,stateful", "--workers=2"
            )

    assert run.code == 0, run.output
