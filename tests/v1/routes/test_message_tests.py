"""Tests of rules over HTTP: who is sent one, who is refused and why, and that nothing else is changed by it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support.serving import NOON, Api, Clock, every_minute, fill, serving
from v1.market.replayed import ReplayMark
from v1.rules import parse_rule
from v1.store import AdminStore, ApiKeyStore, KeyScope, ReplayStore, connect, keys

RULE = {"id": "mine", "kind": "ratio", "factor": 3, "metrics": "KRAKEN:*", "channels": ["phone"]}
PATH = "/v1/rules/mine/test"


@pytest.fixture
async def redis(server: str) -> AsyncIterator[Redis]:
    async with connect(server, "tests") as client:
        yield client


@pytest.fixture(autouse=True)
async def ready(redis: Redis, writer) -> None:
    """A rule, two channels and a worker."""
    await fill(writer, {"KRAKEN:ETHUSD": every_minute(["1", "2"]), "BINANCE:BTCUSDT": every_minute(["1", "2"])})
    await AdminStore(redis).put_rule(parse_rule(RULE))
    await redis.hset(keys.CHANNELS, mapping={"phone": "pushover", "hook": "webhook"})
    await redis.set(keys.LEASE, "worker", ex=600)


async def read_outbox(redis: Redis) -> list[dict[str, object]]:
    entries: Any = await redis.xrange(keys.OUTBOX)
    return [json.loads(fields["alert"]) for _, fields in entries]


async def test_a_test_is_put_into_the_outbox_and_into_no_history(api: Api, redis: Redis):
    before = await redis.xlen(keys.EVENTS)

    answer = await api.send("POST", PATH)

    assert (answer.status, answer.headers["Location"]) == (202, PATH)
    assert answer.json["title"] == "TEST: KRAKEN:ETHUSD price is 3.3 x its hour mean"
    assert answer.json["deliveries"] == [{"channel": "phone", "status": "queued", "at": None, "answer": None}]
    assert (answer.json["at"], answer.json["is_worker_running"]) == (NOON + 5, True)
    (alert,) = await read_outbox(redis)
    assert (alert["id"], alert["event"], alert["channels"]) == (f"mine.test.{NOON + 5}", "test", ["phone"])
    assert (await api.get(PATH)).json == answer.json
    assert (await api.get("/v1/alerts")).json["alerts"] == []
    assert (await redis.exists(keys.ALERTS), await redis.xlen(keys.EVENTS)) == (0, before)


async def test_a_rule_that_names_no_channel_is_tested_on_all_and_a_default_one_that_is_off_too(api: Api, redis: Redis):
    await api.send("DELETE", "/v1/rules/stale")

    answer = await api.send("POST", "/v1/rules/stale/test")

    assert [each["channel"] for each in answer.json["deliveries"]] == ["hook", "phone"]
    assert len(await read_outbox(redis)) == 1


async def test_the_same_rule_is_tested_once_a_minute_and_another_at_once(api: Api, redis: Redis, clock: Clock):
    answers = await asyncio.gather(*[api.send("POST", PATH) for _ in range(5)])
    clock.now += 20
    late = await api.send("POST", PATH)
    other = await api.send("POST", "/v1/rules/stale/test")
    clock.now += 40
    again = await api.send("POST", PATH)

    assert sorted(answer.status for answer in answers) == [202, 429, 429, 429, 429]
    assert (late.status, late.headers["Retry-After"]) == (429, "40")
    assert late.json["detail"] == "the rule 'mine' was tested less than a minute ago; ask again in 40 seconds"
    assert (other.status, again.status) == (202, 202)
    assert len(await read_outbox(redis)) == 3


async def test_a_clock_that_was_set_back_does_not_forbid_the_next_test(api: Api, clock: Clock):
    await api.send("POST", PATH)
    clock.now -= 3600

    assert (await api.send("POST", PATH)).status == 202


async def test_what_nobody_would_send_is_refused_with_the_reason(api: Api, redis: Redis):
    async def refuse() -> str:
        answer = await api.send("POST", PATH)
        assert answer.status == 409
        return str(answer.json["detail"])

    await redis.delete(keys.LEASE)
    assert await refuse() == "nothing is sent: no worker runs; start it, and ask again"
    await redis.set(keys.LEASE, "worker", ex=600)
    await redis.hdel(keys.CHANNELS, "phone")
    assert await refuse() == "nobody would get a test of 'mine': the rule names phone; configured: hook"
    await redis.delete(keys.CHANNELS)
    assert (await refuse()).startswith("nobody would get a test of 'mine': there is no channel: set TRACKER_PUSHOVER")
    await redis.hset(keys.CHANNELS, "phone", "pushover")
    await ReplayStore(redis).write(ReplayMark(NOON - 60, NOON))
    assert await refuse() == "nothing is sent: the market is replayed, and a replay sends no messages"
    assert await read_outbox(redis) == []


async def test_a_worker_that_stopped_meanwhile_is_told(api: Api, redis: Redis, clock: Clock):
    await api.send("POST", PATH)
    assert (await api.get(PATH)).json["is_worker_running"] is True
    await redis.delete(keys.LEASE)
    clock.now += 2

    assert (await api.get(PATH)).json["is_worker_running"] is False


async def test_a_test_that_is_unknown_or_cannot_be_read_is_none(api: Api, redis: Redis):
    never = await api.get(PATH)
    unknown = await api.send("POST", "/v1/rules/min/test")
    await redis.set(keys.message_test("mine"), '{"id": 5}', ex=60)

    nothing: dict[str, object] = {"id": None, "rule": "mine", "at": None, "title": None, "text": None, "deliveries": []}
    assert (never.status, never.json) == (200, nothing | {"is_worker_running": True})
    assert (unknown.status, unknown.json["errors"][0]["accepted"].split(", ")[0]) == (404, "mine")
    assert (await api.get(PATH)).json["id"] is None
    assert (await api.send("POST", PATH)).status == 202


async def test_who_may_only_read_sends_no_test(server: str, redis: Redis, clock: Clock):
    reading, _ = await ApiKeyStore(redis).add_key("ann", KeyScope.READ, NOON, None)
    ruling, _ = await ApiKeyStore(redis).add_key("bob", KeyScope.RULES, NOON, None)
    async with serving(clock, server, keys_required=True) as api:
        refused = await api.send("POST", PATH, X_API_Key=reading)
        sent = await api.send("POST", PATH, X_API_Key=ruling)
        seen = await api.get(PATH, X_API_Key=reading)

    assert [refused.status, sent.status, seen.status] == [403, 202, 200]
