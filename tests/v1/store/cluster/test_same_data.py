"""A market that is sampled on a cluster leaves the data that it leaves on one node."""

from collections.abc import Mapping
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support.cluster import RunningCluster
from tests.support.divided import METRICS, RULES, script
from tests.support.openapi_run import TOP_LIST
from tests.support.serving import HOUR, MINUTE, NOON, every_minute, sample
from v1.model import DAY
from v1.rules import RuleEngine, Silence
from v1.store import (
    Acknowledgement,
    AdminStore,
    ApiKeyStore,
    DataFormat,
    QuotaStore,
    Reader,
    StoreError,
    TopReader,
    TopWriter,
    Verifier,
    Writer,
    connect,
    keys,
    server_report,
)
from v1.store.places import Places, get_places
from worker.sampling.tick import commit_tick

OF_WORKER = "one"
OF_CLUSTERS = (keys.PARTITIONS, *keys.OF_PARTITIONS)
"""How the keys begin that one node has not."""
TOLD = "told"
"""Field by which an alert that has come from its partition is known to have come: one node needs none."""
PARTITIONS = 8


async def play(redis: Redis) -> None:
    """Fill a market, sample it with rules, correct it, and write everything else that a worker and the API write."""
    store = Writer(redis)
    await DataFormat(redis).ensure()
    await store.lease.take_or_keep(OF_WORKER)
    await store.open()
    engine = RuleEngine(RULES, (), MINUTE)
    for place, (readings, more) in enumerate(zip(script(), range(5), strict=True)):
        await commit_tick(NOON + place * MINUTE, readings, store, engine)
        filled = every_minute([f"{more}.5", "2.25"], NOON - more * HOUR)
        await store.insert_samples(METRICS[more], filled, "tests", NOON + place * MINUTE)
    corrected = [sample(NOON, "1.75", volume="12.5")]
    await store.insert_samples(METRICS[0], corrected, "tests", NOON + 4 * MINUTE, replace=[NOON])
    await store.update_rankings(NOON + 4 * MINUTE)
    await store.write_source_states({"kraken": {"state": "ok"}})
    await TopWriter(redis).write_snapshot(TOP_LIST)
    admin = AdminStore(redis)
    await admin.put_rule(RULES[0])
    await admin.put_silence(Silence.model_validate({"id": "s1", "from": NOON, "to": NOON + HOUR}), NOON)
    await admin.acknowledge({"id": "a.1", "at": NOON, "rule": "above"}, Acknowledgement(NOON, "me"))
    await QuotaStore(redis).update_usage("coinmarketcap", lambda usage: usage._replace(month="2021-05", spent=7))


async def read_data(redis: Redis) -> Mapping[str, Any]:
    """Return what all keys hold, by their names on one node: the bytes of each but those that have no order."""
    contents: dict[str, Any] = {}
    async for key in redis.scan_iter(count=1000):
        kind = await redis.type(key)
        has_end = await redis.ttl(key) > 0
        if key.startswith(OF_CLUSTERS):
            continue
        if kind == "hash":
            fields = await redis.hgetall(key)
            fields.pop(TOLD, None)
            if fields:
                contents[key] = sorted(fields.items()), has_end
        elif kind == "stream":
            # Named by the time at which they came, and told by partition after partition.
            contents[key] = sorted(str(fields) for _, fields in await redis.xrange(key)), has_end
        else:
            contents[key] = await redis.execute_command("DUMP", key, NEVER_DECODE=True), has_end
    return contents


async def test_all_data_is_that_of_one_node_and_verified(server: str, cluster: RunningCluster):
    async with connect(server, "tests") as one, connect(cluster.url, "tests", partitions=PARTITIONS) as divided:
        await play(one)
        await play(divided)

        whole = await read_data(one)
        assert await read_data(divided) == whole
        assert {*map(keys.moments, METRICS), keys.TOP, keys.ALERTS, keys.OUTBOX, keys.OUTAGES} <= {*whole}
        assert {await cluster.find_owner(slot) for slot in (0, 8191, 16_383)} == {*await cluster.primaries()}
        assert (await Verifier(divided).verify(repair=False)).is_clean


