"""
Restarts a part when it ends, as a service manager would: after growing delays, and only so many times. A part that
fails at its very start, as one with a wrong setting does, is not restarted.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from scripts.parts import Part, PartEnded
from worker.embedded.pidlock import AlreadyRunning
from worker.reporting.terminal import print_line

Sleep = Callable[[float], Awaitable[object]]


class RestartPolicy(NamedTuple):
    """How often, and when, a part is started again."""

    waits: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    """Seconds before each start, of one that ends soon again and again. After the last one it is given up."""
    settled: float = 60.0
    """Seconds after which a process counts as one that works: the next wait is the first again."""
    starting: float = 10.0
    """Seconds in which the very first process may end by itself only for a reason that a person must see to."""


class SupervisedPart:
    """A part that is kept up: one process after the other."""

    def __init__(self, part: Part, command: Sequence[str], data_dir: Path, policy: RestartPolicy, sleep: Sleep) -> None:
        self.name = part.name
        self._part = part
        self._command = command
        self._data_dir = data_dir
        self._policy = policy
        self._sleep = sleep
        self._began = time.monotonic()
        self._lasted_before = False
        """Whether any process of it has come through its start."""
        self._soon = 0
        """How many of its processes, the last ones in a row, ended before they counted as ones that work."""

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str],
        data_dir: Path,
        policy: RestartPolicy | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> Self:
        part = await Part.start(name, command, data_dir)
        return cls(part, command, data_dir, policy or RestartPolicy(), sleep)

    async def watch(self) -> None:
        """Start it again whenever it ends. Raises `Fell` when that is of no use: whoever stops it cancels this first."""
        while True:
            code = await self._part.wait_for_end()
            await self._start_again(code, time.monotonic() - self._began)

    async def stop(self) -> None:
        await self._part.stop()

    def read_last_lines(self) -> str:
        return self._part.read_last_lines()

    async def _start_again(self, code: int, lasted: float) -> None:
        what = f"the {self.name} {_describe_exit(code)}"
        while True:
            wait = self._wait_after(code, lasted)
            print_line(f"{what}; starting it again in {wait:.0f} s; its log: {self._part.log}")
            await self._sleep(wait)
            try:
                self._part = await Part.start(self.name, self._command, self._data_dir, again=True)
            except (AlreadyRunning, OSError) as error:
                # Claimed: a process that it had forked, to write a snapshot, outlives it for a moment.
                what, lasted = f"the {self.name} cannot be started: {error}", 0.0
            else:
                self._began = time.monotonic()
                return

    def _wait_after(self, code: int, lasted: float) -> float:
        """Return the seconds to wait. Raises `Fell`."""
        if code >= 0 and not self._lasted_before and lasted < self._policy.starting:
            raise PartEnded(f"the {self.name} {_describe_exit(code)}; {self.read_last_lines()}")
        self._lasted_before = self._lasted_before or lasted >= self._policy.starting or code < 0
        self._soon = 1 if lasted >= self._policy.settled else self._soon + 1
        if self._soon > len(self._policy.waits):
            raise PartEnded(
                f"the {self.name} {_describe_exit(code)}; {self.read_last_lines()}\n"
                f"the {self.name} ended {self._soon} times, each time within {self._policy.settled:.0f} s of its start, "
                f"and is not started again; its log is {self._part.log}"
            )
        return self._policy.waits[self._soon - 1]


def _describe_exit(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended by itself with code {code}"
