"""
What changes an answer, told to every process that answers: who writes publishes, who keeps answers subscribes.

    channel     message                  after
    v1:ticks    <tick>                   a tick was committed
    v1:changes  samples <metric> <hour>  samples of an hour came late, or were replaced
                ranks                    ranks and means were made anew, without a tick
                rules                    a rule was written or deleted, through the API or with the rules file
                silences                 a silence was written or deleted
                alerts                   an alert was acknowledged, or a message about it was sent or not
                top                      a top list was written
                sources                  a source does otherwise, or another wish is not fulfilled
                budgets                  another part of what providers allow is used, and nothing else of a source has changed
                keys                     an API key was made, changed or deleted
                all                      anything may be otherwise: data was deleted or repaired

A message is the last command of what it is about: Redis hands it to subscribers before the writer has its answer.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from typing import Any, NamedTuple

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from ..model import Metric
from . import keys
from .cluster.client import ClusterRedis
from .connection import StoreAway, StoreError, connect, translate_errors
from .event_log import CommandSink

PING_SECONDS = 2.0
"""Silence after which the server is asked whether it is still there; as long again, and the subscription is lost."""
RETRY_SECONDS = 0.5
FIRST_SECONDS = 5.0
"""How long who starts waits for the first subscription."""

log = structlog.get_logger()


class ChangeKind(StrEnum):
    """What has changed."""

    TICK = "tick"
    SAMPLES = "samples"
    RANKS = "ranks"
    RULES = "rules"
    SILENCES = "silences"
    ALERTS = "alerts"
    TOP = "top"
    SOURCES = "sources"
    BUDGETS = "budgets"
    KEYS = "keys"
    ALL = "all"


class Change(NamedTuple):
    """One change, as it was told."""

    kind: ChangeKind
    tick: int | None = None
    """Of a tick: which one."""
    metric: Metric | None = None
    """Of samples: whose."""
    hour: int | None = None
    """Of samples: the first second of the hour whose set holds them."""


EVERYTHING = Change(ChangeKind.ALL)
_ALONE = {str(kind): kind for kind in ChangeKind if kind not in (ChangeKind.TICK, ChangeKind.SAMPLES)}
"""The changes of which a message says no more than this word."""


def put_change(pipe: CommandSink, kind: ChangeKind) -> None:
    """Put the message of a change, as the last command of what it is about."""
    pipe.execute_command("PUBLISH", keys.CHANGES, kind)


def put_sample_changes(pipe: CommandSink, metric: Metric, hours: Iterable[int]) -> None:
    """Put the messages of samples that came late, an hour each."""
    for hour in hours:
        pipe.execute_command("PUBLISH", keys.CHANGES, f"{ChangeKind.SAMPLES} {metric} {hour}")


async def send_change(redis: Redis, kind: ChangeKind) -> None:
    """Tell of a change that took more than one transaction. Raises `StoreAway`."""
    with translate_errors():
        await redis.publish(keys.CHANGES, kind)


def parse_change(channel: str, message: str) -> Change:
    """Return the change that a message tells of; one that cannot be read may be of anything."""
    if channel == keys.TICKS:
        return Change(ChangeKind.TICK, tick=int(message)) if message.isdecimal() else EVERYTHING
    kind, *about = message.split(" ")
    if kind == ChangeKind.SAMPLES and len(about) == len(("metric", "hour")) and about[1].isdecimal():
        return Change(ChangeKind.SAMPLES, metric=Metric(about[0]), hour=int(about[1]))
    return Change(_ALONE[kind]) if kind in _ALONE and not about else EVERYTHING


class ChangeFeed:
    """
    The one subscription of a process to what changes, and who is told of it.

    A listener is called with each `Change`, and must not block. While `is_live` is false nothing is heard: who keeps
    what may change must keep nothing then. Listeners are told `EVERYTHING` when the subscription is lost and when it
    is there again, `is_live` being changed by then.
    """

    def __init__(self, address: str, name: str) -> None:
        self.is_live = False
        self._address = address
        self._name = name
        self._listeners: list[Callable[[Change], None]] = []
        self._has_tried = asyncio.Event()

    def add_listener(self, listener: Callable[[Change], None]) -> None:
        """Have `listener` called with every change from now on."""
        self._listeners.append(listener)

    def remove_listener(self, listener: Callable[[Change], None]) -> None:
        """Have a listener called no more."""
        self._listeners.remove(listener)

    async def wait_for_first_try(self) -> None:
        """Wait until the first subscription is there or has failed, a few seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await self._has_tried.wait()

    async def run(self) -> None:
        """Listen until cancelled, and subscribe again whenever the subscription is lost."""
        has_warned = False
        while True:
            try:
                async with connect(self._address, self._name) as redis, _open_pubsub(redis) as pubsub:
                    await self._subscribe(pubsub)
                    if has_warned:
                        log.info("changes of the data are heard again")
                    has_warned = False
                    await self._follow(pubsub)
            except StoreError as error:
                if not has_warned:
                    log.warning("changes of the data are not heard, so no answer is kept", reason=str(error))
                has_warned = True
            except Exception:
                log.exception("an unexpected error ends the subscription to changes of the data")
            finally:
                self._set_live(is_live=False)
            await asyncio.sleep(RETRY_SECONDS)

    async def _subscribe(self, pubsub: PubSub) -> None:
        with translate_errors():
            await pubsub.subscribe(keys.TICKS, keys.CHANGES)
            for _ in (keys.TICKS, keys.CHANGES):
                if await pubsub.get_message(timeout=PING_SECONDS) is None:
                    raise StoreAway("Redis does not answer to a subscription")
        self._set_live(is_live=True)

    async def _follow(self, pubsub: PubSub) -> None:
        """Tell listeners what is heard. Raises `StoreError` when the subscription is lost."""
        is_asked = False
        while True:
            with translate_errors():
                message = await pubsub.get_message(timeout=PING_SECONDS)
                if message is None and is_asked:
                    raise StoreAway(
                        f"Redis has said nothing for {2 * PING_SECONDS:g} seconds, not even that it is there"
                    )
                if message is None:
                    await pubsub.ping()
            is_asked = message is None
            if message is not None:
                self._pass_on(message)

    def _pass_on(self, message: dict[str, Any]) -> None:
        if message["type"] == "message":
            self._tell(parse_change(message["channel"], message["data"]))
        elif message["type"] == "subscribe":
            # The client has connected anew by itself, and what was said meanwhile is lost.
            self._tell(EVERYTHING)

    def _set_live(self, *, is_live: bool) -> None:
        was_live, self.is_live = self.is_live, is_live
        self._has_tried.set()
        if was_live or is_live:
            self._tell(EVERYTHING)

    def _tell(self, change: Change) -> None:
        for listener in [*self._listeners]:
            listener(change)


