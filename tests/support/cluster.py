"""
A real cluster of the embedded server on loopback, each node a process and a folder of its own.

    async with open_cluster() as cluster:
        cluster.url                      the seeds, as TRACKER_REDIS_URL names them
        cluster.ports                    of all nodes; the first three were made primaries
        await cluster.primaries()        the ports of those that are primaries now
        cluster.kill(port)               kill -9; cluster.start(port) starts it again from its data
        cluster.pause(port)              it stands still, and is not gone; cluster.resume(port)
        await cluster.move_slot(slot, port)

It takes two seconds to start. Tests that neither kill nodes nor move slots share one of the session: `shared_cluster`.
"""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from redis.asyncio import Redis

from tests.support import servers
from worker.embedded.cluster.addresses import BUS_DISTANCE, NodeAddress
from worker.embedded.cluster.forming import form_cluster, open_clients
from worker.embedded.cluster.node import HOST, make_node_options
from worker.embedded.cluster.node_state import NodeState, read_state
from worker.embedded.server import CONFIGURATION, OPTIONS, TUNABLES

ONE_NODES = ("fake", "valkey", "redis7")
"""The servers that tests of the store run on, beside a cluster."""
ON_ONE_NODE = pytest.mark.parametrize("redis", ONE_NODES, indirect=True)
"""For a test of what is otherwise on a cluster: which keys there are, how they are spelt, that all was lost."""
MOVE_KEYS = 100
MOVE_MS = 30_000
MOST_STARTS = 5
WAIT_SECONDS = 90.0
"""How long anything may take on a busy machine."""


class Nodes:
    """The processes of a cluster's nodes."""

    def __init__(self, folder: Path, binary: Path, count: int, node_timeout_ms: int, *options: str) -> None:
        self.folder = folder
        self._binary = binary
        self._options = options
        self._node_timeout_ms = node_timeout_ms
        self.addresses = [NodeAddress(HOST, *find_ports()) for _ in range(count)]
        self._by_port = {address.port: address for address in self.addresses}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def ports(self) -> list[int]:
        return list(self._by_port)

    def start(self, port: int) -> None:
        """Start a node, on the data that it left where it ran before."""
        folder = self.folder / str(port)
        folder.mkdir(exist_ok=True)
        options = make_node_options(self._by_port[port], self._node_timeout_ms)
        own = OPTIONS if self._binary == servers.embedded() else ()
        with (folder / "log").open("ab") as log:
            self._processes[port] = subprocess.Popen(
                [self._binary, CONFIGURATION, *own, *options, *self._options],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=TUNABLES | os.environ,
            )

    def kill(self, port: int) -> None:
        """Kill a node with SIGKILL, and wait until it is gone."""
        self._processes[port].kill()
        self._processes[port].wait()

    def pause(self, port: int) -> None:
        """Hold a node: its connections stay open and nothing is answered."""
        self._processes[port].send_signal(signal.SIGSTOP)

    def resume(self, port: int) -> None:
        self._processes[port].send_signal(signal.SIGCONT)

    def is_running(self, port: int) -> bool:
        return self._processes[port].poll() is None

    def read_log(self, port: int) -> str:
        return (self.folder / str(port) / "log").read_text(errors="replace")

    def wait_for_start(self) -> bool:
        """Wait until each node listens; return whether all do, which is not so where another took a port of theirs."""
        deadline = time.monotonic() + WAIT_SECONDS
        for _, port, bus_port in self.addresses:
            # It listens to clients first, and ends if the other port is another's.
            while not (_is_listening(port) and _is_listening(bus_port)):
                if not self.is_running(port):
                    if "Address already in use" in self.read_log(port):
                        return False
                    raise RuntimeError(f"the node at {port} ended: {self.read_log(port)}")
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the node at {port} does not listen after {WAIT_SECONDS:.0f} s")
                time.sleep(0.01)
        return True

    def close(self) -> None:
        """End all nodes."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()


def _is_listening(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=WAIT_SECONDS):
        return True
    return False


class RunningCluster(Nodes):
    """Nodes that are one cluster, and what a test does to it."""

    @property
    def url(self) -> str:
        return f"redis://{','.join(map(str, self.addresses))}"

    @asynccontextmanager
    async def client(self, port: int) -> AsyncIterator[Redis]:
        """Return a client of one node alone."""
        async with open_clients([self._by_port[port]]) as (client,):
            yield client

    async def states(self) -> dict[int, NodeState]:
        """Return what each node that runs says, by its port."""
        running = [port for port in self.ports if self.is_running(port)]
        async with open_clients([self._by_port[port] for port in running]) as clients:
            return dict(zip(running, await asyncio.gather(*map(read_state, clients)), strict=True))

    async def primaries(self) -> list[int]:
        """Return the ports of the nodes that run and are primaries with slots, by their first slot."""
        owners = {port: state.own for port, state in (await self.states()).items() if state.own.slots}
        return sorted(
            (port for port, own in owners.items() if own.is_primary), key=lambda port: min(owners[port].slots)
        )

    async def replicas_of(self, port: int) -> list[int]:
        """Return the ports of the nodes that run and follow the one at `port`."""
        states = await self.states()
        return [each for each, state in states.items() if state.own.primary == states[port].own.id]

    async def find_owner(self, slot: int) -> int:
        """Return the port of the primary that has a slot."""
        for port, state in (await self.states()).items():
            if slot in state.own.slots and state.own.is_primary:
                return port
        raise LookupError(f"no node that runs has slot {slot}")

    async def flush(self) -> None:
        """Delete everything."""
        for port in await self.primaries():
            async with self.client(port) as client:
                await client.flushall()

    async def wait_until_whole(self) -> None:
        """Wait until all nodes run as one cluster, every slot is served and every replica has its data."""
        await form_cluster(self.addresses, len(self.addresses), seconds=WAIT_SECONDS)

    async def wait_for_failover(self, lost: int) -> list[int]:
        """Wait until no slot is that of the node at port `lost`, which does not answer; return the primaries."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                with suppress(OSError):
                    states = await self.states()
                    others = {port: state for port, state in states.items() if port != lost}
                    served = frozenset().union(*(each.own.slots for each in others.values() if each.own.is_primary))
                    if len(served) == 16_384 and all(state.is_ok for state in others.values()):
                        return [port for port in await self.primaries() if port != lost]
                await asyncio.sleep(0.05)

    async def begin_move(self, slot: int, to: int) -> int:
        """Begin to move a slot: its owner answers ASK for keys that it does not have. Return the owner's port."""
        source, states = await self.find_owner(slot), await self.states()
        async with self.client(source) as old, self.client(to) as new:
            await new.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", states[source].own.id)
            await old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", states[to].own.id)
        return source

    async def move_keys(self, slot: int, source: int, to: int, most: int | None = None) -> int:
        """Move keys of a slot, all or so many at most; return how many."""
        moved = 0
        async with self.client(source) as old:
            while most is None or moved < most:
                count = MOVE_KEYS if most is None else min(MOVE_KEYS, most - moved)
                found = await old.execute_command("CLUSTER GETKEYSINSLOT", slot, count)
                if not found:
                    break
                await old.execute_command("MIGRATE", HOST, to, "", 0, MOVE_MS, "KEYS", *found)
                moved += len(found)
        return moved

    async def end_move(self, slot: int, source: int, to: int) -> None:
        """End the move of a slot: it is now the one's at port `to`."""
        new_id = (await self.states())[to].own.id
        for port in (to, source, *(each for each in await self.primaries() if each not in (to, source))):
            async with self.client(port) as client:
                await client.execute_command("CLUSTER SETSLOT", slot, "NODE", new_id)

    async def move_slot(self, slot: int, to: int) -> None:
        """Move a slot with all its keys to the primary at port `to`, as the engines' own tools do."""
        source = await self.begin_move(slot, to)
        await self.move_keys(slot, source, to)
        await self.end_move(slot, source, to)


