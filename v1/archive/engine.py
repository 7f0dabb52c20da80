"""
One way to open the archive, in SQLite or in PostgreSQL, and our names for what goes wrong. No table here.

    ArchiveError
    └── ArchiveAway    not now: refused, timed out, starting; try again later
        ├── ArchiveBusy    not now: somebody else holds a lock of PostgreSQL's
        └── ArchiveFull    not now: its disk is full

Either way nothing is half-written: whatever is written is one transaction.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from inspect import signature
from pathlib import Path
from threading import Thread
from typing import Any, cast
from urllib.parse import quote, unquote

import aiosqlite
import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from ..market.candles import find_largest, find_smallest, sum_exactly
from ..model import HOUR
from ..settings.redaction import redact

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
STATEMENT_SECONDS = 55
"""After which PostgreSQL itself ends a statement: before we would give up, and also where nobody waits any more."""
ROWS = 10_000
"""Rows that one statement writes or drops, and that are fetched at once, at most."""
PING_SECONDS = 5.0
"""How long a connection may take to show that it still works, before another one is made."""
RECYCLE_SECONDS = 60
"""Age at which a connection to PostgreSQL is replaced. After a failover the old server may go on answering questions
from what it knew then, and only a new connection is led to the new one."""
LOCKED_SECONDS = 10.0
"""How long SQLite waits for another process that writes."""
CONNECTIONS = 5
GONE = "was removed while it was in use; put it back, or restart the worker to begin a new one"
NOT_YET = "the archive is not there yet: the worker makes it when it starts"

_AWAY_SQLITE = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_NOMEM", "SQLITE_CANTOPEN")
# Lost connections, no resources (a full disk is one), stopping or starting, locks, deadlocks, a standby, the disk.
_AWAY_POSTGRESQL = ("08", "53", "57", "55P03", "40", "25006", "25P03", "26000", "42P05", "58")
# What is true of the connection and not of the server that the address leads to: lost, read-only since a failover, ended
# by an administrator or while stopping or starting, idle for too long, a pooler's session that knows other statements.
_OF_THE_CONNECTION = ("08", "25006", "25P03", "57P0", "26000", "42P05")
_OPTIONS = frozenset({*signature(asyncpg.connect).parameters, "prepared_statement_cache_size"})
"""What may stand behind the `?` of an address in PostgreSQL."""


_DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""The last is what a connection says that was lost in the middle of a question."""
_FRESH = "is_fresh"


class ArchiveError(Exception):
    """The database answered, but not what the version needs; the message says what, without a password."""

    def __init__(self, message: str = "") -> None:
        super().__init__(redact(message))


class ArchiveAway(ArchiveError):
    """The database does not take or give anything right now. Try again later; nothing was half-written."""


class ArchiveBusy(ArchiveAway):
    """Somebody else held a lock for longer than was to be waited. Try again later; nothing was half-written."""


class ArchiveFull(ArchiveAway):
    """Its disk is full. Try again when there is room; nothing was half-written."""


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate what SQLAlchemy and the drivers raise into our two kinds, once, here."""
    try:
        yield
    except DBAPIError as error:
        raise _classify(error.orig or error, is_lost=error.connection_invalidated) from error
    except (*_DRIVER_ERRORS, sqlite3.Error) as error:
        # While connecting, asyncpg's own errors pass SQLAlchemy untouched.
        raise _classify(error) from error
    except (NoConnection, TimeoutError, OSError) as error:
        raise ArchiveAway(f"the archive is away: {_describe(error)}") from error
    except SQLAlchemyError as error:
        raise ArchiveError(f"the archive said: {_describe(error)}") from error


def _classify(error: BaseException, *, is_lost: bool = False) -> ArchiveError:
    sqlite, state = getattr(error, "sqlite_errorname", ""), getattr(error, "sqlstate", None) or ""
    if (
        isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError)
        or "InterfaceError" in type(error).__name__
    ):
        is_lost = True
    if is_lost or sqlite.startswith(_AWAY_SQLITE) or state.startswith(_AWAY_POSTGRESQL):
        kind = {"55P03": ArchiveBusy, "53100": ArchiveFull, "SQLITE_FULL": ArchiveFull}.get(
            state or sqlite, ArchiveAway
        )
        return kind(f"the archive is away: {_describe(error)}")
    return ArchiveError(f"the archive said: {_describe(error)}")


def _describe(error: BaseException) -> str:
    """Return what an error says in one line, without the driver's name for it and without our SQL."""
    lines = str(error).splitlines()
    said = lines[0].partition(">: ")[2] or lines[0] if lines else ""
    return said or type(error).__name__


