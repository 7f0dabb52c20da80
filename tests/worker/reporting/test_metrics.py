"""What the worker measures of itself, and where Prometheus reads it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, web

from tests.support import missing
from tests.support.exposition import lint, read_samples, read_value
from tests.support.loopback import serving
from tests.support.servers import free_port
from worker.cli.commands import _run
from worker.latest.settings import InvalidSettings
from worker.reporting.metrics import CannotListen, make_instruments, serve_metrics, states
from worker.settings import WorkerSettings
from worker.sources.request_trace import make_request_trace

KEY = "a-key-of-16-characters"


async def scrape(session: ClientSession, address: str | None, **headers: str) -> tuple[int, str]:
    assert address is not None
    async with session.get(address, headers=headers) as answer:
        return answer.status, await answer.text()


@asynccontextmanager
async def working(settings: WorkerSettings) -> AsyncIterator[None]:
    """Run a worker, which is to go on until the end."""
    running = asyncio.create_task(_run(settings, ["sampling", "pricing", "ranking"]))
    try:
        yield
        assert not running.done(), running.exception()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def wait_for(session: ClientSession, port: int, is_there: Callable[[str], bool]) -> str:
    """Return the metrics of a worker, once what a test looks for is in them."""
    async with asyncio.timeout(120):
        while True:
            with suppress(ClientError):
                _, text = await scrape(session, f"http://127.0.0.1:{port}/metrics")
                if is_there(text):
                    return text
            await asyncio.sleep(0.05)


async def test_a_worker_that_samples_shows_its_ticks_sources_archive_and_plans(
    server: str, tmp_path: Path, session: ClientSession
):
    settings = WorkerSettings.load(
        redis_url=server,
        data_dir=tmp_path,
        sources="simulated",
        metrics="SIMULATED:BTCUSD,SIMULATED:NONE",
        interval=1,
        worker_metrics_bind=f"127.0.0.1:{(port := free_port())}",
    )

    async with working(settings):
        text = await wait_for(
            session,
            port,
            lambda text: (
                read_value(text, "data_tracker_ticks_total") >= 3
                and read_value(text, "data_tracker_archive_up") == 1
                and read_value(text, "data_tracker_quota_limit", role="pricing", unit="credits") == 10_000
            ),
        )

    assert read_value(text, "data_tracker_samples_total", source="simulated") >= 2
    assert read_value(text, "data_tracker_source_up", source="simulated") == 1
    assert read_value(text, "data_tracker_source_missing_metrics", source="simulated") == 1
    for name in ("interval_seconds", "metrics", "redis_up", "lease_held", "clock_ok", "toplist_up"):
        assert set(read_samples(text)[f"data_tracker_{name}"].values()) == {1}, name
    for name in ("commit_seconds", "collect_seconds", "tick_delay_seconds", "redis_seconds"):
        assert read_value(text, f"data_tracker_{name}_count") > 0, name
    assert read_value(text, "data_tracker_tick_timestamp_seconds") > 1_600_000_000


async def test_without_an_address_nothing_listens():
    async with serve_metrics(None, make_instruments().registry) as address:
        assert address is None


async def test_where_there_are_keys_one_is_wanted(session: ClientSession):
    async with serve_metrics("127.0.0.1:0", make_instruments().registry, [KEY, "another-key-of-mine"]) as address:
        without, text = await scrape(session, address)
        wrong, _ = await scrape(session, address, Authorization=f"Bearer {KEY}x")
        right, metrics = await scrape(session, address, Authorization=f"bearer {KEY}")

    assert (without, wrong, right) == (401, 401, 200)
    assert text == "a key is wanted: Authorization: Bearer KEY, with one of TRACKER_API_KEYS\n"
    assert "data_tracker_ticks_total" in metrics


async def test_an_address_that_is_taken_stops_the_start_and_is_named():
    async with serve_metrics("127.0.0.1:0", make_instruments().registry) as address:
        assert address is not None
        taken = address.removeprefix("http://").removesuffix("/metrics")

        with pytest.raises(CannotListen, match=f"TRACKER_WORKER_METRICS_BIND: cannot listen on '{taken}': .*in use"):
            async with serve_metrics(taken, make_instruments().registry):
                raise AssertionError("it listens")


def test_an_address_beyond_this_machine_wants_keys_or_a_word():
    bind = {"worker_metrics_bind": "0.0.0.0:9101", "redis_url": "redis://127.0.0.1:1/0"}

    with pytest.raises(
        InvalidSettings, match=r"TRACKER_WORKER_METRICS_BIND: '0\.0\.0\.0:9101' listens beyond this machine"
    ):
        WorkerSettings.load(**bind)
    assert WorkerSettings.load(**bind, api_keys=KEY).worker_metrics_bind == "0.0.0.0:9101"
    assert WorkerSettings.load(**bind, open=True).worker_metrics_bind == "0.0.0.0:9101"


def test_what_is_no_address_is_refused():
    with pytest.raises(InvalidSettings, match="TRACKER_WORKER_METRICS_BIND: 'nowhere' is not accepted"):
        WorkerSettings.load(worker_metrics_bind="nowhere")


async def test_requests_to_providers_are_counted_by_host_and_status_and_those_without_an_answer_too():
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=429)

    instruments = make_instruments()
    trace = make_request_trace(instruments.record_request)
    app = web.Application()
    app.router.add_get("/", refuse)
    async with serving(app) as address, ClientSession(trace_configs=[trace]) as session:
        async with session.get(address):
            pass
        with pytest.raises(ClientError):
            await session.get(f"http://127.0.0.1:{free_port()}/")

    def count(status: str) -> float | None:
        labels = {"host": "127.0.0.1", "status": status}
        return instruments.registry.get_sample_value("data_tracker_provider_requests_total", labels)

    assert (count("4xx"), count("none"), count("2xx")) == (1, 1, None)


def test_a_part_that_is_made_anew_is_shown_instead_of_the_one_before():
    instruments = make_instruments()

    for fault in ("wrong", None):
        instruments.states.follow("clock", lambda fault=fault: states.list_clock_metrics(fault))

    assert instruments.registry.get_sample_value("data_tracker_clock_ok") == 1


def test_of_deliveries_only_those_that_were_sent_have_a_delay():
    instruments = make_instruments()

    instruments.record_delivery("phone", "failed", 5.0)
    instruments.record_delivery("phone", "sent", 9.0)

    def value(name: str, **labels: str) -> float | None:
        return instruments.registry.get_sample_value(name, {"channel": "phone", **labels})

    assert value("data_tracker_deliveries_total", status="failed") == 1
    assert value("data_tracker_deliveries_total", status="sent") == 1
    assert value("data_tracker_delivery_delay_seconds_sum") == 9.0


async def test_promtool_finds_nothing_wrong_with_them(session: ClientSession):
    promtool = missing.program("prometheus")
    if promtool is None:
        missing.skip("prometheus")
    instruments = make_instruments()
    instruments.states.follow("clock", lambda: states.list_clock_metrics(None))
    instruments.states.follow("archive", lambda: states.list_archive_metrics({"state": "ok"}, 3600, 2))
    instruments.states.follow("channels", lambda: states.list_channel_metrics({"phone": (3, 1, 0.5)}))
    instruments.record_request("localhost", None, 0.1)

    async with serve_metrics("127.0.0.1:0", instruments.registry) as address:
        _, text = await scrape(session, address)

    assert lint(promtool, text) == ""
    assert "_created" not in text
