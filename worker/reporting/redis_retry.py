"""Retries a command until Redis answers, and logs each kind of failure once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from worker.latest.store import StoreAway, StoreError
from worker.reporting.outage_log import OutageLog

AWAY_SECONDS = 1.0
"""Between two tries while Redis does not answer."""

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


def describe_trouble(error: StoreError) -> str:
    """Return in a few words what is wrong with Redis, for a log line when it begins and when it changes."""
    return "Redis is away" if isinstance(error, StoreAway) else "Redis answers with an error"


class RedisRetry:
    """Retries for one task; `channel` names it in log lines."""

    def __init__(self, channel: str, sleep: Sleep = asyncio.sleep) -> None:
        self._sleep = sleep
        self._outage = OutageLog(channel=channel)

    async def retry_until_done(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Call `ask` until Redis answers, and return the answer: a message that was sent must be recorded, or it is sent again."""
        while True:
            try:
                answer = await ask()
            except StoreError as error:
                await self.wait(error)
            else:
                self._outage.log_recovery()
                return answer

    async def wait(self, error: StoreError) -> None:
        message = f"{describe_trouble(error)}, messages wait"
        self._outage.log_failure(message, str(error), kind=message)
        await self._sleep(AWAY_SECONDS)
