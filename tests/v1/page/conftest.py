"""A browser for each test of the page."""

from collections.abc import AsyncIterator

import pytest

from tests.support.browsing import Browser, browsing


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with browsing() as made:
        yield made
    assert made.asked == [], "another host was asked"
