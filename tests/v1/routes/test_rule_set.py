"""All rules and silences as one document: it is read, and put back whole or not at all."""

import asyncio
import json

import pytest
from redis.asyncio import Redis

from tests.support.serving import NOON, Api, serving
from v1.routes.access.caller import find_wanted_scope
from v1.routes.request_body import LARGEST, LARGEST_SET
from v1.server.configuration import make_limits
from v1.settings import Settings
from v1.store import ApiKeyStore, KeyScope, connect, keys

SPIKE = {"id": "spike", "kind": "ratio", "factor": 2.50}
QUIET = {"id": "quiet", "from": NOON, "to": NOON + 3600, "comment": "maintenance"}
PATH = "/v1/rule-set"


@pytest.fixture
async def redis(server):
    async with connect(server, "tests") as client:
        yield client


async def put(api: Api, rules: list[object], silences: list[object], query: str = ""):
    return await api.send("PUT", f"{PATH}{query}", {"rules": rules, "silences": silences})


async def listed(api: Api) -> set[str]:
    return {rule["id"] for rule in (await api.get("/v1/rules")).json["rules"] if rule["origin"] == "api"}


async def test_what_was_written_is_put_back_as_it_was(api):
    await api.send("POST", "/v1/rules", '{"id": "spike", "kind": "ratio", "factor": 2.50}')
    await api.send("DELETE", "/v1/rules/stale")
    await api.send("POST", "/v1/silences", QUIET)
    kept = await api.get(PATH)
    before = (await api.get("/v1/rules")).text, (await api.get("/v1/silences")).text

    await put(api, [], [])
    assert (await listed(api), (await api.get("/v1/rules/stale")).json["enabled"]) == (set(), True)
    answer = await api.send("PUT", PATH, kept.text)

    assert '"factor":2.50' in kept.text.replace(" ", "")
    assert {rule["id"]: set(rule) for rule in kept.json["rules"]}["spike"] == {"id", "kind", "factor"}
    assert (answer.json["rules"]["created"], answer.json["silences"]["created"]) == (["spike", "stale"], ["quiet"])
    assert ((await api.get("/v1/rules")).text, (await api.get("/v1/silences")).text) == before
    again = (await api.send("PUT", PATH, kept.text)).json
    assert (again["rules"]["unchanged"], again["silences"]["unchanged"]) == (["spike", "stale"], ["quiet"])


async def test_a_dry_run_says_what_would_be_changed_and_writes_nothing(api):
    await put(api, [SPIKE, {"id": "gone", "kind": "stale"}], [])

    answer = await put(api, [SPIKE | {"factor": 5}, {"id": "new", "kind": "stale"}], [QUIET], "?dry_run=true")

    assert answer.json == {
        "dry_run": True,
        "rules": {"created": ["new"], "changed": ["spike"], "deleted": ["gone"], "unchanged": []},
        "silences": {"created": ["quiet"], "changed": [], "deleted": [], "unchanged": []},
        "left_out": [],
    }
    assert await listed(api) == {"spike", "gone"}
    assert (await api.get("/v1/silences")).json["silences"] == []


async def test_where_anything_is_wrong_every_fault_is_named_and_nothing_is_written(api):
    await put(api, [SPIKE], [QUIET])

    answer = await put(
        api,
        [{"id": "new", "kind": "stale"}, SPIKE | {"factor": -1}, {"id": "other", "kind": "stale", "above": 5}],
        [QUIET | {"to": 1}],
    )

    assert answer.status == 422
    assert [each["field"] for each in answer.json["errors"]] == ["rules.1.factor", "rules.2.above", "silences.0.to"]
    twice = await put(api, [SPIKE, SPIKE], [])
    assert [(each["field"], each["value"]) for each in twice.json["errors"]] == [("rules", "spike")]
    assert (await api.send("PUT", PATH, {"rules": []})).json["errors"][0]["field"] == "silences"
    assert await listed(api) == {"spike"}