async def test_data_that_was_lost_is_made_again_as_on_one_node(server: str, cluster: RunningCluster):
    async with connect(server, "tests") as one, connect(cluster.url, "tests", partitions=PARTITIONS) as divided:
        for redis in (one, divided):
            await play(redis)
            await redis.delete(keys.METRICS, *map(keys.moments, METRICS[:4]))

            assert not (await Verifier(redis).verify(repair=True)).is_clean

        assert await read_data(divided) == await read_data(one)
        assert [*await Reader(divided).read_metrics()]
        assert (await Verifier(divided).verify(repair=False)).is_clean


async def test_a_reset_deletes_what_workers_wrote_at_every_node_and_keeps_how_the_data_is_divided(
    cluster: RunningCluster,
):
    async with connect(cluster.url, "tests", partitions=PARTITIONS) as redis:
        await play(redis)
        data = DataFormat(redis)
        assert await data.count_keys() > len(METRICS)

        await data.delete_data()

        kept = {key async for key in redis.scan_iter()}
        assert kept <= {keys.PARTITIONS, keys.RULES, keys.SILENCES, keys.LEASE, keys.budget("coinmarketcap")} | {
            key for key in kept if key.startswith(keys.OF_PARTITIONS)
        }
        assert await TopReader(redis).read_range() is None


async def test_a_report_adds_up_what_the_primaries_say(cluster: RunningCluster):
    async with connect(cluster.url, "tests", partitions=PARTITIONS) as redis:
        await play(redis)
        used = 0
        for port in await cluster.primaries():
            async with cluster.client(port) as node:
                used += (await node.info("memory"))["used_memory"]

        report = await server_report.read_server_report(cluster.url)

    assert report.newest == NOON + 4 * MINUTE
    assert report.holder == OF_WORKER
    assert report.used_bytes > used / 2
    assert report.failures == []
    assert len(report.version.split(", ")) == 1


async def test_a_primary_that_evicts_is_warned_of(cluster: RunningCluster):
    *_, last = await cluster.primaries()
    async with cluster.client(last) as node, connect(cluster.url, "tests") as redis:
        assert await Reader(redis).check_eviction() is None
        await node.config_set("maxmemory-policy", "allkeys-lru")
        await node.config_set("maxmemory", 10**9)
        try:
            assert "allkeys-lru" in str(await Reader(redis).check_eviction())
        finally:
            await node.config_set("maxmemory-policy", "noeviction")
            await node.config_set("maxmemory", 0)


async def test_a_cluster_that_was_emptied_is_divided_as_before_by_the_worker_that_runs(cluster: RunningCluster):
    async with connect(cluster.url, "tests", partitions=PARTITIONS) as redis:
        store = Writer(redis)
        await DataFormat(redis).ensure()
        await store.open()
        await redis.flushall()
        await commit_tick(NOON, script()[0], store)

    async with connect(cluster.url, "others") as redis:
        states = await Reader(redis).read_metric_states(METRICS)

        assert all(states)
        assert await ApiKeyStore(redis).read_keys() == {}
        assert await redis.ttl(keys.moments(METRICS[0])) > DAY


async def test_another_number_of_partitions_than_the_data_has_is_refused_with_both(cluster: RunningCluster):
    async with connect(cluster.url, "tests", partitions=PARTITIONS) as redis:
        await DataFormat(redis).ensure()
    async with connect(cluster.url, "others", partitions=PARTITIONS + 1) as redis:
        with pytest.raises(StoreError, match="8 partitions for good, and TRACKER_PARTITIONS says 9: set it to 8"):
            await DataFormat(redis).ensure()
    async with connect(cluster.url, "others", partitions=PARTITIONS) as redis:
        await DataFormat(redis).ensure()


async def test_whoever_does_not_say_how_many_partitions_there_are_reads_it(cluster: RunningCluster):
    async with connect(cluster.url, "tests", partitions=PARTITIONS) as redis:
        await play(redis)
    async with connect(cluster.url, "others") as redis:
        assert all(await Reader(redis).read_metric_states(METRICS))
        assert get_places(redis) == Places(PARTITIONS)
