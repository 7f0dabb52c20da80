"""
Copies of an archive in SQLite: taken of one instant while it is written to, checked by reading them. PostgreSQL has
tools of its own for that; here is only how they are called.
"""

import shlex
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

from sqlalchemy.engine import URL, make_url

from .engine import LOCKED_SECONDS, ArchiveError, translate_errors
from .revisions import REVISIONS, check_revision
from .schema import SCHEMA_TABLE, candles, metadata

PAGES = 2000
"""Copied at a time: 8 MB, so that somebody can be told how far it is."""
STEPS = 1_000_000
"""Of SQLite's machine, from one time that somebody is told to the next: a few hundredths of a second."""
BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite puts beside a file while it is used, or when whoever used it was killed."""

Seen = Callable[[int, int], None]
"""Told how much is done, and of how much."""


class Contents(NamedTuple):
    """What is in an archive."""

    schema: str
    rows: Mapping[str, int]
    """How many, by table."""

    @property
    def candles(self) -> int:
        return self.rows[candles.name]


class ArchiveView:
    """An instant of an archive: what is committed after it began is not in it."""

    def __init__(self, view: sqlite3.Connection, other: sqlite3.Connection) -> None:
        self._view = view
        self._other = other
        self._version = _read_data_version(other)
        view.execute("BEGIN")
        # It begins with the first question.
        view.execute("SELECT count(*) FROM sqlite_master").fetchone()

    def read_contents(self) -> Contents:
        with translate_errors():
            return _read_contents(self._view)

    def is_newest(self) -> bool:
        """Return whether nothing was committed since it began."""
        with translate_errors():
            return _read_data_version(self._other) == self._version

    def copy(self, to: Path, seen: Seen) -> None:
        """Make a file of it that needs no other beside it."""
        try:
            with closing(sqlite3.connect(to, isolation_level=None)) as copied:
                self._view.backup(copied, pages=PAGES, progress=lambda _, left, of: seen(of - left, of))
                # It begins as the archive's own does: with a log beside it, from the first time that it is read.
                copied.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error as error:
            raise ArchiveError(f"the archive cannot be copied to {to}: {error}") from error


@contextmanager
def open_view(path: Path, seen: Seen) -> Iterator[ArchiveView]:
    """Look at the archive in a file; `seen` is told 0 of 0 while a question takes long. Raises `ArchiveError`."""
    with ExitStack() as opened:
        with translate_errors():
            one, other = [opened.enter_context(closing(_open(path, "mode=rw", seen))) for _ in range(2)]
            begun = ArchiveView(one, other)
        yield begun


def read_copy(path: Path, seen: Seen) -> Contents:
    """Check a copy, and return what is in it; `seen` as in `view`. Raises `ArchiveError` where it is not sound."""
    with translate_errors(), closing(_open(path, "mode=ro&immutable=1", seen)) as copied:
        wrong = [said for (said,) in copied.execute("PRAGMA integrity_check(5)") if said != "ok"]
        if wrong:
            raise ArchiveError(f"{path} is damaged: {'; '.join(wrong)}")
        return _read_contents(copied)


def is_known_schema(schema: str) -> bool:
    """Return whether this code can use an archive with that schema: as it is, or brought up to its own."""
    return schema in REVISIONS


def find_archive_file(address: str) -> Path | None:
    """Return the file of an archive in SQLite; `None` of one in PostgreSQL."""
    url = make_url(address)
    return Path(unquote(url.database or "")).absolute() if url.get_backend_name() == "sqlite" else None


def format_tool_command(tool: str, address: str) -> str:
    """Write how a tool of PostgreSQL, `pg_dump` or `pg_restore`, is called for an address, without the password."""
    url = make_url(address)
    place = {name: value for name, value in url.query.items() if name in ("host", "port")}
    public = URL.create("postgresql", url.username, None, url.host, url.port, url.database, place)
    return f"{tool} --dbname={shlex.quote(str(public))}"


def _open(path: Path, options: str, seen: Seen) -> sqlite3.Connection:
    file = f"file:{quote(str(path))}?{options}"
    connection = sqlite3.connect(file, uri=True, timeout=LOCKED_SECONDS, isolation_level=None)
    connection.execute("PRAGMA query_only = ON")
    connection.set_progress_handler(lambda: seen(0, 0), STEPS)
    return connection


def _read_data_version(connection: sqlite3.Connection) -> int:
    """Return a number that is another one when somebody else has committed something."""
    (version,) = connection.execute("PRAGMA data_version").fetchone()
    return int(version)


def _read_contents(connection: sqlite3.Connection) -> Contents:
    known = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if SCHEMA_TABLE not in known:
        raise ArchiveError("it is no archive of ours: it has no schema")
    (held,) = connection.execute(f"SELECT version_num FROM {SCHEMA_TABLE}").fetchone()  # noqa: S608  # a name of ours
    if not is_known_schema(held):
        check_revision(held)
    rows = {
        name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # noqa: S608
        for name in sorted(known & metadata.tables.keys())
    }
    return Contents(held, rows)
