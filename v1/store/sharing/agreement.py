"""
Whether workers that share a store agree: settings that decide what is committed are to be the same of all. Pure.

Each says in its note what it was started with. A text that is long stands there by its digest: it is only compared.
"""

from collections.abc import Collection, Iterable, Mapping
from hashlib import sha256

from .members import WorkerNote

INTERVAL = "TRACKER_INTERVAL"
_LONGEST = 60
"""Characters of a value that is told as it is."""


class IntervalDiffers(Exception):
    """Another worker takes its ticks at another interval; the message names both, and what to do."""


def shorten_settings(settings: Mapping[str, object]) -> dict[str, str]:
    """Return settings as a note tells them, by name; lists with commas between, in order where the order says nothing."""
    return {name: _shorten(value) for name, value in settings.items()}


def name_worker(note: WorkerNote) -> str:
    """Return which worker it is, in words."""
    return f"process {note.pid} on {note.host}"


def refuse_other_interval(own: WorkerNote, alive: Iterable[WorkerNote]) -> None:
    """Raise `IntervalDiffers` where a worker that was there before takes its ticks at another interval."""
    for other in alive:
        if other.name != own.name and other.interval not in (0, own.interval):
            raise IntervalDiffers(
                f"{INTERVAL} is {own.interval} here, and {other.interval} of the worker that feeds the cluster already, "
                f"{name_worker(other)}: all that share the market have the same; set {INTERVAL}={other.interval} here, or "
                "stop all workers and start them with the other"
            )


def list_disagreements(alive: Collection[WorkerNote]) -> list[str]:
    """Return which settings are not the same of all workers, a sentence each, with the values and who has them."""
    told = [({INTERVAL: str(note.interval)} if note.interval else {}) | dict(note.settings) for note in alive]
    sentences = []
    for setting in dict.fromkeys(name for each in told for name in each):
        by_value: dict[str, list[str]] = {}
        for note, each in zip(alive, told, strict=True):
            if setting in each:
                by_value.setdefault(each[setting], []).append(name_worker(note))
        if len(by_value) > 1:
            values = "; ".join(f"{value or 'empty'} of {', '.join(names)}" for value, names in by_value.items())
            sentences.append(
                f"workers that share the market differ in {setting}: {values}; start all of them with the same settings"
            )
    return sentences


def describe_own_interval(interval: int, alive: Collection[WorkerNote]) -> str | None:
    """Return a sentence where workers take their ticks at another interval than is set here; `None` where none does."""
    others = sorted({note.interval for note in alive} - {0, interval})
    if not others:
        return None
    return (
        f"{INTERVAL} is {interval} here, and {', '.join(map(str, others))} of the workers: how old a tick may be is judged "
        f"by it; set {INTERVAL}={others[0]} here, too"
    )


def _shorten(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:20]}... (SHA-256 {sha256(text.encode()).hexdigest()[:12]})"
