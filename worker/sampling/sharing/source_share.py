"""Which sources this worker asks, of several that share a market, and what the others say of theirs."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic

import structlog

from worker.latest.market import SlotReason
from worker.latest.sharing import ShareLeases, SourceAnswer, SourceTurn, SourceTurns, WorkerNote, find_lease_seconds
from worker.latest.store import StoreError

log = structlog.get_logger()

POLL_SECONDS = 0.05
"""Between two looks at what another worker says."""
GIVE_UP_TICKS = 3
"""After so many ticks in a row without an answer a source is left to another worker."""
AVOID_SECONDS = 600
"""For so long."""
SHARE_TO_BEGIN = 0.25
"""How much of an interval whoever has a source's lease may take to say that it asks it."""
SHARE_TO_BE_LATE = 0.5
"""How much of it may be over when a source is asked that its worker did not ask: later, candles tell the price better."""
SHARE_TO_TELL = 0.1
"""How much of it what was said may take to come, beyond the time that the source has for its answer."""

Sleep = Callable[[float], Awaitable[None]]


class SourceShare:
    """
    The part of one worker. `leases` are kept by the thread that keeps those of partitions.

    A source that did not answer this worker for some ticks is avoided where another worker is able to ask it: a provider
    may have banned the address of one machine, or be out of its reach.
    """

    def __init__(  # noqa: PLR0913  # all by name
        self,
        *,
        name: str,
        sources: Sequence[str],
        leases: ShareLeases,
        turns: SourceTurns,
        interval: int,
        list_alive: Callable[[], Sequence[WorkerNote]],
        clock: Callable[[], float] = monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.name = name
        self.leases = leases
        self.turns = turns
        self.interval = interval
        self.is_ready = False
        """Whether this worker can be left to ask sources."""
        self.begin_seconds = min(find_lease_seconds(interval), SHARE_TO_BEGIN * interval)
        """How long whoever has the lease of a source may take to say that it asks it."""
        self.missed: frozenset[int] = frozenset()
        """Ticks that were over when this worker began to hand out: of these it is known what was left, and nothing is asked."""
        self._sources = sources
        self._list_alive = list_alive
        """Returns what all workers last said that are alive."""
        self._clock = clock
        self._sleep = sleep
        self._failures: Counter[str] = Counter()
        self._avoided_until: dict[str, float] = {}

    def is_ours(self, source: str) -> bool:
        """Return whether this worker has the lease of a source."""
        return source in self.leases.held

    @property
    def avoided(self) -> list[str]:
        """Return the sources that are left to others."""
        now = self._clock()
        return [source for source, until in self._avoided_until.items() if now < until]

    def describe(self, note: WorkerNote) -> WorkerNote:
        """Return what this worker says of itself, with its sources. Another thread may call it."""
        avoided = self.avoided
        able = [source for source in self._sources if source not in avoided] if self.is_ready else []
        return note._replace(sources=sorted(self.leases.held), able=able, avoided=avoided)

    def is_too_late(self, at: int, now: float) -> bool:
        """Return whether it is too late to begin to ask for a tick."""
        return now - at > SHARE_TO_BE_LATE * self.interval

    def note_outcome(self, source: str, absence: SlotReason | None) -> None:
        """Note how a source that is ours did at a tick; after some without an answer it is left to another worker."""
        self._failures[source] = 0 if absence is None else self._failures[source] + 1
        if self._failures[source] < GIVE_UP_TICKS or not self._has_others(source):
            return
        self._failures[source] = 0
        # Another thread may be reading it: it is replaced, and never changed.
        self._avoided_until = {**self._avoided_until, source: self._clock() + AVOID_SECONDS}
        log.warning(
            "a source is left to another worker, which may reach it",
            source=source,
            ticks=GIVE_UP_TICKS,
            reason=absence,
            seconds=AVOID_SECONDS,
        )

    async def wait_for_answer(self, source: str, at: int, limit: float) -> SourceAnswer | None:
        """
        Return what another worker that has a source's lease says of a tick; `limit` is the time for it, in seconds.

        `None` where nobody says anything: nobody has the lease, or has not begun soon, or is not done in time, or the
        store does not answer. Then the tick is this worker's to ask for, and nobody begins it any more.
        """
        began = self._clock()
        try:
            while True:
                async with asyncio.timeout(self.begin_seconds):
                    turn = await self.turns.read(source, at)
                if turn.answer is not None:
                    return turn.answer
                waited = self._clock() - began
                if not self._should_wait(turn, waited, limit + SHARE_TO_TELL * self.interval):
                    log.debug("asking in place of another", source=source, at=at, holder=turn.holder, waited=waited)
                    async with asyncio.timeout(self.begin_seconds):
                        await self.turns.take(source, at, self.name)
                    return None
                await self._sleep(POLL_SECONDS)
        except (StoreError, TimeoutError) as error:
            log.debug("asking, as nobody can tell", source=source, at=at, reason=str(error))
            return None

    async def read_left(self, source: str, at: int) -> SourceAnswer | None:
        """Return what another worker left of a tick that is over; `None` where there is nothing."""
        try:
            async with asyncio.timeout(self.begin_seconds):
                return (await self.turns.read(source, at)).answer
        except (StoreError, TimeoutError) as error:
            log.debug("what was left of a tick is not known", source=source, at=at, reason=str(error))
            return None

    async def note_asking(self, source: str, at: int) -> None:
        """Say that this worker, which hands out the tick, asks its source: nobody who gets it meanwhile asks, too."""
        if not self._has_others(source):
            return
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(self.begin_seconds):
                await self.turns.take(source, at, self.name)

    async def begin_late(self, source: str, at: int) -> bool:
        """Return whether this worker is to ask a source that it got after a tick: whoever had it is gone. Raises `StoreError`."""
        turn = await self.turns.read(source, at)
        if turn.answer is not None or turn.asking in {each.name for each in self._list_alive()}:
            return False
        await self.turns.take(source, at, self.name)
        return True

    def _should_wait(self, turn: SourceTurn, waited: float, longest: float) -> bool:
        if turn.holder in {None, self.name}:
            return False
        return waited < (longest if turn.asking == turn.holder else self.begin_seconds)

    def _has_others(self, source: str) -> bool:
        return any(source in each.able for each in self._list_alive() if each.name != self.name)
