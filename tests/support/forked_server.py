"""
Small servers in several processes, for tests: `python -m tests.support.forked_server`.

Each line of its standard input, FOLDER COUNT [WAIT ...], starts one of them, whose log is `log` in that folder. When
all its processes listen it writes its id and its port to the file `port`, and at its end its exit code to `code`.
Every request is answered with the id of the process; `/slow` when there is a file `go`. Where there is a file `fail`,
a new process ends at once with code 3. SIGHUP makes a process write the file `told.ID`.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import structlog
import uvloop
from hypercorn.typing import Framework

from v1.server import ConnectionLimits, serve
from v1.server.configuration import make_server_config
from v1.server.processes import ForkedProcess, ProcessGroup, RestartDelays, run_processes
from v1.server.sockets import listen_shared, listen_together

FAILURE = 3


def main() -> int:
    """Fork a server for each line: so all of them together take the time of one start of Python."""
    structlog.configure(
        processors=[structlog.processors.LogfmtRenderer()], logger_factory=structlog.PrintLoggerFactory(sys.stderr)
    )
    for line in sys.stdin:
        folder, count, *waits = line.split()
        if not os.fork():
            return _run(Path(folder), int(count), [float(word) for word in waits])
    return 0


def _run(folder: Path, count: int, waits: Sequence[float]) -> int:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(folder / "log", os.O_WRONLY | os.O_CREAT), 2)
    listeners = listen_together("127.0.0.1:0", count)
    address, family = listeners[0].getsockname(), listeners[0].family
    supervisor = os.getpid()

    def announce() -> None:
        write(folder / "port", f"{supervisor} {address[1]}")

    delays = RestartDelays(tuple(waits)) if waits else None
    group = ProcessGroup(listeners, lambda: listen_shared(address, family), announce, delays)
    code = run_processes(group, partial(answer, folder), [signal.SIGHUP])
    if os.getpid() == supervisor:
        write(folder / "code", str(code))
    return code


def write(path: Path, text: str) -> None:
    """Write a file that is whole as soon as it is there."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


def answer(folder: Path, own: ForkedProcess) -> int:
    if (folder / "fail").exists():
        return FAILURE
    uvloop.run(_serve(folder, own))
    return 0


async def _serve(folder: Path, own: ForkedProcess) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for each in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{each}.complete"})
            return
        if scope["path"] == "/slow":
            (folder / f"slow.{os.getpid()}").touch()
            while not (folder / "go").exists():
                await asyncio.sleep(0.01)
        body = str(os.getpid()).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGHUP, (folder / f"told.{os.getpid()}").touch)
    config = make_server_config()
    config.graceful_timeout = 60
    wait = partial(own.report_until, stop)
    await serve(cast("Framework", app), own.listener, config, ConnectionLimits(), wait)


if __name__ == "__main__":
    sys.exit(main())
