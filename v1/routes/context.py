"""The state that routes share, and the dependency that gives it to a route."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Annotated, NamedTuple, TypedDict, cast

from fastapi import Depends, Request

from ..archive import ArchiveReader, TopArchiveReader, connect_archive
from ..backtest.process.runner import BacktestRunner
from ..market.pieces import KeptPieces
from ..store import (
    AdminStore,
    ApiKeyStore,
    Change,
    ChangeFeed,
    EventReader,
    ListReader,
    MessageTestStore,
    RankHistoryReader,
    RateLimitStore,
    Reader,
    RedisObserver,
    ReplayStore,
    TopReader,
    TrackedReader,
    connect,
    follow_replicas,
    open_change_feed,
)
from ..store.sharing.members import Members
from .access import Caller, KeyRing, RateLimiter
from .market_clock import MarketClock, follow_market
from .stream.counts import StreamCounts
from .stream.hub import StreamHub, StreamLimits
from .stream.pages import AcceptedPages

ANSWER_SECONDS = 4.0
"""Time limit of a question to the store; after it the answer is 503."""


class Access(NamedTuple):
    """Who may ask, and how much; both without a connection until the state of the routes is opened."""

    ring: KeyRing | None = None
    """`None`: nobody needs a key."""
    limiter: RateLimiter | None = None
    """`None`: there are no limits."""


class RouteSettings(NamedTuple):
    """What the state of the routes is opened with."""

    redis_address: str
    archive_address: str
    name: str
    """How the connections are called where a server lists them."""
    interval: int
    min_coverage: float
    is_shared: bool
    settings_prefix: str
    """How the names of our settings begin in the environment: a backtest's process gets none of them."""
    redact: Callable[[str], str]
    """Hides secrets and addresses of servers in a text that is sent to strangers."""
    piece_bytes: int
    """Bytes of encoded hours that are kept, at most."""
    stopping: asyncio.Event
    """Set when the process is told to stop."""
    backtest_turns: int | None = None
    """The descriptor by which several processes run one backtest at a time."""
    read_replicas: bool = False
    """Whether replicas of a cluster are read."""
    observe_redis: RedisObserver | None = None
    """Takes how long each exchange with Redis took."""
    streams: int = StreamLimits().streams
    """How many streams there may be at once."""
    stream_counts: StreamCounts | None = None
    """Where the streams are counted."""
    pages: AcceptedPages = AcceptedPages()
    """The pages that may open a WebSocket, beside those of the host that is asked."""
    listeners: Sequence[Callable[[Change], None]] = ()
    """Who is told of every change of the data."""
    access: Access = Access()


class RouteState(TypedDict):
    """Made once at the start of the application, closed at its end."""

    reader: Reader
    rank_history: RankHistoryReader
    """Reads places of the past day, and keeps the names that they are of."""
    lists: ListReader
    """Reads many metrics at once."""
    tracked: TrackedReader
    """Reads samples, and keeps what was encoded of them for as long as Redis says that they are the same."""
    archive: ArchiveReader
    top: TopReader
    top_archive: TopArchiveReader
    admin: AdminStore
    """Rules, silences and alerts; it writes."""
    members: Members
    """Knows which workers share the market."""
    message_tests: MessageTestStore
    """Sends tests of rules; it writes."""
    redis_address: str
    """Where a process of its own finds the store."""
    backtests: BacktestRunner
    """Tries rules on history, in processes of their own, so that others are still answered."""
    streams: StreamHub
    """Pushes what happens to clients."""
    pages: AcceptedPages
    """The pages that may open a WebSocket."""
    changes: ChangeFeed
    """Tells what changes in the store; the process's one subscription."""
    clock: Callable[[], float]
    """The time of the market, in unix seconds. Routes look at it once, and hand the time on."""
    market: MarketClock
    """What says that time, and the machine's own."""
    replays: ReplayStore
    """Says whether the market is replayed."""
    interval: int
    """Seconds between two ticks."""
    min_coverage: float
    """What part of the numbers of the most complete metric a metric must have to be ranked."""
    is_caller_valid: Callable[[Caller], bool]
    """Whether the key of who asked is still one."""
    is_shared: bool
    """Whether everybody gets the same answers, so that a cache in front may keep them for all."""
    settings_prefix: str
    """How the names of our settings begin in the environment."""
    redact: Callable[[str], str]
    """Hides secrets and addresses of servers in a text that is sent to strangers."""


