"""A source that several workers share: it is asked by the one that has its lease, and looks the same to all."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from time import monotonic
from typing import Any

from worker.latest import HOUR, MINUTE, Candle, Metric, Reading
from worker.latest.market import SlotReason
from worker.latest.sharing import SourceAnswer
from worker.sampling.sharing.source_share import SourceShare
from worker.sources.errors import SourceUnreachable
from worker.sources.rejects import describe_rejects
from worker.sources.supervised import LOST_SECONDS, SupervisedSource

SHARE_OF_INTERVAL = 0.95
"""How much of an interval a tick may take, where another worker was waited for and this one asks after all."""
TELL_SECONDS = MINUTE
"""So long after its end an hour of streams is told: the last trades of it have come."""
FEWEST = 0.1
"""How much of it a source has for its answer even then."""


class SharedSource(SupervisedSource):
    """
    Whoever hands ticks out reads it by `read`, which waits for what another worker says. Candles are asked here always:
    what fills gaps stays with who hands ticks out.

    Whoever has the lease asks it by `read_here`, and leaves what it says to the others as an answer.
    """

    def __init__(self, *args: Any, share: SourceShare, clock: Callable[[], float]) -> None:
        """Take what every source is looked after with, and what this worker asks."""
        super().__init__(*args)
        self.share = share
        self._clock = clock
        """Returns unix seconds."""
        self._limit = self._timeout
        self._answer: SourceAnswer | None = None
        """What another worker said at the newest tick; `None` where this one asked."""
        self._turn = asyncio.Lock()
        self._here: tuple[int, Mapping[Metric, Reading]] | None = None
        """The newest tick that was asked for here, and its readings."""
        self._hours: Mapping[Metric, Candle] = {}
        """The candles of an hour that another worker's streams brought."""
        self._told_hour = 0
        """The newest hour whose candles were told to whoever hands ticks out."""
        self._newest = 0
        self._opened_at: int | None = None

    @property
    def metrics(self) -> Sequence[Metric]:
        return self.source.metrics if self._answer is None else self._answer.metrics

    @property
    def dead(self) -> Collection[Metric]:
        return super().dead if self._answer is None else self._answer.dead

    @property
    def closed(self) -> Mapping[Metric, str]:
        return super().closed if self._answer is None else self._answer.closed

    @property
    def listed(self) -> Collection[Metric]:
        if self._answer is None:
            return super().listed
        return {*self._answer.metrics, *self._answer.closed, *self._answer.unasked}

    async def read(self, at: int) -> Mapping[Metric, Reading]:
        """Return what the source says of tick `at`, whoever asks it; nothing where it fails. Never raises `SourceError`."""
        had = self.absence
        readings = await self._read(at)
        # Who asked before, and failed, may be another than who asks now.
        self._has_come_back |= had is not None and self.absence is None
        return readings

    async def _read(self, at: int) -> Mapping[Metric, Reading]:
        self._newest, began = at, monotonic()
        if at in self.share.missed:
            return await self._read_left(at)
        if not self.share.is_ours(self.name):
            self.close_streams()
            answer = await self.share.wait_for_answer(self.name, at, self._limit)
            if answer is not None:
                return self._take_answer(at, answer)
            return await self.read_here(at, monotonic() - began)
        readings, _ = await asyncio.gather(self.read_here(at), self.share.note_asking(self.name, at))
        return readings

    async def _read_left(self, at: int) -> Mapping[Metric, Reading]:
        """Return what was asked for while nobody handed out ticks."""
        answer = await self.share.read_left(self.name, at)
        if answer is not None:
            return self._take_answer(at, answer)
        self.absence, self.received = SlotReason.NOT_RUNNING, None
        return {}

    async def read_here(self, at: int, waited: float = 0.0) -> Mapping[Metric, Reading]:
        """Return what the source says to this worker, which asks once a tick and has `waited` for another, in seconds."""
        async with self._turn:
            if self._here is not None and self._here[0] == at:
                return self._here[1]
            self._answer, self._newest = None, at
            interval = self.share.interval
            self._timeout = min(self._limit, max(SHARE_OF_INTERVAL * interval - waited, FEWEST * interval))
            if self.is_known:
                self._follow_streams()
            readings = await super().read(at)
            self.received = self._clock()
            self._here = at, readings
            if self.share.is_ours(self.name):
                self.share.note_outcome(self.name, self.absence)
            return readings

    def make_answer(self, at: int, readings: Mapping[Metric, Reading]) -> SourceAnswer:
        """Return what whoever hands ticks out is told of tick `at`, after it was read here."""
        return SourceAnswer(
            at=at,
            received=self.received or self._clock(),
            readings=readings,
            absence=self.absence,
            metrics=self.metrics,
            dead=self.dead,
            closed=self.closed,
            unasked={*self.listed}.difference(self.metrics, self.closed),
            missing=self.missing,
            is_known=self.is_known,
            rejected=self.list_rejected(),
            has_come_back=self.take_recovery(),
            hours=self._list_streamed_hours(at),
            state=self.describe_state(),
        )

    def close_streams(self) -> None:
        """Close its streams here: it is asked elsewhere."""
        if self.streamed is not None:
            self.streamed.follow({})

    async def fetch_candles(self, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        await self._open_for(metric)
        return await super().fetch_candles(metric, start, end)

    async def fetch_hours(self, metric: Metric, start: int, end: int) -> tuple[int, Sequence[Candle]]:
        await self._open_for(metric)
        return await super().fetch_hours(metric, start, end)

    def find_streamed_hour(self, metric: Metric, hour: int) -> Candle | None:
        told = self._hours.get(metric)
        return told if told is not None and told.start == hour else super().find_streamed_hour(metric, hour)

    def describe_state(self) -> dict[str, Any]:
        """Say how the source does, as whoever asks it says, with what was left out here of what it said."""
        if self._answer is None:
            return super().describe_state()
        told = self._answer.state
        return {
            **told,
            "metrics": len({*self.given}.difference(self.dead)),
            "missing": dict(self.missing),
            "rejects": dict(Counter(told["rejects"]) + Counter(self.rejects)),
            "rejected": [*describe_rejects(self.rejects), *told["rejected"]],
        }

    def list_rejected(self) -> set[Metric]:
        if self._answer is None:
            return super().list_rejected()
        return {*self._answer.rejected, *self.rejects.metrics}

    def _take_answer(self, at: int, answer: SourceAnswer) -> Mapping[Metric, Reading]:
        self._answer = answer
        self.absence, self.received = answer.absence, answer.received
        self.missing, self.is_known = answer.missing, answer.is_known
        self._has_come_back |= answer.has_come_back
        self._hours = answer.hours or self._hours
        self._begin_tick(at)
        return answer.readings

    def _list_streamed_hours(self, at: int) -> dict[Metric, Candle]:
        """Return the candles of the newest hour that is over, where streams brought them; once."""
        hour = (at - TELL_SECONDS) // HOUR * HOUR - HOUR
        if self.streamed is None or hour <= self._told_hour:
            return {}
        self._told_hour = hour
        found = {metric: super(SharedSource, self).find_streamed_hour(metric, hour) for metric in self.metrics}
        return {metric: candle for metric, candle in found.items() if candle is not None}

    def _follow_streams(self) -> None:
        if self.share.is_ours(self.name):
            super()._follow_streams()
        else:
            self.close_streams()

    async def _open_for(self, metric: Metric) -> None:
        """Let the source learn here what it has, where another worker asks it. Raises `SourceError`."""
        if metric in self.source.metrics:
            return
        if self._opened_at is None or self._newest >= self._opened_at + LOST_SECONDS:
            self._opened_at, self._opening = self._newest, None
            await self._open(self._newest)
        if metric not in self.source.metrics:
            raise SourceUnreachable(f"{self.name} does not say to this worker that it has {metric}")
