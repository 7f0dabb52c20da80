"""Whether the process runs, and whether it can be relied on."""

import json
from pathlib import Path

import pytest

from tests.support.serving import MINUTE, NOON, fill, sample, serving, tick
from tests.support.units import commit
from v1.store import connect, keys

NOTED = {"state": "ok", "since": NOON, "reason": None, "metrics": 3, "missing": {}, "rejects": {}}
FINE = NOTED | {"retry_at": None, "advice": None, "dead": 0, "filling": None, "budget": None}


@pytest.fixture
async def redis_client(server: str):
    async with connect(server, "tests") as client:
        yield client


@pytest.fixture
async def ticking(writer):
    await fill(writer, {"KRAKEN:BTCUSD": [sample(NOON, "1")]})
    await writer.write_source_states({"kraken": NOTED})
    return writer


@pytest.mark.usefixtures("ticking")
async def test_all_well_is_ready_without_a_reason(api):
    answer = await api.get("/health/ready")

    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json == {
        "status": "ready",
        "reasons": [],
        "now": NOON + 5,
        "store": "ok",
        "tick": {"at": NOON, "age": 5, "interval": MINUTE},
        "replay": None,
        "sources": {"kraken": FINE},
        "archive": None,
        "wishes": {},
        "channels": {},
        "top": {},
    }


async def test_a_failing_source_degrades_but_the_answers_still_count(api, ticking):
    failing = NOTED | {"state": "failing", "reason": "kraken said 503"}
    await ticking.write_source_states({"kraken": failing, "binance": NOTED})

    answer = await api.get("/health/ready")

    assert (answer.status, answer.json["status"]) == (200, "degraded")
    assert answer.json["reasons"] == [
        "kraken is failing since 2021-05-17 12:00:00 UTC: kraken said 503; it is asked again at the next tick"
    ]


async def test_a_failing_source_is_told_with_what_is_tried_next_and_what_to_do(api, ticking):
    told = {"state": "failing", "reason": "kraken said 429", "retry_at": NOON + 60, "advice": "wait"}
    await ticking.write_source_states({"kraken": NOTED | told})

    answer = await api.get("/health/ready")

    assert answer.json["reasons"] == [
        (
            "kraken is failing since 2021-05-17 12:00:00 UTC: kraken said 429; "
            "it is asked again at 2021-05-17 12:01:00 UTC; wait"
        )
    ]


async def test_what_is_wished_for_and_nobody_gives_degrades_with_the_reason(api, ticking):
    await ticking.write_source_states(
        {"kraken": NOTED}, {"KRAKEN:XBTUSD": "kraken's XBTUSD is called KRAKEN:BTCUSD here"}
    )

    answer = await api.get("/health/ready")

    assert (answer.status, answer.json["status"]) == (200, "degraded")
    assert answer.json["wishes"] == {"KRAKEN:XBTUSD": "kraken's XBTUSD is called KRAKEN:BTCUSD here"}
    assert answer.json["reasons"] == [
        "nothing is sampled as KRAKEN:XBTUSD: kraken's XBTUSD is called KRAKEN:BTCUSD here; change TRACKER_METRICS"
    ]


async def test_ticks_without_any_metric_are_not_ready(api, writer):
    await commit(writer, NOON)

    answer = await api.get("/health/ready")

    assert (answer.status, answer.json["status"]) == (200, "degraded")
    assert answer.json["reasons"] == ["no metric has a sample of the last day"]


@pytest.mark.usefixtures("ticking")
async def test_a_channel_that_rests_is_told_with_until_when(api, redis_client):
    await redis_client.hset(keys.CHANNELS, mapping={"pushover": "Pushover", "ops": "webhook"})
    await redis_client.hset(keys.sending("pushover"), "*", json.dumps([2, NOON + 90.5, None, 0.0]))
    await redis_client.expire(keys.sending("pushover"), 100)

    answer = await api.get("/health/ready")

    assert answer.json["channels"] == {
        "pushover": {"kind": "Pushover", "failures": 2, "until": NOON + 91},
        "ops": {"kind": "webhook", "failures": 0, "until": None},
    }
    assert answer.json["status"] == "degraded"
    assert answer.json["reasons"] == [
        "alerts wait: channel pushover sends nothing until 2021-05-17 12:01:31 UTC, after 2 failures in a row"
    ]


async def test_how_far_a_fill_is_and_how_many_markets_are_dead_is_told_and_is_no_trouble(api, ticking):
    filling = {"done": 34, "of": 100}
    await ticking.write_source_states({"kraken": NOTED | {"filling": filling, "dead": ["KRAKEN:GONEUSD"]}})

    answer = await api.get("/health/ready")

    assert (answer.json["status"], answer.json["reasons"]) == ("ready", [])
    assert answer.json["sources"]["kraken"] == FINE | {"filling": filling, "dead": 1}


