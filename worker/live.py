"""The live sampler: on every beat ask and commit, and beside it fill holes. Until it is stopped."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import structlog

from worker.asking import ask
from worker.backlog import Backlog
from worker.fill import fill
from worker.latest import StoreAway, Writer
from worker.progress import progress
from worker.sources.watched import Watched
from worker.tick import tick

log = structlog.get_logger()

class Live:
    """
    One worker, sampling.

    What goes wrong with Redis costs nothing but time: ticks are kept
    in the backlog and committed when it is back.
    """

    def __init__(self, sources: Sequence[Watched], store: Writer, interval: int) -> None:
        self._sources = sources
        self._store = store
        self._interval = interval
        self._backlog = Backlog(interval)
        self._holes = asyncio.Event()
        self._away_since: int | None = None
        self._newest: int | None = None
        self._noted: object = None

    async def run(self, now: int, beats: AsyncIterator[int]) -> None:
        """
        Sample on every beat, for ever.

        `now` is the newest beat that is over already: the windows are moved up to it at once, so that
        ranks are right from the first second and the fill can begin.
        """
        await self._start(now)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sample(beats))
            tasks.create_task(self._fill())

    async def _start(self, now: int) -> None:
        await asyncio.gather(*[source.open(now) for source in self._sources])
        self._newest = await self._store.open()
        if self._store.known and (self._newest is None or self._newest < now):
            await tick(now, {}, self._store)
            self._newest = now
        self._newest = max(self._newest or now, now)
        self._holes.set()

    async def _sample(self, beats: AsyncIterator[int]) -> None:
        async for at in beats:
            self._backlog.keep(at, await ask(self._sources, at))
            await self._commit(at)

    async def _commit(self, at: int) -> None:
        """Commit what is due, oldest first; what Redis does not take now stays due."""
        try:
            if self._away_since is not None:
                await self._store.open()
            while self._backlog:
                await self._commit_oldest()
            await self._note()
        except StoreAway as error:
            if self._away_since is None:
                self._away_since = at
                log.error("Redis is away, ticks are kept", reason=str(error), at=at)
            return
        if self._away_since is not None:
            log.info("Redis is back", away_since=self._away_since, dropped=self._backlog.dropped)
            self._away_since = None
            # It may have come back with less than it had.
            self._holes.set()

    async def _commit_oldest(self) -> None:
        at, heard = self._backlog.oldest()
        steps = await tick(at, heard, self._store)
        self._backlog.done()
        log.debug("tick", at=at, heard=len(heard), metrics=len(steps))
        skipped = (at - (self._newest or at)) // self._interval - 1
        if skipped > 0 or not heard:
            log.warning("hole in the samples", at=at, skipped=max(0, skipped), heard=len(heard))
            self._holes.set()
        self._newest = at

    async def _note(self) -> None:
        states = {source.name: source.state() for source in self._sources}
        if states != self._noted:
            await self._store.note_sources(states)
            self._noted = states

    async def _fill(self) -> None:
        """Fill whenever there may be holes, all sources side by side, and rank what came of it."""
        while True:
            await self._holes.wait()
            self._holes.clear()
            at = self._newest or 0
            try:
                taken = sum(await asyncio.gather(*[self._fill_from(source, at) for source in self._sources]))
                if taken:
                    await self._store.derive(at)
                    log.info("filled the past day", samples=taken)
            except StoreAway as error:
                # Redis being back sets the event again.
                log.warning("filling stops", reason=str(error))

    async def _fill_from(self, source: Watched, at: int) -> int:
        with progress(f"filling the past day from {source.name}") as seen:
            return await fill(source, source.metrics, self._store, self._interval, at, seen, asyncio.sleep)
