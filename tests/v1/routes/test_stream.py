"""The stream of events over HTTP: what is told, to whom, and from where on."""

import asyncio
import json
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no types
from redis.asyncio import Redis

from tests.support import servers
from tests.support.serving import MINUTE, NOON, Clock, every_minute, fill, raw, serving, tick
from tests.support.streams import PATIENCE, streaming
from v1.market.metric_state import SourceReading
from v1.model import Metric, Reading
from v1.routes.stream.events import EVENTS
from v1.rules import NO_RULES, RuleEngine, parse_rule
from v1.store import AlertLimits, FutureRemover, Writer, connect, keys
from worker.sampling.tick import commit_tick

BTC, ETH, DOGE = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "BINANCE:DOGEUSDT"
ABOVE = RuleEngine([parse_rule({"id": "above", "kind": "threshold", "above": 100, "cooldown": 0})], (), 60)
LONG_AGO = "1-0"


@pytest.fixture
async def redis(server: str) -> AsyncIterator[Redis]:
    async with connect(server, "tests") as client:
        yield client


@pytest.fixture
async def market(writer: Writer) -> Writer:
    """Three metrics at noon."""
    await fill(
        writer,
        {
            BTC: every_minute(["1.10", "2.0", "3.500"]),
            ETH: every_minute(["7", "8", "9"]),
            DOGE: every_minute(["1E-7", "2E-7", "0.00000030"]),
        },
    )
    return writer


async def commit(writer: Writer, at: int, prices: Mapping[str, str], rules: RuleEngine = NO_RULES) -> None:
    """Commit a tick with all that belongs to it, as the worker does."""
    heard = {Metric(metric): SourceReading(Reading(price), "kraken") for metric, price in prices.items()}
    await commit_tick(at, heard, writer, rules)


@pytest.mark.usefixtures("market")
async def test_a_stream_begins_with_the_newest_tick_digits_as_received(api):
    async with streaming(api.url, f"/v1/stream?metrics={DOGE.lower()},{BTC}&events=tick") as client:
        told = await client.find("tick")

    assert client.status == 200
    assert client.headers["content-type"] == "text/event-stream"
    assert client.headers["cache-control"] == "no-store"
    assert client.headers["x-accel-buffering"] == "no"
    assert client.retry == "3000"
    assert [row["metric"] for row in told.data["metrics"]] == [DOGE, BTC]
    assert '"price":3.500,' in told.text
    assert '"price":0.00000030,' in told.text
    now = (await api.get(f"/v1/metrics/{BTC}")).json
    assert told.data["metrics"][1] == {
        "metric": BTC,
        "at": NOON,
        **{measure: view["value"] for measure, view in now["measures"].items()},
        "hour_mean": now["measures"]["price"]["hour_mean"],
    }


async def test_every_tick_is_told_when_it_is_committed_with_the_ranks_of_all(api, market):
    async with streaming(api.url, "/v1/stream?events=tick,rank&by=cv") as client:
        first = await client.read()
        await tick(market, NOON + MINUTE, {BTC: "4.00", ETH: "9"})
        then = await client.read()

    assert [[event.name for event in events] for events in (first, then)] == [["rank", "tick"]] * 2
    rank, ticked = then
    asked = (await api.get("/v1/ranks?by=cv")).json
    assert rank.data["of"] == asked["of"]
    assert rank.data["at"] == asked["at"] == NOON + MINUTE
    assert rank.data["ranks"] == [{name: row[name] for name in ("rank", "metric", "value")} for row in asked["ranks"]]
    assert ticked.data["at"] == NOON + MINUTE
    assert [(row["metric"], row["at"]) for row in ticked.data["metrics"]] == [
        (DOGE, NOON),
        (BTC, NOON + MINUTE),
        (ETH, NOON + MINUTE),
    ]


