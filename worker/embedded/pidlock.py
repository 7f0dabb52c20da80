"""
Who runs here: a file that a process holds locked for as long as it lives, with its id inside.

The kernel lets go of the lock when the last process that inherited the open file is gone, however it
went. So a claim is never stale, and the id in a claimed file is never somebody else's.
"""

import fcntl
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

GIVE_UP_SECONDS = 15.0


class AlreadyRunning(Exception):
    """Another process runs here; `process` is its id."""

    def __init__(self, path: Path, process: int) -> None:
        super().__init__(f"process {process} holds {path}")
        self.process = process


def lock_pid_file(path: Path) -> int:
    """Take the file for as long as the returned descriptor stays open anywhere. Raises `Claimed`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    while not is_ours(descriptor):
        # Whoever holds it may be just about to write its id.
        if process := os.pread(descriptor, 32, 0).strip():
            os.close(descriptor)
            raise AlreadyRunning(path, int(process))
        time.sleep(0.01)
    os.ftruncate(descriptor, 0)
    return descriptor


def is_ours(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_pid(descriptor: int, process: int) -> None:
    """Write into a claimed file who it belongs to."""
    os.pwrite(descriptor, f"{process}\n".encode(), 0)


def stop_holder(path: Path) -> bool:
    """End the process that holds the file, politely at first; return whether there was one."""
    last = time.monotonic() + GIVE_UP_SECONDS
    asked: int | None = None
    while holder := read_holder(path):
        if time.monotonic() > last:
            signal_process(holder, signal.SIGKILL)
        elif asked != holder:
            signal_process(holder, signal.SIGTERM)
            asked = holder
        time.sleep(0.05)
    return asked is not None


def read_holder(path: Path) -> int | None:
    """Return the id of the process that holds the file; `None` where nobody does."""
    try:
        os.close(lock_pid_file(path))
    except AlreadyRunning as claimed:
        return claimed.process
    return None


def signal_process(process: int, word: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, word)
