"""Nodes of the embedded server become one cluster, again after whatever was done to them."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError, ResponseError

from tests.support.cluster import ClusterShape, RunningCluster, find_first_port, run_nodes
from worker.embedded.cluster.addresses import NodeAddress
from worker.embedded.cluster.forming import PASSWORD, ClusterNotFormed, form_cluster, form_named, main, open_clients
from worker.embedded.cluster.node import HOST
from worker.embedded.cluster.node_state import describe_lack, list_ranges, split_slots
from worker.embedded.pidlock import read_holder

FORMED = ClusterShape()


@pytest.fixture
def nodes() -> Iterator[RunningCluster]:
    """Return six nodes that do not know each other."""
    with run_nodes(FORMED) as running:
        yield running


@pytest.fixture(scope="module")
def lasting() -> Iterator[RunningCluster]:
    with run_nodes(FORMED) as running:
        yield running


@pytest.fixture
async def formed(lasting: RunningCluster) -> RunningCluster:
    """Return a cluster that is whole and empty, whatever the last test did to it."""
    await form(lasting)
    await lasting.flush()
    return lasting


async def form(nodes: RunningCluster) -> None:
    await form_cluster(nodes.addresses, FORMED.primaries)


async def write_everywhere(cluster: RunningCluster, count: int = 60) -> dict[str, str]:
    """Write a key into each of so many slots of all primaries; return them."""
    written = {f"key:{number}": str(number) for number in range(count)}
    for port in await cluster.primaries():
        own = (await cluster.states())[port].own.slots
        async with cluster.client(port) as client:
            for key, value in written.items():
                if key_slot(key.encode()) in own:
                    await client.set(key, value)
    return written


async def read_everywhere(cluster: RunningCluster) -> dict[str, str]:
    found: dict[str, str] = {}
    for port in await cluster.primaries():
        async with cluster.client(port) as client:
            found |= {key: await client.get(key) async for key in client.scan_iter()}
    return found


# ---- forming ----------------------------------------------------------------------------------------------


async def test_six_nodes_become_three_primaries_with_all_slots_and_a_replica_each(cluster: RunningCluster):
    states = await cluster.states()

    assert await cluster.primaries() == cluster.ports[:3]
    assert [len(await cluster.replicas_of(port)) for port in cluster.ports[:3]] == [1, 1, 1]
    assert [list_ranges(states[port].own.slots) for port in cluster.ports[:3]] == [
        [(0, 5460)],
        [(5461, 10921)],
        [(10922, 16383)],
    ]
    assert describe_lack(cluster.addresses, list(states.values())) == ""


async def test_one_cluster_is_left_as_it_is_when_it_is_formed_again(cluster: RunningCluster):
    before = await cluster.states()

    await form_cluster(cluster.addresses, 3)

    assert await cluster.states() == before


async def test_forming_goes_on_where_it_was_stopped(nodes: RunningCluster):
    second = nodes.ports[1]
    async with nodes.client(second) as client:
        await until_answered(client)
        await client.execute_command("CLUSTER ADDSLOTSRANGE", 5461, 8000)
        await client.execute_command("CLUSTER MEET", *nodes.addresses[4])

    await form(nodes)

    assert await nodes.primaries() == nodes.ports[:3]
    assert (await nodes.states())[second].own.slots == frozenset(split_slots(3)[1])


async def until_answered(client: Redis, *command: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await client.execute_command(*command or ["PING"])
            except RedisError:
                await asyncio.sleep(0.02)
            else:
                return


async def test_a_node_that_does_not_run_is_named_when_it_was_waited_for_in_vain(nodes: RunningCluster):
    nodes.kill(nodes.ports[5])

    with pytest.raises(ClusterNotFormed, match=rf"not one cluster after 1 s: .*{nodes.ports[5]}"):
        await form_cluster(nodes.addresses, 3, seconds=1.0)


async def test_slots_that_only_a_replica_could_take_are_given_to_nobody(nodes: RunningCluster):
    first, second, *_ = nodes.ports
    async with nodes.client(first) as replica, nodes.client(second) as primary:
        await until_answered(replica)
        await until_answered(primary)
        await primary.execute_command("CLUSTER ADDSLOTSRANGE", 0, 6, 8, 16_383)
        await primary.execute_command("CLUSTER MEET", *nodes.addresses[0])
        await until_answered(replica, "CLUSTER REPLICATE", await primary.execute_command("CLUSTER MYID"))

    with pytest.raises(ClusterNotFormed, match=f"{first}, which should have them, is a replica: .* ADDSLOTSRANGE"):
        await form_cluster(nodes.addresses, 3, seconds=30.0)


def test_too_few_nodes_and_what_is_no_node_are_refused_in_words(capsys: pytest.CaptureFixture[str]):
    assert main(["127.0.0.1:7101", "127.0.0.1:7102"]) == 2
    assert "2 nodes with --replicas 1 are no cluster: it takes 3 primaries or more" in capsys.readouterr().err

    assert main(["7101"]) == 2
    assert "'7101' is no node: must be host:port or host:port@bus-port" in capsys.readouterr().err


def test_a_node_may_say_where_it_listens_to_the_others():
    assert NodeAddress.parse("redis-0.redis:6379") == NodeAddress("redis-0.redis", 6379, 16_379)
    assert NodeAddress.parse("10.0.0.1:6379@7000") == NodeAddress("10.0.0.1", 6379, 7000)


# ---- what is done to nodes --------------------------------------------------------------------------------


async def test_when_a_primary_is_killed_its_replica_serves_and_it_comes_back_as_a_replica(formed: RunningCluster):
    written = await write_everywhere(formed)
    lost, *_ = await formed.primaries()
    (heir,) = await formed.replicas_of(lost)

    formed.kill(lost)
    served_by = await formed.wait_for_failover(lost)
    formed.start(lost)
    await formed.wait_until_whole()

    assert heir in served_by
    assert await formed.replicas_of(heir) == [lost]
    assert await read_everywhere(formed) == written


async def test_a_cluster_that_was_killed_as_a_whole_starts_again_with_its_data(formed: RunningCluster):
    written = await write_everywhere(formed)
    before = {port: state.own.id for port, state in (await formed.states()).items()}

    for port in formed.ports:
        formed.kill(port)
    for port in formed.ports:
        formed.start(port)
    await form(formed)

    assert {port: state.own.id for port, state in (await formed.states()).items()} == before
    assert await read_everywhere(formed) == written


async def test_a_node_that_lost_its_data_is_taken_in_again(formed: RunningCluster):
    written = await write_everywhere(formed)
    _, lost, _ = await formed.primaries()
    old_id = (await formed.states())[lost].own.id

    formed.kill(lost)
    shutil.rmtree(formed.folder / str(lost))
    await formed.wait_for_failover(lost)
    formed.start(lost)
    await form(formed)

    state = (await formed.states())[lost]
    assert state.own.id != old_id
    assert not state.own.is_primary
    assert await read_everywhere(formed) == written


async def test_a_primary_that_stands_still_is_replaced_and_follows_when_it_goes_on(formed: RunningCluster):
    held, other, _ = await formed.primaries()
    formed.pause(held)
    async with formed.client(other) as client, asyncio.timeout(60):
        while not await has_failed(client, held):
            await asyncio.sleep(0.05)
    formed.resume(held)
    await formed.wait_until_whole()

    assert held not in await formed.primaries()


async def has_failed(client: Redis, port: int) -> bool:
    """Return whether a node knows another as replaced: it has no slots any more."""
    known = await client.execute_command("CLUSTER NODES")
    return not known[f"127.0.0.1:{port}"]["slots"]


async def test_a_slot_moves_with_its_keys_and_keys_that_have_moved_are_asked_for_elsewhere(formed: RunningCluster):
    slot = key_slot(b"{a}1")
    source = await formed.find_owner(slot)
    target = next(port for port in await formed.primaries() if port != source)
    async with formed.client(source) as old, formed.client(target) as new:
        for number in range(300):
            await old.set(f"{{a}}{number}", number)
        assert await formed.begin_move(slot, target) == source
        await formed.move_keys(slot, source, target, 120)
        here = set(await old.execute_command("CLUSTER GETKEYSINSLOT", slot, 1000))
        moved = next(key for key in (f"{{a}}{number}" for number in range(300)) if key not in here)

        with pytest.raises(ResponseError) as asked:
            await old.get(moved)
        await formed.move_keys(slot, source, target)
        await formed.end_move(slot, source, target)

        assert len(here) == 180
        assert type(asked.value).__name__ == "AskError"
        assert await new.execute_command("CLUSTER COUNTKEYSINSLOT", slot) == 300
    assert await formed.find_owner(slot) == target


# ---- one node as a process --------------------------------------------------------------------------------


@contextmanager
def node_process(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "worker.embedded.cluster.node", str(port)]
    given = {"TRACKER_DATA_DIR": str(folder)}
    with subprocess.Popen(command, env=os.environ | given, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_a_node_keeps_its_data_by_its_port_and_asks_for_the_password(tmp_path: Path):
    port = find_first_port(1)
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "secrets.conf").write_text("requirepass secret\nmasterauth secret\n")
    address = NodeAddress.parse(f"{HOST}:{port}")

    with node_process(tmp_path, port) as node:
        async with open_clients([address], "secret") as (client,), open_clients([address]) as (stranger,):
            await until_answered(client)
            info = await client.execute_command("CLUSTER INFO")
            timeout = await client.config_get("cluster-node-timeout")
            with pytest.raises(RedisError, match="authenticat"):
                await stranger.ping()
        with node_process(tmp_path, port) as second:
            said = (await asyncio.to_thread(second.communicate, timeout=60))[1]
        holder = read_holder(tmp_path / "cluster" / str(port) / "redis.lock")
        node.send_signal(signal.SIGTERM)
        code = node.wait(60)

    assert info["cluster_known_nodes"] == "1"
    assert timeout == {"cluster-node-timeout": "2000"}
    assert said == f"node {HOST}:{port} is already running (process {node.pid}); nothing to start\n"
    assert (second.returncode, holder, code) == (0, node.pid, 0)
    assert (tmp_path / "cluster" / str(port) / "nodes.conf").exists()


async def test_the_command_forms_a_cluster_with_the_password_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with run_nodes(ClusterShape(3, 0), None, "--requirepass", "secret", "--masterauth", "secret") as bare:
        monkeypatch.setenv(PASSWORD, "secret")

        await form_named([f"{address}@{address.bus_port}" for address in bare.addresses], 0)

    assert capsys.readouterr().out == "3 nodes are one cluster: 3 primaries, each with 0 replicas\n"
