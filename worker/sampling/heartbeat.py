"""
Calls an address while ticks are committed, so that a monitoring service notices when they are not. Sampling never waits
for the call.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

from worker.reporting.outage_log import OutageLog

EVERY_SECONDS = 55.0
"""Between two calls, at least: a little less than a minute, so that each of two ticks a minute apart is reported."""

Call = Callable[[], Awaitable[str | None]]
"""Calls the address once; returns why that failed, if it did."""


class Heartbeat:
    """Calls after a tick was committed, at most once in `EVERY_SECONDS`."""

    def __init__(self, call: Call | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._call = call
        self._clock = clock
        self._committed = asyncio.Event()
        self._outage = OutageLog()

    def notify_committed(self) -> None:
        """Note that a tick was committed; returns at once."""
        self._committed.set()

    async def run(self) -> None:
        """Call, for ever; returns at once where there is no address."""
        if self._call is None:
            return
        called = -math.inf
        while True:
            await self._committed.wait()
            self._committed.clear()
            now = self._clock()
            if now - called >= EVERY_SECONDS:
                called = now
                self._log_failure(await self._call())

    def _log_failure(self, error: str | None) -> None:
        """Log a failure once, and again when it is another or over."""
        if error is None:
            self._outage.log_recovery("the heartbeat works again")
        else:
            self._outage.log_failure("the heartbeat fails", error)
