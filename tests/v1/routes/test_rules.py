"""Rules over HTTP: those that there are and where they come from, changing them, and what is not accepted."""

import json
import re

import pytest
from redis.asyncio import Redis

from tests.support.serving import every_minute, fill, serving
from v1.routes.request_body import LARGEST
from v1.rules import DEFAULTS
from v1.store import connect, keys

SPIKE = {
    "id": "volume-spike",
    "kind": "ratio",
    "metrics": "*",
    "measure": "interval_volume",
    "factor": 3,
    "window": "1h",
    "min_samples": 30,
    "cooldown": "1h",
    "step": 3,
}
SHOWN = {
    "id": "volume-spike",
    "name": "",
    "kind": "ratio",
    "metrics": "*",
    "measure": "interval_volume",
    "window": 3600,
    "min_samples": 30,
    "factor": 3,
    "for": 0,
    "cooldown": 3600,
    "step": 3,
    "severity": "warning",
    "channels": [],
    "mute": None,
    "resolved": False,
    "enabled": True,
    "origin": "api",
    "matches": 2,
    "note": None,
}


@pytest.fixture(autouse=True)
async def two_metrics(writer):
    await fill(writer, {"KRAKEN:BTCUSD": every_minute(["1", "2"]), "BINANCE:BTCUSDT": every_minute(["1", "2"])})


@pytest.fixture
async def redis(server):
    async with connect(server, "tests") as client:
        yield client


async def of_the_file(redis: Redis, **fields: object) -> None:
    rule = {"id": "filed", "kind": "stale"} | fields
    await redis.hset(keys.FILE_RULES, str(rule["id"]), json.dumps(rule))


# ---- those that there are ------------------------------------------------------------------------------------------------


async def test_before_anybody_makes_one_there_are_the_default_rules(api):
    answer = await api.get("/v1/rules")

    assert [(rule["id"], rule["origin"], rule["enabled"]) for rule in answer.json["rules"]] == [
        (rule.id, "default", rule.enabled) for rule in sorted(DEFAULTS, key=lambda rule: rule.id)
    ]
    assert (answer.json["problem"], answer.json["next"]) == (None, None)


async def test_a_list_goes_on_where_it_is_told_to(api):
    first = (await api.get("/v1/rules", {"limit": 3})).json
    second = (await api.get("/v1/rules", {"limit": 3, "cursor": first["next"]})).json

    assert [len(first["rules"]), len(second["rules"]), second["next"]] == [3, 2, None]
    assert {rule["id"] for rule in first["rules"] + second["rules"]} == {rule.id for rule in DEFAULTS}


async def test_rules_say_who_wrote_them(api, redis):
    await api.send("POST", "/v1/rules", SPIKE)
    await of_the_file(redis)

    origins = {rule["id"]: rule["origin"] for rule in (await api.get("/v1/rules")).json["rules"]}

    assert (origins["volume-spike"], origins["filed"], origins["stale"]) == ("api", "file", "default")


async def test_what_is_wrong_with_the_file_is_told_with_the_rules_and_by_health(api, redis):
    await redis.set(keys.RULES_PROBLEM, "rules.toml: is not TOML")

    assert (await api.get("/v1/rules")).json["problem"] == "rules.toml: is not TOML"
    ready = (await api.get("/health/ready")).json
    assert (ready["status"], ready["reasons"]) == ("degraded", ["the file of rules is wrong: rules.toml: is not TOML"])


async def test_the_same_is_served_as_the_latest_version(api):
    assert (await api.get("/latest/rules")).json == (await api.get("/v1/rules")).json
    made = await api.send("POST", "/latest/rules", SPIKE)
    assert (made.status, made.headers["Location"]) == (201, "/latest/rules/volume-spike")


async def test_whoever_has_an_answer_is_told_that_it_has_not_changed_until_it_has(api):
    first = await api.get("/v1/rules")
    same = await api.get("/v1/rules", If_None_Match=first.headers["ETag"])
    await api.send("POST", "/v1/rules", SPIKE)
    other = await api.get("/v1/rules", If_None_Match=first.headers["ETag"])

    assert (first.headers["Cache-Control"], same.status, other.status) == ("private, no-cache", 304, 200)


async def test_a_rule_that_is_not_there_is_told_with_those_that_are_near(api):
    answer = await api.get("/v1/rules/stal")

    assert answer.status == 404
    assert answer.json["errors"][0]["accepted"].startswith("stale")


# ---- making, changing and deleting ----------------------------------------------------------------------------------------


