"""The cluster that one command starts on this machine: its nodes, its password, and what is refused in words."""

import asyncio
import os
import secrets
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from scripts import cluster_supervisor
from scripts.cluster_supervisor import NODES, LocalCluster, check_node_ports, parse_words, prepare_secrets, start_nodes
from scripts.parts import list_leftovers
from scripts.restarts import RestartPolicy, SupervisedPart
from scripts.supervisor import CannotRunHere
from tests.support import servers
from worker.embedded.cluster.addresses import BUS_DISTANCE
from worker.embedded.cluster.forming import form_cluster, open_clients
from worker.embedded.cluster.node import HOST
from worker.embedded.cluster.node_state import read_states
from worker.embedded.pidlock import read_holder

QUICK = RestartPolicy(waits=(0.0,) * 9)


def find_first_port() -> int:
    """Return the first of as many free ports as a cluster needs, with those to other nodes."""
    while True:
        first = servers.FIRST_PORT + secrets.randbelow(servers.PORTS - BUS_DISTANCE)
        ports = range(first, first + NODES)
        with suppress(OSError), HeldPorts([*ports, *(port + BUS_DISTANCE for port in ports)]):
            return first


class HeldPorts:
    """Holds ports, to see whether they are free."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self._held: list[socket.socket] = []

    def __enter__(self) -> None:
        try:
            self._held.extend(socket.create_server((HOST, port)) for port in self._ports)
        except OSError:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        for each in self._held:
            each.close()


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
    async with started(local) as password, open_clients(local.addresses, password) as clients:
        for client, state in zip(clients, await read_states(clients), strict=True):
            if 15_495 in state.own.slots and state.own.is_primary:
                await client.set("a", "1")
        pid = read_holder(local.folder.parent / "run" / f"node-{local.addresses[2].port}.pid")
        os.kill(pid or 0, signal.SIGKILL)
        while read_holder(local.folder.parent / "run" / f"node-{local.addresses[2].port}.pid") in (pid, None):
            await asyncio.sleep(0.02)
        await form_cluster(local.addresses, 3, password)

        owners = [state.own.is_primary and 15_495 in state.own.slots for state in await read_states(clients)]
        assert owners.count(True) == 1
        assert await clients[owners.index(True)].get("a") == "1"

    said = capsys.readouterr().out
    assert f"the node-{local.addresses[2].port} was ended by SIGKILL; starting it again in 0 s" in said
    assert "the cluster is up (" in said
    assert [name for name in list_leftovers(local.folder.parent) if read_holder(claim(local, name))] == []


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
    for name in ("start", "node-7101", "node-7102", "worker-2", "worker-1", "api", "database"):
        (tmp_path / "run" / f"{name}.pid").touch()

    assert list_leftovers(tmp_path) == ["API", "worker-1", "worker-2", "database", "node-7101", "node-7102"]
