"""What is known of an archive before anything is read of it: where it is, its schema, whether it takes writes."""

from typing import NamedTuple

from sqlalchemy import text

from .engine import NOT_YET, ArchiveAway, connect_archive, is_sqlite, open_transaction
from .revisions import REVISIONS, read_revision


class ArchiveReport(NamedTuple):
    """What was found."""

    database: str
    """`sqlite` or `postgresql`."""
    revision: str | None
    """The state of its schema; `None` where there is no archive yet."""
    is_known: bool
    """Whether this code knows that state."""
    newest: str
    """The state that this code makes."""
    is_read_only: bool


async def read_archive_report(address: str) -> ArchiveReport:
    """Ask the database at `address`, and change nothing in it. Raises `ArchiveError`."""
    async with connect_archive(address, "data-tracker-doctor", writes=False) as engine:
        is_read_only = False
        try:
            async with open_transaction(engine) as connection:
                held = await read_revision(connection)
                if not is_sqlite(engine):
                    is_read_only = await connection.scalar(text("SHOW transaction_read_only")) == "on"
        except ArchiveAway as error:
            if str(error) != NOT_YET:
                raise
            held = None
        return ArchiveReport(engine.dialect.name, held, held is None or held in REVISIONS, REVISIONS[-1], is_read_only)
