"""Alerts over HTTP, as the worker's own tick committed them."""

import json

import pytest

from tests.support.alerts import alert
from tests.support.serving import NOON
from v1.market.metric_state import SourceReading
from v1.model import Metric, Reading
from v1.rules import RuleEngine, parse_rule, parse_silence
from v1.store import Writer, connect, keys
from worker.sampling.tick import commit_tick

BTC, ETH = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD"
RULES = [
    parse_rule({"id": "ratio", "kind": "ratio", "min_samples": 1, "cooldown": 0, "step": 0}),
    parse_rule({"id": "above", "kind": "threshold", "above": "0.00000001", "cooldown": 0}),
]
SILENCE = parse_silence({"id": "night", "metrics": ETH, "from": NOON, "to": NOON + 999})


@pytest.fixture
async def redis(server):
    async with connect(server, "tests") as client:
        yield client


@pytest.fixture
async def history(redis):
    """Three ticks of two metrics; BTC jumps at the last one."""
    store, engine = Writer(redis), RuleEngine(RULES, [SILENCE], 60)
    await store.open()
    for minute, price in enumerate(["0.0000001", "0.0000001", "0.00000050"]):
        heard = {BTC: price, ETH: "0"}
        readings = {Metric(metric): SourceReading(Reading(value), "kraken") for metric, value in heard.items()}
        await commit_tick(NOON + 60 * minute, readings, store, engine)


@pytest.mark.usefixtures("history")
async def test_alerts_come_newest_first_with_everything_that_is_known_of_them(api, redis):
    name = f"ratio.{BTC}.{NOON + 120}"
    attempt = {"at": NOON + 120.5, "channel": "pushover", "status": "sent", "answer": "200", "message": name}
    await redis.rpush(keys.deliveries(name), json.dumps(attempt))
    await redis.expire(keys.deliveries(name), 60)

    answer = await api.get("/v1/alerts")

    assert [alert["at"] for alert in answer.json["alerts"]] == [NOON + 120, NOON + 120, NOON + 60, NOON]
    alert = next(each for each in answer.json["alerts"] if each["rule"] == "ratio")
    assert alert == {
        "id": name,
        "rule": "ratio",
        "name": "ratio",
        "kind": "ratio",
        "severity": "warning",
        "event": "firing",
        "metric": BTC,
        "measure": "price",
        "at": NOON + 120,
        "value": 5e-07,
        "mean": 1e-07,
        "ratio": 5.0,
        "samples": 2,
        "since": NOON + 120 - 3600,
        "reference": None,
        "reference_kind": None,
        "rank": 1,
        "of": 2,
        "suppressed_by": None,
        "group_size": 1,
        "channels": [],
        "title": alert["title"],
        "text": alert["text"],
        "ended_at": None,
        "acknowledged": None,
        "deliveries": [attempt],
    }
    assert '"value":0.00000050,' in answer.text
    assert alert["title"].startswith(f"{BTC} price is 5 x")
    assert "0.00000050" in alert["text"]


@pytest.mark.usefixtures("history")
async def test_one_alert_is_answered_by_its_id(api):
    listed = (await api.get("/v1/alerts?rule=ratio")).json["alerts"][0]

    assert (await api.get(f"/v1/alerts/{listed['id']}")).json == listed
    missing = await api.get("/v1/alerts/ratio.KRAKEN:BTCUSD.1")
    assert missing.status == 404
    assert missing.json["errors"][0]["value"] == "ratio.KRAKEN:BTCUSD.1"


