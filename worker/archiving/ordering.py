"""Has partitions of the archive that are over rewritten in the order of their key, while nothing else is to be archived."""

from typing import Any

import structlog

from worker.latest import DAY
from worker.latest.archive import (
    ArchiveAway,
    ArchiveBusy,
    ArchiveError,
    ArchiveFull,
    OrderingProgress,
    OrderingStep,
    PartitionOrderer,
)

log = structlog.get_logger()

SETTLED = 3 * DAY
"""Seconds after its end that a partition is left alone: Redis keeps no sample so long that could revise it."""
PIECES = 8
"""Pieces of one turn, at most: some seconds of the database's time."""
LOOK_SECONDS = 600
"""Seconds from one look that found nothing to do to the next."""
SHORTEST_WAIT, LONGEST_WAIT = 10, 3600
"""Seconds until what failed is tried again, doubled each time; `SHORTEST_WAIT` also where a lock was not to be had."""
ADVICE = "see whether the database of TRACKER_DATABASE_URL has room for one more partition, and the log for the reason"


class PartitionOrdering:
    """
    Goes on with a few pieces at each turn. What fails costs nothing that is archived: it is logged once, shown in the
    archive's state, and tried again later.
    """

    def __init__(self, orderer: PartitionOrderer) -> None:
        self._orderer = orderer
        self._partition: str | None = None
        """What is being rewritten; `None`: nothing."""
        self._step: OrderingStep | None = None
        self._since = 0
        self._reason: str | None = None
        self._next_at = 0
        """Nothing is done before this time, unix seconds."""
        self._wait = SHORTEST_WAIT

    async def advance(self, now: int) -> None:
        """Do the pieces of one turn at `now`; never raises `ArchiveError`."""
        if now < self._next_at:
            return
        try:
            await self._do_pieces(now)
        except ArchiveError as error:
            self._record_failure(now, error)
            await self._drop_copies(error)
        else:
            self._wait, self._reason = SHORTEST_WAIT, None

    def describe(self) -> dict[str, Any] | None:
        """Return what is being rewritten as the API shows it; `None` while nothing is, and nothing has failed."""
        if self._partition is None and self._reason is None:
            return None
        return {
            "partition": self._partition,
            "step": self._step,
            "since": self._since,
            "reason": self._reason,
            "retry_at": self._next_at if self._reason else None,
            "advice": ADVICE if self._reason else None,
        }

    async def _do_pieces(self, now: int) -> None:
        for _ in range(PIECES):
            progress = await self._orderer.advance(now - SETTLED)
            if progress is None:
                self._partition = self._step = None
                self._next_at = now + LOOK_SECONDS
                return
            self._note_progress(progress, now)

    def _note_progress(self, progress: OrderingProgress, now: int) -> None:
        is_over = progress.step in {OrderingStep.EXCHANGE, OrderingStep.DROP}
        if progress.step is OrderingStep.EXCHANGE:
            log.info("a partition is in the order of its key", partition=progress.partition, since=self._since)
        elif not is_over and progress.partition != self._partition:
            log.info("a partition is rewritten in the order of its key", partition=progress.partition)
            self._since = now
        self._partition, self._step = (None, None) if is_over else (progress.partition, progress.step)

    def _record_failure(self, now: int, error: ArchiveError) -> None:
        """Note that a piece failed at `now`, and when the next one is tried."""
        self._next_at, self._wait = now + self._wait, min(2 * self._wait, LONGEST_WAIT)
        if isinstance(error, ArchiveBusy):
            log.debug("a partition is exchanged later, it is in use", partition=self._partition)
            return
        if not isinstance(error, ArchiveAway) or isinstance(error, ArchiveFull):
            self._next_at = now + LONGEST_WAIT
        if str(error) != self._reason:
            log.warning("a partition is not rewritten", partition=self._partition, reason=str(error))
        if self._partition is None and self._reason is None:
            self._since = now
        self._reason = str(error)

    async def _drop_copies(self, error: ArchiveError) -> None:
        """Let go of what was begun where it may be wrong, or takes the room that hours need; not where it only has to wait."""
        if isinstance(error, ArchiveAway) and not isinstance(error, ArchiveFull):
            return
        try:
            await self._orderer.drop_copies()
        except ArchiveError as other:
            log.debug("a copy of a partition is let go of later", reason=str(other))
