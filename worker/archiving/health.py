"""Whether the archive can be used: since when it fails and why, and when it is tried again."""

from typing import Any

import structlog

from worker.latest.archive import ArchiveError

log = structlog.get_logger()

SHORTEST_WAIT, LONGEST_WAIT = 5, 60
"""Seconds between two tries while the database is away, doubled each time."""
ADVICE = "see whether the database of TRACKER_DATABASE_URL, or the disk of TRACKER_DATA_DIR, takes writes"


class ArchiveCondition:
    """The state of one archive, shared by all that use it. A failure is logged once."""

    def __init__(self) -> None:
        self.is_open = False
        self.retry_at = 0
        """Nothing is tried before this time, unix seconds."""
        self._reason: str | None = None
        """Why the archive fails; `None` while it does not."""
        self._since: int | None = None
        self._wait = SHORTEST_WAIT

    @property
    def is_failing(self) -> bool:
        return self._reason is not None

    @property
    def is_usable(self) -> bool:
        return self.is_open and not self.is_failing

    def record_failure(self, now: int, error: ArchiveError) -> None:
        """Note that the archive failed at `now`: it is to be opened again, after a wait."""
        if self._reason is None:
            self._since = now
            log.warning("the archive fails, hours wait in Redis", reason=str(error))
        elif self._reason != str(error):
            log.warning("the archive still fails", reason=str(error), since=self._since)
        self._reason = str(error)
        self.is_open = False
        self.retry_at, self._wait = now + self._wait, min(2 * self._wait, LONGEST_WAIT)

    def record_success(self, now: int) -> bool:
        """Note that the archive answered at `now`, and return whether it had failed before."""
        self._wait = SHORTEST_WAIT
        if self._since is None:
            self._since = now
        if self._reason is None:
            return False
        log.info("the archive is back", failed_since=self._since)
        self._reason, self._since = None, now
        return True

    def describe(self) -> dict[str, Any]:
        """Return the state as the API shows it, without what is archived."""
        return {
            "state": "failing" if self.is_failing else "ok",
            "since": self._since,
            "reason": self._reason,
            "retry_at": self.retry_at if self.is_failing else None,
            "advice": ADVICE if self.is_failing else None,
        }