@asynccontextmanager
async def connect_archive(address: str, name: str, *, writes: bool) -> AsyncIterator[AsyncEngine]:
    """
    Return an engine for the database at `address`, closed at the end.

    It connects when first used. Without `writes` it makes no file and changes nothing. `name` is what
    PostgreSQL shows in `pg_stat_activity`. Raises `ArchiveError` where the address cannot be read.
    """
    url = _read_address(address)
    threads: list[Thread] = []
    is_file = url.get_backend_name() == "sqlite"
    engine = _make_sqlite_engine(url, threads, writes=writes) if is_file else _make_postgresql_engine(url, name)
    try:
        yield engine
    finally:
        await engine.dispose()
        # aiosqlite does not wait for a thread to end whose connection failed, and one that outlives the loop complains.
        for thread in threads:
            await asyncio.to_thread(thread.join, CONNECT_SECONDS)


def _read_address(address: str) -> URL:
    try:
        url = make_url(address)
    except (ArgumentError, ValueError) as error:
        raise ArchiveError(f"TRACKER_DATABASE_URL cannot be read: {error}") from error
    unknown = sorted({*url.query} - _OPTIONS) if url.get_backend_name() == "postgresql" else []
    if unknown:
        hint = "; write ssl=require" if "sslmode" in unknown else ""
        raise ArchiveError(f"TRACKER_DATABASE_URL cannot be read: the option {unknown[0]!r} is not known{hint}")
    return url


@asynccontextmanager
async def open_transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Return a connection, and commit what was done with it at the end: all, or after an error nothing."""
    with translate_errors():
        async with engine.begin() as connection:
            yield connection


def is_sqlite(engine: AsyncEngine) -> bool:
    return engine.dialect.name == "sqlite"


def _make_sqlite_engine(url: URL, threads: list[Thread], *, writes: bool) -> AsyncEngine:
    path = Path(unquote(url.database or "")).absolute()
    options = {"mode": "rwc" if writes else "rw"} | {name: str(value) for name, value in url.query.items()}
    file = f"file:{quote(str(path))}?{'&'.join(f'{name}={value}' for name, value in options.items())}"
    was_opened = False

    async def open_connection() -> aiosqlite.Connection:
        nonlocal was_opened
        if writes and not was_opened:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif not path.exists():
            # Made anew, it would be empty, and whoever removed it by mistake could not put it back.
            raise ArchiveAway(f"the archive is away: {path} {GONE}" if was_opened else NOT_YET)
        connection = aiosqlite.connect(
            file,
            uri=True,
            factory=_WriteConnection if writes else _ReadConnection,
            timeout=LOCKED_SECONDS,
            isolation_level=None,
        )
        threads[:] = [*(thread for thread in threads if thread.is_alive()), connection._thread]  # noqa: SLF001
        await connection
        was_opened = True
        return connection

    engine = create_async_engine(
        "sqlite+aiosqlite://",
        async_creator=open_connection,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=CONNECTIONS,
        max_overflow=0,
    )
    _notice_another_file(engine, path)
    if writes:
        # The driver would begin a transaction late, at the first change, and then find another writer ahead of it.
        event.listen(engine.sync_engine, "begin", _begin_immediate)
    return engine


def _notice_another_file(engine: AsyncEngine, path: Path) -> None:
    """Let go of a connection whose file was removed or replaced: what it wrote nobody would ever read."""

    def remember(_: object, record: Any) -> None:
        record.info["file"] = _identity(path)

    def compare(_: object, record: Any, __: object) -> None:
        if record.info["file"] != _identity(path):
            raise DisconnectionError

    event.listen(engine.sync_engine, "connect", remember)
    event.listen(engine.sync_engine, "checkout", compare)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _begin_immediate(connection: Connection) -> None:
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


class _ReadConnection(sqlite3.Connection):
    """A connection that reads, and that can compute with decimals."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        for name, aggregate in (
            ("exact_max", _LargestAggregate),
            ("exact_min", _SmallestAggregate),
            ("exact_sum", _SumAggregate),
        ):
            # typeshed knows aggregates of integers only.
            self.create_aggregate(name, 1, cast("Any", aggregate))
        self.create_function("part_of_hour", 1, lambda seconds: repr(seconds / HOUR), deterministic=True)
        self._configure()

    def _configure(self) -> None:
        self.execute("PRAGMA query_only = ON")


