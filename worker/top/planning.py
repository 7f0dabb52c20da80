"""What the settings come to, before anything is asked: calls, credits, and bytes. In words, for people."""

from collections.abc import Iterator

from worker.settings import WorkerSettings


def planned(settings: WorkerSettings) -> Iterator[str]:
    """Give the plan, line by line."""
    yield ""
