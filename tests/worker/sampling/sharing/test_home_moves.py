"""The slot of what lies home moves while several workers commit."""

import asyncio

import pytest
from redis.crc import key_slot

from tests.support.cluster import open_cluster
from tests.support.crew import Crew
from tests.support.divided import log
from tests.worker.sampling.sharing.test_shared_cluster import (
    PARTITIONS,
    TICKS,
    commit_whatever_happens,
    make_engine,
    play_alone,
    read_market,
)
from v1.store import connect
from v1.store.places import HOME


@pytest.mark.parametrize("moved_at", [0, 2])
async def test_the_slot_of_home_moves_in_the_middle_of_a_tick_and_nothing_is_lost(server: str, moved_at: int):
    async with connect(server, "tests") as redis:
        whole = await play_alone(redis)
    async with open_cluster(replicas=0) as cluster, connect(cluster.url, "tests", partitions=PARTITIONS) as redis:
        crew = Crew(redis, make_engine())
        home = key_slot(HOME.encode())
        async with asyncio.timeout(120):
            await crew.open()
            previous = None
            for place, (at, readings) in enumerate(TICKS.items()):
                committing = asyncio.create_task(commit_whatever_happens(crew, at, readings, previous))
                if place == moved_at:
                    await asyncio.sleep(0)
                    owner = await cluster.find_owner(home)
                    await cluster.move_slot(home, next(port for port in await cluster.primaries() if port != owner))
                await committing
                previous = at
        await crew.close()
        alerts, messages, outages = await log(redis)

        assert (sorted(alerts), messages, outages) == (sorted(whole[1][0]), *whole[1][1:])
        assert await read_market(redis) == whole[0]
