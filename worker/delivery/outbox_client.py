"""One channel's outbox, for a sender that must not send twice: each call is repeated until Redis answers."""

import asyncio
from collections.abc import Sequence

from worker.latest.delivery import Disposition, Outbox, OutboxEntry, QueuedMessage, RetryState
from worker.reporting.redis_retry import RedisRetry, Sleep


class OutboxClient:
    """
    An `Outbox` whose calls wait while Redis is away or refuses, and log that once.

    A message that was sent must not be sent again because that could not be recorded, so nothing else is done until it
    is. Only `open` raises `StoreError`: at a start others must not wait for this channel.
    """

    def __init__(self, outbox: Outbox, sleep: Sleep = asyncio.sleep) -> None:
        self.channel = outbox.channel
        self._outbox = outbox
        self._retry = RedisRetry(outbox.channel, sleep)

    async def open(self) -> tuple[dict[str, RetryState], str | None]:
        """Return the retry state of each message, and the channel's state, as they were recorded. Raises `StoreError`."""
        await self._outbox.open()
        return await self._outbox.read_retries()

    async def read_entries(self, wait: float = 0.0) -> list[OutboxEntry]:
        return await self._retry.retry_until_done(lambda: self._outbox.read_entries(wait))

    async def read_tick(self) -> int:
        return await self._retry.retry_until_done(self._outbox.read_tick)

    async def skip_entries(self, entries: Sequence[str]) -> None:
        await self._retry.retry_until_done(lambda: self._outbox.skip_entries(entries))

    async def save_state(self, state: str) -> None:
        await self._retry.retry_until_done(lambda: self._outbox.save_state(state))

    async def record(self, message: QueuedMessage, disposition: Disposition, state: str, at: float) -> None:
        await self._retry.retry_until_done(lambda: self._outbox.record(message, disposition, state, at))
