"""What the API measures of itself, as Prometheus reads it."""

import asyncio
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from tests.support import missing
from tests.support.exposition import lint, read_samples, read_value
from tests.support.serving import every_minute, fill, raw, serving
from v1.server.telemetry import ApiTelemetry
from v1.server.telemetry.request_counts import MOST_KNOWN, RequestCounts
from v1.server.telemetry.route_names import RouteNames
from v1.server.telemetry.statistics import NoCache, NoStreams

COUNT = "data_tracker_api_request_seconds_count"
BYTES = "data_tracker_api_response_bytes_total"


async def scrape(api) -> str:
    answer = await api.get("/metrics")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return str(answer.text)


async def test_requests_are_counted_by_route_method_and_status_class(api, writer):
    await fill(writer, {"KRAKEN:BTCUSD": every_minute(["1", "2"])})
    for path in ("/v1/metrics/KRAKEN:BTCUSD", "/latest/metrics/KRAKEN:BTCUSD", "/v1/metrics/KRAKEN:NONE"):
        await api.get(path)
    await api.send("POST", "/v1/rules", "{")

    text = await scrape(api)

    assert read_value(text, COUNT, route="/v1/metrics/{metric}", method="GET", status="2xx") == 2
    assert read_value(text, COUNT, route="/v1/metrics/{metric}", method="GET", status="4xx") == 1
    assert read_value(text, COUNT, route="/v1/rules", method="POST", status="4xx") == 1


async def test_every_answer_that_was_sent_is_counted_with_its_bytes(api):
    answers = [await api.get("/health/live"), await api.get("/health/live")]

    text = await scrape(api)

    assert read_value(text, BYTES, route="/health/live") == sum(len(answer.text) for answer in answers)


async def test_a_head_is_a_method_of_its_own_and_has_no_bytes(api):
    await api.get("/health/live", method="HEAD")

    text = await scrape(api)

    assert read_value(text, COUNT, route="/health/live", method="HEAD") == 1
    assert read_value(text, BYTES, route="/health/live", method="HEAD") == 0


async def test_paths_and_methods_that_somebody_makes_up_make_no_new_series(api):
    for number in range(5):
        await api.get(f"/nothing/{number}")
        await raw(api, f"MADE{'UP' * number} /health/live HTTP/1.1\r\nHost: localhost".encode())

    samples = read_samples(await scrape(api))[COUNT]

    routes = {dict(labels)["route"]: value for labels, value in samples.items() if dict(labels)["method"] == "GET"}
    assert routes["none"] == 5
    assert not [route for route in routes if "nothing" in route]
    assert {dict(labels)["method"] for labels in samples} == {"GET", "other"}


def test_more_paths_than_are_remembered_lose_no_request():
    registry = CollectorRegistry()
    counts = RequestCounts(RouteNames(list, "", "/latest", "/v1"), registry)

    for number in range(2 * MOST_KNOWN + 1):
        counts.count((f"/{number}", "GET", 404), 0.1, 0.1, 1)

    assert registry.get_sample_value(COUNT, {"route": "none", "method": "GET", "status": "4xx"}) == 2 * MOST_KNOWN + 1


async def test_the_path_of_a_proxy_is_not_part_of_a_route(server, clock):
    async with serving(clock, server, root_path="/tracker") as api:
        await api.get("/tracker/health/live")
        await api.get("/health/live")
        text = (await api.get("/tracker/metrics")).text

    assert read_value(text, COUNT, route="/health/live") == 2


async def test_an_answer_counts_in_the_first_bucket_that_is_not_shorter():
    registry = CollectorRegistry()
    counts = RequestCounts(RouteNames(list, "", "/latest", "/v1"), registry)

    counts.count(("/", "GET", 200), 0.0, 0.05, 10)
    counts.count(("/", "GET", 200), 0.0, 99.0, 10)

    def in_bucket(limit: str) -> float | None:
        labels = {"route": "none", "method": "GET", "status": "2xx", "le": limit}
        return registry.get_sample_value("data_tracker_api_request_seconds_bucket", labels)

    assert [in_bucket(limit) for limit in ("0.025", "0.05", "10.0", "+Inf")] == [0, 1, 1, 2]


async def test_redis_that_is_away_shows_in_the_failures_and_in_the_5xx(clock):
    async with serving(clock, "redis://127.0.0.1:1/0") as api:
        before = read_value(await scrape(api), "data_tracker_api_redis_failures_total")
        assert (await api.get("/v1/ranks")).status == 503
        text = await scrape(api)

    assert read_value(text, "data_tracker_api_redis_failures_total") > before
    assert read_value(text, COUNT, route="/v1/ranks", status="5xx") == 1


async def test_exchanges_with_redis_are_timed(api):
    before = read_value(await scrape(api), "data_tracker_api_redis_seconds_count")
    await api.get("/v1/ranks")

    text = await scrape(api)

    assert read_value(text, "data_tracker_api_redis_seconds_count") > before
    assert read_value(text, "data_tracker_api_redis_failures_total") == 0


