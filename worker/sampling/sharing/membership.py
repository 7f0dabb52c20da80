"""Says that this worker is alive, and takes and gives back partitions as workers come and go."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from worker.latest.sharing import (
    IntervalDiffers,
    Members,
    PartitionLeases,
    WorkerNote,
    list_disagreements,
    list_wished,
    refuse_other_interval,
)
from worker.latest.store import StoreError
from worker.reporting.outage_log import OutageLog

log = structlog.get_logger()

RENEWALS = 4
"""How often leases are renewed in their time."""

Sleep = Callable[[float], Awaitable[None]]


class Membership:
    """Goes on for ever; a store that is away costs nothing but the leases that run out meanwhile."""

    def __init__(  # noqa: PLR0913  # all by name
        self,
        *,
        members: Members,
        leases: PartitionLeases,
        note: WorkerNote,
        tags: Callable[[], tuple[str, ...]],
        describe: Callable[[WorkerNote], WorkerNote] = lambda note: note,
        is_alive: Callable[[], bool] = lambda: True,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._members = members
        self._leases = leases
        self._note = note
        self._tags = tags
        self._describe = describe
        """Returns the note with what is newest of what the worker does."""
        self._is_alive = is_alive
        """Returns whether the worker can commit anything: else its leases run out."""
        self._sleep = sleep
        self._workers: tuple[str, ...] = ()
        self._outage = OutageLog()

    async def run(self) -> None:
        """Keep what is ours, for ever."""
        while True:
            try:
                if self._is_alive():
                    await self.renew()
            except StoreError as error:
                self._outage.log_failure("the leases of partitions are not renewed", str(error))
            else:
                self._outage.log_recovery("the leases of partitions are renewed again")
            await self._sleep(self._leases.seconds / RENEWALS)

    async def renew(self) -> None:
        """
        Say that this worker is alive; keep the partitions that it is to have, give back others, take what is free.

        Raises `IntervalDiffers` where it comes to others that take their ticks at another interval.
        """
        held = self._leases.held
        note = self._describe(self._note)._replace(partitions=sorted(held))
        alive = await self._members.report(note)
        if not self._workers:
            await self._refuse_other_interval(note, alive)
        names = tuple(sorted(each.name for each in alive))
        if names != self._workers:
            log.info("workers share the market", workers=len(names), names=names)
            for sentence in list_disagreements(alive):
                log.warning(sentence)
            self._workers = names
        wished = list_wished(note.name, names, self._tags())
        await self._leases.release_partitions(held - {*wished})
        changes = await self._leases.renew(wished)
        if changes.gained or changes.lost:
            log.info(
                "partitions changed hands",
                gained=len(changes.gained),
                lost=len(changes.lost),
                held=len(self._leases.held),
            )

    async def _refuse_other_interval(self, note: WorkerNote, alive: list[WorkerNote]) -> None:
        try:
            refuse_other_interval(note, alive)
        except IntervalDiffers:
            # Those that were there before go on, and are not to count us among them.
            await self._members.remove(note.name)
            raise

    async def release(self) -> None:
        """Release everything, so that the others need not wait."""
        await self._leases.release_partitions(self._leases.held)
        await self._members.remove(self._note.name)