async def test_a_rule_is_made_and_shown_as_it_is_in_force(api):
    made = await api.send("POST", "/v1/rules", SPIKE)

    assert (made.status, made.headers["Location"], made.json) == (201, "/v1/rules/volume-spike", SHOWN)
    assert (await api.get("/v1/rules/volume-spike")).json == SHOWN


async def test_numbers_keep_the_digits_that_they_were_sent_with(api):
    sent = '{"id": "a", "kind": "threshold", "above": 0.000010240000000000000001}'

    made = await api.send("POST", "/v1/rules", sent)

    assert '"above":0.000010240000000000000001,' in made.text
    assert '"above":0.000010240000000000000001,' in (await api.get("/v1/rules/a")).text


async def test_what_is_shown_can_be_put_again(api):
    shown = (await api.send("POST", "/v1/rules", SPIKE | {"mute": {"start": "22:00", "end": "06:00"}})).json
    for name in ("origin", "matches", "note"):
        del shown[name]

    assert (await api.send("PUT", "/v1/rules/volume-spike", shown)).status == 200


async def test_a_pattern_that_matches_nothing_yet_is_accepted_and_marked(api):
    made = (await api.send("POST", "/v1/rules", SPIKE | {"metrics": "coinbase:*"})).json

    assert (made["matches"], made["note"]) == (0, "no metric matches COINBASE:* yet")


@pytest.mark.parametrize(
    "pattern, matches",
    [
        ("*", 2),
        ("KRAKEN:*", 1),
        ("kraken:btcusd", 1),
        ("KRAKEN:BTC", 0),
        ("*:BTC*", 2),
        ("BINANCE:BTCUSD?", 1),
        ("?:*", 0),
    ],
)
async def test_how_many_metrics_a_pattern_matches_is_counted(api, pattern, matches):
    assert (await api.send("POST", "/v1/rules", SPIKE | {"metrics": pattern})).json["matches"] == matches


async def test_a_rule_is_not_made_twice_but_put(api):
    await api.send("POST", "/v1/rules", SPIKE)

    again = await api.send("POST", "/v1/rules", SPIKE)
    put = await api.send("PUT", "/v1/rules/volume-spike", SPIKE | {"factor": 5})

    assert (again.status, "PUT changes it" in again.json["detail"]) == (409, True)
    assert (put.status, put.json["factor"]) == (200, 5)


async def test_a_new_rule_can_be_put_too(api):
    answer = await api.send("PUT", "/v1/rules/volume-spike", SPIKE)

    assert (answer.status, answer.headers["Location"]) == (201, "/v1/rules/volume-spike")


async def test_a_deleted_rule_is_gone(api):
    await api.send("POST", "/v1/rules", SPIKE)

    gone = await api.send("DELETE", "/v1/rules/volume-spike")
    again = await api.send("DELETE", "/v1/rules/volume-spike")

    assert (gone.status, gone.text, again.status) == (204, "", 404)


async def test_a_default_rule_that_is_put_is_ours_and_deleted_it_is_switched_off(api):
    put = await api.send("PUT", "/v1/rules/stale", {"id": "stale", "kind": "stale", "intervals": 10})
    await api.send("DELETE", "/v1/rules/stale")
    off = (await api.get("/v1/rules/stale")).json
    back = await api.send("PUT", "/v1/rules/stale", {"id": "stale", "kind": "stale"})

    assert (put.status, put.json["origin"], put.json["intervals"]) == (200, "api", 10)
    assert (off["origin"], off["enabled"], off["intervals"]) == ("default", False, 5)
    assert (back.json["origin"], back.json["enabled"]) == ("api", True)