@pytest.mark.usefixtures("market")
async def test_what_no_metric_has_is_named_and_equal_values_share_a_place(api, market):
    await fill(market, {"KRAKEN:XRPUSD": every_minute(["7", "8", "9"])})

    async with streaming(api.url, f"/v1/stream?metrics={ETH},KRAKEN:XRP*,COINBASE:*,KRAKEN:NOUSD&once=1") as client:
        rank, ticked = await client.read_to_end()

    assert ticked.data["missing"] == ["KRAKEN:NOUSD", "COINBASE:*"]
    assert {row["metric"]: row["rank"] for row in rank.data["ranks"]} == {"KRAKEN:XRPUSD": 2, ETH: 2}


async def test_an_alert_is_told_as_alerts_shows_it_when_it_begins_is_acknowledged_and_ends(api, market):
    async with streaming(api.url, f"/v1/stream?metrics={BTC}&events=alert,tick") as client:
        await client.find("tick")
        await commit(market, NOON + MINUTE, {BTC: "101.50"}, ABOVE)
        begun = await client.find("alert")
        shown = (await api.get("/v1/alerts")).json["alerts"]
        await api.send("POST", f"/v1/alerts/{begun.data['id']}/acknowledge", {"by": "Ada"})
        seen = await client.find("alert")
        await commit(market, NOON + 2 * MINUTE, {BTC: "3"}, ABOVE)
        ended = await client.find("alert")

    assert [begun.data] == shown
    assert '"value":101.50,' in begun.text
    assert seen.data == begun.data | {"acknowledged": {"at": NOON + 5, "by": "Ada", "comment": "", "until": None}}
    assert ended.data == seen.data | {"ended_at": NOON + 2 * MINUTE}
    assert [ended.data] == (await api.get("/v1/alerts")).json["alerts"]


async def test_alerts_of_other_metrics_are_not_told(api, market):
    async with streaming(api.url, f"/v1/stream?metrics={ETH}&events=alert") as client:
        begun = await client.find("begin")
        await commit(market, NOON + MINUTE, {BTC: "101", ETH: "9"}, ABOVE)
        await commit(market, NOON + 2 * MINUTE, {BTC: "101", ETH: "102"}, ABOVE)
        told = await client.find("alert")

    assert (told.data["metric"], told.data["at"]) == (ETH, NOON + 2 * MINUTE)
    path = f"/v1/stream?metrics={ETH}&events=alert&once=true"
    async with streaming(api.url, path, Last_Event_ID=begun.id) as client:
        assert await client.read_to_end() == [told]


async def test_every_event_has_exactly_the_fields_of_its_model(api, market):
    async with streaming(api.url, "/v1/stream") as client:
        events = await client.read()
        await commit(market, NOON + MINUTE, {BTC: "101"}, ABOVE)
        events += [await client.find("alert")]
    async with streaming(api.url, f"/v1/stream?once=true&last_event_id={LONG_AGO}") as client:
        events += await client.read_to_end()
    async with streaming(api.url, "/v1/stream?once=true&events=alert") as client:
        events += await client.read_to_end()

    assert {event.name for event in events} == {"rank", "tick", "alert", "gap", "begin"}
    for event in events:
        schema = EVENTS[event.name].model_json_schema()
        for part in (schema, *schema.get("$defs", {}).values()):
            if "properties" in part:
                part |= {"additionalProperties": False, "required": [*part["properties"]]}
        assert [*Draft202012Validator(schema).iter_errors(event.data)] == [], event.name


