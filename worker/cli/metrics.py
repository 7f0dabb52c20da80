"""Joins the parts of a running worker to its metrics: what each knows of itself is asked for when Prometheus asks."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from worker.archiving.health import ArchiveCondition
from worker.archiving.late_hours import LateHours
from worker.archiving.rollup import HourlyRollup
from worker.clock.wall import WatchedClock
from worker.delivery.dispatcher import Dispatcher
from worker.latest.sharing import WorkerNote
from worker.reporting.metrics import WorkerInstruments, states
from worker.sources.wishes import SourceReport
from worker.toplist.poller import NoteState


@asynccontextmanager
async def show_lease(instruments: WorkerInstruments, is_held: asyncio.Event | None = None) -> AsyncIterator[None]:
    """Show that this worker has the lease, until the end; `is_held` is set."""
    instruments.lease_held.set(1)
    if is_held is not None:
        is_held.set()
    try:
        yield
    finally:
        instruments.lease_held.set(0)


def follow_sampling(
    instruments: WorkerInstruments, report: SourceReport, dispatch: Dispatcher, clock: WatchedClock
) -> None:
    """Show how the sources, the channels and the clock do."""
    follow = instruments.states.follow
    follow("sources", lambda: states.list_source_metrics(report.describe()))
    follow("channels", lambda: states.list_channel_metrics(dispatch.describe_queues()))
    follow("clock", lambda: states.list_clock_metrics(clock.fault))


def follow_archive(
    instruments: WorkerInstruments, health: ArchiveCondition, rollup: HourlyRollup, late_hours: LateHours
) -> None:
    """Show how the archive does."""
    instruments.states.follow(
        "archive", lambda: states.list_archive_metrics(health.describe(), rollup.newest, len(late_hours))
    )


def follow_share(instruments: WorkerInstruments, describe: Callable[[], WorkerNote]) -> None:
    """Show which part of the market this worker has, as it says of itself."""
    instruments.states.follow("share", lambda: states.list_share_metrics(describe()._asdict()))


def follow_roles(instruments: WorkerInstruments) -> NoteState:
    """Return what takes the states of the top list's roles, and show them."""
    known: dict[str, Mapping[str, Any]] = {}
    instruments.states.follow("roles", lambda: states.list_role_metrics(known))
    return known.__setitem__
