"""Says that this worker is alive, and takes and gives back partitions and sources as workers come and go."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

import structlog

from worker.latest.sharing import (
    IntervalDiffers,
    Members,
    PartitionLeases,
    ShareLeases,
    WorkerNote,
    divide_sources,
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
        sources: ShareLeases | None = None,
        note: WorkerNote,
        tags: Callable[[], tuple[str, ...]],
        describe: Callable[[WorkerNote], WorkerNote] = lambda note: note,
        is_alive: Callable[[], bool] = lambda: True,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._members = members
        self._leases = leases
        self._sources = sources
        """The leases of sources; `None` where whoever hands out the ticks asks all."""
        self._note = note
        self._tags = tags
        self._describe = describe
        """Returns the note with what is newest of what the worker does."""
        self._is_alive = is_alive
        """Returns whether the worker can commit anything: else its leases run out."""
        self._sleep = sleep
        self._workers: tuple[str, ...] = ()
        self.alive: Sequence[WorkerNote] = ()
        """What all workers said that were alive when it was last looked."""
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
        Say that this worker is alive; keep what it is to have, give back what others are to have, take what is free.

        Raises `IntervalDiffers` where it comes to others that take their ticks at another interval.
        """
        note = self._describe(self._note)._replace(partitions=sorted(self._leases.held))
        if self._sources is not None:
            note = note._replace(sources=sorted(self._sources.held))
        alive = await self._members.report(note)
        if not self._workers:
            await self._refuse_other_interval(note, alive)
        self.alive = alive
        names = tuple(sorted(each.name for each in alive))
        if names != self._workers:
            log.info("workers share the market", workers=len(names), names=names)
            for sentence in list_disagreements(alive):
                log.warning(sentence)
            self._workers = names
        await _share("partitions", self._leases, list_wished(note.name, names, self._tags()))
        if self._sources is not None:
            askers = divide_sources({each.name: each.able for each in alive})
            await _share("sources", self._sources, [source for source, name in askers.items() if name == note.name])

    async def _refuse_other_interval(self, note: WorkerNote, alive: list[WorkerNote]) -> None:
        try:
            refuse_other_interval(note, alive)
        except IntervalDiffers:
            # Those that were there before go on, and are not to count us among them.
            await self._members.remove(note.name)
            raise

    async def release(self) -> None:
        """Release everything, so that the others need not wait."""
        for leases in (self._leases, self._sources):
            if leases is not None:
                await leases.give_back(leases.held)
        await self._members.remove(self._note.name)


async def _share(what: str, leases: ShareLeases, wished: Collection[str]) -> None:
    """Have what is wished for, as far as nobody else has it yet, and nothing else."""
    changes = await leases.keep_wished(wished)
    if changes.gained or changes.lost:
        log.info(
            "shares changed hands", of=what, gained=len(changes.gained), lost=len(changes.lost), held=len(leases.held)
        )