@asynccontextmanager
async def _open_pubsub(redis: Redis) -> AsyncIterator[PubSub]:
    """Return a subscription whose connection is closed at the end: redis-py's own does not wait for that."""
    if isinstance(redis, ClusterRedis):
        # Where `{home}` lies is to be known first; redis-py opens a subscription without waiting for anything.
        with translate_errors():
            await redis.ensure_places()
    pubsub = redis.pubsub()
    try:
        yield pubsub
    finally:
        connection: Any = pubsub.connection
        if connection is not None:
            await connection.disconnect()
        await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py's


@asynccontextmanager
async def follow_replicas(redis: Redis, feed: ChangeFeed) -> AsyncIterator[None]:
    """
    Let a client that was made for it read from replicas until the end: from each while it has all that the feed told of.

    While the feed is not live, primaries are read. Of any other client nothing is changed.
    """
    replicas = redis.replicas if isinstance(redis, ClusterRedis) else None
    if replicas is None:
        yield
        return

    def note(_: Change) -> None:
        replicas.note_change()

    feed.add_listener(note)
    task = asyncio.create_task(replicas.follow(lambda: feed.is_live))
    try:
        yield
    finally:
        feed.remove_listener(note)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def open_change_feed(address: str, name: str, *listeners: Callable[[Change], None]) -> AsyncIterator[ChangeFeed]:
    """Return a feed that listens until the end. With the first `yield` it is live, unless Redis is away."""
    feed = ChangeFeed(address, name)
    for listener in listeners:
        feed.add_listener(listener)
    task = asyncio.create_task(feed.run())
    try:
        await feed.wait_for_first_try()
        yield feed
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
