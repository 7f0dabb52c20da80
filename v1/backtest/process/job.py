"""What a backtest process is asked, as one line of JSON, and how it says what came of it. Values only."""

import json
from enum import IntEnum
from typing import Any, NamedTuple

MEGABYTE = 1024**2


class ExitCode(IntEnum):
    """The exit code of the process."""

    DONE = 0
    """Standard output is the answer."""
    REFUSED = 3
    """Standard output has the faults, as JSON."""
    AWAY = 4
    """The store is away; standard output says why."""


class Job(NamedTuple):
    """A backtest over the kept day, and its bounds."""

    redis: str
    """Address of the store; it may hold a password, so it is handed over by a pipe and is no argument."""
    rules: list[dict[str, Any]]
    interval: int
    start: int | None
    end: int | None
    sweep: bool
    """Whether the table of other numbers is made."""
    limit: int
    """Alerts, and messages, that are listed."""
    notes: list[str]
    """What is to be told besides."""
    most_samples: int
    most_seconds: float
    most_bytes: int
    """Of memory."""
    min_coverage: float = 0
    """What part of the numbers of the most complete metric a metric must have to be ranked."""


def write_job(job: Job) -> bytes:
    return json.dumps(job._asdict(), separators=(",", ":")).encode() + b"\n"


def read_job(line: bytes) -> Job:
    return Job(**json.loads(line))


def accept_less(most: str) -> str:
    """Return what is accepted in place of a backtest that is too much."""
    return f"what takes {most} at most; more can be tried with: start-worker.sh rules backtest FILE"
