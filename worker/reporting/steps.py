"""Progress lines, errors and exit codes of commands that run to an end, as backup and restore do."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from worker.latest.archive import ArchiveError
from worker.latest.settings import InvalidSettings
from worker.latest.store import StoreError
from worker.reporting.terminal import print_line

QUIET_SECONDS = 2.0
"""Steps that take less are not reported."""
FAILED, MISUSED = 1, 2
"""Exit codes: it failed; an argument or a setting is not accepted."""

Seen = Callable[[int, int], None]


class CommandRefused(Exception):
    """The command stops; the message says why, and what would help."""

    def __init__(self, words: str, code: int = FAILED) -> None:
        super().__init__(words)
        self.code = code


class StepProgress:
    """Prints the progress of a long step, every two seconds."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def report_step(self, step: str) -> Seen:
        """Return the callback that takes how much of the step is done, and of how much; 0 of 0 where that is not known."""
        return partial(self._report, step)

    def _report(self, step: str, done: int, of: int) -> None:
        task = asyncio.current_task()
        if task and task.cancelling():
            raise asyncio.CancelledError  # a long step may have nothing to await
        if time.monotonic() - self._said >= QUIET_SECONDS:
            self._said = time.monotonic()
            print_line(f"  {step}{f': {min(100, 100 * done // of)} %' if of else ''}")


@contextmanager
def report_file_errors(folder: Path) -> Iterator[None]:
    """Turn an `OSError` into a `CommandRefused` of one line, which names the file."""
    try:
        yield
    except OSError as error:
        raise CommandRefused(f"{error.filename or folder} cannot be used: {error.strerror or error}") from error


def run_command(work: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run a command, and return its exit code. SIGINT, SIGTERM and SIGHUP cancel it, so that it cleans up first."""
    # In the background of a shell it would be ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for word in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(word) is not signal.SIG_IGN:
            signal.signal(word, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        asyncio.run(work())
    except KeyboardInterrupt:
        return _fail("stopped; unfinished files are removed", FAILED)
    except CommandRefused as error:
        return _fail(str(error), error.code)
    except InvalidSettings as error:
        return _fail(str(error), MISUSED)
    except (StoreError, ArchiveError) as error:
        return _fail(str(error), FAILED)
    except OSError as error:
        return _fail(f"{error.filename or 'a file'} cannot be used: {os.strerror(error.errno or 0)}", FAILED)
    return 0


def _fail(words: str, code: int) -> int:
    sys.stderr.write(f"{words}\n")
    return code