@pytest.mark.usefixtures("history")
async def test_alerts_are_told_apart_by_whether_somebody_has_acknowledged_them(api):
    listed = (await api.get("/v1/alerts?rule=ratio")).json["alerts"][0]
    await api.send("POST", f"/v1/alerts/{listed['id']}/acknowledge", {"by": "ann"})

    seen = (await api.get("/v1/alerts?acknowledged=true")).json["alerts"]
    others = (await api.get("/v1/alerts?acknowledged=false")).json["alerts"]

    assert [each["id"] for each in seen] == [listed["id"]]
    assert len(others) == 3
    assert listed["id"] not in [each["id"] for each in others]


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    "query, many",
    [
        pytest.param({"rule": "ratio"}, 1, id="a rule"),
        pytest.param({"rule": "rat"}, 0, id="a rule by its whole id alone"),
        pytest.param({"metric": "kraken:btc*"}, 4, id="a pattern of metrics, in small letters"),
        pytest.param({"metric": ETH}, 0, id="a metric"),
        pytest.param({"since": NOON + 60}, 3, id="from a tick on"),
        pytest.param({"since": "2021-05-17T12:02:00Z"}, 2, id="from an instant on"),
        pytest.param({"since": "-1h"}, 4, id="of the last hour"),
        pytest.param({"until": NOON + 60}, 2, id="up to a tick"),
        pytest.param({"since": NOON + 60, "until": NOON + 60}, 1, id="of a tick"),
        pytest.param({"severity": "warning"}, 4, id="a severity"),
        pytest.param({"severity": "critical"}, 0, id="another severity"),
    ],
)
async def test_only_what_is_asked_for_is_answered(api, query, many):
    assert len((await api.get("/v1/alerts", query)).json["alerts"]) == many


@pytest.mark.usefixtures("history")
async def test_pages_follow_each_other(api):
    first = (await api.get("/latest/alerts", {"limit": 3})).json
    second = (await api.get("/latest/alerts", {"limit": 3, "cursor": first["next"]})).json

    assert [len(first["alerts"]), len(second["alerts"]), second["next"]] == [3, 1, None]


@pytest.mark.parametrize(
    "query, field",
    [
        pytest.param({"cursor": "next"}, "cursor", id="no place"),
        pytest.param({"limit": 1001}, "limit", id="everything"),
        pytest.param({"since": "yesterday"}, "since", id="no time"),
        pytest.param({"metric": ""}, "metric", id="no pattern"),
        pytest.param({"severity": "grave"}, "severity", id="no severity"),
        pytest.param({"acknowledged": "perhaps"}, "acknowledged", id="neither yes nor no"),
        pytest.param({"state": "open"}, "state", id="an unknown parameter"),
    ],
)
async def test_what_is_not_accepted_is_named(api, query, field):
    answer = await api.get("/v1/alerts", query)

    assert answer.status == 422
    assert [error["field"] for error in answer.json["errors"]] == [field]


async def test_without_an_alert_there_is_none(api):
    assert (await api.get("/v1/alerts")).json == {"alerts": [], "next": None}


# ---- acknowledging -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("history")
async def test_an_alert_is_acknowledged_once_and_the_first_to_do_so_stays(api, clock):
    path = f"/v1/alerts/ratio.{BTC}.{NOON + 120}/acknowledge"

    first = await api.send("POST", path, {"by": "ann", "comment": "seen"})
    clock.now += 60
    second = await api.send("POST", path, {"by": "bob"})

    seen = {"at": NOON + 5, "by": "ann", "comment": "seen", "until": None}
    assert (first.status, first.json["acknowledged"]) == (200, seen)
    assert (second.status, second.json["acknowledged"]) == (200, seen)
    assert (await api.get("/v1/alerts", {"rule": "ratio"})).json["alerts"][0]["acknowledged"] == seen


@pytest.mark.parametrize("name", ["nothing", f"ratio.{BTC}.{NOON}", f"stale.kraken:*.{NOON}"])
async def test_an_alert_that_is_not_there_cannot_be_acknowledged(api, name):
    assert (await api.send("POST", f"/v1/alerts/{name}/acknowledge", {"by": "ann"})).status == 404


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    "document, field",
    [({}, "by"), ({"by": ""}, "by"), ({"by": 5}, "by"), ({"by": "ann", "at": 1}, "at"), ([], "body")],
    ids=["nobody", "no name", "a number", "a time", "a list"],
)
async def test_who_acknowledges_must_say_so(api, document, field):
    answer = await api.send("POST", f"/v1/alerts/ratio.{BTC}.{NOON + 120}/acknowledge", document)

    assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (422, [field])


