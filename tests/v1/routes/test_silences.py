"""Silences over HTTP."""

import pytest

from tests.support.serving import NOON

HOUR = 3600


async def test_a_silence_is_made_listed_and_deleted(api):
    made = await api.send(
        "POST", "/v1/silences", {"metrics": "kraken:*", "to": "2021-05-17T14:00:00Z", "comment": "maintenance"}
    )
    listed = (await api.get("/v1/silences")).json
    gone = await api.send("DELETE", made.headers["Location"])

    assert made.status == 201
    assert made.json == {
        "id": made.json["id"],
        "metrics": "KRAKEN:*",
        "rule": "*",
        "from": NOON + 5,
        "to": NOON + 2 * HOUR,
        "comment": "maintenance",
        "state": "active",
    }
    assert listed == {"silences": [made.json], "next": None}
    assert (gone.status, (await api.get("/v1/silences")).json["silences"]) == (204, [])


@pytest.mark.parametrize("start, end, state", [(-100, 100, "active"), (100, 200, "pending")], ids=["now", "later"])
async def test_a_silence_says_whether_it_lasts(api, start, end, state):
    made = await api.send("POST", "/v1/silences", {"id": "s", "from": NOON + start, "to": NOON + end})

    assert (made.status, made.json["state"]) == (201, state)


@pytest.mark.parametrize(
    "times, start, end",
    [
        ({"to": "+1h"}, 5, HOUR + 5),
        ({"from": "now+30m", "to": "+90m"}, 1805, 5405),
        ({"from": "-1d", "to": "now+90s"}, 5 - 24 * HOUR, 95),
    ],
    ids=["from now", "later", "since yesterday"],
)
async def test_times_from_now_reach_both_ways(api, times, start, end):
    made = await api.send("POST", "/v1/silences", times)

    assert (made.status, made.json["from"], made.json["to"]) == (201, NOON + start, NOON + end)


async def test_a_silence_that_is_over_is_still_listed(api, clock):
    await api.send("POST", "/v1/silences", {"id": "s", "to": NOON + 60})
    clock.now += 60

    assert [each["state"] for each in (await api.get("/v1/silences")).json["silences"]] == ["ended"]


async def test_silences_come_page_by_page(api):
    for name in "cab":
        await api.send("POST", "/v1/silences", {"id": name, "to": NOON + 60})

    first = (await api.get("/v1/silences", {"limit": 2})).json
    second = (await api.get("/v1/silences", {"limit": 2, "cursor": first["next"]})).json

    assert [each["id"] for each in first["silences"] + second["silences"]] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "document, field, accepted",
    [
        pytest.param({}, "to", "it must be given", id="no end"),
        pytest.param({"to": NOON}, "to", "a time after `from`", id="an end that is no end"),
        pytest.param({"from": 1, "to": NOON}, "to", "a time after now", id="over before it begins"),
        pytest.param({"to": "tomorrow"}, "to", "unix seconds", id="no time"),
        pytest.param({"to": 1_893_456_000_000}, "to", "looks like milliseconds", id="milliseconds"),
        pytest.param({"to": NOON + 60, "metrics": "KRAKEN"}, "metrics", "EXCHANGE:PAIR", id="no pattern"),
        pytest.param({"to": NOON + 60, "id": "A B"}, "id", "small letters", id="no id"),
        pytest.param({"to": NOON + 60, "until": 1}, "until", "the fields id, metrics, rule, from, to", id="unknown"),
        pytest.param([], "body", "a document of fields and values", id="a list"),
    ],
)
async def test_what_is_not_accepted_is_named(api, document, field, accepted):
    answer = await api.send("POST", "/v1/silences", document)

    assert answer.status == 422
    (error,) = answer.json["errors"]
    assert error["field"] == field
    assert accepted in error["accepted"]


async def test_a_silence_is_not_made_twice(api):
    silence = {"id": "s", "to": NOON + 60}
    await api.send("POST", "/v1/silences", silence)

    assert (await api.send("POST", "/v1/silences", silence)).status == 409


async def test_a_silence_that_is_not_there_is_told_with_those_that_are_near(api):
    await api.send("POST", "/v1/silences", {"id": "maintenance", "to": NOON + 60})

    answer = await api.send("DELETE", "/latest/silences/maintenace")

    assert (answer.status, answer.json["errors"][0]["accepted"]) == (404, "maintenance")
