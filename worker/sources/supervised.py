"""A source with someone looking after it: opened when needed, left alone when it asks, its failures told once."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil
from typing import Any

import structlog
from aiohttp import ClientSession

from worker.latest import HOUR, MINUTE, Candle, Metric, Reading
from worker.latest.market import SlotReason
from worker.settings.servers import name_address_setting
from worker.sources.asking import AskedFor, note_asking
from worker.sources.base import Hourly, Metered, NamesClosed, NamesDead, NamesUnasked, Source, Streamable
from worker.sources.budget import NoBudget
from worker.sources.errors import LONGEST_WAIT, InvalidResponse, SourceError, SourceRefused, SourceUnreachable
from worker.sources.rejects import Rejects, describe_rejects
from worker.sources.streams.streamed_ticks import StreamedTicks

log = structlog.get_logger()

LOST_SECONDS = 5 * MINUTE
"""How soon a source is asked again what it has where it has less than before: markets are halted, and come back."""
OPEN_SECONDS = 60
"""How long a source may take to learn what it has, before it is asked anew: some list every pair they know."""


class SupervisedSource:
    """
    Decides what a source's failure costs: its own numbers of that tick, and one line in the log.

    It asks over `session`, which it does not own. `timeout` is how long anything may hold up its
    callers, in seconds: a tick must be over before the next, whatever one source does. `note_read` is told of every
    tick that it is read for, before anything is asked.
    """

    absence: SlotReason | None = None
    """Why it had no answer at the tick that it was last asked for; `None` where it had one."""
    received: float | None = None
    """When its newest answer was here, unix seconds; `None` where whoever reads it is to look at the clock."""
    streamed: StreamedTicks | None = None
    """What answers ticks instead of requests, where there is such a thing."""

    def __init__(
        self,
        source: Source,
        session: ClientSession,
        timeout: float,
        note_read: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.source = source
        self.missing: Mapping[Metric, str] = {}
        """The metrics that were wished for and that the source does not have, with the reason."""
        self.is_known = False
        """Whether the source has said what it has."""
        self.owned: frozenset[Metric] | None = None
        """Those of its metrics that it gives and no other source does; `None` until that is settled."""
        self.rejects = Rejects()
        """What was left out of its readings after they were read."""
        self._session, self._timeout, self._note_read = session, timeout, note_read
        self._opening: asyncio.Task[None] | None = None
        self._asking_anew: asyncio.Task[None] | None = None
        self._asked_at: int | None = None
        """The tick at which the source was last asked what it has."""
        self._had: set[Metric] = set()
        """Whatever it had since the start."""
        self._stay_away_until = 0.0
        self._has_come_back = False
        self._failing_since: int | None = None
        self._reason: str | None = None
        self._advice: str | None = None
        self._failures = self._tick_requests = 0
        """How often it failed since the start; how many requests the newest tick took that was asked for."""

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def metrics(self) -> Sequence[Metric]:
        """All that the source has."""
        return self.source.metrics

    @property
    def dead(self) -> Collection[Metric]:
        """Markets that the source lists and has no price of."""
        return self.source.dead if isinstance(self.source, NamesDead) else ()

    @property
    def closed(self) -> Mapping[Metric, str]:
        """Markets that the provider lists and that do not trade, each with its word for it."""
        return self.source.closed if isinstance(self.source, NamesClosed) else {}

    @property
    def listed(self) -> Collection[Metric]:
        """Markets that are wished for and that the provider lists, also those that are closed or not asked for."""
        unasked = self.source.unasked if isinstance(self.source, NamesUnasked) else ()
        return {*self.metrics, *self.closed, *unasked}

    @property
    def given(self) -> Sequence[Metric]:
        """Those that it gives; another source may give some that it has, too."""
        owned = self.owned
        return self.metrics if owned is None else [metric for metric in self.metrics if metric in owned]

    async def read(self, at: int) -> Mapping[Metric, Reading]:
        """Return what the source says of tick `at`, or nothing where it fails; never raises `SourceError`."""
        self._note_read(at)
        if at < self._stay_away_until and self.streamed is None:
            self._tick_requests = 0
            self.absence = SlotReason.REFUSED
            return {}
        try:
            with self._count_requests(), note_asking(self.name, AskedFor.TICK, at):
                async with asyncio.timeout(self._timeout):
                    await self._open(at)
                    self._begin_tick(at)
                    readings = await self._fetch(at)
        except (SourceError, TimeoutError) as error:
            self.absence = _classify_absence(error)
            self._handle_failure(at, error)
            return {}
        self.absence = None
        self._handle_success(at)
        self._refresh_markets(at, is_whole=len(readings) + len(self.dead) >= len(self.metrics))
        return readings

    async def _fetch(self, at: int) -> Mapping[Metric, Reading]:
        if self.streamed is None:
            return await self._ask(at)
        return await self.streamed.fetch(at, self.metrics, self.dead, self._ask)

    async def _ask(self, at: int) -> Mapping[Metric, Reading]:
        if at < self._stay_away_until:
            # Streams go on meanwhile.
            raise SourceRefused(self._reason or f"{self.name} is not asked now")
        return await self.source.fetch(self._session, at)

    async def open(self, at: int) -> None:
        """Let the source learn what it has, before the first tick needs it; a failure is told, not raised."""
        if at < self._stay_away_until:
            return
        try:
            async with asyncio.timeout(self._timeout):
                await self._open(at)
        except (SourceError, TimeoutError) as error:
            self._handle_failure(at, error)

    async def fetch_candles(self, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        """Return what the source's `fetch_candles` gives; raises `SourceError`."""
        return await self.source.fetch_candles(self._session, metric, start, end)

    async def fetch_hours(self, metric: Metric, start: int, end: int) -> tuple[int, Sequence[Candle]]:
        """Return candles of whole hours, and how long each is: an hour if the source has such; raises `SourceError`."""
        if isinstance(self.source, Hourly):
            return HOUR, await self.source.fetch_hours(self._session, metric, start, end)
        return MINUTE, await self.source.fetch_candles(self._session, metric, start, end)

    def find_streamed_hour(self, metric: Metric, hour: int) -> Candle | None:
        """Return the exchange's candle of an hour that a stream brought whole; `None` where none did."""
        return None if self.streamed is None else self.streamed.find_hour(metric, hour)

    def describe_state(self) -> dict[str, Any]:
        """Say how the source does, for whoever asks the API."""
        return {
            "state": "ok" if self._reason is None else "failing",
            "since": self._failing_since,
            "reason": self._reason,
            "retry_at": ceil(self._stay_away_until) if self._reason and self._stay_away_until else None,
            "advice": self._advice,
            "failures": self._failures,
            "metrics": len(set(self.given) - set(self.dead)),
            "missing": dict(self.missing),
            "dead": sorted(self.dead),
            "rejects": dict(self.source.rejects) | dict(self.rejects),
            "budget": self._describe_budget(),
            "rejected": [*describe_rejects(self.rejects), *describe_rejects(self.source.rejects)],
        }

    def _describe_budget(self) -> dict[str, Any] | None:
        described = self.source.budget.describe() if isinstance(self.source, Metered) else None
        return None if described is None else described | {"tick_requests": self._tick_requests}

    @contextmanager
    def _count_requests(self) -> Iterator[None]:
        """Count the requests of a tick."""
        budget = self.source.budget if isinstance(self.source, Metered) else NoBudget()
        before = budget.count_tick_requests()
        try:
            yield
        finally:
            self._tick_requests = budget.count_tick_requests() - before

    def list_rejected(self) -> set[Metric]:
        """Return the metrics of which a reading was left out since the tick began."""
        kept = (self.rejects, self.source.rejects)
        return {metric for rejects in kept if isinstance(rejects, Rejects) for metric in rejects.metrics}

    def _begin_tick(self, at: int) -> None:
        for rejects in (self.rejects, self.source.rejects):
            if isinstance(rejects, Rejects):
                rejects.begin_tick(at)

    def take_recovery(self) -> bool:
        """Tell, once each time, that the source answers again, or has more: what is missing can be asked for now."""
        has, self._has_come_back = self._has_come_back, False
        return has

    def cancel_requests(self) -> None:
        """Let go of what it was asked and has not answered: the session is about to be closed."""
        for task in (self._opening, self._asking_anew):
            if task is not None:
                task.cancel()
        if self.streamed is not None:
            self.streamed.stop()

    async def finish_requests(self) -> None:
        """Wait until what it was asked beside the ticks is answered, or has failed."""
        if tasks := [task for task in (self._opening, self._asking_anew) if task is not None]:
            await asyncio.wait(tasks)

    async def _open(self, at: int) -> None:
        """Wait until the source is open. That goes on where it outlasts the timeout of a caller."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._learn(at))
        try:
            await asyncio.shield(self._opening)
        except SourceError:
            self._opening = None
            raise

    def _refresh_markets(self, at: int, *, is_whole: bool) -> None:
        """
        Ask anew what the source has, once an hour and beside the ticks: markets are opened and closed.

        Where it has less than before, or an answer was not `is_whole`, it is asked sooner.
        """
        self._had.update(self.metrics)
        if self._asked_at is None:
            self._asked_at = at
        elif at >= self._asked_at + (HOUR if is_whole and len(self.metrics) == len(self._had) else LOST_SECONDS):
            self._asked_at, self._asking_anew = at, asyncio.create_task(self._learn_anew(at))

    async def _learn_anew(self, at: int) -> None:
        before = set(self.metrics)
        try:
            await self._learn(at)
        except SourceError as error:
            log.debug("what the source has now is not known", source=self.name, reason=str(error))
            if isinstance(error, SourceRefused) and error.wait:
                self._stay_away_until = max(self._stay_away_until, error.until or at + error.wait)
        if new := set(self.metrics) - before:
            log.info("the source has new metrics", source=self.name, metrics=sorted(new))
            self._has_come_back = True

    async def _learn(self, at: int) -> None:
        known = set(self.metrics)
        try:
            with note_asking(self.name, AskedFor.MARKETS, at):
                async with asyncio.timeout(OPEN_SECONDS):
                    self.missing = await self.source.open(self._session)
        except TimeoutError as error:
            raise SourceUnreachable(f"{self.name} did not say in {OPEN_SECONDS} s what it has") from error
        if set(self.metrics) != known or not known:
            log.info("source is open", source=self.name, metrics=len(self.metrics), missing=len(self.missing))
        self.is_known = True
        self._follow_streams()

    def _follow_streams(self) -> None:
        """Have what the source has streamed."""
        if self.streamed is not None and isinstance(self.source, Streamable):
            self.streamed.follow(self.source.stream_symbols)

    def _handle_failure(self, at: int, error: Exception) -> None:
        reason = str(error) or f"{self.name} took longer than {self._timeout:g} s"
        if isinstance(error, SourceRefused) and error.wait:
            # Where nobody noted when the answer came: it may have taken all of our timeout, and the wait begins with it.
            until = at + self._timeout + error.wait if error.until is None else error.until
            self._stay_away_until = min(until, at + self._timeout + LONGEST_WAIT)
            reason = f"{reason}; retry after {error.wait:g} s"
        self._failures += 1
        if self._reason is None:
            self._failing_since = at
            log.warning("source fails", source=self.name, reason=reason)
        elif self._reason != reason:
            log.warning("source still fails", source=self.name, reason=reason, since=self._failing_since)
        self._reason, self._advice = reason, suggest_remedy(self.name, error)

    def _handle_success(self, at: int) -> None:
        if self._reason is not None:
            log.info("source is back", source=self.name, at=at, failed_since=self._failing_since)
            self._has_come_back = True
        self._failing_since = self._reason = self._advice = None


def _classify_absence(error: Exception) -> SlotReason:
    """Return why a source that failed has no answer."""
    match error:
        case SourceRefused():
            return SlotReason.REFUSED
        case InvalidResponse():
            return SlotReason.INVALID
        case _:
            return SlotReason.NO_ANSWER


def suggest_remedy(name: str, error: Exception) -> str:
    """Return what somebody can do about a failure of a source."""
    address = name_address_setting(name)
    match error:
        case SourceRefused(wait=float() | int()):
            return "wait; if it happens again, ask for fewer metrics or less often"
        case SourceRefused():
            return f"look up this answer at {name}; {address} or a key may be wrong"
        case InvalidResponse():
            return f"see what answers at {address}: a proxy, or another server"
        case _:
            return f"see whether this machine reaches {address}: network, DNS, proxy, firewall"


LookAfter = Callable[[Source, ClientSession, float, Callable[[int], None]], SupervisedSource]
"""Makes who looks after a source, which asks over a session, no longer than so many seconds, and tells of each tick."""


@contextmanager
def supervise(
    sources: Iterable[tuple[Source, ClientSession]],
    timeout: float,
    note_read: Callable[[int], None] = lambda _: None,
    look_after: LookAfter = SupervisedSource,
) -> Iterator[list[SupervisedSource]]:
    """Have someone look after each source and its session, and leave none of them with a question at the end."""
    watched = [look_after(source, session, timeout, note_read) for source, session in sources]
    try:
        yield watched
    finally:
        for each in watched:
            each.cancel_requests()