async def test_the_literal_rule_on_interval_volume_is_switched_on_by_one_put_and_off_by_one_delete(api):
    path, one_line = (
        "/v1/rules/interval-volume-3x",
        '{"id":"interval-volume-3x","kind":"ratio","measure":"interval_volume"}',
    )
    before = (await api.get(path)).json
    on = (await api.send("PUT", path, one_line)).json
    await api.send("DELETE", path)
    off = (await api.get(path)).json

    assert [(rule["factor"], rule["window"], rule["enabled"]) for rule in (before, on, off)] == [
        (3, 3600, False),
        (3, 3600, True),
        (3, 3600, False),
    ]
    assert [rule["origin"] for rule in (before, on, off)] == ["default", "api", "default"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_a_rule_of_the_file_is_changed_there_and_not_here(api, redis, method):
    await of_the_file(redis)
    path = "/v1/rules" if method == "POST" else "/v1/rules/filed"

    answer = await api.send(method, path, {"id": "filed", "kind": "stale"})

    assert answer.status == 409
    assert "is one of the file of rules; change it there" in answer.json["detail"]


async def test_more_rules_than_are_allowed_are_not_made(api, monkeypatch):
    monkeypatch.setattr("v1.store.admin.MOST_RULES", 1)
    await api.send("POST", "/v1/rules", SPIKE)

    answer = await api.send("POST", "/v1/rules", SPIKE | {"id": "other"})

    assert (answer.status, "there are 1 already" in answer.json["detail"]) == (409, True)


# ---- what is not accepted ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields, field, value, accepted",
    [
        pytest.param({"factor": -3}, "factor", "-3", "a number above zero", id="a negative factor"),
        pytest.param({"measure": "prize"}, "measure", "prize", "price, volume", id="an unknown measure"),
        pytest.param({"channels": ["telegraph"]}, "channels", "telegraph", "pushover", id="an unknown channel"),
        pytest.param({"min_samples": 61}, "min_samples", "61", "60 or less", id="can never fire"),
        pytest.param({"metrics": "BTC"}, "metrics", "BTC", "EXCHANGE:PAIR", id="matches nothing ever"),
        pytest.param({"name": 1.5}, "name", "1.5", "a text", id="a name that is a number"),
        pytest.param({"colour": "red"}, "colour", "red", "the fields id, name", id="an unknown field"),
    ],
)
async def test_what_is_not_accepted_is_named_with_its_value_and_what_would_be(
    api, redis, fields, field, value, accepted
):
    await redis.hset(keys.CHANNELS, "pushover", "pushover")

    answer = await api.send("POST", "/v1/rules", SPIKE | fields)

    assert answer.status == 422
    (error,) = answer.json["errors"]
    assert (error["field"], error["value"]) == (field, value)
    assert accepted in error["accepted"]


@pytest.mark.parametrize(
    "body, field",
    [
        pytest.param('{"id": "a", "kind": "ratio", "metrics": "\\ud83d"}', "metrics", id="as a value"),
        pytest.param('{"id": "a", "kind": "ratio", "\\ud83d": 1}', "body", id="as a name"),
    ],
)
async def test_half_of_an_emoji_is_told_as_it_came(api, body, field):
    answer = await api.send("POST", "/v1/rules", body)

    assert (answer.status, answer.json["errors"][0]["field"]) == (422, field)
    assert "\\ud83d" in answer.text


async def test_a_length_that_would_take_hours_to_read_is_refused_at_once(api):
    answer = await api.send("POST", "/v1/rules", '{"id": "a", "kind": "ratio", "window": 1e999999999}')

    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "window")


async def test_while_no_worker_has_named_its_channels_every_one_is_accepted(api):
    assert (await api.send("POST", "/v1/rules", SPIKE | {"channels": ["telegraph"]})).status == 201


async def test_a_channel_that_there_is_no_more_is_noted(api, redis):
    await api.send("POST", "/v1/rules", SPIKE | {"channels": ["telegraph"]})
    await redis.hset(keys.CHANNELS, "pushover", "pushover")

    assert "there is no channel telegraph" in (await api.get("/v1/rules/volume-spike")).json["note"]


async def test_the_id_is_that_of_the_path(api):
    answer = await api.send("PUT", "/v1/rules/other", SPIKE)

    assert (answer.status, answer.json["errors"][0]["accepted"]) == (422, "other, as in the path")


async def test_a_rule_that_is_put_need_not_repeat_its_id(api):
    without = {name: value for name, value in SPIKE.items() if name != "id"}

    made = await api.send("PUT", f"/v1/rules/{SPIKE['id']}", without)
    again = await api.send("PUT", f"/v1/rules/{SPIKE['id']}", SPIKE)
    posted = await api.send("POST", "/v1/rules", without)

    assert (made.status, made.json["id"]) == (201, SPIKE["id"])
    assert (again.status, again.json) == (200, made.json)
    assert (posted.status, posted.json["errors"][0]["field"]) == (422, "id")


@pytest.mark.parametrize(
    "body, accepted",
    [
        pytest.param("{", "JSON: Expecting property name", id="half of it"),
        pytest.param("", "JSON: Expecting value", id="nothing"),
        pytest.param('{"factor": NaN}', "NaN is no number", id="no number"),
        pytest.param("[" * 30_000, "JSON: ", id="too deep"),
        pytest.param('{"above": 1e9999999999999999999}', "JSON: '1e9999999999999999999' is not", id="an exponent"),
        pytest.param(f'{{"above": {"9" * 5000}}}', "JSON: Exceeds the limit", id="5,000 digits"),
        pytest.param("[1]", "a document of fields and values", id="a list"),
    ],
)
async def test_what_is_no_document_is_told(api, body, accepted):
    answer = await api.send("POST", "/v1/rules", body)

    assert answer.status == 422
    (error,) = answer.json["errors"]
    assert error["field"] == "body"
    assert accepted in error["accepted"]


