"""One part of the tracker as a process: starts it, waits for its end, stops it."""

import asyncio
import os
import re
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from worker.embedded.pidlock import lock_pid_file, stop_holder, write_pid
from worker.reporting.terminal import print_line

STOP_SECONDS = 10.0
"""How long a part may take to finish what it is doing before it is killed."""
LAST_WORDS = 15
SHOWN = {"api": "API"}
"""The parts that are not called as their files are."""


class PartEnded(Exception):
    """A part ended, or never came up, although nobody stopped it; the message says which, how, and its last words."""


class Part:
    """
    A running process. Its words go to `logs/NAME.log` in the data directory, those of the run before to `.old`.

    `run/NAME.pid` there is claimed by it, so that it is found again should we be killed and it stay.
    """

    def __init__(self, name: str, process: Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    @classmethod
    async def start(cls, name: str, command: Sequence[str], data_dir: Path, *, again: bool = False) -> Self:
        """Start it. `again`, its log goes on where that of its last process ended."""
        log = data_dir / "logs" / f"{name.lower()}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and not again:
            log.replace(log.with_suffix(".log.old"))
        claimed = lock_pid_file(_claim_of(name, data_dir))
        try:
            with log.open("ab") as words:
                # A session of its own: Ctrl-C in the terminal is for us, who stop the parts one after the other.
                process = await asyncio.create_subprocess_exec(
                    *command, stdin=DEVNULL, stdout=words, stderr=STDOUT, pass_fds=(claimed,), start_new_session=True
                )
            write_pid(claimed, process.pid)
        finally:
            os.close(claimed)
        return cls(name, process, log)

    @property
    def log(self) -> Path:
        return self._log

    async def wait_for_end(self) -> int:
        """Wait for its end, and return its exit code; below zero, the signal that ended it."""
        return await self._process.wait()

    async def stop(self) -> None:
        """Ask it to end, and wait. Kill it after `STOP_SECONDS`, or when cancelled."""
        if self._process.returncode is not None:
            return
        print_line(f"stopping the {self.name}")
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except (TimeoutError, asyncio.CancelledError):
            print_line(f"the {self.name} does not stop; killing it")
            self._process.kill()
            await self._process.wait()

    def read_last_lines(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-LAST_WORDS:]
        return "\n  ".join([f"last in {self._log}:", *lines]) if lines else f"{self._log} is empty"


def list_leftovers(data_dir: Path) -> list[str]:
    """Return the names of the parts that a killed run may have left behind; the last ones that it started come first."""
    order = ("api", "worker", "database", "node")
    found = [path.stem for path in (data_dir / "run").glob("*.pid")]
    named = {part: [name for name in sorted(found) if re.fullmatch(rf"{part}(-\d+)?", name)] for part in order}
    return [SHOWN.get(name, name) for part in order for name in named[part]]


def stop_leftover(name: str, data_dir: Path) -> bool:
    """End what a killed run left behind under that name; return whether there was something."""
    return stop_holder(_claim_of(name, data_dir))


def _claim_of(name: str, data_dir: Path) -> Path:
    return data_dir / "run" / f"{name.lower()}.pid"
