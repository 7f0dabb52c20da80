"""No statement of the archive writes, drops or fetches more than so many rows, and PostgreSQL ends one that takes too long."""

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import event

from tests.support.archive_hours import hour, opened
from tests.support.serving import HOUR, NOON
from v1.archive import ArchiveAway, ArchiveError, connect_archive, engine, reader, writer
from v1.archive.writer import ArchiveWriter
from v1.model import Metric

ROWS = 10
NAMES = [Metric(f"KRAKEN:{place:02}USD") for place in range(25)]
HOURS = [hour("1", metric=name) for name in NAMES]

Work = Callable[[ArchiveWriter], Awaitable[object]]


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "ROWS", ROWS)
    monkeypatch.setattr(reader, "_IN_PARTS", {"yield_per": ROWS})


async def count_rows(archive: ArchiveWriter, work: Work) -> list[int]:
    """Return how many rows each statement changed that wrote or dropped hours sampled."""
    changed: list[int] = []

    def note(_connection: object, cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(("INSERT INTO v1_candles", "DELETE FROM v1_candles")):
            changed.append(cursor.rowcount)  # type: ignore[attr-defined]  # a cursor of whichever driver

    event.listen(archive._engine.sync_engine, "after_cursor_execute", note)
    await work(archive)
    event.remove(archive._engine.sync_engine, "after_cursor_execute", note)
    return changed


async def test_what_is_much_is_written_and_dropped_part_by_part(database: str):
    async with opened(database) as archive:
        written = await count_rows(archive, lambda archive: archive.write(HOURS))
        dropped = await count_rows(archive, lambda archive: archive.drop_future(NOON))
        await archive.write([*HOURS, hour("1", start=NOON + HOUR)])
        trimmed = await count_rows(archive, lambda archive: archive.trim(NOON + HOUR))

        assert written == dropped == trimmed == [10, 10, 5]
        assert await archive.read_counts(NOON + HOUR) == {"KRAKEN:BTCUSD": 1}


async def test_all_parts_of_a_write_are_one_transaction(database: str):
    async with opened(database) as archive:
        with pytest.raises(ArchiveError):
            await archive.write([*HOURS, HOURS[0]._replace(metric=Metric("Z:Z"), start=NOON + 1)])

        assert await archive.read_metrics(0) == []
        assert await archive.write(HOURS) == len(HOURS)


async def test_what_has_a_row_for_each_metric_is_fetched_part_by_part_and_whole(database: str):
    async with opened(database) as archive:
        await archive.write(HOURS)

        assert await archive.read_metrics(0) == NAMES
        assert await archive.read_counts(NOON) == dict.fromkeys(NAMES, 1)


@pytest.mark.parametrize("database", ["postgres", "pgbouncer"], indirect=True)
async def test_postgresql_ends_a_statement_that_takes_too_long_and_the_connection_stays(
    database: str, monkeypatch: pytest.MonkeyPatch
):
    async def find_process() -> object:
        async with engine.open_transaction(connected) as connection:
            return (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()

    async with connect_archive(database, "tests", writes=False) as connected:
        before = await find_process() if "6432" not in database else None
        with monkeypatch.context() as patched:
            patched.setattr(engine, "STATEMENT_SECONDS", 0.1)
            with pytest.raises(ArchiveAway, match="statement timeout"):
                async with engine.open_transaction(connected) as connection:
                    await connection.exec_driver_sql("SELECT pg_sleep(300)")

        assert before in {None, await find_process()}
        async with engine.open_transaction(connected) as connection:
            limit = (await connection.exec_driver_sql("SHOW statement_timeout")).scalar_one()
        assert limit == f"{engine.STATEMENT_SECONDS}s"
