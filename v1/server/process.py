"""The API's process: reads the settings, opens the socket, serves until it is told to stop, and returns an exit code."""

import asyncio
import gc
import os
import signal
import socket
import sys
from pathlib import Path
from typing import cast

import structlog
import uvloop
from hypercorn.typing import Framework

from ..settings import PREFIX as TRACKER
from ..settings import InvalidSettings, Settings
from ..settings.logs import configure_logs
from .app import PREFIX, create_app
from .configuration import BACKLOG, make_limits, make_server_config
from .listener import serve
from .telemetry import ApiSiblings, find_folder

WRONG_SETTINGS = 2
CANNOT_LISTEN = 1
HIGHEST_PORT = 65535


def main() -> int:
    """Serve, and return the exit code: 0 when told to stop, 1 when it cannot listen, 2 for wrong settings."""
    try:
        settings = Settings.load()
        configure_logs(settings)
    except InvalidSettings as wrong:
        return _say(str(wrong), WRONG_SETTINGS)
    except OSError as error:
        path = Path(error.filename or "").absolute()
        return _say(f"{TRACKER}LOG_FILE: {path} cannot be written: {error.strerror}", WRONG_SETTINGS)
    try:
        listener = listen(settings)
    except OSError as error:
        # The name of the error alone: its own text names the address a second time.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error
        return _say(
            f"{TRACKER}BIND: cannot listen on {settings.bind!r}: {reason}; name another host:port", CANNOT_LISTEN
        )
    sys.stdout.write(_write_greeting(listener, settings))
    sys.stdout.flush()
    uvloop.run(_serve(listener, settings))
    return 0


def listen(settings: Settings) -> socket.socket:
    """Return the listening socket of the settings. Raises `OSError`, and knows the port that 0 became."""
    host, _, port = settings.bind.rpartition(":")
    if int(port) > HIGHEST_PORT:
        # getaddrinfo would take what is left of it after 65536 is taken out.
        raise OSError(f"a port is a number from 0 to {HIGHEST_PORT}")
    (family, _, _, _, address), *_ = socket.getaddrinfo(
        host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return socket.create_server(cast("tuple[str, int]", address[:2]), family=family, backlog=BACKLOG)


async def _serve(listener: socket.socket, settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    log = structlog.get_logger()
    log.info("serving", at=_url(listener), interval=settings.interval)
    app = create_app(settings, stopping=stop, siblings=ApiSiblings(find_folder(listener.getsockname()[1])))
    # All that is there by now stays. Looked through again and again, it would hold up an answer for 0.1 s each time.
    gc.collect()
    gc.freeze()
    limits = make_limits(settings)
    if limits.connections < settings.connections:
        log.warning("fewer connections than set, for want of file descriptors", most=limits.connections)
    await serve(
        cast("Framework", app),
        listener,
        make_server_config(),
        limits,
        stop.wait,
        instruments=app.state.telemetry.instruments.server,
    )
    log.info("stopped")


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  # read here, not bound: everywhere is also here
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _write_greeting(listener: socket.socket, settings: Settings) -> str:
    url = _url(listener)
    key = " -H 'Authorization: Bearer KEY'" if settings.api_keys else ""
    return (
        f"the page           {url}/\n"
        f"the documentation  {url}/docs\n"
        f"who moves most     curl{key} '{url}{PREFIX}/ranks?limit=5'\n"
        f"is all well        curl '{url}/health/ready'\n"
    )


def _say(line: str, code: int) -> int:
    sys.stderr.write(f"{line}\n")
    return code
