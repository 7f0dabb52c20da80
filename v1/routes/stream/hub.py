"""
Pushes what happens to every client of this process: one task reads the log of events, one writes to all clients.

    Redis ──XREAD──▶ Backlog ──wake──▶ StreamHub._tell ──one frame a group──▶ channels

Clients that asked the same are a group, and what they are sent is made once. A client is told whatever of the log
comes after the last entry that it was told of; so one that begins, one that resumes, one that was slow and one that
is always there are the same to the hub. Nothing waits for a client: what it does not take is not written.
"""

import asyncio
from contextlib import suppress
from typing import NamedTuple

import structlog

from ...model import MINUTE
from ...store import FIRST_ID, AlertReader, EventId, EventReader, StoreError
from .backlog import Backlog
from .counts import StreamCounts
from .events import AwayEvent, BackEvent, BeginEvent, GapEvent, LaggingEvent, write_state
from .frames import Frame, Framing, StreamEvent, encode_heartbeat, encode_opening
from .market import MarketTeller
from .question import EventName, StreamQuestion
from .subscriber import StreamChannel, StreamGroup, StreamStart, Subscriber

WAIT_SECONDS = 2.0
"""How long Redis is waited for at a time; less than a client of it waits for any answer."""
RETRY_SECONDS = 1.0
"""After which Redis is asked again when it was away."""
LOOK_SECONDS = 1.0
"""How often it is looked whether slow clients have read on."""
SLOWEST = 20_000
"""Bytes that a slow client must take in `stalled` seconds."""
END_SECONDS = 2.0
"""How long clients have, when the process stops, to take the end of their streams."""
_AT_ONCE = 500
"""Clients that are written to before others get a turn."""
_AWAY = StreamEvent("away", write_state(AwayEvent(reason="the store is away")))
_BACK = StreamEvent("back", write_state(BackEvent()))

log = structlog.get_logger()


class StreamLimits(NamedTuple):
    """The bounds of streams; times in seconds."""

    streams: int = 256
    """At once, at most."""
    heartbeat: float = 15.0
    """Between two signs of life."""
    stalled: float = 20.0
    """In which a slow client must take `SLOWEST` bytes."""


