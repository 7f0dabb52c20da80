"""Brings the schema up to this code's, once, whoever of several processes comes first. Reads and writes no candle."""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from .engine import is_sqlite, open_transaction
from .revisions import REVISIONS, check_revision, held_revision, read_revision
from .schema import SCHEMA_TABLE, candles, exchange_candles, top, top_coins

MIGRATIONS = Path(__file__).with_name("migrations")
LOCK = int.from_bytes(SCHEMA_TABLE.encode()[:7])
"""What PostgreSQL's advisory lock is called; in SQLite a transaction that writes is alone by itself."""


async def migrate(engine: AsyncEngine) -> None:
    """
    Make or mend the tables, all or nothing, in one transaction; nothing where they are as they should be.

    Raises `ArchiveError` where a newer version of this code has changed them.
    """
    async with open_transaction(engine) as connection:
        if not is_sqlite(engine):
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        held = await read_revision(connection)
        if held == REVISIONS[-1]:
            # What may only be read is better known now than when the first hour is over.
            await connection.execute(update(held_revision).values(version_num=held_revision.c.version_num))
            return
        if held is not None and held not in REVISIONS:
            check_revision(held)
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    # Alembic tells every step at "info"; a migration is one line of ours.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes.update(connection=connection, version_table=SCHEMA_TABLE)
    config.attributes.update(candles=candles.name, exchange_candles=exchange_candles.name)
    config.attributes.update(top=top.name, top_coins=top_coins.name)
    command.upgrade(config, "head")
