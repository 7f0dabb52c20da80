"""A PostgreSQL that another one takes the place of: connections to the old one are not used for long."""

from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import pytest

from tests.support import postgres
from tests.support.archive_hours import BTC, hour, opened
from tests.support.forwarding import Forwarder, forwarding
from tests.support.postgres import SOCKET
from tests.support.serving import HOUR, NOON
from v1.archive import ArchiveAway, ArchiveReader, connect_archive
from v1.archive.writer import ArchiveWriter


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[postgres.Server, postgres.Server]]:
    """Two servers: the primary, and the one that takes its place."""
    with postgres.running(postgres.wheel()) as old, postgres.running(postgres.wheel()) as new:
        yield old, new


class Cluster(NamedTuple):
    """Two servers with the same archive in each, and an address that leads to the first of them."""

    old: postgres.Server
    new: postgres.Server
    way: Forwarder

    @property
    def address(self) -> str:
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.way.port}/postgres"

    async def demote(self) -> None:
        """Make the first one a server that only reads, as a standby is; it ends no connection."""
        await postgres.told(self.old, *postgres.READ_ONLY)

    def promote(self) -> None:
        """Let the address lead to the second one."""
        self.way.target = self.new.folder / SOCKET


@pytest.fixture
async def cluster(pair: tuple[postgres.Server, postgres.Server]) -> AsyncIterator[Cluster]:
    for server in pair:
        empty = ("SET default_transaction_read_only = off", "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        await postgres.told(server, *postgres.READ_AND_WRITE, *empty)
        async with opened(server.address()) as archive:
            await archive.prepare(NOON)
    async with forwarding(pair[0].folder / SOCKET) as way:
        yield Cluster(*pair, way)


async def test_the_next_try_after_a_failover_is_written_to_the_new_server(cluster: Cluster):
    async with opened(cluster.address) as archive:
        await archive.write([hour("1")])
        await cluster.demote()
        cluster.promote()

        with pytest.raises(ArchiveAway, match="read-only transaction"):
            await archive.write([hour("2")])
        changed = await archive.write([hour("2")])

    async with opened(cluster.new.address()) as archive:
        assert (changed, [each.open for each in await archive.read_hours(BTC, 0, 2**40)]) == (1, ["2"])


async def test_every_connection_of_before_is_replaced_not_only_the_one_that_failed(cluster: Cluster):
    async with connect_archive(cluster.address, "tests", writes=True) as engine:
        async with engine.connect(), engine.connect(), engine.connect():
            pass
        before = cluster.way.connections
        await cluster.demote()
        cluster.promote()
        archive = ArchiveWriter(engine)
        with pytest.raises(ArchiveAway):
            await archive.write([hour("2")])
        for value in range(5):
            await archive.write([hour("3", start=NOON + value * HOUR)])

        async with engine.connect() as one, engine.connect() as two, engine.connect() as three:
            places = {await each.exec_driver_sql("SHOW data_directory") for each in (one, two, three)}
            found = {row.scalar_one() for row in places}

    assert before == 3
    assert found == {str(cluster.new.folder / "data")}


async def test_a_server_without_this_months_partition_gets_it_when_the_archive_is_opened_again(cluster: Cluster):
    async with opened(cluster.address) as archive:
        await archive.write([hour("1", start=0)])
        await cluster.demote()
        cluster.promote()

        with pytest.raises(ArchiveAway):
            await archive.write([hour("2", start=0)])
        await archive.open()

        assert await archive.write([hour("2", start=0)]) == 1


async def test_a_server_that_falls_silent_is_waited_for_once(cluster: Cluster, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("v1.archive.engine.PING_SECONDS", 0.2)
    async with opened(cluster.address) as archive:
        await archive.write([hour("1")])
        cluster.way.hang()
        cluster.promote()

        assert await archive.write([hour("2")]) == 1, "the connection is tried before, and another one made"


async def test_a_question_that_is_not_answered_in_time_costs_its_connection(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("v1.archive.engine.ANSWER_SECONDS", 0.3)
    async with connect_archive(cluster.address, "tests", writes=True) as engine:
        archive = ArchiveWriter(engine)
        await archive.open()

        async with engine.connect() as connection:
            cluster.way.hang()
            cluster.promote()
            with pytest.raises(TimeoutError):
                await connection.exec_driver_sql("SELECT 1")
            assert connection.invalidated

        assert await archive.write([hour("2")]) == 1


async def test_who_reads_from_the_old_server_reads_from_the_new_one_before_long(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("v1.archive.engine.RECYCLE_SECONDS", 0)
    async with opened(cluster.new.address()) as new:
        await new.write([hour("2")])
    async with connect_archive(cluster.address, "tests", writes=False) as engine:
        reader = ArchiveReader(engine)
        before = (await reader.read_newest_hours(BTC)).newest
        await cluster.demote()
        cluster.promote()

        assert (before, (await reader.read_newest_hours(BTC)).newest) == (None, hour("2").start)
