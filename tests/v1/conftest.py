"""
What tests of version 1 may ask for, beside the servers of the whole suite.

    clock    says the time that it was told
    writer   feeds the store that the API reads
    api      the API, served on a loopback port
"""

from collections.abc import AsyncIterator

import pytest

from v1.store import Writer, connect

from .serving import Api, Clock, serving


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def writer(server: str) -> AsyncIterator[Writer]:
    async with connect(server, "tests") as redis:
        yield Writer(redis)


@pytest.fixture
async def api(server: str, clock: Clock) -> AsyncIterator[Api]:
    async with serving(clock, server) as served:
        yield served
