"""Asks the sources that this worker has for whoever hands ticks out, and leaves it what they say."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import structlog

from worker.latest.store import StoreError
from worker.sampling.sharing.shared_source import SharedSource
from worker.sampling.sharing.source_share import SourceShare

log = structlog.get_logger()


LOOK_SECONDS = 0.25
"""Between two looks at whether this worker has got sources of another."""

Sleep = Callable[[float], Awaitable[None]]


class SourceAsker:
    """Whoever hands ticks out itself asks its own sources by itself: then `is_home` returns true, and nothing is done."""

    def __init__(
        self,
        sources: Sequence[SharedSource],
        share: SourceShare,
        is_home: Callable[[], bool],
        clock: Callable[[], float],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._sources = sources
        self._share = share
        self._is_home = is_home
        self._clock = clock
        """Returns unix seconds."""
        self._sleep = sleep
        self._newest: int | None = None
        """The newest tick."""
        self._had: frozenset[str] = frozenset()

    async def run(self, ticks: AsyncIterator[int]) -> None:
        """Ask at each tick, for ever; what a source fails in costs its own answer."""
        self._share.is_ready = True
        try:
            async with asyncio.TaskGroup() as tasks:
                looking = tasks.create_task(self._follow_leases())
                async for at in ticks:
                    self._newest = at
                    if not self._is_home():
                        await asyncio.gather(*[self.ask(source, at) for source in self._sources])
                looking.cancel()
        finally:
            self._share.is_ready = False

    async def ask(self, source: SharedSource, at: int, *, is_late: bool = False) -> None:
        """
        Ask a source that is ours at a tick, unless somebody does so already, and leave what it says.

        Where it `is_late`, whoever had the source at the tick may be gone.
        """
        share, name = self._share, source.name
        leases, turns = share.leases, share.turns
        if not share.is_ours(name):
            source.close_streams()
            return
        leases.busy |= {name}
        try:
            if await (share.begin_late(name, at) if is_late else turns.begin(name, at, share.name)):
                readings = await source.read_here(at)
                await turns.write(name, source.make_answer(at, readings))
        except StoreError as error:
            log.debug("what a source said is not left", source=name, at=at, reason=str(error))
        finally:
            leases.busy -= {name}

    async def ask_gained(self) -> None:
        """Ask the sources that were another's at the newest tick, and were not asked then."""
        held, at = self._share.leases.held, self._newest
        gained, self._had = held - self._had, held
        if not gained or at is None or self._is_home() or self._share.is_too_late(at, self._clock()):
            return
        some = [source for source in self._sources if source.name in gained]
        await asyncio.gather(*[self.ask(source, at, is_late=True) for source in some])

    async def _follow_leases(self) -> None:
        while True:
            await self.ask_gained()
            await self._sleep(LOOK_SECONDS)
