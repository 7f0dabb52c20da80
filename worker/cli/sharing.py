"""What a worker of several that share a market runs beside what one of them does for all."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import structlog

from worker.cli.metrics import follow_share
from worker.cli.process import LEAVE_SECONDS, name_process
from worker.cli.wiring import open_rule_provider
from worker.latest import DAY, __version__
from worker.latest.sharing import (
    HomeWriter,
    Members,
    PartitionLeases,
    PartitionWriter,
    WorkerNote,
    find_lease_seconds,
    get_places,
)
from worker.latest.store import AlertLimits, StoreError, Writer, connect
from worker.reporting.metrics import WorkerInstruments
from worker.sampling.sharing.handing_out import SharedCommit
from worker.sampling.sharing.membership import Membership
from worker.sampling.sharing.partition_feeder import PartitionFeeder
from worker.settings import WorkerSettings

log = structlog.get_logger()


@asynccontextmanager
async def open_share(
    settings: WorkerSettings, store: Writer, instruments: WorkerInstruments, is_asking: Callable[[], bool]
) -> AsyncIterator[SharedCommit | None]:
    """
    Commit the partitions that are this worker's, until the end; return what whoever asks the sources commits ticks by.

    `None`, and nothing is shared, where the store is not divided or the settings do not say so.
    """
    if not isinstance(store, HomeWriter):
        if settings.share:
            log.warning("one node is not shared: this worker feeds it alone, or stands by", setting="TRACKER_SHARE")
        yield None
        return
    async with (
        connect(settings.redis_address, "data-tracker-share") as redis,
        open_rule_provider(settings, only_reads=True) as rules,
    ):
        seconds = find_lease_seconds(settings.interval)
        note = WorkerNote(name_process(), socket.gethostname(), os.getpid(), int(time.time()), __version__, seconds)
        leases = PartitionLeases(redis, note.name, seconds)
        limits = AlertLimits(keep=settings.alert_days * DAY)
        writer = PartitionWriter(redis, leases, limits, settings.min_coverage)
        feeder = PartitionFeeder(writer, settings.interval, rules)
        describe = partial(_describe, feeder=feeder, leases=leases, is_asking=is_asking)
        follow_share(instruments, lambda: describe(note))
        membership = Membership(
            members=Members(redis),
            leases=leases,
            note=note,
            tags=lambda: get_places(redis).list_tags(),
            describe=describe,
        )
        async with _run_share(feeder, membership):
            yield SharedCommit(store, settings.interval)


@asynccontextmanager
async def _run_share(feeder: PartitionFeeder, membership: Membership) -> AsyncIterator[None]:
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(work) for work in (membership.run(), feeder.run())]
            yield
            for task in running:
                task.cancel()
    finally:
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await membership.release()
        except (StoreError, TimeoutError) as error:
            log.warning("the leases of partitions run out by themselves", reason=str(error))


def _describe(
    note: WorkerNote, *, feeder: PartitionFeeder, leases: PartitionLeases, is_asking: Callable[[], bool]
) -> WorkerNote:
    return note._replace(
        partitions=sorted(leases.held), is_asking=is_asking(), tick=feeder.newest, behind=feeder.behind
    )
