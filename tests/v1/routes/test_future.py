"""What the API says while the newest tick lies in the future, or while the worker does not trust its clock."""

import pytest

from tests.support.serving import HOUR, MINUTE, NOON, fill, sample, serving
from v1.store import TopWriter, connect

BTC = "KRAKEN:BTCUSD"


@pytest.fixture
async def ahead(writer):
    """A worker's clock was two days ahead, and is right again."""
    await fill(writer, {BTC: [sample(NOON + 47 * HOUR, "1")]}, at=NOON + 47 * HOUR)
    return writer


@pytest.mark.usefixtures("ahead")
async def test_a_tick_of_the_future_makes_the_whole_unready_and_says_what_to_do(api):
    answer = await api.get("/health/ready")

    assert (answer.status, answer.json["status"]) == (503, "unready")
    assert answer.json["tick"]["age"] == 5 - 47 * HOUR
    (reason,) = answer.json["reasons"]
    assert reason.startswith(f"the newest tick lies {47 * HOUR - 5} s in the future: ")
    assert "scripts/start-worker.sh drop-future" in reason


@pytest.mark.usefixtures("ahead")
async def test_a_metric_whose_newest_sample_lies_in_the_future_is_not_live(api):
    metric = await api.get(f"/v1/metrics/{BTC}")
    listed = await api.get("/v1/metrics")

    assert metric.json["state"] == "stale"
    assert [each["state"] for each in listed.json["metrics"]] == ["stale"]


@pytest.mark.usefixtures("ahead")
async def test_an_answer_of_the_future_is_not_kept_until_then(api):
    answer = await api.get(f"/v1/metrics/{BTC}")

    assert answer.headers["Cache-Control"] == f"public, max-age={MINUTE}"


@pytest.mark.usefixtures("ahead")
@pytest.mark.parametrize("path", ["history", "candles"])
async def test_a_range_without_an_end_ends_now_and_not_in_the_future(serve_every_second, path):
    answer = await serve_every_second.get(f"/v1/metrics/{BTC}/{path}?from=-5m")

    assert answer.status == 200


@pytest.fixture
async def serve_every_second(clock, server, archive_address):
    async with serving(clock, server, interval=1, database_url=archive_address) as api:
        yield api


async def test_a_small_difference_between_clocks_is_no_future(api, writer):
    await fill(writer, {BTC: [sample(NOON + MINUTE, "1")]}, at=NOON + MINUTE)

    assert (await api.get("/health/ready")).json["status"] == "ready"
    assert (await api.get(f"/v1/metrics/{BTC}")).json["state"] == "live"


async def test_what_is_wrong_with_the_workers_clock_makes_the_whole_unready(api, writer):
    await fill(writer, {BTC: [sample(NOON, "1")]})
    await writer.note_clock("the machine's clock is 172800 s ahead of that of api.kraken.com")

    answer = await api.get("/health/ready")
    await writer.note_clock(None)
    mended = await api.get("/health/ready")

    assert answer.status == 503
    assert answer.json["reasons"] == [
        "nothing is sampled: the machine's clock is 172800 s ahead of that of api.kraken.com"
    ]
    assert mended.json["status"] == "ready"


async def test_a_role_of_the_top_list_that_spoke_in_the_future_is_told(api, server, writer):
    await fill(writer, {BTC: [sample(NOON, "1")]})
    async with connect(server, "tests") as redis:
        await TopWriter(redis).write_role_state("merging", {"state": "ok", "at": NOON + HOUR})

    answer = await api.get("/health/ready")

    assert answer.json["status"] == "degraded"
    assert "in the future" in answer.json["reasons"][0]
