"""
What tests of the store may ask for, beside the servers of the whole suite.

    store    a writer on an empty database, once on each kind of server
    ledger   its naive twin
"""

import pytest
from redis.asyncio import Redis

from tests.support.ledger import Ledger
from v1.store import Writer


@pytest.fixture
def store(redis: Redis) -> Writer:
    return Writer(redis)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()
