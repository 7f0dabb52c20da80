"""All rules and silences as one document: it is read, and put back whole or not at all."""

import json

import pytest
from redis.asyncio import Redis

from tests.support.serving import NOON, Api
from v1.routes.access.caller import find_wanted_scope
from v1.store import connect, keys

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
