"""
Whether the machine's clock can be relied on, and the time where it cannot. It asks nobody itself: who can ask a provider
is handed to it.

Two witnesses are held against the clock. The steady clock goes on evenly, also while the machine sleeps, and so shows
every jump since the last look. A provider's `Date` header shows also a clock that was wrong from the start. A jump is
believed where a provider confirms it, and refused where one denies it or none of those that there are answers.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import structlog

log = structlog.get_logger()

JUMP_SECONDS = 30.0
"""A step of the clock that may be: less than that costs a few ticks, and is no day of the future."""
SLEWING = 0.1
"""How much faster or slower than the steady clock it may go: chrony slews by 8.3 %."""
DATE_SECONDS = 120.0
"""How far a provider's time may be off ours: a header is a second coarse, and caches keep answers for a while."""
REMEMBERED_SECONDS = 600.0
"""How long what a provider said counts where nothing seems wrong."""
SETTLING_SECONDS = 600.0
"""Where nobody can be asked, a clock that went on evenly for so long after a jump is believed."""
RETRY_SECONDS = 5.0
"""Between two looks at a clock that cannot be relied on."""
FUTURE_SECONDS = 120
"""Ticks that lie so far ahead are waited for; what lies further ahead was made by a clock that was wrong."""
ASKING_SECONDS = 5.0
"""How long a provider may take to say what time it is."""
LARGEST_AGE = 86_400

Ask = Callable[[], Awaitable[object]]
"""Asks one provider for anything; what its answer says of the time is handed to `WatchedClock.note_date`."""


class ClockSetBack(Exception):
    """The clock was far ahead and is right again; whoever runs by it must begin anew. The message says how far."""


class HostTime(NamedTuple):
    """What one host said of the time."""

    offset: float
    """Its unix time, less the steady clock at that moment."""
    at: float
    """By the steady clock."""


