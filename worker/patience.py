"""Waits for a Redis that is away, and says so once. What is written, and when it is too late, is not known here."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from worker.latest import StoreAway

log = structlog.get_logger()

AWAY_SECONDS = 1.0
"""Between two tries while Redis is away."""

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


class Patience:
    """One task's, named by the channel that it works for."""

    def __init__(self, channel: str, sleep: Sleep = asyncio.sleep) -> None:
        self._channel = channel
        self._sleep = sleep
        self._is_away = False

    async def until_done(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until Redis answers: what was sent must not be sent again because it could not be written down."""
        while True:
            try:
                answer = await ask()
            except StoreAway as error:
                await self.wait(error)
            else:
                self._is_away = False
                return answer

    async def wait(self, error: StoreAway) -> None:
        if not self._is_away:
            log.warning("Redis is away, messages wait", channel=self._channel, reason=str(error))
        self._is_away = True
        await self._sleep(AWAY_SECONDS)
