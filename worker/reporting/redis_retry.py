"""Waits for a Redis that is away, or refuses, and says so once. What is written, and when it is too late, is not known here."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from worker.latest import StoreAway, StoreError
from worker.reporting.outage_log import OutageLog

AWAY_SECONDS = 1.0
"""Between two tries while Redis is away."""

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


def trouble(error: StoreError) -> str:
    """Return in a few words what is wrong with Redis: whoever waits for it says it when it begins, and when it changes."""
    return "Redis is away" if isinstance(error, StoreAway) else "Redis answers with an error"


class RedisRetry:
    """One task's, named by the channel that it works for."""

    def __init__(self, channel: str, sleep: Sleep = asyncio.sleep) -> None:
        self._sleep = sleep
        self._outage = OutageLog(channel=channel)

    async def retry_until_done(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until Redis answers: what was sent must not be sent again because it could not be written down."""
        while True:
            try:
                answer = await ask()
            except StoreError as error:
                await self.wait(error)
            else:
                self._outage.log_recovery()
                return answer

    async def wait(self, error: StoreError) -> None:
        message = f"{trouble(error)}, messages wait"
        self._outage.log_failure(message, str(error), kind=message)
        await self._sleep(AWAY_SECONDS)
