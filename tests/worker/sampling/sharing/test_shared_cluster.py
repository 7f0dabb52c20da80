"""Several workers on a real cluster leave what one worker on one node leaves, also where a primary and a worker are killed."""

import asyncio
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis
from redis.crc import key_slot

from tests.support.cluster import RunningCluster, open_cluster
from tests.support.crew import Crew, read_shared
from tests.support.divided import METRICS, OTHERS, RULES, log, script
from tests.support.serving import MINUTE, NOON
from v1.market.slot_marking import TickEvidence
from v1.market.slots import SlotReason
from v1.rules import RuleEngine
from v1.store import StoreError, Writer, connect, keys
from v1.store.places import HOME, get_places
from worker.sampling.absences import SourceAbsence, TickAbsences
from worker.sampling.tick import commit_tick

PARTITIONS = 8
TICKS = dict(zip(range(NOON, NOON + 5 * MINUTE, MINUTE), script(), strict=True))
ABSENCES = TickAbsences(
    [
        SourceAbsence("kraken", frozenset(METRICS), SlotReason.NOT_GIVEN),
        SourceAbsence("binance", frozenset(OTHERS), SlotReason.NO_ANSWER),
    ]
)


def make_engine() -> RuleEngine:
    return RuleEngine(RULES, (), MINUTE)


async def play_alone(redis: Redis) -> tuple[Mapping[str, Any], Any]:
    """Return what one worker leaves on one node."""
    alone = Writer(redis)
    await alone.lease.take_or_keep("alone")
    await alone.open()
    for at, readings in TICKS.items():
        evidence = TickEvidence(MINUTE, await alone.read_tick(), ABSENCES.explain)
        await commit_tick(at, readings, alone, make_engine(), 0, evidence)
    return await read_market(redis), await log(redis)


async def read_market(redis: Redis) -> dict[str, Any]:
    """Return what is shared, but for what a division adds."""
    return {key: value for key, value in (await read_shared(redis)).items() if key != keys.PARTITIONS}


async def commit_whatever_happens(crew: Crew, at: int, readings: Any, previous: int | None) -> None:
    """Commit a tick as the sampler does: as often as it takes, reading anew what the store has."""
    while True:
        try:
            if await crew.home.read_tick() != at:
                await crew.commit(at, readings, previous, ABSENCES)
        except StoreError:
            await asyncio.sleep(0.05)
            await open_again(crew)
        else:
            return


async def open_again(crew: Crew) -> None:
    while True:
        try:
            await crew.home.open()
        except StoreError:
            await asyncio.sleep(0.05)
        else:
            return


async def test_three_workers_on_a_cluster_leave_what_one_leaves_on_one_node(server: str, cluster: RunningCluster):
    async with connect(server, "tests") as redis:
        whole = await play_alone(redis)
    async with connect(cluster.url, "tests", partitions=PARTITIONS) as redis:
        crew = Crew(redis, make_engine())
        async with asyncio.timeout(120):
            await crew.open()
            assert len(get_places(redis).list_tags()) == PARTITIONS
            for at, readings in TICKS.items():
                await crew.commit(at, readings, await crew.home.read_tick(), ABSENCES)
        await crew.close()
        alerts, messages, outages = await log(redis)

        assert (sorted(alerts), messages, outages) == (sorted(whole[1][0]), *whole[1][1:])
        assert await read_market(redis) == whole[0]


async def test_a_primary_and_a_worker_that_are_killed_in_the_middle_of_a_tick_lose_nothing(server: str):
    async with connect(server, "tests") as redis:
        whole = await play_alone(redis)
    async with open_cluster() as cluster, connect(cluster.url, "tests", partitions=PARTITIONS) as redis:
        crew = Crew(redis, make_engine())
        async with asyncio.timeout(180):
            await crew.open()
            previous = None
            for place, (at, readings) in enumerate(TICKS.items()):
                committing = asyncio.create_task(commit_whatever_happens(crew, at, readings, previous))
                if place == 2:
                    # A primary that has not home: who has home lost its newest ticks may be waited for by nobody.
                    lost = await find_primary(cluster, redis)
                    cluster.kill(lost)
                    await crew.mates["one"].end()
                    await cluster.wait_for_failover(lost)
                    await bury(crew, "one")
                await committing
                previous = at
        await crew.close()
        alerts, messages, outages = await log(redis)

        assert (sorted(alerts), messages, outages) == (sorted(whole[1][0]), *whole[1][1:])
        assert await read_market(redis) == whole[0]


async def find_primary(cluster: RunningCluster, redis: Redis) -> int:
    """Return the port of a primary that has partitions and not what lies home."""
    homes = await cluster.find_owner(key_slot(HOME.encode()))
    owners = [await cluster.find_owner(key_slot(tag.encode())) for tag in get_places(redis).list_tags()]
    return next(port for port in owners if port != homes)


async def bury(crew: Crew, name: str) -> None:
    """Have a worker count as gone, as soon as the store hears of it."""
    while True:
        try:
            await crew.bury(name)
        except StoreError:
            await asyncio.sleep(0.05)
        else:
            return