@pytest.mark.parametrize("way", ["header", "query"])
async def test_who_resumes_is_told_of_every_alert_that_was_missed_and_of_the_newest_tick(api, market, way):
    async with streaming(api.url, "/v1/stream?events=tick,alert") as client:
        last = (await client.find("tick")).id
    for minute, price in enumerate(["101", "3", "102"], 1):
        await commit(market, NOON + minute * MINUTE, {BTC: price}, ABOVE)

    query = f"&last_event_id={last}" if way == "query" else f"&last_event_id={LONG_AGO}"
    headers = {"Last_Event_ID": last} if way == "header" else {}
    async with streaming(api.url, f"/v1/stream?events=tick,alert&once=true{query}", **headers) as client:
        events = await client.read_to_end()

    assert client.has_ended
    assert [(event.name, event.data["at"]) for event in events] == [
        ("alert", NOON + MINUTE),
        ("alert", NOON + MINUTE),  # it has ended
        ("alert", NOON + 3 * MINUTE),
        ("tick", NOON + 3 * MINUTE),
    ]
    assert [event.id for event in events] == sorted(str(event.id) for event in events)
    async with streaming(api.url, "/v1/stream?once=true", Last_Event_ID=events[-1].id) as client:
        assert await client.read_to_end() == []


@pytest.mark.parametrize("unknown", ["too old", "not yet"])
async def test_who_resumes_by_an_id_that_is_not_known_is_told_of_a_gap(api, market, redis, unknown):
    await commit(market, NOON + MINUTE, {BTC: "101"}, ABOVE)
    await redis.xtrim(keys.EVENTS, maxlen=1, approximate=False)
    ((oldest, _),) = await redis.xrange(keys.EVENTS)
    after = LONG_AGO if unknown == "too old" else "9999999999999-0"

    async with streaming(api.url, "/v1/stream?events=tick,alert&once=true", Last_Event_ID=after) as client:
        gap, ticked = await client.read_to_end()

    assert (gap.name, gap.data) == ("gap", {"after": after, "oldest": oldest})
    assert (ticked.name, ticked.data["at"]) == ("tick", NOON + MINUTE)


async def test_the_log_of_events_is_bounded(market, redis, monkeypatch):
    monkeypatch.setattr(keys, "MOST_EVENTS", 5)
    for minute in range(1, 250):
        await redis.xadd(keys.EVENTS, {"tick": minute})

    await tick(market, NOON + MINUTE, {BTC: "1"})

    assert await redis.xlen(keys.EVENTS) < 150  # whole nodes of 100 are cut off
    assert 0 < await redis.ttl(keys.EVENTS) <= keys.KEEP_EVENTS


async def test_a_log_that_was_emptied_or_is_anothers_is_noticed(api, market, redis):
    async with streaming(api.url, "/v1/stream?events=tick") as client:
        last = (await client.find("tick")).id
        await redis.delete(keys.EVENTS)
        # Of a server whose clock is behind: its ids are smaller than those that are waited for.
        await redis.xadd(keys.EVENTS, {"tick": NOON}, id="5-0")
        await redis.expire(keys.EVENTS, 60)
        gap = await client.find("gap")
        await tick(market, NOON + MINUTE, {BTC: "5"})
        told = await client.find("tick", "gap")

    assert gap.data["after"] == last
    assert told.data["at"] in (NOON, NOON + MINUTE)


async def test_alerts_of_a_future_that_was_dropped_are_not_told_again(market, redis):
    await commit(market, NOON + MINUTE, {BTC: "101"}, ABOVE)

    await FutureRemover(redis).drop_future(NOON)

    assert not await redis.exists(keys.EVENTS)


@pytest.mark.parametrize(
    "query, field, accepted",
    [
        ("metrics=BTCUSD", "metrics", "up to 200 names and patterns with commas between: KRAKEN:BTCUSD,BINANCE:*"),
        ("metrics=", "metrics", "up to 200 names"),
        ("metrics=A:B,,C:D", "metrics", "up to 200 names"),
        (f"metrics={','.join(f'A:{place}' for place in range(201))}", "metrics", "up to 200 names"),
        (f"metrics={'A' * 120}:", "metrics", "up to 200 names"),
        ("events=ticks", "events", "any of tick, rank, alert"),
        ("events=", "events", "any of tick, rank, alert"),
        ("measure=prize", "measure", "price"),
        ("by=variance", "by", "stddev"),
        ("once=maybe", "once", "true"),
        ("last_event_id=yesterday", "last_event_id", "the id of an event"),
        ("last_event_id=99999999999999999999-0", "last_event_id", "the id of an event"),
        ("limit=5", "limit", "the parameters metrics, events, measure, by, once, last_event_id"),
        ("by=cv&by=cv", "by", "it once"),
    ],
    ids=lambda word: word[:25],
)
async def test_what_is_not_accepted_is_a_problem_before_the_stream_begins(api, query, field, accepted):
    for path in ("stream", "ws"):
        answer = await api.get(f"/v1/{path}?{query}")

        assert answer.status == 422
        assert answer.headers["content-type"] == "application/problem+json"
        (error,) = answer.json["errors"]
        assert error["field"] == field
        assert accepted in error["accepted"] or field == "once"


