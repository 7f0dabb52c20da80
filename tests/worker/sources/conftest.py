"""A loopback provider on recorded answers, at a time that the test sets."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, ClientTimeout, web

from tests.support.loopback import providers, serving
from tests.support.shared import shared

MORNING = 1_762_820_220
"""A whole minute, 17 of them after midnight UTC."""


class Clock:
    """Says what the test says."""

    def __init__(self) -> None:
        self.now = float(MORNING)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(clock: Clock) -> web.Application:
    return providers(shared("recorded"), clock)


@pytest.fixture
async def base(app: web.Application) -> AsyncIterator[str]:
    async with serving(app) as address:
        yield address


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession(timeout=ClientTimeout(total=60)) as opened:
        yield opened
