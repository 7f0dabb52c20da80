"""
What every test may ask for: servers, and an empty database on each. In CI a skip is a failure.

    valkey, redis7   address of a server that lives as long as the session; nobody empties it
    server_binary    path of the program, once of each of the two
    server           address of the embedded one, emptied for this test
    fake             a client of fakeredis
    redis            a client, once on each of the three, emptied for this test
    cluster          six embedded nodes that live as long as the session, emptied for this test, see `support.cluster`
    postgres         a PostgreSQL 18 that lives as long as the session
    machine_postgres one of the machine's own PostgreSQL, Debian's; it lives as long
    pgbouncer        address of `postgres` behind a PgBouncer in transaction mode, the machine's own
    database         address of an empty archive, once in SQLite and once in PostgreSQL 18; a test that names them
                     by `indirect` has it in the machine's own, too, and behind PgBouncer

Whoever uses `server`, `fake` or `redis` must leave no key without an end, save the few of `PERMANENT`.
"""

import gc
import os
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import asyncpg
import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from hypothesis import HealthCheck, settings
from redis.asyncio import Redis

from tests.support import cluster as clusters
from tests.support import missing, servers
from tests.support import postgres as postgresql
from v1.store import connect, connection
from v1.store.keys import OF_PARTITIONS, PERMANENT

# What a script said it is called is of that script: the programs that tests start were typed by nobody.
os.environ.pop("DATA_TRACKER_TYPED", None)

# How long an example takes says something of the machine, and nothing of the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# A process of tests may be held up for longer than a Redis may take; nothing here tests how long that is.
connection.CONNECT_SECONDS = 30.0

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


PARTITIONS = 8
"""Of the data in the cluster that tests share."""


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder, servers.running(servers.embedded(), Path(folder)) as address:
        yield address


@pytest.fixture(scope="session")
def redis7() -> Iterator[str]:
    binary = servers.debian()
    if binary is None:
        missing.skip("redis-server")
    with tempfile.TemporaryDirectory() as folder, servers.running(binary, Path(folder)) as address:
        yield address


@pytest.fixture(params=["embedded", "redis7"])
def server_binary(request: pytest.FixtureRequest) -> Path:
    binary = servers.embedded() if request.param == "embedded" else servers.debian()
    if binary is None:
        missing.skip("redis-server")
    return binary


@pytest.fixture
async def server(valkey: str) -> AsyncIterator[str]:
    async with emptied(connect(valkey, "tests")):
        yield valkey


@pytest.fixture
async def fake() -> AsyncIterator[Redis]:
    async with emptied(FakeAsyncRedis(server=FakeServer(), decode_responses=True)) as client:
        yield client


@pytest.fixture(params=[*clusters.ONE_NODES, "cluster"])
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    opened: AbstractAsyncContextManager[Redis]
    if request.param == "fake":
        opened = FakeAsyncRedis(server=FakeServer(), decode_responses=True)
    elif request.param == "cluster":
        shared = request.getfixturevalue("shared_cluster")
        await shared.flush()
        opened = connect(shared.url, "tests", partitions=PARTITIONS)
    else:
        opened = connect(request.getfixturevalue(request.param), "tests")
    async with emptied(opened) as client:
        yield client


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[clusters.RunningCluster]:
    with clusters.share_cluster() as running:
        yield running


@pytest.fixture
async def cluster(shared_cluster: clusters.RunningCluster) -> clusters.RunningCluster:
    await shared_cluster.flush()
    return shared_cluster


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgresql.Server]:
    with postgresql.running(postgresql.wheel()) as server:
        yield server


@pytest.fixture(scope="session")
def machine_postgres() -> Iterator[postgresql.Server]:
    programs = postgresql.debian()
    if programs is None:
        missing.skip("postgresql")
    with postgresql.running(programs) as server:
        yield server


@pytest.fixture(scope="session")
def pgbouncer(postgres: postgresql.Server) -> Iterator[str]:
    program = postgresql.pgbouncer()
    if program is None:
        missing.skip("pgbouncer")
    with postgresql.pooled(postgres, program) as address:
        yield address


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/archive.db"
    is_pooled = request.param == "pgbouncer"
    server: postgresql.Server = request.getfixturevalue("postgres" if is_pooled else request.param)
    connection = await asyncpg.connect(server.dsn())
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()
    return str(request.getfixturevalue("pgbouncer")) if is_pooled else server.address()


@asynccontextmanager
async def emptied(opened: AbstractAsyncContextManager[Redis]) -> AsyncIterator[Redis]:
    """Return a client of an empty database; at the end no key in it may be without an end."""
    async with opened as client:
        await client.flushall()
        yield client
        eternal = {key async for key in client.scan_iter() if await client.ttl(key) == -1 and not is_of_partition(key)}

        assert eternal <= PERMANENT, f"keys without an end: {sorted(eternal - PERMANENT)}"


def is_of_partition(key: str) -> bool:
    return key.startswith(OF_PARTITIONS)


def pytest_collection_finish() -> None:
    """Keep the collector from looking through all tests and modules again and again: meanwhile no loop would run."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _a_skip_fails_in_ci((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _a_skip_fails_in_ci((yield))


def _a_skip_fails_in_ci(report: Report) -> Report:
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        reason = _reason(report)
        if not missing.is_allowed(reason):
            report.outcome = "failed"
            report.longrepr = f"skipped, and in CI nothing may be: {reason}"
    return report


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if line := missing.told(map(_reason, skipped)):
        terminalreporter.write_line(line)
    cache: pytest.Cache | None = getattr(terminalreporter.config, "cache", None)
    # What was skipped is still to be run where less is lacking. A cache can be switched off; and what is run again because
    # it failed is not all that was skipped.
    if cache is not None and not terminalreporter.config.getoption("lf"):
        cache.set("data-tracker/skipped", sorted({report.nodeid for report in skipped}))
