"""A browser for each test of the page."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import expect

from tests.support.browsing import Browser, browsing

# Milliseconds until what is expected has to be there: a browser that starts on a busy machine takes many seconds.
expect.set_options(timeout=30_000)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with browsing() as made:
        yield made
    assert made.asked == [], "another host was asked"
