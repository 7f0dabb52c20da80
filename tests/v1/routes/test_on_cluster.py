"""The API answers on a cluster what it answers on one node, on every route, byte by byte."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.cluster import WAIT_SECONDS, RunningCluster, open_cluster
from tests.support.serving import Answer, Api, Clock, every_minute, fill, serving
from tests.v1.routes.test_examples import answers, crash, written
from v1.model import Metric
from v1.routes.openapi import EXAMPLES
from v1.store import Writer, connect
from v1.store.cluster.opening import PARTITIONS as DEFAULT_PARTITIONS
from v1.store.places import HOME_SLOT

__all__ = ["crash"]


@pytest.fixture
async def server(cluster: RunningCluster) -> str:
    """The address of a cluster, in place of that of one node."""
    return cluster.url


@pytest.fixture(params=[False, True], ids=["primaries", "replicas"])
async def api(request: pytest.FixtureRequest, server: str, clock: Clock, archive_address: str) -> AsyncIterator[Api]:
    """The API, which reads from primaries or from replicas."""
    async with serving(clock, server, database_url=archive_address, read_replicas=request.param) as served:
        yield served


@pytest.mark.usefixtures("crash")
async def test_every_route_answers_the_examples_that_one_node_answered(api: Api, clock: Clock, tmp_path: Path):
    # One thing differs: into how many parts the data is divided.
    on_one_node = EXAMPLES.read_text().replace('"partitions":0,', f'"partitions":{DEFAULT_PARTITIONS},')
    assert written(await answers(api, clock, tmp_path)) == on_one_node


async def test_who_has_put_a_rule_reads_it_at_once_although_answers_are_kept(api: Api):
    for factor in range(3, 23):
        rule = {"id": "mine", "kind": "ratio", "factor": factor}
        assert (await api.send("PUT", "/v1/rules/mine", rule)).status in (200, 201)

        assert (await api.get("/v1/rules/mine")).json["factor"] == factor


@pytest.mark.parametrize("read_replicas", [False, True], ids=["primaries", "replicas"])
async def test_a_killed_primary_is_503_for_a_while_and_no_answer_is_wrong(clock: Clock, read_replicas: bool):
    async with open_cluster() as cluster, connect(cluster.url, "tests") as redis:
        metrics = [Metric(f"KRAKEN:C{number}USD") for number in range(30)]
        await fill(Writer(redis), {metric: every_minute(["1", "2", "3"]) for metric in metrics})
        lost = await cluster.find_owner(HOME_SLOT)
        async with serving(clock, cluster.url, read_replicas=read_replicas) as api:
            asked = ["/v1/metrics?limit=50", "/v1/ranks?limit=50", *[f"/v1/metrics/{each}/history" for each in metrics]]
            before = {path: (await api.get(path)).text for path in asked}
            async with cluster.client(lost) as node:
                await node.execute_command("WAIT", 1, 30_000)
            cluster.kill(lost)

            async with asyncio.timeout(WAIT_SECONDS):
                while asked:
                    answer = await api.get(asked[-1])
                    assert answer.status in (200, 503), answer.text
                    if answer.status == 200:
                        assert answer.text == before[asked.pop()]
                        continue
                    assert answer.headers["Retry-After"]
                    await asyncio.sleep(0.05)


async def test_while_a_part_is_away_health_says_so_and_its_questions_are_503_with_retry_after(clock: Clock):
    async with open_cluster(replicas=0) as cluster, connect(cluster.url, "tests") as redis:
        metrics = [Metric(f"KRAKEN:C{number}USD") for number in range(30)]
        await fill(Writer(redis), {metric: every_minute(["1", "2", "3"]) for metric in metrics})
        home = await cluster.find_owner(HOME_SLOT)
        lost = next(port for port in await cluster.primaries() if port != home)
        async with serving(clock, cluster.url) as api:
            assert "partition" not in (await api.get("/health/ready")).text
            cluster.kill(lost)

            health = await wait_for_reasons(
                api, lambda reasons: any("of the cluster are away" in each for each in reasons)
            )
            answers = [await api.get(f"/v1/metrics/{metric}/history") for metric in metrics]
            cluster.start(lost)
            await wait_for_reasons(api, lambda reasons: not any("away" in each for each in reasons))
            after = [await api.get(f"/v1/metrics/{metric}/history") for metric in metrics]

    assert (health.status, health.json["status"], health.json["store"]) == (200, "degraded", "ok")
    assert {answer.status for answer in answers} == {200, 503}
    assert all(answer.headers["Retry-After"] for answer in answers if answer.status == 503)
    assert {answer.status for answer in after} == {200}


async def wait_for_reasons(api: Api, is_so: Callable[[list[str]], bool]) -> Answer:
    """Return what `/health/ready` answers once its reasons are so."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not is_so((answer := await api.get("/health/ready")).json["reasons"]):
            await asyncio.sleep(0.05)
        return answer
