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
from worker.cli.process import name_process
from worker.cli.share_thread import ShareThread
from worker.cli.wiring import open_rule_provider
from worker.latest import DAY, __version__
from worker.latest.settings import PREFIX
from worker.latest.sharing import (
    HomeWriter,
    PartitionLeases,
    PartitionWriter,
    WorkerNote,
    find_lease_seconds,
    shorten_settings,
)
from worker.latest.store import AlertLimits, Writer, connect
from worker.reporting.metrics import WorkerInstruments
from worker.sampling.sharing.handing_out import SharedCommit
from worker.sampling.sharing.partition_feeder import PartitionFeeder
from worker.settings import WorkerSettings

log = structlog.get_logger()

ALIKE = ("sources", "metrics", "min_coverage", "jump_limit", "alert_days")
"""Settings that decide what is committed, whoever commits it; beside the interval, without which nothing works."""


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
        thread.describe = partial(_describe, feeder=feeder, leases=leases, is_asking=is_asking)
        follow_share(instruments, lambda: thread.describe(note))
        async with asyncio.TaskGroup() as tasks:
            feeding = tasks.create_task(feeder.run())
            yield SharedCommit(store, settings.interval)
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


def _describe(
    note: WorkerNote, *, feeder: PartitionFeeder, leases: PartitionLeases, is_asking: Callable[[], bool]
) -> WorkerNote:
    return note._replace(
        partitions=sorted(leases.held), is_asking=is_asking(), tick=feeder.newest, behind=feeder.behind
    )
