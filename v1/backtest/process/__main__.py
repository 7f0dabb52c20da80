"""
The backtest process: reads one job from standard input, writes the answer, ends. Started by `runner`.

It holds itself within its bounds, gives way to every other process, and ends with whoever started it.
"""

import asyncio
import json
import os
import resource
import sys
from contextlib import suppress
from math import ceil
from threading import Thread

from ...rules import InvalidDocument
from ...store import StoreAway
from .job import MEGABYTE, ExitCode, Job, accept_less, read_job
from .work import run_backtest

NICENESS = 10
_SPARE_SECONDS = 5


def main() -> int:
    job = read_job(sys.stdin.buffer.readline())
    # A daemon: it waits for as long as there is somebody to wait for us.
    Thread(target=_end_with_starter, daemon=True).start()
    _apply_limits(job)
    outcome, said = _outcome(job)
    sys.stdout.buffer.write(said.encode())
    sys.stdout.flush()
    return outcome


def _outcome(job: Job) -> tuple[ExitCode, str]:
    try:
        return ExitCode.DONE, asyncio.run(run_backtest(job))
    except InvalidDocument as error:
        return ExitCode.REFUSED, json.dumps([[field, str(value), accepted] for field, value, accepted in error.errors])
    except StoreAway as error:
        return ExitCode.AWAY, str(error)
    except MemoryError:
        pass  # what filled the memory is let go of before anything is written
    accepted = accept_less(f"{job.most_bytes // MEGABYTE} MB of memory")
    return ExitCode.REFUSED, json.dumps([["rules", f"{len(job.rules)} rules", accepted]])


def _apply_limits(job: Job) -> None:
    os.nice(NICENESS)
    seconds = max(1, ceil(job.most_seconds)) + _SPARE_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    # Not every system knows this one; there the other bounds hold.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (job.most_bytes, job.most_bytes))


def _end_with_starter() -> None:
    """Wait until nobody holds the other end of standard input, and end at once: nobody waits for the answer."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
