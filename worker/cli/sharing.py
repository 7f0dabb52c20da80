"""What a worker of several that share a market runs beside what one of them does for all."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

import structlog

from worker.backfill.future import wait_until_right
from worker.cli.metrics import follow_share
from worker.cli.process import name_process
from worker.cli.share_thread import ShareThread
from worker.cli.wiring import open_rule_provider, open_sources
from worker.clock.ticks import ticks
from worker.clock.wall import WatchedClock
from worker.latest import DAY, __version__
from worker.latest.settings import PREFIX
from worker.latest.sharing import (
    HomeWriter,
    PartitionLeases,
    PartitionWriter,
    SourceTurns,
    WorkerNote,
    find_lease_seconds,
    shorten_settings,
)
from worker.latest.store import AlertLimits, StoreError, Writer, connect
from worker.reporting.metrics import WorkerInstruments
from worker.sampling.sharing.handing_out import SharedCommit
from worker.sampling.sharing.partition_feeder import PartitionFeeder
from worker.sampling.sharing.shared_source import SharedSource
from worker.sampling.sharing.source_asker import SourceAsker
from worker.sampling.sharing.source_share import SourceShare
from worker.settings import WorkerSettings
from worker.settings.servers import list_servers
from worker.sources.request_trace import RecordRequest
from worker.sources.supervised import SupervisedSource

log = structlog.get_logger()

ALIKE = ("sources", "metrics", "min_coverage", "jump_limit", "alert_days")
"""Settings that decide what is committed, whoever commits it; beside the interval, without which nothing works."""


class MarketShare(NamedTuple):
    """What a worker shares with others."""

    commit: SharedCommit
    """By which whoever hands out the ticks commits them."""
    sources: SourceShare
    is_home: Callable[[], bool]
    """Returns whether this worker hands out the ticks."""


@asynccontextmanager
async def open_share(
    settings: WorkerSettings, store: Writer, instruments: WorkerInstruments, is_home: Callable[[], bool]
) -> AsyncIterator[MarketShare | None]:
    """
    Commit the partitions that are this worker's, until the end; return what it shares with others.

    `None`, and nothing is shared, where the store is not divided or the settings do not say so.
    """
    if not isinstance(store, HomeWriter):
        if settings.share:
            log.info("one node is not shared: this worker feeds it alone, or stands by", setting="TRACKER_SHARE")
        yield None
        return
    seconds = find_lease_seconds(settings.interval)
    note = make_note(settings, seconds)
    thread = ShareThread(settings.redis_address, note, store.lease)
    async with (
        connect(settings.redis_address, "data-tracker-share") as redis,
        open_rule_provider(settings, only_reads=True) as rules,
        thread.run() as leases,
    ):
        limits = AlertLimits(keep=settings.alert_days * DAY)
        writer = PartitionWriter(redis, leases, limits, settings.min_coverage)
        feeder = PartitionFeeder(writer, settings.interval, rules)
        share = SourceShare(
            name=note.name,
            sources=[server.source for server in list_servers(settings)],
            leases=thread.sources,
            turns=SourceTurns(redis, thread.sources, settings.interval),
            interval=settings.interval,
            list_alive=thread.list_alive,
        )
        thread.describe = partial(_describe, feeder=feeder, leases=leases, share=share, is_home=is_home)
        follow_share(instruments, lambda: thread.describe(note))
        async with asyncio.TaskGroup() as tasks:
            feeding = tasks.create_task(feeder.run())
            yield MarketShare(SharedCommit(store, settings.interval), share, is_home)
            feeding.cancel()


def make_note(settings: WorkerSettings, lease_seconds: int) -> WorkerNote:
    """Return what this worker says of itself to those that share with it."""
    told = {f"{PREFIX}{name.upper()}": getattr(settings, name) for name in ALIKE}
    return WorkerNote(
        name_process(),
        socket.gethostname(),
        os.getpid(),
        int(time.time()),
        __version__,
        lease_seconds,
        interval=settings.interval,
        settings=shorten_settings(told),
    )


@asynccontextmanager
async def open_shared_sources(
    settings: WorkerSettings,
    limit: float,
    clock: WatchedClock,
    record: RecordRequest,
    shared: MarketShare | None,
) -> AsyncIterator[list[SupervisedSource]]:
    """
    Return the sources, as `open_sources` does. Where they are shared, those that are this worker's are asked for whoever
    hands out the ticks, until the end.
    """
    if shared is None:
        async with open_sources(settings, limit, clock, record, keep=True) as sources:
            yield sources
        return
    made: list[SharedSource] = []

    def look_after(*args: Any) -> SharedSource:
        made.append(SharedSource(*args, share=shared.sources, clock=clock.now))
        return made[-1]

    async with (
        open_sources(settings, limit, clock, record, keep=True, look_after=look_after) as sources,
        asyncio.TaskGroup() as tasks,
    ):
        asker = SourceAsker(made, shared.sources, shared.is_home, clock.now)
        asking = tasks.create_task(_ask(asker, settings.interval, clock))
        yield sources
        asking.cancel()


async def find_ticks(
    settings: WorkerSettings, store: Writer, clock: WatchedClock, now: int, shared: MarketShare | None
) -> tuple[int, AsyncIterator[int]]:
    """
    Return the tick after which is sampled, and the ticks. `now` is the newest tick that is over.

    Where the market is shared, other workers may have asked their sources while nobody handed out ticks: those of which
    that is still kept come first.
    """
    interval, newest = settings.interval, None
    coming = ticks(interval, now, clock.wall, watch=clock)
    if shared is not None:
        with suppress(StoreError):  # the first commit reports it
            newest = await store.read_tick()
    if shared is None or newest is None or (now - newest) % interval:
        return now, coming
    missed = range(newest + interval, now + interval, interval)
    if not missed or now - newest > shared.sources.turns.kept_seconds:
        return now, coming
    is_over = shared.sources.is_too_late(now, clock.wall())
    shared.sources.missed = frozenset(missed if is_over else missed[:-1])
    return newest, _chain_ticks(missed, coming)


async def _chain_ticks(missed: Iterable[int], coming: AsyncIterator[int]) -> AsyncIterator[int]:
    for at in missed:
        yield at
    async for at in coming:
        yield at


async def _ask(asker: SourceAsker, interval: int, clock: WatchedClock) -> None:
    await wait_until_right(clock)
    await asker.run(ticks(interval, clock=clock.wall, watch=clock))


def _describe(
    note: WorkerNote,
    *,
    feeder: PartitionFeeder,
    leases: PartitionLeases,
    share: SourceShare,
    is_home: Callable[[], bool],
) -> WorkerNote:
    return share.describe(note)._replace(
        partitions=sorted(leases.held), is_asking=is_home(), tick=feeder.newest, behind=feeder.behind
    )