async def test_rules_of_the_file_stay_in_the_file(api, redis: Redis):
    await redis.hset(keys.FILE_RULES, "filed", json.dumps({"id": "filed", "kind": "stale"}))

    answer = await put(api, [SPIKE, {"id": "filed", "kind": "stale"}], [])

    assert (answer.status, "'filed'" in answer.json["detail"]) == (409, True)
    assert (await api.get(PATH)).json == {"rules": [], "silences": []}


async def test_silences_that_are_over_are_neither_written_nor_forgotten(api, clock):
    await put(api, [], [QUIET])
    clock.now += 7200

    assert (await api.get(PATH)).json["silences"] == []
    answer = await put(api, [], [QUIET | {"id": "late"}])

    assert (answer.json["left_out"], answer.json["silences"]["deleted"]) == (["late"], [])
    assert [each["id"] for each in (await api.get("/v1/silences")).json["silences"]] == ["quiet"]


async def test_to_put_them_needs_a_key_that_may_change_rules():
    assert [find_wanted_scope(method, PATH) for method in ("GET", "PUT")] == ["read", "rules"]


async def test_a_set_of_a_mebibyte_is_taken_and_a_larger_one_is_refused_with_the_bound(api):
    rules = [{"id": f"r{number}", "kind": "stale", "name": "x" * 120} for number in range(400)]
    whole = json.dumps({"rules": rules, "silences": []})
    assert len(whole) > LARGEST

    answer = await api.send("PUT", PATH, whole.ljust(LARGEST_SET))
    larger = await api.send("PUT", PATH, whole.ljust(LARGEST_SET + 1))
    elsewhere = await api.send("PUT", "/v1/rules/r1", whole)

    assert (answer.status, len(answer.json["rules"]["created"])) == (200, 400)
    assert (larger.status, larger.json["detail"]) == (413, "a document has 1048576 bytes at most")
    assert (elsewhere.status, elsewhere.json["detail"]) == (413, "a document has 65536 bytes at most")
    assert (await api.get("/v1/rules/r399")).status == 200


@pytest.mark.parametrize("sent", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize(
    "key, status",
    [("", 401), ("X-API-Key: dt_unknown\r\n", 401), ("X-API-Key: {}\r\n", 403)],
    ids=["none", "no", "read"],
)
async def test_who_may_not_put_them_is_told_so_before_any_of_a_large_document_is_sent(server, clock, key, status, sent):
    async with connect(server, "tests") as client:
        reading, _ = await ApiKeyStore(client).add_key("ann", KeyScope.READ, NOON, None)
    head = f"PUT {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{sent}\r\n{key.format(reading)}\r\n"

    async with serving(clock, server, keys_required="yes") as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))
        writer.write(head.encode())
        answer = (await reader.read()).decode()
        # What is sent all the same is dropped, and nothing of it is taken for a request.
        writer.write(b"5\r\nGET /")
        rest = await reader.read()
        writer.close()

    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert "connection: close\r\n" in answer.lower()
    assert '"type":"about:blank"' in answer
    assert rest == b""


async def test_who_may_put_them_may_send_a_mebibyte(server, clock):
    async with connect(server, "tests") as client:
        writing, _ = await ApiKeyStore(client).add_key("ann", KeyScope.RULES, NOON, None)
    document = json.dumps({"rules": [], "silences": []}).ljust(LARGEST_SET)

    async with serving(clock, server, keys_required="yes") as api:
        answer = await api.send("PUT", PATH, document, X_API_Key=writing)

    assert answer.status == 200


@pytest.mark.parametrize("path", ["/latest/rule-set", "/behind/a/proxy/v1/rule-set"])
def test_the_server_asks_what_may_be_sent_by_the_end_of_a_path(path):
    limits = make_limits(Settings.load(redis_url="redis://127.0.0.1:6379"))

    assert (limits.find_largest_body(path), limits.find_largest_body("/v1/rules")) == (LARGEST_SET, LARGEST)