async def test_a_partition_that_is_put_in_order_is_said_and_degrades_nothing(api, ticking):
    ordering = {
        "partition": "v1_candles_2021_04",
        "step": "copy",
        "since": NOON - 60,
        "reason": "the archive is away: no answer from postgresql://me:secret@db/archive",
        "retry_at": NOON + 60,
        "advice": "see whether there is room",
    }
    await ticking.write_archive_state({"state": "ok", "since": NOON, "ordering": ordering})

    answer = await api.get("/health/ready")

    assert answer.json["status"] == "ready"
    told = answer.json["archive"]["ordering"]
    assert told | {"reason": ""} == ordering | {"reason": ""}
    assert "secret" not in told["reason"]


async def test_an_archive_that_fails_degrades_and_says_why_and_how_far_it_came(api, ticking):
    said = {"state": "failing", "since": NOON - 90, "newest": NOON - 7200, "reason": "the archive is away: refused"}
    await ticking.write_archive_state(said)

    failing = await api.get("/health/ready")
    await ticking.write_archive_state(said | {"state": "ok", "reason": None})
    fine = await api.get("/health/ready")

    assert (failing.status, failing.json["status"]) == (200, "degraded")
    assert failing.json["reasons"] == [
        (
            "hours are not archived since 2021-05-17 11:58:30 UTC: the archive is away: refused; "
            "it is tried again within a minute"
        )
    ]
    assert failing.json["archive"] == said | {"retry_at": None, "advice": None, "ordering": None}
    assert (fine.json["status"], fine.json["archive"]["newest"]) == ("ready", NOON - 7200)


async def test_a_metric_that_the_provider_does_not_have_is_named_and_hurts_nobody(api, ticking):
    missing = {"KRAKEN:NOPEUSD": "kraken has no such pair"}
    await ticking.write_source_states({"kraken": NOTED | {"missing": missing}})

    answer = await api.get("/health/ready")

    assert (answer.status, answer.json["status"]) == (200, "ready")
    assert answer.json["sources"]["kraken"]["missing"] == missing


@pytest.mark.usefixtures("ticking")
async def test_a_tick_that_is_late_makes_it_unready(api, clock):
    clock.now = NOON + 3 * MINUTE + 1

    answer = await api.get("/health/ready")

    assert (answer.status, answer.json["status"]) == (503, "unready")
    assert answer.json["reasons"] == ["the newest tick is 181 s old, with one every 60 s: is the worker running?"]
    assert answer.headers["Retry-After"] == "5"


async def test_without_a_tick_it_is_not_ready_yet(api):
    answer = await api.get("/health/ready")

    assert (answer.status, answer.json["tick"]["at"]) == (503, None)
    assert answer.json["reasons"] == ["there was no tick yet: is the worker running?"]


async def test_without_a_store_the_process_lives_and_says_what_is_wrong(clock, tmp_path: Path):
    async with serving(clock, f"unix://{tmp_path}/nobody.sock") as api:
        live, ready = await api.get("/health/live"), await api.get("/health/ready")

    assert (live.status, live.json) == (200, {"status": "live"})
    assert (ready.status, ready.json["status"]) == (503, "unready")
    assert ready.json["store"].startswith("Redis is away")


async def test_data_of_another_format_makes_it_unready(api, writer, server):
    await tick(writer, NOON, {"KRAKEN:BTCUSD": "1"})
    async with connect(server, "tests") as redis:
        await redis.set("v1:format", "0")

        answer = await api.get("/health/ready")

    assert (answer.status, answer.json["status"]) == (503, "unready")
    assert answer.json["store"] == "Redis holds data of format 0, and this data-tracker expects format 1"


async def test_a_redis_that_drops_keys_when_it_is_full_is_told(api, writer, server):
    await tick(writer, NOON, {"KRAKEN:BTCUSD": "1"})
    await writer.write_source_states({})
    async with connect(server, "tests") as redis:
        await redis.config_set("maxmemory-policy", "volatile-lru")
        try:
            unbounded = await api.get("/health/ready")
            await redis.config_set("maxmemory", "1gb")
            bounded = await api.get("/health/ready")
        finally:
            await redis.config_set("maxmemory", "0")
            await redis.config_set("maxmemory-policy", "noeviction")

    said = "Redis drops keys when its memory is full: maxmemory-policy is volatile-lru, and should be noeviction"
    assert said not in unbounded.json["reasons"]
    assert (bounded.status, bounded.json["status"]) == (200, "degraded")
    assert said in bounded.json["reasons"]