def read_steady_clock() -> float:
    """Return the seconds since some moment, by a clock that nobody sets and that goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class WatchedClock:
    """The machine's clock, watched. All that read one of them share what was found out about it."""

    def __init__(self, wall: Callable[[], float] = time.time, even: Callable[[], float] = read_steady_clock) -> None:
        self._wall = wall
        self._even = even
        self._told: dict[str, HostTime] = {}
        self._asks: Sequence[Ask] = ()
        self._offset: float | None = None
        """The unix time less the steady clock, when it was last found right; `None` before."""
        self._looked_at = 0.0
        self._jumped: HostTime | None = None
        """A jump that nobody can judge: how it was then, and since when."""
        self._asking = asyncio.Lock()
        self.changed = asyncio.Event()
        """Set when `fault` is another; whoever waits for it clears it."""
        self.fault: str | None = None
        """Why it cannot be relied on; `None` where it can."""
        self.is_confirmed = False
        """Whether a provider agreed since the last time that there was doubt."""

    def set_askers(self, asks: Sequence[Ask]) -> None:
        """Name who can be asked for the time where there is doubt."""
        self._asks = asks

    @property
    def is_settled(self) -> bool:
        """Whether all was done that can be done to find it right: a provider agreed, or there is none."""
        return self.fault is None and (self.is_confirmed or not self._asks)

    def wall(self) -> float:
        """Return what the machine says, right or wrong."""
        return self._wall()

    def now(self) -> float:
        """Return the unix time: the machine's, or where that has jumped and nobody confirmed it, the steady clock's."""
        even, wall = self._even(), self._wall()
        if self._offset is not None:
            return even + self._offset if self._has_jumped(wall - even, even) else wall
        # Wrong from the start: the providers know better, if any has answered.
        told = max(self._told.values(), key=lambda each: each.at, default=None)
        return even + told.offset if self.fault and told else wall

    def note_date(self, host: str, date: str | None, age: str | None = None) -> None:
        """Take in the `Date` of an answer that has just come, and its `Age` where a cache had it."""
        try:
            said = parsedate_to_datetime(date or "").timestamp()
        except (TypeError, ValueError, OverflowError):
            return
        if age is not None and age.isascii() and age.isdecimal() and len(age) < len(str(LARGEST_AGE)) + 1:
            said += int(age)
        even = self._even()
        self._told[host] = HostTime(said - even, even)
        if self.fault is None and self._agrees(self._wall() - even, self._told[host]):
            self.is_confirmed = True

    def list_differences(self) -> dict[str, float]:
        """Return how many seconds the machine is ahead of each host that said the time; a header is a second coarse."""
        offset = self._wall() - self._even()
        return {host: offset - told.offset for host, told in self._told.items()}

    async def is_right(self) -> bool:
        """Return whether the clock can be relied on now; where there is doubt, providers are asked first."""
        if not self._is_doubtful():
            self._believe()
            return True
        async with self._asking:
            if self._is_doubtful():
                await self._judge()
        return self.fault is None

    def _is_doubtful(self) -> bool:
        even = self._even()
        offset = self._wall() - even
        if self.fault is not None or self._offset is None or self._has_jumped(offset, even):
            return True
        lately = [each for each in self._told.values() if even - each.at <= REMEMBERED_SECONDS]
        return bool(lately) and not any(self._agrees(offset, each) for each in lately)

    def _has_jumped(self, offset: float, even: float) -> bool:
        if self._offset is None:
            return False
        return abs(offset - self._offset) > JUMP_SECONDS + SLEWING * (even - self._looked_at)

    def _agrees(self, offset: float, told: HostTime) -> bool:
        return abs(offset - told.offset) <= DATE_SECONDS

    async def _judge(self) -> None:
        """Ask everybody what time it is, and decide."""
        since = self._even()
        await asyncio.gather(*[_ask_quietly(ask) for ask in self._asks])
        even = self._even()
        offset = self._wall() - even
        # What was said before counts only where the clock has not jumped: a machine that was paused stood still itself.
        known = since if self._has_jumped(offset, even) else even - REMEMBERED_SECONDS
        fresh = {host: each for host, each in self._told.items() if each.at >= known}
        if any(self._agrees(offset, each) for each in fresh.values()):
            self._believe(confirmed=True)
        elif fresh:
            host, told = max(fresh.items(), key=lambda each: each[1].at)
            self._doubt(f"the machine's clock is {_format_difference(offset - told.offset)} that of {host}")
        elif self._asks:
            self._judge_alone(offset, even, f"none of the {len(self._asks)} providers says what time it is")
        else:
            self._judge_unasked(offset, even)

    def _judge_alone(self, offset: float, even: float, why: str) -> None:
        """Decide where providers could say what time it is, and do not: then there is nothing to sample either."""
        if self._offset is None and self.fault is None:
            self.is_confirmed = False
            self._believe()
        elif self._offset is not None and self._has_jumped(offset, even):
            self._doubt(
                f"the machine's clock has jumped to {_format_difference(offset - self._offset)} where it was, and {why}"
            )
        elif self._offset is not None:
            self._believe()

    def _judge_unasked(self, offset: float, even: float) -> None:
        """Decide where there is nobody to ask: a jump is believed when the clock has gone on evenly for a while."""
        if self._offset is None or not self._has_jumped(offset, even):
            self._believe()
            return
        if self._jumped is None or abs(offset - self._jumped.offset) > JUMP_SECONDS:
            self._jumped = HostTime(offset, even)
        if even - self._jumped.at >= SETTLING_SECONDS:
            self._believe()
            return
        how = _format_difference(offset - self._offset)
        self._doubt(f"the machine's clock has jumped to {how} where it was, and no provider can be asked")

    def _believe(self, *, confirmed: bool = False) -> None:
        even = self._even()
        self._offset, self._looked_at, self._jumped = self._wall() - even, even, None
        self.is_confirmed = self.is_confirmed or confirmed
        if self.fault is not None:
            log.info("the clock can be relied on again")
            self.changed.set()
        self.fault = None

    def _doubt(self, fault: str) -> None:
        if self.fault is None:
            log.warning("nothing is sampled: the clock cannot be relied on", reason=fault)
        self.fault, self.is_confirmed = fault, False
        self.changed.set()


async def _ask_quietly(ask: Ask) -> None:
    # Whatever goes wrong here was said already, by whoever asked for numbers; there is no answer, and that is all.
    try:
        async with asyncio.timeout(ASKING_SECONDS):
            await ask()
    except Exception as error:  # noqa: BLE001  # as above
        log.debug("a provider does not say what time it is", reason=type(error).__name__)


def _format_difference(seconds: float) -> str:
    return f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'}"
