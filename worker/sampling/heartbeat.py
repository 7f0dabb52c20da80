"""
A dead man's handle: an address that is called while ticks are committed, so that somebody else notices when they
are not. It only calls; nobody waits for it.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

from worker.reporting.outage_log import OutageLog

EVERY_SECONDS = 55.0
"""Between two calls, at least: a little less than a minute, so that each of two ticks a minute apart is told."""

Call = Callable[[], Awaitable[str | None]]
"""Calls the address once; gives why that failed, if it did."""


class Heartbeat:
    """Calls after a tick was committed, and not again for a while."""

    def __init__(self, call: Call | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._call = call
        self._clock = clock
        self._committed = asyncio.Event()
        self._outage = OutageLog()

    def notify_committed(self) -> None:
        """Say that a tick was committed. It costs nothing."""
        self._committed.set()

    async def run(self) -> None:
        """Call, for ever; at once back where there is nothing to call."""
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

    def _log_failure(self, trouble: str | None) -> None:
        """Log a failure once, and again when it is another or over."""
        if trouble is None:
            self._outage.log_recovery("the heartbeat is heard again")
        else:
            self._outage.log_failure("the heartbeat is not heard", trouble)
