"""What many metrics take, and what the primaries of a cluster have."""

import pytest

from tests.support.cluster import RunningCluster
from tests.support.ledger import heard
from tests.support.serving import NOON
from v1.store import Writer, connect
from worker.cli.plan import describe_loads, describe_plan, describe_size
from worker.latest import Metric
from worker.latest.store import PrimaryLoad, read_primary_loads
from worker.sampling.tick import commit_tick
from worker.settings import WorkerSettings

PARTITIONS = 8


@pytest.mark.parametrize(
    "count, interval, words",
    [
        (3_000, 60, "one node and one worker are enough: a tick takes a worker 0.43 s and Redis 0.2 s"),
        (100_000, 60, "one node and one worker are enough: a tick takes a worker 14 s and Redis 6.6 s"),
        (100_000, 5, "a cluster of 9 primaries"),
        (100_000, 5, "6 workers, with TRACKER_SHARE=yes, and one more that may be lost"),
        (1_000_000, 60, "a cluster of 8 primaries, each with a replica of 14 GB"),
    ],
)
def test_how_many_nodes_and_workers_so_many_metrics_take(count: int, interval: int, words: str):
    assert words in "\n".join(describe_size(count, interval))


@pytest.mark.usefixtures("nothing_is_set")
def test_a_number_of_metrics_stands_for_a_star():
    assert "size" not in "\n".join(describe_plan(WorkerSettings.load(metrics="KRAKEN:*")))
    lines = "\n".join(describe_plan(WorkerSettings.load(metrics="KRAKEN:*"), 2_000))

    assert "2,000 metrics" in lines
    assert "one node and one worker are enough" in lines


async def test_each_primary_of_a_cluster_is_listed_with_what_it_has(cluster: RunningCluster):
    async with connect(cluster.url, "tests", partitions=PARTITIONS) as redis:
        store = Writer(redis)
        await store.open()
        await commit_tick(NOON, heard({Metric(f"KRAKEN:C{number}USD"): "1" for number in range(20)}), store)
        loads = await read_primary_loads(cluster.url)

    assert [load.name for load in loads] == [f"127.0.0.1:{port}" for port in await cluster.primaries()]
    assert sum(load.partitions for load in loads) == PARTITIONS
    assert all(load.keys > 0 and load.used_bytes > 0 for load in loads)
    assert "uneven" not in "\n".join(describe_loads(loads))
    await cluster.flush()


async def test_one_redis_has_no_primaries_to_list(server: str):
    assert await read_primary_loads(server) == []


def test_partitions_that_lie_unevenly_are_said():
    loads = [PrimaryLoad("a:1", 4, 1, 1_000, 2_000), PrimaryLoad("b:1", 12, 1, 1_000, 0)]

    lines = [*describe_loads(loads)]

    assert lines[1].split() == ["a:1", "4", "partitions,", "1", "key,", "1", "kB", "of", "2", "kB"]
    assert "4 to 12 partitions: move slots" in lines[-1]
