"""
Moves the data from the Redis of the settings to another one, or to a cluster, while a worker goes on feeding it.

Everything is copied, then again what has changed meanwhile, until that is little. Then, just after a tick, the lease is
taken from the worker, which ends or stands by; the rest is copied, both are compared, and the old one is marked.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from worker.cli.process import LEAVE_SECONDS, describe_place, exit_with, hold_feeder_lease
from worker.cli.reset import reach_redis
from worker.latest.settings import check_redis_address, find_secrets, hide_passwords, redact
from worker.latest.store import DataMove, Lease, MovedCounts, StoreError, Writer, connect, describe_store
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


SCHEMES = ("redis", "rediss", "unix")


def check_target(address: str) -> str:
    """Return the address, which is hidden in whatever is said from now on, or end the process where it is none."""
    redact.remember(find_secrets(address))
    if urlsplit(address).scheme not in SCHEMES:
        exit_with(f"--to: {address!r} begins with none of {', '.join(f'{each}://' for each in SCHEMES)}", 2)
    try:
        check_redis_address(address)
    except ValueError as error:
        exit_with(f"--to: {error}", 2)
    return address


async def move_data(settings: WorkerSettings, to: str, *, should_replace: bool) -> None:
    """Move the data, say what is done, and what to type next. Raises `MoveRefused` and `StoreError`."""
    async with (
        reach_redis(settings) as address,
        connect(address, NAME) as old,
        connect(to, NAME, partitions=settings.partitions) as new,
    ):
        move = DataMove(old, new)
        try:
            await move.check(should_replace=should_replace)
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
    who = f"{describe_place()}:{os.getpid()}:{time.time_ns()}"
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