async def test_an_id_in_the_header_that_is_none_is_named(api):
    answer = await api.get("/v1/stream", Last_Event_ID="yesterday")

    assert answer.status == 422
    assert answer.json["errors"][0]["field"] == "Last-Event-ID"


async def test_before_the_first_tick_there_is_a_stream_that_waits_for_it(api, writer):
    async with streaming(api.url, "/v1/stream") as client:
        rank, empty = await client.read()
        await tick(writer, NOON, {BTC: "5"})
        told = await client.find("tick")

    assert (empty.id, empty.data["at"], empty.data["metrics"], empty.data["missing"]) == (None, None, [], ["*"])
    assert rank.data["ranks"] == []
    assert told.data["metrics"][0]["price"] == 5


@pytest.mark.usefixtures("market")
async def test_head_is_answered_without_events(api):
    answer = await api.get("/v1/stream", method="HEAD")

    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.text == ""


@pytest.mark.usefixtures("market")
async def test_http_1_0_gets_events_without_chunks(api):
    answer = await raw(api, b"GET /v1/stream?events=tick&once=true HTTP/1.0\r\nHost: localhost")

    assert "transfer-encoding" not in answer.headers
    assert answer.text.startswith("retry: 3000\n\nid: ")
    assert json.loads(answer.text.partition("data: ")[2])["at"] == NOON


@pytest.mark.usefixtures("market")
async def test_latest_is_the_same_stream(api):
    async with streaming(api.url, "/latest/stream?once=true") as client:
        assert len(await client.read_to_end()) == 2


@pytest.mark.usefixtures("market")
async def test_streams_are_counted_and_one_too_many_is_told_when_to_ask_again(clock, server):
    async with serving(clock, server, streams=2) as api:
        async with streaming(api.url, "/v1/stream") as first, streaming(api.url, "/v1/stream") as second:
            await first.find("tick")
            await second.find("tick")
            refusal = await api.get("/v1/stream")

            assert refusal.status == 503
            assert int(refusal.headers["Retry-After"]) > 0
            assert "as many streams as are allowed" in refusal.json["detail"]
            assert (await api.get("/v1/ranks")).status == 200
        async with asyncio.timeout(PATIENCE):
            while (await api.get("/v1/stream?once=true")).status == 503:
                await asyncio.sleep(0.01)