async def test_open_connections_are_counted_by_what_they_do(api):
    idle = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))
    arriving = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))
    arriving[1].write(b"GET /v1/ranks HTTP/1.1\r\n")
    await arriving[1].drain()

    def count(text: str, phase: str) -> float:
        return read_value(text, "data_tracker_api_connections", phase=phase)

    async with asyncio.timeout(60):
        while (count(text := await scrape(api), "waiting"), count(text, "arriving")) != (1, 1):
            await asyncio.sleep(0.01)
    for _, writer in (idle, arriving):
        writer.close()

    assert count(text, "answering") == 1
    assert read_value(text, "data_tracker_api_accepted_connections_total") == 3


async def test_what_is_no_http_and_who_comes_when_it_is_full_are_counted(server, clock):
    async with serving(clock, server, connections=8, client_connections=8) as api:
        await raw(api, b"nonsense")
        text = await scrape(api)

    assert read_value(text, "data_tracker_api_refused_requests_total", status="400") == 1


async def test_metrics_want_a_key_where_the_api_does(server, clock):
    async with serving(clock, server, api_keys="a-key-of-16-characters") as api:
        refused = await api.get("/metrics")
        allowed = await api.get("/metrics", Authorization="Bearer a-key-of-16-characters")

    assert (refused.status, allowed.status) == (401, 200)


async def test_metrics_are_never_kept_by_a_cache_and_have_no_parameters(api):
    assert (await api.get("/metrics")).headers["Cache-Control"] == "no-store"
    assert (await api.get("/metrics", method="POST")).status == 405


async def test_promtool_finds_nothing_wrong_with_them(api):
    promtool = missing.program("prometheus")
    if promtool is None:
        missing.skip("prometheus")
    await api.get("/v1/ranks")

    assert lint(promtool, await scrape(api)) == ""


async def test_every_metric_of_ours_is_named_by_the_rules(api):
    names = read_samples(await scrape(api))

    ours = [name for name in names if not name.startswith(("process_", "python_"))]
    assert ours
    assert all(name.startswith("data_tracker_api_") for name in ours)
    assert not [name for name in names if name.endswith("_created")]


async def test_every_sample_says_of_which_process_it_is(api):
    for name, samples in read_samples(await scrape(api)).items():
        assert all(dict(labels)["process"] == "0" for labels in samples), name


def test_two_applications_in_one_process_count_apart():
    one, other = (ApiTelemetry.make(list, "", "/latest", "/v1") for _ in range(2))

    one.instruments.limited["points"].inc()

    labels = {"limit": "points"}
    assert one.registry.get_sample_value("data_tracker_api_limited_requests_total", labels) == 1
    assert other.registry.get_sample_value("data_tracker_api_limited_requests_total", labels) == 0


def test_what_other_parts_count_by_themselves_is_read_when_it_is_asked_for():
    telemetry = ApiTelemetry.make(list, "", "/latest", "/v1")

    cache = SimpleNamespace(**vars(NoCache()))
    telemetry.statistics.follow_cache(cache)
    telemetry.statistics.follow_streams(NoStreams({"sse": 3}, sent=7, stalled=1))
    cache.hits = 5

    def value(name: str, **labels: str) -> float | None:
        return telemetry.registry.get_sample_value(f"data_tracker_api_{name}", labels)

    assert value("cache_requests_total", outcome="hit") == 5
    assert (value("stream_clients", kind="sse"), value("stream_frames_total")) == (3, 7)
    assert value("stream_slow_clients_total", reason="stalled") == 1


async def test_kept_answers_streams_and_limits_are_counted(server, clock, writer):
    await fill(writer, {"KRAKEN:BTCUSD": every_minute(["1", "2"])})
    async with serving(clock, server, rate_limit="4/hour") as api:
        for _ in range(3):
            await api.get("/v1/ranks")
        # What it has to say is sent, and it ends.
        await api.get("/v1/stream", {"metrics": "KRAKEN:BTCUSD", "once": "true"})
        refused = await api.get("/v1/ranks")
        text = await scrape(api)

    assert refused.status == 429
    assert read_value(text, "data_tracker_api_cache_requests_total", outcome="miss") == 1
    assert read_value(text, "data_tracker_api_cache_requests_total", outcome="hit") == 2
    assert read_value(text, "data_tracker_api_stream_frames_total") >= 1
    assert read_value(text, "data_tracker_api_stream_clients", kind="sse") == 0
    assert read_value(text, "data_tracker_api_limited_requests_total", limit="requests") >= 1


@pytest.mark.parametrize("status", [200, 304, 404, 503])
async def test_the_time_of_a_stream_counts_until_it_begins(status):
    registry = CollectorRegistry()

    class Named(RouteNames):
        def find(self, path: str) -> str:
            return path

    counts = RequestCounts(Named(list, "", "/latest", "/v1"), registry)
    counts.count(("/v1/stream", "GET", status), 0.25, 3600.0, 1)

    labels = {"route": "/v1/stream", "method": "GET", "status": f"{status // 100}xx"}
    assert registry.get_sample_value("data_tracker_api_request_seconds_sum", labels) == 0.25
