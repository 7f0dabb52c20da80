"""Moves the data to another Redis, one server or a cluster, while a worker goes on sampling until the last seconds."""

import asyncio
from time import monotonic
from typing import Annotated

import typer

from worker.cli.process import exit_with, is_gone, name_process, read_settings, run_until_done
from worker.cli.reset import reach_redis
from worker.latest.settings import InvalidSettings, hide_passwords
from worker.latest.store import DataMove, Lease, Reader, StoreError, Writer, connect
from worker.reporting.progress import show_progress
from worker.reporting.terminal import get_typed_name
from worker.sampling.lease import hold_lease
from worker.settings import WorkerSettings

MOST_ROUNDS = 5
FEW_KEYS = 1000
"""As many take well under a second: what is left then is copied while nobody feeds the data."""
TAKE_SECONDS = 60.0
"""How long workers that share the data may take to let go of it."""


def move_command(
    to: Annotated[str, typer.Option(help="Where the data goes: redis://host:port, or a list of nodes of a cluster.")],
    partitions: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Into how many parts a cluster divides it; 64 unless said.")
    ] = None,
) -> None:
    """Move the data to another Redis, one server or a cluster, while a worker goes on."""
    settings = read_settings()
    try:
        address = WorkerSettings.load(redis_url=to).redis_address
    except InvalidSettings as error:
        exit_with(f"--to is checked as TRACKER_REDIS_URL is: {error}", 2)
    run_until_done(_move(settings, address, partitions))


async def _move(settings: WorkerSettings, to: str, partitions: int | None) -> None:
    name = name_process()
    async with (
        reach_redis(settings) as address,
        connect(address, "data-tracker-move", 60) as source,
        connect(to, "data-tracker-move", 60, partitions=partitions) as target,
    ):
        data, store = DataMove(source, target), Writer(source)
        await data.begin()
        for number in range(1, MOST_ROUNDS + 1):
            with show_progress(f"copying, round {number}") as seen:
                copied = await data.copy_changed(seen)
            print(f"round {number}: {copied.keys} of {copied.of} keys copied", flush=True)
            if copied.keys <= FEW_KEYS:
                break
        began = monotonic()
        await _take_lease(store.lease, name)
        keeping = asyncio.create_task(hold_lease(store.lease, name))
        try:
            await _take_alerts_home(store)
            copied = await data.copy_changed()
            await _compare(Reader(source), Reader(target))
            await data.finish()
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await store.lease.release(name)
        print(f"moved {copied.of} keys; nothing was sampled for {monotonic() - began:.1f} s")
        print(
            f"next: TRACKER_REDIS_URL={hide_passwords(to)} {get_typed_name('scripts/start-worker.sh')}, and the API the same way"
        )


async def _take_lease(lease: Lease, name: str) -> None:
    """Take the lease from whoever has it: what a worker commits from now on is refused, and it stands by."""
    end = monotonic() + TAKE_SECONDS
    while holder := await lease.take_or_keep(name):
        if is_gone(holder) or monotonic() < end:
            await lease.take_over(name, holder)
            continue
        raise StoreError(f"{holder} does not let go of the data: stop the workers that share it, and type it again")


async def _take_alerts_home(store: Writer) -> None:
    """Finish what a worker that was killed has left of alerts in parts of a cluster."""
    tick = await store.open()
    if tick is not None:
        async with store.open_tick(tick) as unit:
            await unit.take_over_alerts()


async def _compare(here: Reader, there: Reader) -> None:
    """Raise `StoreError` where not every metric has come along with its newest sample."""
    metrics, moved = await here.read_metrics(), await there.read_metrics()
    if metrics != moved or await here.read_tick() != await there.read_tick():
        raise StoreError(f"{len(metrics)} metrics were to be moved and {len(moved)} are there: type it again")
