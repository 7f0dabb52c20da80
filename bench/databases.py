"""Archives of a measurement's own: SQLite in a file, and PostgreSQL 18 as it comes, waiting for the disk at every commit."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import postgres

SQLITE, POSTGRESQL = f"SQLite {sqlite3.sqlite_version}", "PostgreSQL 18"
KINDS = (SQLITE, POSTGRESQL)


@contextmanager
def empty(kind: str) -> Iterator[str]:
    """Give the address of an archive that nobody has opened yet."""
    if kind == SQLITE:
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite+aiosqlite:///{Path(folder)}/archive.db"
    else:
        with postgres.running(postgres.wheel(), postgres.DURABLE) as server:
            yield server.address()
