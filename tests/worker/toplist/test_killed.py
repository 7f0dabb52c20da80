"""The three roles in three processes, killed at random: no snapshot wrong, none doubled, none missing."""

import asyncio
import time

import pytest

from tests.support.loopback import serving, top_providers
from tests.support.shared import SHARED, shared
from tests.support.top_hours import NOON
from tests.support.top_killing import INTERVAL, Hurry, Killer, is_right
from v1.store import keys
from worker.latest import MINUTE
from worker.toplist.roles import TopListStores

KILLS, SECONDS = 1, 4.0
"""How often each is killed here, and after how many seconds at most; `bench/toplist.py` does it 50 times."""


@pytest.mark.timeout(120)
async def test_killed_at_random_nothing_is_wrong_doubled_or_missing(server: str, stores: TopListStores):
    shared("market-data", "toplists")
    hurry = Hurry(NOON, time.time(), 100)
    providers = top_providers(SHARED, hurry.now, coins="april", are_moving=True)
    async with serving(providers.app) as base, Killer(server, base, hurry, KILLS, SECONDS).killing():
        enough = hurry.now() + INTERVAL
        while (span := await stores.top.read_range()) is None or span.newest < enough:
            await asyncio.sleep(0.1)

    minutes = range(span.oldest, span.newest + 1, MINUTE)
    found = [await stores.top.read_snapshot(at) for at in minutes]
    assert [snapshot.at for snapshot in found] == list(minutes)
    assert await stores.top._redis.zcount(keys.TOP, span.oldest, span.newest) == len(minutes)
    for snapshot in {(snapshot.prices.at, snapshot.ranks.at): snapshot for snapshot in found}.values():
        assert is_right(snapshot, providers)
