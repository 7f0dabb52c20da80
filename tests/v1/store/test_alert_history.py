"""The history of alerts, page by page, on every kind of server; and what the API may write."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from v1.rules import AcknowledgedAlert, parse_rule, parse_silence
from v1.rules.rule_set import read_rule_set
from v1.store import Acknowledgement, AdminStore, AlertQuery, LimitReached, keys
from v1.store import alert_history as module
from v1.store.acknowledged import read_acknowledged

NOON = 1_621_252_800
MINUTE = 60
DAY = 86400
BTC = "KRAKEN:BTCUSD"


def alert(at: int, metric: str = "KRAKEN:BTCUSD", rule: str = "r") -> dict[str, Any]:
    return {"id": f"{rule}.{metric}.{at}", "rule": rule, "metric": metric, "at": at, "suppressed_by": None}


async def put(redis: Redis, alerts: Iterable[dict[str, Any]]) -> None:
    for each in alerts:
        await redis.zadd(keys.ALERTS, {json.dumps(each, separators=(",", ":")): each["at"]})
    await redis.expire(keys.ALERTS, DAY)


async def pages(desk: AdminStore, wanted: AlertQuery) -> list[list[str]]:
    """Return the ids of every page, until there is none after."""
    found = []
    while True:
        page = await desk.read_alerts(wanted)
        found.append([told.alert["id"] for told in page.alerts])
        if page.next is None:
            return found
        wanted = wanted._replace(place=page.next)


async def test_alerts_come_newest_first_page_by_page_also_those_of_one_tick(redis: Redis):
    many = [alert(NOON + tick, f"KRAKEN:C{number}USD") for tick in range(3) for number in range(4)]
    await put(redis, many)

    found = await pages(AdminStore(redis), AlertQuery(5))

    assert [len(page) for page in found] == [5, 5, 2]
    whole = [name for page in found for name in page]
    assert sorted(whole) == sorted(each["id"] for each in many)
    assert [name.rpartition(".")[2] for name in whole] == [str(NOON + tick) for tick in (2, 1, 0) for _ in range(4)]


TICKS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.sampled_from("ab")), max_size=40, unique=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(TICKS, st.integers(1, 7), st.integers(1, 6), st.sampled_from([None, "a", "b"]), st.integers(0, 3))
async def test_no_page_misses_or_repeats_an_alert_whatever_is_asked_for(
    fake, monkeypatch, ticks, limit, batch, rule, since
):
    monkeypatch.setattr(module, "_BATCH", batch)
    monkeypatch.setattr(module, "MOST_LOOKED_AT", 3 * batch)
    await fake.flushall()
    await put(fake, [alert(NOON + tick, f"A:{number}", name) for tick, number, name in ticks])

    found = await pages(AdminStore(fake), AlertQuery(limit, "A:?", rule, NOON + since))

    whole = [name for page in found for name in page]
    wanted = [
        f"{name}.A:{number}.{NOON + tick}" for tick, number, name in ticks if rule in (None, name) and tick >= since
    ]
    assert sorted(whole) == sorted(wanted)
    assert all(len(page) <= limit for page in found)


async def test_an_alert_comes_with_what_became_of_it(redis: Redis):
    await put(redis, [alert(NOON)])
    name = alert(NOON)["id"]
    attempt = {"at": NOON + 0.5, "channel": "pushover", "status": "sent", "answer": "200", "message": name}
    await redis.rpush(keys.deliveries(name), json.dumps(attempt))
    await redis.expire(keys.deliveries(name), DAY)
    await redis.hset(keys.alert(name), "ended_at", NOON + 60)
    await redis.expire(keys.alert(name), DAY)

    (told,) = (await AdminStore(redis).read_alerts(AlertQuery(10))).alerts

    assert told.known == {"ended_at": str(NOON + 60)}
    assert [each._asdict() for each in told.deliveries] == [attempt]


@pytest.mark.parametrize("name", ["nothing", "r.A:B.x", f"r.A:B.{NOON}", "r.A:B.99999999999"])
async def test_an_alert_that_is_not_there_is_none(fake, name):
    await put(fake, [alert(NOON)])

    assert await AdminStore(fake).read_alert(name) is None


async def test_who_acknowledges_first_stays_and_it_ends_with_the_history(redis: Redis):
    await put(redis, [alert(NOON)])
    desk, told = AdminStore(redis), alert(NOON)

    first = await desk.acknowledge(told, Acknowledgement(NOON + 5, "ann"))
    second = await desk.acknowledge(told, Acknowledgement(NOON + 9, "bob", "too late"))

    assert first == {"acknowledged": str(NOON + 5), "by": "ann"}
    assert second == first | {"comment": "too late"}
    assert 0 < await redis.ttl(keys.alert(told["id"])) <= DAY
    assert await redis.exists(keys.ACKNOWLEDGED) == 0


async def test_what_is_acknowledged_until_it_is_over_is_kept_once_for_a_rule_and_a_metric(redis: Redis):
    desk, told = AdminStore(redis), alert(NOON)
    await desk.acknowledge(told, Acknowledgement(NOON + 5, "ann"))

    later = await desk.acknowledge(told, Acknowledgement(NOON + 9, "bob", until_over=True))
    await desk.acknowledge(told, Acknowledgement(NOON + 20, "cy d'or", until_over=True))

    assert later == {"acknowledged": str(NOON + 5), "by": "ann", "until": "over"}
    written: Any = await redis.hgetall(keys.ACKNOWLEDGED)
    assert read_acknowledged(written) == {(told["rule"], told["metric"]): AcknowledgedAlert(NOON, "cy d'or")}
    assert await redis.ttl(keys.ACKNOWLEDGED) > DAY


async def test_what_is_taken_back_is_as_if_nobody_had_acknowledged_it(redis: Redis):
    await put(redis, [alert(NOON)])
    desk, told = AdminStore(redis), alert(NOON)
    await redis.hset(keys.alert(told["id"]), "ended_at", NOON + MINUTE)
    await desk.acknowledge(told, Acknowledgement(NOON + 5, "ann", "seen", until_over=True))

    await desk.take_back(told)

    assert await redis.hgetall(keys.alert(told["id"])) == {"ended_at": str(NOON + MINUTE)}
    assert await redis.exists(keys.ACKNOWLEDGED) == 0


async def test_of_the_alerts_of_a_rule_and_a_metric_the_last_that_is_acknowledged_until_it_is_over_counts(redis: Redis):
    first, second, other = alert(NOON), alert(NOON + MINUTE), alert(NOON, rule="other")
    await put(redis, [first, second, other])
    desk = AdminStore(redis)

    async def find_until() -> list[str | None]:
        return [await redis.hget(keys.alert(each["id"]), "until") for each in (first, second, other)]

    for each in (other, first, second):
        await desk.acknowledge(each, Acknowledgement(NOON + MINUTE, "ann", until_over=True))
    assert await find_until() == [None, "over", "over"]
    await desk.take_back(first)
    written: Any = await redis.hgetall(keys.ACKNOWLEDGED)
    assert read_acknowledged(written)[first["rule"], first["metric"]] == AcknowledgedAlert(NOON + MINUTE, "ann")
    await desk.take_back(second)

    assert await find_until() == [None, None, "over"]
    assert await redis.hkeys(keys.ACKNOWLEDGED) == [f"other {BTC}"]


async def test_no_more_is_acknowledged_until_it_is_over_than_a_tick_can_read_and_what_is_old_makes_room(
    fake, monkeypatch
):
    monkeypatch.setattr("v1.store.admin.MOST_ACKNOWLEDGED", 2)
    desk = AdminStore(fake)
    for number in range(2):
        given = Acknowledgement(NOON + number, "ann", until_over=True)
        await desk.acknowledge(alert(NOON, rule=f"r{number}"), given)
    await fake.hset(keys.ACKNOWLEDGED, f"r1 {BTC}", "not JSON")
    await desk.acknowledge(alert(NOON, rule="r2"), Acknowledgement(NOON, "ann", until_over=True))

    with pytest.raises(LimitReached, match="2 alerts are acknowledged until they are over"):
        await desk.acknowledge(alert(NOON, rule="r3"), Acknowledgement(NOON + 30 * DAY, "ann", until_over=True))
    await desk.acknowledge(alert(NOON, rule="r2"), Acknowledgement(NOON + 9, "ann", until_over=True))
    await desk.acknowledge(alert(NOON, rule="r3"), Acknowledgement(NOON + 31 * DAY, "ann", until_over=True))

    assert await fake.hkeys(keys.ACKNOWLEDGED) == [f"r3 {BTC}"]


async def test_rules_and_silences_are_bounded_in_number(fake, monkeypatch):
    monkeypatch.setattr("v1.store.admin.MOST_RULES", 2)
    monkeypatch.setattr("v1.store.admin.MOST_SILENCES", 1)
    desk = AdminStore(fake)
    rules = [parse_rule({"id": name, "kind": "stale"}) for name in "abc"]
    silences = [parse_silence({"id": name, "from": NOON, "to": NOON + 1}) for name in "ab"]
    await desk.put_rule(rules[0])
    await desk.put_rule(rules[1])
    await desk.put_silence(silences[0], NOON)

    with pytest.raises(LimitReached, match="there are 2 already"):
        await desk.put_rule(rules[2])
    with pytest.raises(LimitReached, match="there are 1 already"):
        await desk.put_silence(silences[1], NOON)
    await desk.put_rule(rules[1].model_copy(update={"intervals": 9}))

    assert set((await desk.read_rules()).written.api) == {"a", "b"}


async def test_silences_that_ended_long_ago_are_let_go_of(fake):
    desk = AdminStore(fake)
    old, new = (
        parse_silence({"id": name, "from": 0, "to": to}) for name, to in (("old", NOON), ("new", NOON + 31 * DAY))
    )
    await desk.put_silence(old, NOON)

    await desk.put_silence(new, NOON + 30 * DAY + 1)

    assert set(read_rule_set((await desk.read_rules()).written, 60).silences) == {"new"}