async def test_a_client_that_sent_more_than_its_request_is_noticed_when_it_leaves(clock, server, market):
    async with serving(clock, server, streams=1) as api:
        async with streaming(api.url, "/v1/stream") as client:
            client.writer.write(b"GET /v1/ranks HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
            await client.find("tick")
            await tick(market, NOON + MINUTE, {BTC: "4"})
            assert (await client.find("tick")).data["at"] == NOON + MINUTE
        async with asyncio.timeout(PATIENCE):
            while (await api.get("/v1/stream?once=true")).status == 503:
                await asyncio.sleep(0.01)


@pytest.mark.usefixtures("market")
async def test_a_key_is_wanted_and_another_origin_may_read_where_the_settings_say_so(clock, server):
    key, page = "a-key-of-sixteen-letters", "https://example.org"
    async with serving(clock, server, api_keys=key, cors_origins=page) as api:
        assert (await api.get("/v1/stream")).status == 401
        assert (await api.get("/v1/ws")).status == 401
        async with streaming(api.url, "/v1/stream", X_API_Key=key, Origin=page) as client:
            await client.find("tick")

    assert client.headers["access-control-allow-origin"] == page


@pytest.mark.usefixtures("market")
async def test_every_stream_is_ended_when_the_process_is_told_to_stop(clock, server):
    stop = asyncio.Event()
    async with (
        serving(clock, server, stop) as api,
        streaming(api.url, "/v1/stream") as one,
        streaming(api.url, "/v1/stream?events=alert") as other,
    ):
        await one.find("tick")
        await other.find("begin")
        stop.set()
        assert await one.read_to_end() == await other.read_to_end() == []

    assert one.has_ended
    assert other.has_ended


async def test_streams_stay_open_while_redis_is_away_and_go_on_by_themselves():
    with tempfile.TemporaryDirectory() as folder:
        process = servers.start(servers.embedded(), Path(folder))
        address = servers.address(Path(folder))
        try:
            async with connect(address, "tests") as redis, serving(Clock(), address) as api:
                await redis.config_set("appendfsync", "always")
                writer = Writer(redis)
                await fill(writer, {BTC: every_minute(["1", "2"])})
                async with streaming(api.url, "/v1/stream?events=tick,alert") as client:
                    await client.find("tick")
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                    away = await client.find("away")
                    async with streaming(api.url, "/v1/stream?events=tick") as late:
                        assert (await late.find("away")).data == away.data
                        process = servers.start(servers.embedded(), Path(folder))
                        await commit(writer, NOON + MINUTE, {BTC: "101"}, ABOVE)
                        events = [await client.find("back"), await client.find("alert"), await client.find("tick")]
                        assert (await late.find("tick")).data == events[-1].data
        finally:
            process.terminate()
            process.wait()

    assert away.data == {"reason": "the store is away"}
    assert [event.data.get("at") for event in events] == [None, NOON + MINUTE, NOON + MINUTE]


@pytest.mark.usefixtures("market")
async def test_a_key_of_another_kind_ends_no_stream(api, redis):
    async with streaming(api.url, "/v1/stream?events=tick") as client:
        await client.find("tick")
        await redis.rename(keys.METRICS, "aside")
        await redis.set(keys.METRICS, "nonsense", ex=60)
        await redis.xadd(keys.EVENTS, {"tick": NOON})
        await client.find("away")
        await redis.rename("aside", keys.METRICS)
        assert (await client.find("tick", "back")).name == "back"


@pytest.mark.usefixtures("market")
async def test_a_replay_tells_its_ticks_and_none_of_its_alerts(api, redis):
    replay = Writer(redis, AlertLimits(send=False, push=False))
    await replay.open()
    async with streaming(api.url, "/v1/stream?events=alert,tick") as client:
        await client.find("tick")
        await commit(replay, NOON + MINUTE, {BTC: "101"}, ABOVE)
        told = await client.find("alert", "tick")

    assert (told.name, told.data["at"]) == ("tick", NOON + MINUTE)
    assert len((await api.get("/v1/alerts")).json["alerts"]) == 1


@pytest.mark.usefixtures("market")
async def test_a_replay_that_is_watched_tells_its_alerts_too_and_puts_none_into_the_outbox(api, redis):
    replay = Writer(redis, AlertLimits(send=False, push=True))
    await replay.open()
    async with streaming(api.url, "/v1/stream?events=alert,tick") as client:
        await client.find("tick")
        await commit(replay, NOON + MINUTE, {BTC: "101"}, ABOVE)
        told = await client.find("alert")
        await commit(replay, NOON + 2 * MINUTE, {BTC: "3"}, ABOVE)
        ended = await client.find("alert")

    assert (told.data["metric"], told.data["ended_at"]) == (BTC, None)
    assert ended.data["ended_at"] == NOON + 2 * MINUTE
    assert not await redis.exists(keys.OUTBOX)
