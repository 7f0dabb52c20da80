"""Shows the progress of a long job: a bar at a terminal, a log line every few seconds elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = structlog.get_logger()

ProgressCallback = Callable[[int, int], None]
"""Takes how much is done, and of how much."""

QUIET_SECONDS = 5.0


@contextmanager
def show_progress(job: str) -> Iterator[ProgressCallback]:
    """Yield the callback that takes the progress of `job`."""
    if not sys.stderr.isatty():
        yield _lines(job)
        return
    columns = (TextColumn(job), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(job, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _lines(job: str) -> ProgressCallback:
    said = time.monotonic()

    def log_progress(done: int, of: int) -> None:
        nonlocal said
        if time.monotonic() - said >= QUIET_SECONDS:
            said = time.monotonic()
            log.info(job, done=done, of=of)

    return log_progress
