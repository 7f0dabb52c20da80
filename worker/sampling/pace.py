"""How fast a recording is played: when each of its ticks is due."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from worker.latest import decimals

SLOWEST, FASTEST = 0.01, 100_000
ACCEPTED_SPEED = (
    f"a number from {SLOWEST} to {FASTEST:,}: how many recorded seconds go by in one second, 60 for example"
)
LATE_SECONDS = 1.0
"""A tick that comes no later than this is made up for by those after it; a longer delay is not, or they would rush."""


class ReplayPace:
    """Waits until ticks are due: the first one at once, the others as far apart as they are, divided by `speed`."""

    def __init__(
        self,
        speed: str,
        begin: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Take a speed as `parse_speed` returns it. What lies before the tick `begin` is played as fast as it goes."""
        self.speed = speed
        self._seconds = float(speed)
        self._begin = begin
        self._clock = clock
        self._sleep = sleep
        self._last: tuple[int, float] | None = None
        """The tick before, and when it was due by the clock."""

    async def wait_for(self, at: int) -> None:
        """Return when tick `at` is due."""
        if at < self._begin:
            return
        now = self._clock()
        due = now if self._last is None else self._last[1] + (at - self._last[0]) / self._seconds
        if now - due > LATE_SECONDS:
            due = now
        self._last = at, due
        if due > now:
            await self._sleep(due - now)


def parse_speed(text: str) -> str:
    """Return a speed, as it is written. Raises `ValueError`."""
    if not decimals.is_number(text) or not SLOWEST <= float(text) <= FASTEST:
        raise ValueError(f"--speed: {text!r} is not accepted; accepted: {ACCEPTED_SPEED}")
    return text
