"""
What every command does as a process: reads its settings, finds its files, ends on a signal, gives its exit code, holds
the lease.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import structlog
import typer
import uvloop

from worker.delivery.channels import InvalidNotifyUrl
from worker.latest.archive import ArchiveError
from worker.latest.settings import InvalidSettings, configure_logs, redact
from worker.latest.sharing import HomeWriter, IntervalDiffers, name_worker
from worker.latest.store import (
    DataFormat,
    DataMoved,
    Lease,
    MoveRefused,
    NoAccess,
    OtherFormat,
    OtherPartitions,
    StoreError,
    Writer,
)
from worker.reporting.metrics import CannotListen
from worker.reporting.outage_log import OutageLog
from worker.reporting.steps import CommandRefused
from worker.reporting.terminal import get_typed_name
from worker.sampling.lease import WAIT_SECONDS, LeaseTaken, hold_lease, take_lease, wait_for_lease
from worker.sampling.recording import InvalidRecording
from worker.sampling.replay import StoreHasOtherSamples, StoreIsPast
from worker.settings import WorkerSettings

log = structlog.get_logger()

LEAVE_SECONDS = 2.0
"""How long giving the lease back may take at the end; it runs out by itself."""
SAID = (
    *(StoreError, ArchiveError, OtherFormat, InvalidNotifyUrl, LeaseTaken),
    *(StoreIsPast, StoreHasOtherSamples, InvalidRecording, CommandRefused, CannotListen, MoveRefused),
    IntervalDiffers,
)
"""What can go wrong without being our mistake: a line for people, and no stack trace."""
RESET = "reset --yes"
"""The command that deletes data of another format."""


@asynccontextmanager
async def hold_feeder_lease(store: Writer, *, wait: bool) -> AsyncIterator[None]:
    """Take the right to feed the store, `wait` for it or else raise `LeaseTaken`, and hold it until the end."""
    who = name_process()
    if wait:
        await wait_for_lease(store.lease, who, is_gone, shares=isinstance(store, HomeWriter))
    else:
        await refuse_sharing(store.lease)
        await take_lease(store.lease, who, is_gone)
    try:
        async with asyncio.TaskGroup() as tasks:
            holding = tasks.create_task(hold_lease(store.lease, who))
            yield
            holding.cancel()
    finally:
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await store.lease.release(who)
        except (StoreError, TimeoutError) as error:
            log.warning("the lease runs out by itself", reason=str(error))


async def refuse_sharing(lease: Lease) -> None:
    """Raise `LeaseTaken` where workers share the store: whoever wants it alone has to stop all of them."""
    sharing = [note for note in await lease.read_sharing() if not is_gone(note.name)]
    if sharing:
        names = ", ".join(map(name_worker, sharing))
        who = (
            f"1 worker feeds this cluster ({names})"
            if len(sharing) == 1
            else f"{len(sharing)} workers share this cluster ({names})"
        )
        raise LeaseTaken(f"{who}, and this takes it alone: stop {'it' if len(sharing) == 1 else 'all of them'} first")


def name_process() -> str:
    """Return a name that no other process has, and that says which one this is."""
    return f"{describe_place()}:{os.getpid()}:{time.time_ns()}"


async def wait_for_format(data: DataFormat) -> None:
    """See, once Redis answers, that what it holds is of our format. Raises `OtherFormat`, `OtherPartitions`, `DataMoved` and `NoAccess`."""
    outage = OutageLog()
    while True:
        try:
            return await data.ensure()
        except (NoAccess, DataMoved, OtherPartitions):
            raise
        except StoreError as error:
            outage.log_failure("standing by", str(error))
        await asyncio.sleep(WAIT_SECONDS)


def describe_place() -> str:
    """Name where process numbers are from: the host, and which of its containers, for these may share its name."""
    try:
        return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:  # not Linux
        return socket.gethostname()


def is_gone(holder: str) -> bool:
    """Return whether a lease is held by a process whose end can be seen from here."""
    where, pid, *_ = [*holder.rsplit(":", 2), ""]
    if where != describe_place() or not pid.isdecimal():
        return False
    if int(pid) == os.getpid():
        return True  # there are never two of one number: that one had it before us
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def read_settings() -> WorkerSettings:
    try:
        settings = WorkerSettings.load()
        configure_logs(settings)
    except InvalidSettings as error:
        exit_with(str(error), 2)
    except OSError as error:
        exit_with(f"TRACKER_LOG_FILE: {Path(error.filename or '').absolute()} cannot be written: {error.strerror}", 2)
    return settings


def resolve_typed_path(context: typer.Context, path: Path | None) -> Path | None:
    """Return an argument's path as it was meant in the folder where the script was typed."""
    return path and (context.find_object(Path) or Path()) / path


def run_until_done(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, or until a signal, and return the process its exit code."""
    said: list[str] = []
    try:
        uvloop.run(_until_signalled(work))
    except* SAID as errors:
        said += [_describe_error(error) for error in _list_leaves(errors)]
    if said:
        exit_with("\n".join(dict.fromkeys(said)), 1)


def _describe_error(error: Exception) -> str:
    if not isinstance(error, OtherFormat):
        return str(error)
    return (
        f"{error}: to start anew, run {get_typed_name('scripts/start-worker.sh')} {RESET}, which deletes the kept day and the "
        "alerts; the rules and the archive are kept, and the next start fills the day again"
    )


def _list_leaves(errors: BaseExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _list_leaves(error)
        else:
            yield error


async def _until_signalled(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not stopped:
            raise
        log.info("stopped")


def exit_with(message: str, code: int) -> NoReturn:
    typer.echo(redact(message), err=True)
    raise typer.Exit(code)
