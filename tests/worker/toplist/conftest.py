"""
What tests of the top list may ask for, beside the servers of the whole suite.

    clock      says what the test says
    providers  both providers on recorded coins, and what they were asked
    base       where they are
    session    to ask them over
    stores     what the roles read and write, in empty databases
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientTimeout

from tests.support.loopback import TopProviders, serving, top_providers
from tests.support.shared import SHARED, shared
from tests.support.top_hours import NOON, Clock
from v1.store import connect
from worker.latest.archive import TopArchiveWriter, connect_archive
from worker.latest.toplist import ListStore, QuotaStore, TopWriter
from worker.toplist.roles import TopListStores


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def providers(clock: Clock) -> TopProviders:
    shared("market-data", "toplists")
    return top_providers(SHARED, clock, coins="april", are_moving=True)


@pytest.fixture
async def base(providers: TopProviders) -> AsyncIterator[str]:
    async with serving(providers.app) as address:
        yield address


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession(timeout=ClientTimeout(total=60)) as opened:
        yield opened


@pytest.fixture
async def stores(server: str, tmp_path: Path) -> AsyncIterator[TopListStores]:
    address = f"sqlite+aiosqlite:///{tmp_path}/archive.db"
    async with connect(server, "tests") as redis, connect_archive(address, "tests", writes=True) as engine:
        yield TopListStores(ListStore(redis), QuotaStore(redis), TopWriter(redis), TopArchiveWriter(engine))