async def test_what_is_acknowledged_until_it_is_over_is_told_by_nobody_until_then(api, writer):
    fields = {"id": "above", "kind": "threshold", "above": 1, "cooldown": 0, "resolved": True}
    above = RuleEngine([parse_rule(fields)], (), 60)
    await writer.open()

    async def tick(minute: int, price: str) -> list[str | None]:
        at = NOON + 300 + 60 * minute
        await commit_tick(at, {Metric(BTC): SourceReading(Reading(price), "tests")}, writer, above)
        alerts = (await api.get("/v1/alerts", {"rule": "above", "since": at})).json["alerts"]
        return [each["suppressed_by"] for each in alerts]

    assert await tick(0, "2") == [None]
    path = f"/v1/alerts/above.{BTC}.{NOON + 300}/acknowledge"
    await api.send("POST", path, {"by": "ann"})
    answer = await api.send("POST", path, {"by": "bob", "comment": "on it", "until": "over"})
    assert answer.json["acknowledged"] == {"at": NOON + 5, "by": "ann", "comment": "on it", "until": "over"}
    assert await tick(1, "3") == ["acknowledged by bob until it is over"]
    assert await tick(2, "1") == [None]
    assert await tick(3, "2") == [None]
    outbox = [json.loads(fields["alert"]) for _, fields in await writer._redis.xrange(keys.OUTBOX)]
    assert [alert["event"] for alert in outbox if alert["rule"] == "above"] == ["firing", "resolved", "firing"]
    assert await writer._redis.exists(keys.ACKNOWLEDGED) == 0


async def test_what_is_taken_back_is_told_again_from_the_next_tick_on(api, writer):
    fields = {"id": "above", "kind": "threshold", "above": 1, "cooldown": 0, "step": 0}
    above = RuleEngine([parse_rule(fields)], (), 60)
    await writer.open()

    async def tick(minute: int) -> list[str | None]:
        at = NOON + 300 + 60 * minute
        await commit_tick(at, {Metric(BTC): SourceReading(Reading("2"), "tests")}, writer, above)
        alerts = (await api.get("/v1/alerts", {"rule": "above", "since": at})).json["alerts"]
        return [each["suppressed_by"] for each in alerts]

    assert await tick(0) == [None]
    path = f"/v1/alerts/above.{BTC}.{NOON + 300}/acknowledge"
    await api.send("POST", path, {"by": "ann", "until": "over"})
    assert await tick(1) == ["acknowledged by ann until it is over"]

    taken = await api.send("DELETE", path)
    again = await api.send("DELETE", path)

    assert (taken.status, taken.json["acknowledged"]) == (200, None)
    assert taken.json == (await api.get(path.removesuffix("/acknowledge"))).json
    assert (again.status, again.json["detail"]) == (
        404,
        f"nobody has acknowledged the alert 'above.{BTC}.{NOON + 300}', so there is nothing to take back",
    )
    assert await tick(2) == [None]


async def test_nothing_is_taken_back_of_an_alert_that_is_not_there(api):
    answer = await api.send("DELETE", f"/v1/alerts/ratio.{BTC}.{NOON}/acknowledge")

    assert (answer.status, answer.json["errors"][0]["field"]) == (404, "id")


async def test_what_tells_that_it_is_over_cannot_be_acknowledged_until_then(api, writer):
    ended = alert(BTC, NOON, event="resolved")
    await writer._redis.zadd(keys.ALERTS, {json.dumps(ended._asdict()): NOON})
    await writer._redis.expire(keys.ALERTS, 600)

    answer = await api.send("POST", f"/v1/alerts/{ended.id}/acknowledge", {"by": "ann", "until": "over"})
    wrong = await api.send("POST", f"/v1/alerts/{ended.id}/acknowledge", {"by": "ann", "until": "tomorrow"})

    assert (answer.status, answer.json["errors"]) == (
        422,
        [{"field": "until", "value": "over", "accepted": "null: the alert is of the event resolved, so it is over"}],
    )
    assert (wrong.status, wrong.json["errors"][0]["field"]) == (422, "until")
    assert (await api.send("POST", f"/v1/alerts/{ended.id}/acknowledge", {"by": "ann"})).status == 200
