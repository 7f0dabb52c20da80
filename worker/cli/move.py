"""
Moves the data from the Redis of the settings to another one, or to a cluster, while a worker goes on feeding it.

Everything is copied, then again what has changed meanwhile, until that is little. Then, just after a tick, the lease is
taken from the worker, which ends or stands by; the rest is copied, both are compared, and the old one is marked.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated

import typer

from worker.cli.process import LEAVE_SECONDS, exit_with, hold_feeder_lease, name_process, read_settings, run_until_done
from worker.cli.reset import reach_redis
from worker.latest.settings import InvalidSettings, hide_passwords
from worker.latest.store import DataFormat, DataMove, Lease, MovedCounts, StoreError, Writer, connect, describe_store
from worker.reporting.steps import StepProgress
from worker.reporting.terminal import print_line
from worker.sampling.lease import hold_lease
from worker.settings import WorkerSettings

NAME = "data-tracker-move"
FEW = 1000
"""Keys that have changed during a pass: so few are copied in a moment."""
MOST_PASSES = 5
LONGEST_WAIT = 130.0
"""Seconds that a tick is waited for before the worker is stopped: two intervals, of the default one."""
END_SECONDS = 15.0
"""How long the worker may take to end: it looks at the lease three times in its life."""
POLL_SECONDS = 0.02


def move_command(
    to: Annotated[
        str, typer.Option(help="Where to: an address as TRACKER_REDIS_URL names one, of one Redis or a cluster.")
    ],
    partitions: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Into how many parts a cluster divides it that is empty; 64 unless said."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Delete what a data-tracker has left there.")] = False,
) -> None:
    """Move all data from the Redis in use to another one or to a cluster, or back, while the worker goes on."""
    settings = read_settings()
    try:
        address = WorkerSettings.load(redis_url=to).redis_address
    except InvalidSettings as error:
        exit_with(f"--to is checked as TRACKER_REDIS_URL is: {error}", 2)
    run_until_done(move_data(settings, address, partitions, should_replace=replace))


async def move_data(settings: WorkerSettings, to: str, partitions: int | None = None, *, should_replace: bool) -> None:
    """Move the data, say what is done, and what to type next. Raises `MoveRefused` and `StoreError`."""
    async with (
        reach_redis(settings) as address,
        connect(address, NAME) as old,
        connect(to, NAME, partitions=partitions or settings.partitions) as new,
    ):
        move = DataMove(old, new)
        try:
            await move.check(should_replace=should_replace)
            # On the way back it is there that the lease says where the data went; its format says so, too, until the end.
            await DataFormat(new).release_mark()
            async with hold_feeder_lease(Writer(new), wait=False):
                counts, seconds = await _copy_and_switch(move, Lease(old), settings.interval)
        finally:
            await move.close()
        print_line(
            f"moved {counts.keys:,} keys: {counts.metrics:,} metrics with {counts.samples:,} samples, counted at both"
        )
        print_line(f"nobody fed them for {seconds:.1f} s; what is left at {describe_store(old)} is marked as moved")
        print_line(f"next: set TRACKER_REDIS_URL={hide_passwords(to)}, and start the worker and the API again")


async def _copy_and_switch(move: DataMove, lease: Lease, interval: int) -> tuple[MovedCounts, float]:
    """Move everything, and return how much that was, and for how many seconds nobody fed it."""
    if not await move.begin():
        print_line("the new server does not read what the old one dumps: keys are copied by their contents")
    await _copy_until_few(move)
    if await move.read_holder() is not None:
        await _wait_for_tick(move, min(2 * interval, LONGEST_WAIT))
    begin, pace = time.monotonic(), StepProgress()
    async with _take_from_worker(lease):
        await _wait_for_worker(move)
        await move.take_over_alerts(lease)
        print_line(f"switch: {await move.copy(pace.report_step('copying')):,} keys copied again")
        counts = await move.compare()
    await move.mark_old()
    await move.mark_new()
    return counts, time.monotonic() - begin


async def _copy_until_few(move: DataMove) -> None:
    """Copy everything, then what has changed meanwhile, until that is little or does not become less."""
    pace, begin = StepProgress(), time.monotonic()
    for number in range(1, MOST_PASSES + 1):
        count = await move.copy(pace.report_step(f"pass {number}"))
        print_line(f"pass {number}: {count:,} keys copied, after {time.monotonic() - begin:.1f} s")
        if count <= FEW and number > 1:
            return


async def _wait_for_tick(move: DataMove, seconds: float) -> None:
    """Wait until a tick is committed, so that none is cut off and there is time until the next; not for ever."""
    print_line(f"waiting for the end of a tick, {seconds:g} s at most")
    tick, end = await move.read_tick(), time.monotonic() + seconds
    while True:
        if await move.read_tick() != tick or time.monotonic() >= end:
            return
        await asyncio.sleep(POLL_SECONDS)


async def _wait_for_worker(move: DataMove) -> None:
    """Wait until the worker has ended: it writes no sample any more, but what it sends and lists it does until then."""
    end = time.monotonic() + END_SECONDS
    while await move.has_sender():
        if time.monotonic() >= end:
            print_line(f"it has not ended after {END_SECONDS:g} s: what it still sends may be sent again")
            return
        await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def _take_from_worker(lease: Lease) -> AsyncIterator[None]:
    """Take the lease from the worker that has it, and hold it; where something fails, it is given back."""
    who = name_process()
    while (holder := await lease.take_or_keep(who)) is not None:
        if await lease.take_over(who, holder):
            print_line(f"the worker is stopped that fed the old store ({holder})")
    try:
        async with asyncio.TaskGroup() as tasks:
            holding = tasks.create_task(hold_lease(lease, who))
            yield
            holding.cancel()
    except BaseException:
        print_line("not moved: the old store is the data as before; start its worker again where nothing else does")
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await lease.release(who)
        raise