class StreamHub:
    """All streams of a process. It reads nothing before the first client comes."""

    def __init__(
        self,
        events: EventReader,
        alerts: AlertReader,
        limits: StreamLimits,
        counts: StreamCounts | None = None,
        *,
        interval: int = MINUTE,
    ) -> None:
        """`interval` is that of the samples, in seconds."""
        self.counts = counts or StreamCounts()
        self._events = events
        self._alerts = alerts
        self._limits = limits
        self._backlog = Backlog(interval)
        self._market = MarketTeller(events)
        self._groups: dict[StreamQuestion, StreamGroup] = {}
        self._slow: set[Subscriber] = set()
        self._wake = asyncio.Event()
        self._grown = asyncio.Event()
        """Set when the log has grown, and replaced by another then."""
        self._running: asyncio.Task[None] | None = None
        self._is_log_away = True
        """Whether the log cannot be followed; so it is before it was read the first time."""
        self._is_market_away = False
        """Whether what a tick says could not be read."""
        self._has_begun = False
        """Whether it was tried to read the log."""
        self._opening = 0
        self.count = 0
        """The streams that are open."""
        self.is_stopping = False

    @property
    def has_room(self) -> bool:
        """Return whether one more stream may be opened."""
        return not self.is_stopping and self.count + self._opening < self._limits.streams

    def hold_place(self) -> None:
        """Keep a place for a stream that is about to open; `release_place` gives it back, whether it opens or not."""
        self._opening += 1

    def release_place(self) -> None:
        """Free a reserved place."""
        self._opening -= 1

    async def wait_for_log(self) -> None:
        """Wait until all is known that the log has now; while it cannot be read, not at all."""
        if self._running is None or self._is_log_away:
            return
        with suppress(StoreError, TimeoutError):
            newest = await self._events.read_newest_id()
            async with asyncio.timeout(WAIT_SECONDS):
                while self._backlog.newest < newest:
                    await self._grown.wait()

    def add(self, channel: StreamChannel, question: StreamQuestion, start: StreamStart) -> None:
        """Take a client in. It is told what there is, and all that comes, until its channel is closed."""
        group = self._groups.setdefault(question, StreamGroup(question))
        subscriber = Subscriber(channel, start)
        group.subscribers.add(subscriber)
        self.count += 1
        self.counts.add_client(start.framing)
        channel.watch_close(lambda: self._remove(group, subscriber))
        if self.is_stopping:
            channel.finish()
        elif self._running is None:
            self._running = asyncio.create_task(self._run())
        self._wake.set()

    async def close(self) -> None:
        """End every stream; clients that do not take the end in `END_SECONDS` are cut off. No other is taken in."""
        self.is_stopping = True
        if self._running:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        for subscriber in self._list_subscribers():
            subscriber.channel.finish()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                while self.count:
                    self._wake.clear()
                    await self._wake.wait()
        for subscriber in self._list_subscribers():
            subscriber.channel.drop()

    def _remove(self, group: StreamGroup, subscriber: Subscriber) -> None:
        group.subscribers.discard(subscriber)
        self._slow.discard(subscriber)
        self.count -= 1
        self.counts.add_client(subscriber.framing, -1)
        if not group.subscribers and self._groups.get(group.question) is group:
            del self._groups[group.question]
        if self.is_stopping:
            self._wake.set()

    def _list_subscribers(self) -> list[Subscriber]:
        return [subscriber for group in self._groups.values() for subscriber in group.subscribers]

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow())
                tasks.create_task(self._serve())
        except* Exception:
            log.exception("an unexpected error ends all streams")
            for subscriber in self._list_subscribers():
                subscriber.channel.finish()
        finally:
            self._running = None

    async def _follow(self) -> None:
        """Keep up with the log."""
        while True:
            try:
                self._backlog.load(await self._events.read_log())
                self._set_log_away(False)
                while await self._is_followed():
                    pass
            except StoreError as error:
                if not self._is_log_away or not self._has_begun:
                    log.warning("streams wait for the store", reason=str(error))
                self._set_log_away(True)
                await asyncio.sleep(RETRY_SECONDS)

    async def _is_followed(self) -> bool:
        """Wait for entries and take them; return whether the log is still the one that was read."""
        entries = await self._events.wait_for_events(self._backlog.newest, WAIT_SECONDS)
        if entries:
            self._backlog.add(entries)
            self._wake.set()
            self._grown.set()
            self._grown = asyncio.Event()
        # Of a log that was emptied, or is another server's, the entry that is waited for may come days later.
        return bool(entries) or await self._events.read_newest_id() == self._backlog.newest

    def _set_log_away(self, is_away: bool) -> None:
        self._is_log_away, self._has_begun = is_away, True
        self._wake.set()

    async def _serve(self) -> None:
        """Tell clients what is new, and that the connection stands while nothing is."""
        loop = asyncio.get_running_loop()
        beat = loop.time() + self._limits.heartbeat
        while True:
            wait = min(
                beat - loop.time(), LOOK_SECONDS if self._slow or self._is_market_away else self._limits.heartbeat
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, wait)):
                    await self._wake.wait()
            self._wake.clear()
            self._drop_stalled(loop.time())
            if self._has_begun:
                await self._tell(loop.time())
            if loop.time() >= beat:
                beat = loop.time() + self._limits.heartbeat
                self._beat(loop.time())

    async def _tell(self, now: float) -> None:
        """Bring every client up to the newest entry that is known now."""
        until, tick = self._backlog.newest, self._backlog.tick
        groups = [*self._groups.values()]
        try:
            if not self._is_log_away:
                await self._market.refresh([group for group in groups if group.state_id != tick], tick)
            self._is_market_away = False
            for group in groups:
                await self._tell_group(group, until, now)
        except StoreError as error:
            if not self._is_market_away:
                log.warning("streams wait for the store", reason=str(error))
            self._is_market_away = True
            for subscriber in self._list_subscribers():
                self._say_away(subscriber)

    async def _tell_group(self, group: StreamGroup, until: EventId, now: float) -> None:
        frames: dict[EventId | None, Frame] = {}
        for place, subscriber in enumerate([*group.subscribers], 1):
            if not place % _AT_ONCE:
                await asyncio.sleep(0)
            if not subscriber.is_allowed():
                self._end(subscriber, now)
            elif self._is_log_away:
                self._say_away(subscriber)
            elif _is_due(subscriber, until):
                if subscriber.sent not in frames:
                    frames[subscriber.sent] = await self._make_frame(group, subscriber.sent, until)
                self._send(subscriber, frames[subscriber.sent], until, now)

    async def _make_frame(self, group: StreamGroup, after: EventId | None, until: EventId) -> Frame:
        """Return what a client is told that was told of the entries up to `after`."""
        events: list[StreamEvent] = []
        if after is not None and not self._backlog.has_all_after(after):
            oldest = self._backlog.oldest
            gap = GapEvent(after=str(after), oldest=None if oldest is None else str(oldest))
            events.append(StreamEvent("gap", write_state(gap), None if until == FIRST_ID else until))
            after = None
        elif after is not None and EventName.ALERT in group.question.events:
            for event_id, shown in await self._backlog.show_after(after, until, self._alerts):
                if group.matcher.is_match(shown.metric):
                    events.append(StreamEvent("alert", shown.data, event_id))
        if group.state_id is not None and (after is None or group.state_id > after):
            place = sum(event.name == "gap" or _is_before(event.id, group.state_id) for event in events)
            events[place:place] = group.state
        if after is None and not events:
            events.append(StreamEvent("begin", write_state(BeginEvent()), None if until == FIRST_ID else until))
        return Frame(events)

    def _send(self, subscriber: Subscriber, frame: Frame, until: EventId, now: float) -> None:
        if subscriber in self._slow:
            self._slow.discard(subscriber)
            subscriber.slow_since = None
            after = None if subscriber.sent is None else str(subscriber.sent)
            _write(subscriber, StreamEvent("lagging", write_state(LaggingEvent(after=after))))
        _greet(subscriber)
        if subscriber.is_away:
            subscriber.is_away = False
            _write(subscriber, _BACK)
        if frame.events and not subscriber.send(frame, now):
            self._slow.add(subscriber)
            self.counts.lagging += 1
            return
        self.counts.sent += len(frame.events)
        subscriber.sent = until
        if subscriber.is_once:
            self._end(subscriber, now)

    def _say_away(self, subscriber: Subscriber) -> None:
        if not subscriber.is_away and not subscriber.is_ending:
            _greet(subscriber)
            subscriber.is_away = True
            _write(subscriber, _AWAY)
            if subscriber.is_once:
                self._end(subscriber, asyncio.get_running_loop().time())

    def _end(self, subscriber: Subscriber, now: float) -> None:
        """End a stream; a client that does not take the rest of it is dropped as a slow one is."""
        if subscriber.is_ending:
            return
        subscriber.is_ending = True
        subscriber.channel.finish()
        subscriber.note_slow(now)
        self._slow.add(subscriber)

    def _drop_stalled(self, now: float) -> None:
        for subscriber in [*self._slow]:
            if subscriber.channel.waiting and subscriber.has_stalled(now, SLOWEST, self._limits.stalled):
                log.warning("a stream was dropped: its client does not read", waiting=subscriber.channel.waiting)
                self.counts.stalled += 1
                subscriber.channel.drop()

    def _beat(self, now: float) -> None:
        """Show every client that the connection stands, and drop those of WebSockets that have vanished."""
        beats = {framing: encode_heartbeat(framing) for framing in Framing}
        for subscriber in self._list_subscribers():
            if not subscriber.is_allowed():
                self._end(subscriber, now)
            elif subscriber.framing is Framing.MESSAGES and now - subscriber.channel.heard > 3 * self._limits.heartbeat:
                subscriber.channel.drop()
            elif not subscriber.channel.waiting and not subscriber.is_new and not subscriber.is_ending:
                subscriber.channel.write(beats[subscriber.framing])


def _is_due(subscriber: Subscriber, until: EventId) -> bool:
    """Return whether there is something to tell a client that has read what it was sent."""
    if subscriber.is_ending or (subscriber.slow_since is not None and subscriber.channel.waiting):
        return False
    return subscriber.is_new or subscriber.is_away or subscriber.sent != until


def _is_before(event_id: EventId | None, other: EventId) -> bool:
    return event_id is not None and event_id <= other


def _greet(subscriber: Subscriber) -> None:
    """Write what a stream begins with."""
    if subscriber.is_new:
        subscriber.is_new = False
        subscriber.channel.write(encode_opening(subscriber.framing))


def _write(subscriber: Subscriber, event: StreamEvent) -> None:
    """Write an event about the stream itself, which is small and always has room."""
    subscriber.channel.write(Frame([event]).encode(subscriber.framing))
