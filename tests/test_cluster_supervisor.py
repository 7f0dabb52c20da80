"""The cluster that one command starts on this machine: its nodes, its password, and what is refused in words."""

import asyncio
import os
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from scripts import cluster_supervisor
from scripts.cluster_supervisor import (
    LocalCluster,
    check_node_ports,
    choose_node_timeout,
    parse_words,
    prepare_secrets,
    start_nodes,
)
from scripts.parts import list_leftovers
from scripts.restarts import RestartPolicy, SupervisedPart
from scripts.supervisor import CannotRunHere
from tests.support.cluster import find_first_port
from worker.embedded.cluster.addresses import BUS_DISTANCE
from worker.embedded.cluster.forming import form_cluster, open_clients
from worker.embedded.cluster.node import HOST
from worker.embedded.cluster.node_state import read_states
from worker.embedded.pidlock import read_holder

KEY, SLOT = "a", 15_495
"""A key that the third primary has."""
QUICK = RestartPolicy(waits=(0.0,) * 9)


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalCluster:
    monkeypatch.setenv("TRACKER_DATA_DIR", str(tmp_path))
    return LocalCluster(tmp_path / "cluster", find_first_port())


@asynccontextmanager
async def started(local: LocalCluster) -> AsyncIterator[str]:
    """Run the nodes as the script does, kept up; return their password."""
    data_dir = local.folder.parent
    async with AsyncExitStack() as running, asyncio.TaskGroup() as watch:
        watches = []

        async def start(name: str, *module: str) -> SupervisedPart:
            part = await SupervisedPart.start(name, [sys.executable, "-m", *module], data_dir, QUICK)
            running.push_async_callback(part.stop)
            watches.append(watch.create_task(part.watch()))
            return part

        password = prepare_secrets(local)
        await start_nodes(local, password, start)
        yield password
        for each in watches:
            each.cancel()


@pytest.mark.timeout(180)
async def test_a_node_that_is_killed_is_started_again_and_the_cluster_is_whole_with_its_data(
    local: LocalCluster, capsys: pytest.CaptureFixture[str]
):
    third = local.folder.parent / "run" / "node-3.pid"
    async with started(local) as password:
        async with open_clients(local.addresses, password) as clients:
            await clients[await find_owner(clients, SLOT)].set(KEY, "1")
        pid = read_holder(third)
        os.kill(pid or 0, signal.SIGKILL)
        while read_holder(third) in (pid, None):
            await asyncio.sleep(0.02)
        await form_cluster(local.addresses, 3, password)
        async with open_clients(local.addresses, password) as clients:
            assert await clients[await find_owner(clients, SLOT)].get(KEY) == "1"

    said = capsys.readouterr().out
    assert "the node-3 was ended by SIGKILL; starting it again in 0 s" in said
    assert "the cluster is up (" in said
    assert [name for name in list_leftovers(local.folder.parent) if read_holder(claim(local, name))] == []


async def find_owner(clients: Sequence[Redis], slot: int) -> int:
    """Return the position of the one primary that has a slot."""
    (owner,) = [
        position
        for position, state in enumerate(await read_states(clients))
        if state.own.is_primary and slot in state.own.slots
    ]
    return owner


def claim(local: LocalCluster, name: str) -> Path:
    return local.folder.parent / "run" / f"{name.lower()}.pid"


def test_the_password_is_made_once_and_nobody_else_can_read_it(local: LocalCluster):
    password = prepare_secrets(local)
    first = local.first_port

    assert len(password) >= 32
    assert prepare_secrets(local) == password
    assert (local.folder / "secrets.conf").read_text() == f"requirepass {password}\nmasterauth {password}\n"
    assert (local.folder / "url").read_text() == (
        f"redis://:{password}@127.0.0.1:{first},127.0.0.1:{first + 1},127.0.0.1:{first + 2},"
        f"127.0.0.1:{first + 3},127.0.0.1:{first + 4},127.0.0.1:{first + 5}\n"
    )
    assert {stat.S_IMODE(path.stat().st_mode) for path in local.folder.iterdir()} == {0o600}


def test_a_file_of_secrets_that_is_broken_is_named(local: LocalCluster):
    local.folder.mkdir()
    (local.folder / "secrets.conf").touch()

    with pytest.raises(
        CannotRunHere, match=r"secrets\.conf cannot be used: .*; remove it, and another password is made"
    ):
        prepare_secrets(local)


@pytest.mark.parametrize("above", [0, BUS_DISTANCE])
def test_a_port_of_a_node_that_is_taken_is_told_before_anything_starts(local: LocalCluster, above: int):
    port = local.first_port + 1 + above
    with (
        socket.create_server((HOST, port)),
        pytest.raises(CannotRunHere, match=f"cannot listen on {HOST}:{port}: Address already in use; .* --first-port"),
    ):
        check_node_ports(local)


@pytest.mark.parametrize("words, wrong", [(["--workers", "0"], "0"), (["--first-port", "60000"], "60000")])
def test_numbers_that_cannot_be_are_refused_with_what_is_accepted(
    words: list[str], wrong: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as ended:
        parse_words(words)

    assert ended.value.code == 2
    assert f"{words[0]}: {wrong} is not a number from 1 to " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["TRACKER_REDIS_URL", "TRACKER_REDIS_URL_FILE"])
def test_a_redis_in_the_settings_is_not_passed_by_without_a_word(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv(name, "redis://127.0.0.1:6379")
    monkeypatch.setattr(sys, "argv", ["start-cluster.sh"])

    assert cluster_supervisor.main() == 1
    assert capsys.readouterr().err == (
        f"{name} is set, and this script starts a cluster of its own: "
        "remove the setting, or use what it names with scripts/start.sh\n"
    )


def test_what_a_killed_run_left_behind_is_found_by_its_files(tmp_path: Path):
    (tmp_path / "run").mkdir()
    for name in ("start", "node-1", "node-2", "worker-2", "worker-1", "api", "database"):
        (tmp_path / "run" / f"{name}.pid").touch()

    assert list_leftovers(tmp_path) == ["API", "worker-1", "worker-2", "database", "node-1", "node-2"]


@pytest.mark.parametrize("interval, milliseconds", [(60, 2000), (5, 1600), (1, 2000)])
def test_nodes_are_replaced_within_an_interval_where_that_can_be(interval: int, milliseconds: int):
    assert choose_node_timeout(interval) == milliseconds
