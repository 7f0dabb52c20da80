"""What was left out of a provider's answers: counted by reason, and the newest of each reason with what was sent."""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from worker.latest import Metric
from worker.latest.settings import redact

KEPT = 5
"""So many of each reason are kept with their text."""
LONGEST_TEXT = 200
"""Characters of what a provider sent that are kept."""


class Reject(NamedTuple):
    """Something that was left out."""

    at: int
    """The tick at which it was read, 0 where it belongs to none."""
    metric: Metric | None
    """Of which metric it was; `None` where that is not known."""
    reason: str
    text: str
    """What was sent, shortened; secrets are hidden."""


class Rejects(Counter[str]):
    """Counts what is left out, by reason. `begin_tick` says at which tick all that follows is read."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics: set[Metric] = set()
        """Those of which something was left out since the tick began."""
        self._at = 0
        self._newest: dict[str, deque[Reject]] = {}

    def begin_tick(self, at: int) -> None:
        """Have what follows belong to tick `at`."""
        self._at = at
        self.metrics = set()

    def note(self, reason: str, value: object, metric: Metric | None = None) -> None:
        """Count a reject, and keep what was sent."""
        self[reason] += 1
        if metric is not None:
            self.metrics.add(metric)
        text = redact(str(value))[:LONGEST_TEXT]
        self._newest.setdefault(reason, deque(maxlen=KEPT)).append(Reject(self._at, metric, reason, text))

    def list_newest(self) -> list[Reject]:
        """Return those whose text is kept, the newest first."""
        kept = [reject for newest in self._newest.values() for reject in newest]
        return sorted(kept, key=lambda reject: (-reject.at, reject.reason, reject.metric or ""))


def note_reject(rejects: Counter[str], reason: str, value: object, metric: Metric | None = None) -> None:
    """Count a reject; where `rejects` keeps texts, that of `value`, too."""
    if isinstance(rejects, Rejects):
        rejects.note(reason, value, metric)
    else:
        rejects[reason] += 1


def describe_rejects(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the newest rejects for whoever asks the API; none where texts are not kept."""
    return [reject._asdict() for reject in counts.list_newest()] if isinstance(counts, Rejects) else []
