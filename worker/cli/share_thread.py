"""
Keeps the partitions and the sources of a worker on an event loop of a thread of its own. A tick of many metrics computes for seconds, on
a busy machine for longer than a lease lives, and meanwhile nothing else runs on the worker's own loop.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from time import monotonic

import structlog

from worker.cli.process import LEAVE_SECONDS
from worker.latest.sharing import Members, PartitionLeases, ShareLeases, WorkerNote, get_places, open_source_leases
from worker.latest.store import Lease, StoreError, connect
from worker.sampling.sharing.membership import RENEWALS, Membership

log = structlog.get_logger()

STILL_SECONDS = 60.0
"""So long the worker's own loop may stand still before its partitions are left to others."""
BEAT_SECONDS = 1.0
LEASE_TRIES = 2
"""How many renewals that are not answered a lease outlasts."""
CONNECTION = "data-tracker-leases"

Describe = Callable[[WorkerNote], WorkerNote]


class ShareThread:
    """The thread. The leases are there as soon as it runs, and `describe` may be set then."""

    sources: ShareLeases
    """The leases of sources; there as soon as the thread runs."""

    def __init__(self, address: str, note: WorkerNote, home: Lease) -> None:
        self._address = address
        self._note = note
        self._home = home
        """The lease of whoever hands out the ticks, which the worker's own loop takes."""
        self._opened: Future[PartitionLeases] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._beat = monotonic()
        self._membership: Membership | None = None
        self.describe: Describe = lambda note: note

    @asynccontextmanager
    async def run(self) -> AsyncIterator[PartitionLeases]:
        """Keep the partitions until the end, and release them then."""
        async with asyncio.TaskGroup() as tasks:
            thread = tasks.create_task(asyncio.to_thread(asyncio.run, self._keep()))
            beating = tasks.create_task(self._show_life())
            try:
                opened = asyncio.wrap_future(self._opened)
                await asyncio.wait((opened, thread), return_when=asyncio.FIRST_COMPLETED)
                if opened.done():
                    yield opened.result()
            finally:
                beating.cancel()
                if self._loop is not None and self._stop is not None:
                    with suppress(RuntimeError):  # it has ended by itself
                        self._loop.call_soon_threadsafe(self._stop.set)

    def list_alive(self) -> Sequence[WorkerNote]:
        """Return what all workers said that were alive when it was last looked."""
        return () if self._membership is None else self._membership.alive

    async def _show_life(self) -> None:
        while True:
            self._beat = monotonic()
            await asyncio.sleep(BEAT_SECONDS)

    async def _keep(self) -> None:
        """Run in the thread until told to stop."""
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        # A node that stands still must not hold up the leases at the others until they have run out.
        async with connect(self._address, CONNECTION, self._note.lease_seconds / LEASE_TRIES) as redis:
            leases = PartitionLeases(redis, self._note.name, self._note.lease_seconds)
            self.sources = open_source_leases(redis, self._note.name, self._note.lease_seconds)
            self._membership = membership = Membership(
                members=Members(redis),
                leases=leases,
                sources=self.sources,
                note=self._note,
                tags=lambda: get_places(redis).list_tags(),
                describe=self._describe,
                is_alive=self._is_alive,
            )
            self._opened.set_result(leases)
            keeping = asyncio.gather(membership.run(), self._keep_home(Lease(redis)))
            stopping = asyncio.create_task(self._stop.wait())
            await asyncio.wait((keeping, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if keeping.done():
                keeping.result()
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping
            await _release(membership)

    async def _keep_home(self, lease: Lease) -> None:
        """Prolong the lease of whoever hands out the ticks while it is ours, for ever. Who takes it, and loses it, is not seen here."""
        lease.seconds = self._home.seconds
        while True:
            name = self._home.holder
            if name is not None and self._is_alive():
                with suppress(StoreError):  # the next commit reports it
                    await lease.keep(name)
            await asyncio.sleep(lease.seconds / RENEWALS)

    def _describe(self, note: WorkerNote) -> WorkerNote:
        return self.describe(note)

    def _is_alive(self) -> bool:
        return monotonic() - self._beat < STILL_SECONDS


async def _release(membership: Membership) -> None:
    try:
        async with asyncio.timeout(LEAVE_SECONDS):
            await membership.release()
    except (StoreError, TimeoutError) as error:
        log.warning("the leases of this worker run out by themselves", reason=str(error))