async def test_a_document_that_is_too_large_is_not_read(api):
    answer = await api.send("POST", "/v1/rules", " " * (LARGEST + 1))

    assert (answer.status, answer.json["detail"]) == (413, "a document has 65536 bytes at most")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_what_a_foreign_page_can_send_unasked_is_refused(api, kind):
    answer = await api.send("POST", "/v1/rules", SPIKE, Content_Type=kind)

    assert (answer.status, "accepted: application/json" in answer.json["detail"]) == (415, True)


async def test_a_rule_that_cannot_be_read_is_left_out_of_the_list(api, redis):
    await redis.hset(keys.RULES, "bad", "{")

    answer = await api.get("/v1/rules")

    assert answer.status == 200
    assert "bad" not in {rule["id"] for rule in answer.json["rules"]}


async def test_a_rule_that_can_never_fire_at_the_interval_of_now_is_noted(server, clock, api):
    await api.send("POST", "/v1/rules", SPIKE | {"window": "5m", "min_samples": 5})

    async with serving(clock, server, interval=300) as slower:
        note = (await slower.get("/v1/rules/volume-spike")).json["note"]

    assert note == "it can never fire: min_samples: accepted: 1 or less: there is one sample every 300 seconds"


async def test_while_redis_is_away_nothing_is_changed_and_that_is_said(clock, tmp_path):
    async with serving(clock, f"unix://{tmp_path}/nobody.sock") as alone:
        for method, path in [
            ("GET", "/v1/rules"),
            ("POST", "/v1/rules"),
            ("PUT", "/v1/rules/volume-spike"),
            ("DELETE", "/v1/rules/volume-spike"),
            ("POST", "/v1/rules/backtest"),
        ]:
            document = {"rules": [SPIKE]} if path.endswith("backtest") else SPIKE
            assert (await alone.send(method, path, document)).status == 503, (method, path)


@pytest.mark.parametrize(
    "method, path, allowed",
    [
        ("PATCH", "/v1/rules/stale", "DELETE, GET, PUT"),
        ("DELETE", "/v1/rules", "GET, POST"),
        ("GET", "/v1/rules/backtest", "POST"),
        ("PUT", "/latest/silences/s", "DELETE"),
    ],
)
async def test_a_method_that_is_not_accepted_is_told_with_all_that_are(api, method, path, allowed):
    answer = await api.send(method, path, {})

    assert (answer.status, answer.headers["Allow"]) == (405, allowed)
    assert answer.json["detail"].endswith(f"accepted: {allowed}")


async def test_with_keys_nobody_writes_without_one(server, clock):
    async with serving(clock, server, api_keys="secret-of-16-or-more") as closed:
        refused = await closed.send("POST", "/v1/rules", SPIKE)
        made = await closed.send("POST", "/v1/rules", SPIKE, Authorization="Bearer secret-of-16-or-more")

    assert (refused.status, made.status) == (401, 201)


@pytest.mark.parametrize("method, path", [("POST", "rules"), ("POST", "rules/backtest"), ("POST", "silences")])
async def test_of_thousands_of_faults_the_first_are_told_and_how_many_more(api, method, path):
    document = {f"field{number}": 1 for number in range(4000)}

    answer = await api.send(method, f"/v1/{path}", document)

    assert answer.status == 422
    assert len(answer.json["errors"]) == 20
    assert re.search(r"and 3,98[0-9] more$", answer.json["detail"])
    assert len(answer.text) < 30_000


@pytest.mark.parametrize("document", [{"f" * 60_000: 1}, {"id": "i" * 60_000}, {"metrics": ":" * 60_000}])
@pytest.mark.parametrize("path", ["rules", "silences"])
async def test_of_a_long_name_or_value_the_beginning_is_told(api, path, document):
    answer = await api.send("POST", f"/v1/{path}", document)

    assert answer.status == 422
    assert len(answer.text) < 10_000
    assert "..." in answer.json["detail"]


async def test_of_thousands_of_parameters_the_first_are_told(api):
    answer = await api.get("/v1/ranks?" + "&".join(f"p{number}=1" for number in range(300)))

    assert (answer.status, len(answer.json["errors"])) == (422, 20)
    assert answer.json["detail"].endswith("and 280 more")
