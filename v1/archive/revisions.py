"""Which states the schema can be in, and which one it is in. What makes them are the migrations."""

from sqlalchemy import Connection, Text, column, inspect, select, table
from sqlalchemy.ext.asyncio import AsyncConnection

from .engine import NOT_YET, ArchiveAway, ArchiveError
from .schema import SCHEMA_TABLE

REVISIONS = ("0001", "0002", "0003", "0004")
"""Every state that this code knows, the newest last; a test compares with the migrations."""

held_revision = table(SCHEMA_TABLE, column("version_num", Text))
"""Alembic's own table, of one row."""


async def read_revision(connection: AsyncConnection) -> str | None:
    """Return the state that the schema is in; `None` where there is none yet."""
    return await connection.run_sync(_read_revision)


def _read_revision(connection: Connection) -> str | None:
    # Asked for first, because in PostgreSQL a failed question would end the transaction.
    return (
        connection.scalar(select(held_revision.c.version_num)) if inspect(connection).has_table(SCHEMA_TABLE) else None
    )


def check_revision(held: str | None) -> None:
    """Raise what is to be said where the schema is not this code's: `ArchiveAway` if that will change by itself."""
    if held == REVISIONS[-1]:
        return
    if held is None or held in REVISIONS:
        raise ArchiveAway(NOT_YET)
    raise ArchiveError(
        f"the archive's schema is {held!r}, and this code knows {', '.join(REVISIONS)}: "
        "a newer version has used it; run that one, or name another TRACKER_DATABASE_URL"
    )