@asynccontextmanager
async def open_route_state(settings: RouteSettings, clock: Callable[[], float]) -> AsyncIterator[RouteState]:
    """Return what routes use, over connections that are closed at the end."""
    redis_address, name = settings.redis_address, settings.name
    connect_as = partial(connect, redis_address, answer_seconds=ANSWER_SECONDS, observe=settings.observe_redis)
    market = MarketClock(clock, settings.interval)
    async with (
        connect_as(name, only_reads=True, reads_replicas=settings.read_replicas) as redis,
        connect_as(f"{name}-admin") as writing,
        connect_archive(settings.archive_address, name, writes=False) as archive,
        _open_hub(EventReader(redis), AdminStore(redis), settings) as hub,
        AsyncExitStack() as stack,
        open_change_feed(redis_address, f"{name}-changes", *settings.listeners) as changes,
        follow_replicas(redis, changes),
        _keep_access(settings, changes),
        follow_market(market, ReplayStore(redis), changes),
    ):
        tracked = TrackedReader(redis, KeptPieces(settings.piece_bytes))
        stack.push_async_callback(tracked.close)
        yield RouteState(
            reader=Reader(redis),
            rank_history=RankHistoryReader(redis),
            lists=ListReader(redis),
            tracked=tracked,
            archive=ArchiveReader(archive),
            top=TopReader(redis),
            top_archive=TopArchiveReader(archive),
            admin=AdminStore(writing),
            members=Members(redis),
            message_tests=MessageTestStore(writing),
            redis_address=redis_address,
            backtests=BacktestRunner(settings.stopping, settings.settings_prefix, turns=settings.backtest_turns),
            streams=hub,
            pages=settings.pages,
            changes=changes,
            clock=market.now,
            market=market,
            replays=ReplayStore(redis),
            interval=settings.interval,
            min_coverage=settings.min_coverage,
            is_caller_valid=settings.access.ring.is_valid if settings.access.ring else lambda _: True,
            is_shared=settings.is_shared,
            settings_prefix=settings.settings_prefix,
            redact=settings.redact,
        )


@asynccontextmanager
async def _open_hub(events: EventReader, alerts: AdminStore, settings: RouteSettings) -> AsyncIterator[StreamHub]:
    """Return what pushes events; its streams end as soon as the process is told to stop."""
    hub = StreamHub(events, alerts, StreamLimits(settings.streams), settings.stream_counts, interval=settings.interval)

    async def close_in_time() -> None:
        await settings.stopping.wait()
        await hub.close()

    closing = asyncio.create_task(close_in_time())
    try:
        yield hub
    finally:
        if not settings.stopping.is_set():
            closing.cancel()
            await hub.close()
        await asyncio.gather(closing, return_exceptions=True)


@asynccontextmanager
async def _keep_access(settings: RouteSettings, changes: ChangeFeed) -> AsyncIterator[None]:
    """Keep what is in memory of keys and limits as it is in Redis, until the end."""
    ring, limiter = settings.access
    async with connect(settings.redis_address, f"{settings.name}-access", ANSWER_SECONDS) as redis:
        if limiter:
            limiter.use_store(RateLimitStore(redis))
        if ring is None:
            yield
            return
        store = ApiKeyStore(redis)
        changes.add_listener(ring.note_change)
        await ring.read(store)
        task = asyncio.create_task(ring.keep(store, changes))
        try:
            yield
        finally:
            changes.remove_listener(ring.note_change)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await ring.write_uses(store)


def read_route_state(request: Request) -> RouteState:
    """Return the state that the application of a request was started with."""
    return cast("RouteState", request.state)


Context = Annotated[RouteState, Depends(read_route_state)]
