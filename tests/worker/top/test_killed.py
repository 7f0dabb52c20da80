"""The three roles in three processes, killed at random: no snapshot wrong, none doubled, none missing."""

import asyncio
import random
import time

import pytest

from tests.loopback import serving, top_providers
from tests.shared import SHARED, shared
from worker.latest import MINUTE
from worker.top import roles
from worker.top.roles import Stores

from .hours import NOON
from .killing import INTERVAL, Hurry, is_right, keep_killing

KILLS, SECONDS = 2, 3.0
"""How often each is killed here, and after how long; `bench/toplist.py` does it 50 times."""


@pytest.mark.timeout(120)
async def test_killed_at_random_nothing_is_wrong_doubled_or_missing(server: str, stores: Stores):
    shared("market-data", "toplists")
    hurry = Hurry(NOON, time.time(), 100)
    providers = top_providers(SHARED, hurry.now, coins="april", are_moving=True)
    async with serving(providers.app) as base:
        where = (server, base, hurry)
        await asyncio.gather(
            *[keep_killing(role, where, KILLS, SECONDS, random.Random(seed)) for seed, role in enumerate(roles.NAMES)]
        )

    span = await stores.top.span()
    assert span
    minutes = range(span.oldest, span.newest + 1, MINUTE)
    found = [await stores.top.snapshot(at) for at in minutes]
    assert [snapshot.at for snapshot in found] == list(minutes)
    assert await stores.top._redis.zcard("v1:top") == len(minutes) > 2 * INTERVAL // MINUTE
    for pair in {(snapshot.prices.at, snapshot.ranks.at): snapshot for snapshot in found}.values():
        assert is_right(pair, providers)
