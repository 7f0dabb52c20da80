"""
Archives of a measurement's own: SQLite in a file, and PostgreSQL as it comes, waiting for the disk at every commit: 18,
and the machine's own where it has one.
"""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import postgres

SQLITE = f"SQLite {sqlite3.sqlite_version}"
_DEBIAN = postgres.debian()
_SERVERS = {"PostgreSQL 18": postgres.wheel()} | ({f"PostgreSQL {_DEBIAN.parts[-2]}": _DEBIAN} if _DEBIAN else {})
POSTGRESQL, *_ = _SERVERS
KINDS = (SQLITE, *_SERVERS)


@contextmanager
def empty(kind: str) -> Iterator[str]:
    """Return the address of an archive that nobody has opened yet."""
    if kind == SQLITE:
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite+aiosqlite:///{Path(folder)}/archive.db"
    else:
        with postgres.running(_SERVERS[kind], postgres.DURABLE) as server:
            yield server.address()
