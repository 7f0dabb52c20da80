"""
One way to open the archive, in SQLite or in PostgreSQL, and our names for what goes wrong. No table here.

    ArchiveError
    └── ArchiveAway    not now: refused, timed out, starting, locked, full; try again later

Either way nothing is half-written: whatever is written is one transaction.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, cast
from urllib.parse import quote, unquote

import aiosqlite
import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from ..candles import largest, smallest, summed
from ..model import HOUR
from ..redaction import redact

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
LOCKED_SECONDS = 10.0
"""How long SQLite waits for another process that writes."""
CONNECTIONS = 5
NOT_YET = "the archive is not there yet: the worker makes it when it starts"

_AWAY_SQLITE = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_NOMEM", "SQLITE_CANTOPEN")
# Lost connections, no resources (a full disk is one), stopping or starting, locks, deadlocks, a standby, the disk.
_AWAY_POSTGRESQL = ("08", "53", "57", "55P03", "40", "25006", "58")


class ArchiveError(Exception):
    """The database answered, but not what the version needs; the message says what, without a password."""

    def __init__(self, message: str = "") -> None:
        super().__init__(redact(message))


class ArchiveAway(ArchiveError):
    """The database does not take or give anything right now. Try again later; nothing was half-written."""


@contextmanager
def translated() -> Iterator[None]:
    """Translate what SQLAlchemy and the drivers raise into our two kinds, once, here."""
    try:
        yield
    except DBAPIError as error:
        raise _named(error.orig or error, is_lost=error.connection_invalidated) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, sqlite3.Error) as error:
        # While connecting, asyncpg's own errors pass SQLAlchemy untouched.
        raise _named(error) from error
    except (NoConnection, TimeoutError, OSError) as error:
        raise ArchiveAway(f"the archive is away: {_words(error)}") from error
    except SQLAlchemyError as error:
        raise ArchiveError(f"the archive said: {_words(error)}") from error


def _named(error: BaseException, *, is_lost: bool = False) -> ArchiveError:
    sqlite, state = getattr(error, "sqlite_errorname", ""), getattr(error, "sqlstate", None) or ""
    if isinstance(error, asyncpg.InterfaceError) or "InterfaceError" in type(error).__name__:
        is_lost = True
    if is_lost or sqlite.startswith(_AWAY_SQLITE) or state.startswith(_AWAY_POSTGRESQL):
        return ArchiveAway(f"the archive is away: {_words(error)}")
    return ArchiveError(f"the archive said: {_words(error)}")


def _words(error: BaseException) -> str:
    """Give what an error says in one line, without the driver's name for it and without our SQL."""
    lines = str(error).splitlines()
    said = lines[0].partition(">: ")[2] or lines[0] if lines else ""
    return said or type(error).__name__


@asynccontextmanager
async def connect(address: str, name: str, *, writes: bool) -> AsyncIterator[AsyncEngine]:
    """
    Give an engine for the database at `address`, closed at the end.

    It connects when first used. Without `writes` it makes no file and changes nothing. `name` is what
    PostgreSQL shows in `pg_stat_activity`.
    """
    try:
        url = make_url(address)
    except (ArgumentError, ValueError) as error:
        raise ArchiveError(f"TRACKER_DATABASE_URL cannot be read: {error}") from error
    threads: list[Thread] = []
    is_file = url.get_backend_name() == "sqlite"
    engine = _sqlite(url, threads, writes=writes) if is_file else _postgresql(url, name)
    try:
        yield engine
    finally:
        await engine.dispose()
        # aiosqlite does not wait for a thread to end whose connection failed, and one that outlives the loop complains.
        for thread in threads:
            await asyncio.to_thread(thread.join, CONNECT_SECONDS)


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Give a connection, and commit what was done with it at the end: all, or after an error nothing."""
    with translated():
        async with engine.begin() as connection:
            yield connection


def is_sqlite(engine: AsyncEngine) -> bool:
    return engine.dialect.name == "sqlite"


def _sqlite(url: URL, threads: list[Thread], *, writes: bool) -> AsyncEngine:
    path = Path(unquote(url.database or "")).absolute()
    options = {"mode": "rwc" if writes else "rw"} | {name: str(value) for name, value in url.query.items()}
    file = f"file:{quote(str(path))}?{'&'.join(f'{name}={value}' for name, value in options.items())}"

    async def opened() -> aiosqlite.Connection:
        if writes:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif not path.exists():
            raise ArchiveAway(NOT_YET)
        connection = aiosqlite.connect(
            file, uri=True, factory=_Keeping if writes else _Looking, timeout=LOCKED_SECONDS, isolation_level=None
        )
        threads[:] = [*(thread for thread in threads if thread.is_alive()), connection._thread]  # noqa: SLF001
        return await connection

    engine = create_async_engine(
        "sqlite+aiosqlite://",
        async_creator=opened,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=CONNECTIONS,
        max_overflow=0,
    )
    if writes:
        # The driver would begin a transaction late, at the first change, and then find another writer ahead of it.
        event.listen(engine.sync_engine, "begin", _begin_immediate)
    return engine


def _begin_immediate(connection: Connection) -> None:
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


class _Looking(sqlite3.Connection):
    """A connection that reads, and that can compute with decimals."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        for name, aggregate in (("exact_max", _Largest), ("exact_min", _Smallest), ("exact_sum", _Sum)):
            # typeshed knows aggregates of integers only.
            self.create_aggregate(name, 1, cast("Any", aggregate))
        self.create_function("part_of_hour", 1, lambda seconds: repr(seconds / HOUR), deterministic=True)
        self._configure()

    def _configure(self) -> None:
        self.execute("PRAGMA query_only = ON")


class _Keeping(_Looking):
    """A connection that writes: what is committed is on the disk, and readers are not kept waiting."""

    def _configure(self) -> None:
        self.execute("PRAGMA journal_mode = WAL")
        self.execute("PRAGMA synchronous = FULL")


class _Numbers:
    """Gathers the numbers of a group; SQLite calls `step` with each, and `finalize` at the end."""

    def __init__(self) -> None:
        self._numbers: list[str] = []

    def step(self, number: str | None) -> None:
        if number is not None:
            self._numbers.append(number)


class _Largest(_Numbers):
    def finalize(self) -> str | None:
        return largest(self._numbers) if self._numbers else None


class _Smallest(_Numbers):
    def finalize(self) -> str | None:
        return smallest(self._numbers) if self._numbers else None


class _Sum(_Numbers):
    def finalize(self) -> str | None:
        return summed(self._numbers)


def _postgresql(url: URL, name: str) -> AsyncEngine:
    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": ANSWER_SECONDS,
            "server_settings": {"application_name": name},
        },
        pool_size=CONNECTIONS,
        max_overflow=0,
        # A server that was restarted has closed our connections: they are tried before they are used.
        pool_pre_ping=True,
    )
    event.listen(engine.sync_engine, "connect", _numbers_as_text)
    return engine


def _numbers_as_text(connection: Any, _: object) -> None:
    """Take and give NUMERIC as its text: `Decimal` would be a detour, and would write 0.00000000 as 0E-8."""

    async def tell(driver: asyncpg.Connection) -> None:
        await driver.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=str, format="text")

    connection.run_async(tell)
