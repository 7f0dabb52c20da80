"""Runs backtests, each in a process of its own, a few at a time, and none for longer than somebody waits for it."""

import asyncio
import fcntl
import json
import os
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ...rules import InvalidDocument
from ...store import StoreAway
from .job import ExitCode, Job, accept_less, write_job

MOST_AT_ONCE = 1
GRACE_SECONDS = 5.0
"""The process ends by itself when its time is over; so much later it is killed."""
COMMAND = (sys.executable, "-m", str(__package__))
_ROOT = Path(__file__).resolve().parents[3]
_MOST_TOLD = 2000
"""Characters of what a process says that has failed."""


class TooManyBacktests(Exception):
    """As many run as may run at once."""


class RequestAbandoned(Exception):
    """Whoever asked has gone."""


class ServerStopping(Exception):
    """The API is about to end."""


class BacktestFailed(Exception):
    """The process has ended as it never should; the message has what it said."""


class BacktestRunner:
    """
    Runs backtests for one API process.

    `stopping` is set when that is about to end. No variable of the environment whose name begins with `hidden` is
    handed on: settings, and the secrets among them. `turns` is the descriptor of a file that several API processes
    have in common: whichever of them runs a backtest holds it locked.
    """

    def __init__(
        self, stopping: asyncio.Event, hidden: str, command: Sequence[str] | None = None, turns: int | None = None
    ) -> None:
        self._stopping = stopping
        self._hidden = hidden
        self._command = command
        self._running = 0
        self._turns = turns

    async def run(self, job: Job, leave: Callable[[], Awaitable[None]]) -> bytes:
        """
        Return the answer of a job. `leave` returns when whoever asked for it has gone.

        Raises `NotAccepted` where it is too much, `StoreAway`, `Busy`, `Abandoned`, `Stopping` or `Failed`.
        The process has ended when this ends, however it ends.
        """
        if self._running >= MOST_AT_ONCE or not self._lock_turn():
            raise TooManyBacktests
        self._running += 1
        try:
            return await self._run_or_leave(job, leave)
        finally:
            self._running -= 1
            if self._turns is not None:
                fcntl.lockf(self._turns, fcntl.LOCK_UN)

    def _lock_turn(self) -> bool:
        """Return whether no other API process runs a backtest; the lock goes with its process, however that ends."""
        try:
            if self._turns is not None:
                fcntl.lockf(self._turns, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        return True

    async def _run_or_leave(self, job: Job, leave: Callable[[], Awaitable[None]]) -> bytes:
        work = asyncio.ensure_future(_answer(self._command or COMMAND, make_environment(self._hidden), job))
        gone, stopping = asyncio.ensure_future(leave()), asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait(
                (work, gone, stopping),
                timeout=max(0.0, job.most_seconds) + GRACE_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if work.done():
                return work.result()
            if stopping.done():
                raise ServerStopping
            if gone.done():
                raise RequestAbandoned
            raise InvalidDocument([("rules", f"{len(job.rules)} rules", accept_less(f"{job.most_seconds:g} seconds"))])
        finally:
            for each in (work, gone, stopping):
                each.cancel()
            await asyncio.gather(work, gone, stopping, return_exceptions=True)


async def _answer(command: Sequence[str], environment: dict[str, str], job: Job) -> bytes:
    # A session of its own: an interrupt typed at a terminal is ours to deal with.
    process = await create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment, start_new_session=True
    )
    try:
        said, told = await _hand_over(process, job)
        outcome = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if outcome == ExitCode.REFUSED:
        raise InvalidDocument([(field, value, accepted) for field, value, accepted in json.loads(said)])
    if outcome == ExitCode.AWAY:
        raise StoreAway(said.decode())
    if outcome != ExitCode.DONE:
        raise BacktestFailed(f"a backtest ended with {outcome}: {told.decode(errors='replace')[-_MOST_TOLD:]}")
    return said


async def _hand_over(process: Process, job: Job) -> tuple[bytes, bytes]:
    """Hand the job over, and return all that the process writes. Its input stays open: it ends when that is closed."""
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise BacktestFailed("a backtest was started without pipes")
    with suppress(ConnectionError):  # it has ended already, and says why
        process.stdin.write(write_job(job))
        await process.stdin.drain()
    said, told = await asyncio.gather(process.stdout.read(), process.stderr.read())
    return said, told


def make_environment(hidden: str) -> dict[str, str]:
    """Return our environment without the variables whose names begin with `hidden`."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return ours | {"PYTHONPATH": str(_ROOT)}
