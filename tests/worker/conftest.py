"""
What tests of the worker's motion may ask for, beside the servers of the whole suite.

    store    a writer on an empty database, once on each kind of server
    session  for sources, which here ask nobody over it
    watch    of the markets, at a tick a minute; every answer is here at noon
"""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis

from tests.support.invented import NOON
from worker.latest.store import Writer
from worker.sampling.market_watch import MarketWatch


@pytest.fixture
def store(redis: Redis) -> Writer:
    return Writer(redis)


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as opened:
        yield opened


@pytest.fixture
def watch() -> MarketWatch:
    return MarketWatch(60, lambda: float(NOON))
