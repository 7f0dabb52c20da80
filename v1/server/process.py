"""
The API's process, or several: reads the settings, opens the socket, serves until it is told to stop, and returns an
exit code.
"""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import cast

import structlog
import uvloop
from hypercorn.typing import Framework

from ..settings import PREFIX as TRACKER
from ..settings import InvalidSettings, Settings
from ..settings.logs import configure_logs
from .app import PREFIX, create_app
from .configuration import make_limits, make_server_config
from .listener import serve
from .processes import ForkedProcess, ProcessGroup, run_processes
from .sockets import NoSharedPorts, count_cores, listen_shared, listen_together
from .telemetry import ApiSiblings, find_folder
from .tls import TlsFiles, UnusableFiles

WRONG_SETTINGS = 2
CANNOT_LISTEN = 1

log = structlog.get_logger()


def main() -> int:
    """Serve, and return the exit code: 0 when told to stop, 1 when it cannot listen, 2 for wrong settings."""
    try:
        settings = Settings.load()
        configure_logs(settings)
        tls = _read_tls(settings)
    except InvalidSettings as wrong:
        return _say(str(wrong), WRONG_SETTINGS)
    except OSError as error:
        path = Path(error.filename or "").absolute()
        return _say(f"{TRACKER}LOG_FILE: {path} cannot be written: {error.strerror}", WRONG_SETTINGS)
    try:
        listeners = listen_together(settings.bind, settings.api_processes)
    except NoSharedPorts:
        wrong_number = f"{TRACKER}API_PROCESSES: {settings.api_processes} is not accepted"
        return _say(f"{wrong_number}: this system has no SO_REUSEPORT to share a port by; accepted: 1", WRONG_SETTINGS)
    except OSError as error:
        # The name of the error alone: its own text names the address a second time.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error
        return _say(
            f"{TRACKER}BIND: cannot listen on {settings.bind!r}: {reason}; name another host:port", CANNOT_LISTEN
        )
    if len(listeners) > 1:
        return _run_together(listeners, settings, tls)
    _greet(listeners[0].getsockname(), settings)
    uvloop.run(_serve(listeners[0], settings, tls))
    return 0


def _read_tls(settings: Settings) -> TlsFiles | None:
    """Return the certificate of the settings. Raises `UnusableFiles`."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return TlsFiles(settings.tls_cert, settings.tls_key)


def _run_together(listeners: Sequence[socket.socket], settings: Settings, tls: TlsFiles | None) -> int:
    """Serve in a process for each socket; return the exit code of this process, which is one of them or the first."""
    cores = count_cores()
    if len(listeners) > cores:
        log.warning("more API processes than processor cores", processes=len(listeners), cores=cores)
    if sys.platform == "darwin":
        log.warning("macOS does not spread connections over processes: one of them gets most")
    bound, family = listeners[0].getsockname(), listeners[0].family
    group = ProcessGroup(
        listeners, reopen=lambda: listen_shared(bound[:2], family), announce=lambda: _greet(bound, settings)
    )

    # It has no name, and its lock ends with the process that holds it.
    with TemporaryFile() as file:
        turns = os.dup(file.fileno())

    def serve_forked(own: ForkedProcess) -> int:
        structlog.contextvars.bind_contextvars(process=own.number)
        uvloop.run(_serve(own.listener, settings, tls, own, turns))
        return 0

    # What the processes have in common stays one copy: the collector would otherwise write into all of it.
    gc.collect()
    gc.freeze()
    return run_processes(group, serve_forked, _list_reload_signals(tls))


async def _serve(
    listener: socket.socket,
    settings: Settings,
    tls: TlsFiles | None,
    own: ForkedProcess | None = None,
    turns: int | None = None,
) -> None:
    """Serve until told to stop, alone or as one of several processes, which take `turns` at backtests."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    for each in _list_reload_signals(tls):
        loop.add_signal_handler(each, _reload, tls)
    bound = listener.getsockname()
    log.info("serving", at=_url(bound, settings), interval=settings.interval)
    app = create_app(settings, stopping=stop, backtest_turns=turns, siblings=ApiSiblings(find_folder(bound[1])))
    # All that is there by now stays. Looked through again and again, it would hold up an answer for 0.1 s each time.
    gc.collect()
    gc.freeze()
    limits = make_limits(settings)
    if limits.connections < settings.connections // settings.api_processes:
        log.warning("fewer connections than set, for want of file descriptors", most=limits.connections)
    await serve(
        cast("Framework", app),
        listener,
        make_server_config(),
        limits,
        partial(own.report_until, stop) if own else stop.wait,
        tls=tls,
        instruments=app.state.telemetry.instruments.server,
        may_send_much=app.state.may_send_much,
    )
    log.info("stopped")


def _list_reload_signals(tls: TlsFiles | None) -> Sequence[signal.Signals]:
    """Return the signals by which the certificate is read again. At a terminal, SIGHUP says that this has gone."""
    return [signal.SIGHUP] if tls and not os.isatty(0) else []


def _reload(tls: TlsFiles | None) -> None:
    try:
        if tls:
            tls.reload()
    except UnusableFiles as wrong:
        log.warning("the certificate stays the one before", reason=str(wrong))
    else:
        log.info("the certificate was read again")


def _url(bound: tuple[str, int], settings: Settings) -> str:
    scheme = "https" if settings.tls_cert else "http"
    host, port = bound[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  # read here, not bound: everywhere is also here
        host = "127.0.0.1"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _greet(bound: tuple[str, int], settings: Settings) -> None:
    url = _url(bound, settings)
    key = " -H 'Authorization: Bearer KEY'" if settings.is_guarded else ""
    sys.stdout.write(
        f"the page           {url}/\n"
        f"the documentation  {url}/docs\n"
        f"who moves most     curl{key} '{url}{PREFIX}/ranks?limit=5'\n"
        f"is all well        curl '{url}/health/ready'\n"
    )
    sys.stdout.flush()


def _say(line: str, code: int) -> int:
    sys.stderr.write(f"{line}\n")
    return code