class ClusterShape(NamedTuple):
    """How many nodes a cluster of tests has, and how fast they notice that one is lost."""

    primaries: int = 3
    replicas: int = 3
    node_timeout_ms: int = 1000


@asynccontextmanager
async def open_cluster(
    primaries: int = 3, replicas: int = 3, node_timeout_ms: int = 1000, binary: Path | None = None, *options: str
) -> AsyncIterator[RunningCluster]:
    """Run a cluster of its own, for a test that kills nodes or moves slots."""
    with run_nodes(ClusterShape(primaries, replicas, node_timeout_ms), binary, *options) as cluster:
        await form_cluster(cluster.addresses, primaries, seconds=WAIT_SECONDS)
        yield cluster


@contextmanager
def run_nodes(shape: ClusterShape, binary: Path | None = None, *options: str) -> Iterator[RunningCluster]:
    """Run nodes that do not know each other yet."""
    count = shape.primaries + shape.replicas
    for _ in range(MOST_STARTS):
        with tempfile.TemporaryDirectory(prefix="data-tracker-") as folder:
            nodes = RunningCluster(Path(folder), binary or servers.embedded(), count, shape.node_timeout_ms, *options)
            try:
                for port in nodes.ports:
                    nodes.start(port)
                if nodes.wait_for_start():
                    yield nodes
                    return
            finally:
                nodes.close()
    raise RuntimeError(f"{MOST_STARTS} times a port was taken between being found free and being used")


@contextmanager
def share_cluster() -> Iterator[RunningCluster]:
    """Run a cluster for many tests; a lost node is noticed late, so that a busy machine makes none."""
    with run_nodes(ClusterShape(node_timeout_ms=15_000)) as cluster:
        # In a thread of its own: who asks for it first may have a loop that runs.
        with ThreadPoolExecutor(1) as threads:
            threads.submit(asyncio.run, form_cluster(cluster.addresses, 3, seconds=WAIT_SECONDS)).result()
        yield cluster


def find_ports() -> tuple[int, int]:
    """Return two ports of this machine that nobody listens on, now."""
    while True:
        port, bus = servers.free_port(), servers.FIRST_PORT + secrets.randbelow(servers.PORTS)
        with suppress(OSError), socket.create_server((HOST, bus)):
            return port, bus


def find_first_port(count: int = 6) -> int:
    """Return the first of so many free ports in a row, with those above them to other nodes."""
    while True:
        first = servers.FIRST_PORT + secrets.randbelow(servers.PORTS - BUS_DISTANCE)
        ports = range(first, first + count)
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