class _WriteConnection(_ReadConnection):
    """A connection that writes: what is committed is on the disk, and readers are not kept waiting."""

    def _configure(self) -> None:
        self.execute("PRAGMA journal_mode = WAL")
        self.execute("PRAGMA synchronous = FULL")


class _NumberAggregate:
    """Gathers the numbers of a group; SQLite calls `step` with each, and `finalize` at the end."""

    def __init__(self) -> None:
        self._numbers: list[str] = []

    def step(self, number: str | None) -> None:
        if number is not None:
            self._numbers.append(number)


class _LargestAggregate(_NumberAggregate):
    def finalize(self) -> str | None:
        return find_largest(self._numbers) if self._numbers else None


class _SmallestAggregate(_NumberAggregate):
    def finalize(self) -> str | None:
        return find_smallest(self._numbers) if self._numbers else None


class _SumAggregate(_NumberAggregate):
    def finalize(self) -> str | None:
        return sum_exactly(self._numbers)


def _make_postgresql_engine(url: URL, name: str) -> AsyncEngine:
    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": ANSWER_SECONDS,
            "server_settings": {"application_name": name},
            # No statement outlives its transaction: a pooler may lead the next one to another server's session.
            "statement_cache_size": 0,
            "prepared_statement_cache_size": 0,
            "prepared_statement_name_func": lambda: "",
        },
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_recycle=RECYCLE_SECONDS,
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "checkout", _ping)
    event.listen(engine.sync_engine, "begin", _limit_statements)
    event.listen(engine.sync_engine, "handle_error", _judge_connection)
    return engine


def _prepare(connection: Any, record: Any) -> None:
    """Take and give NUMERIC as its text: `Decimal` would be a detour, and would write 0.00000000 as 0E-8."""
    record.info[_FRESH] = True

    async def tell(driver: asyncpg.Connection) -> None:
        await driver.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=str, format="text")

    connection.run_async(tell)


def _limit_statements(connection: Connection) -> None:
    """Limit the statements of a transaction; for the session it would hold for others behind a pooler, too."""
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {round(STATEMENT_SECONDS * 1000)}")


def _ping(connection: Any, record: Any, _: object) -> None:
    """
    Try a connection that was used before: a server that was restarted, or is gone, has closed it or does not answer.

    All in the pool are replaced where one fails. SQLAlchemy's own ping takes three round trips, and waits for as long
    as a question may take.
    """
    if record.info.pop(_FRESH, False):
        return

    async def ask(driver: asyncpg.Connection) -> None:
        await driver.execute("SELECT 1", timeout=PING_SECONDS)

    try:
        connection.run_async(ask)
    except (*_DRIVER_ERRORS, OSError, TimeoutError) as error:
        raise InvalidatePoolError from error


def _judge_connection(context: ExceptionContext) -> None:
    """
    Have a connection replaced, and all that are as old, after an error that says something of it alone.

    So the next try asks anew where the address leads to; and a server that did not answer in time is not waited for
    on the same connection once more.
    """
    error = context.original_exception
    state = getattr(error, "sqlstate", None) or ""
    if isinstance(error, TimeoutError | OSError) or state.startswith(_OF_THE_CONNECTION):
        context.is_disconnect = True
