"""Brings up a cluster on this machine as `supervisor` does one node: six nodes, made one cluster, workers and the API."""

import argparse
import asyncio
import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.parts import PartEnded
from scripts.supervisor import (
    DEMO_SAYS,
    CannotRunHere,
    PartStarter,
    check_port,
    find_obstacle,
    list_ignored_settings,
    lock_data_dir,
    read_settings,
    run_until_stopped,
)
from worker.embedded.cluster.addresses import BUS_DISTANCE, NodeAddress
from worker.embedded.cluster.forming import ClusterNotFormed, form_cluster
from worker.embedded.cluster.node import FOLDER, HIGHEST_PORT, HOST, NODE_TIMEOUT_MS, SECRETS
from worker.latest.settings import PREFIX, InvalidSettings, list_written, name_file_setting
from worker.latest.sharing import find_longest_node_timeout
from worker.reporting.terminal import get_typed_name, print_line
from worker.settings import WorkerSettings

PRIMARIES = 3
NODES = 6
FIRST_PORT = 7101
MOST_WORKERS = 16
DEMO = Path("data/cluster-demo")
URL = f"{PREFIX}REDIS_URL"
SHARE = f"{PREFIX}SHARE"
URL_FILE = "url"
"""Where the address of the cluster stands, with its password: what `TRACKER_REDIS_URL_FILE` names for other commands."""


class LocalCluster(NamedTuple):
    """The nodes on this machine."""

    folder: Path
    """Where their data is, and what they have in common."""
    first_port: int

    @property
    def addresses(self) -> list[NodeAddress]:
        ports = range(self.first_port, self.first_port + NODES)
        return [NodeAddress(HOST, port, port + BUS_DISTANCE) for port in ports]

    def make_url(self, password: str) -> str:
        """Return the address that names all nodes, as `TRACKER_REDIS_URL` takes it."""
        return f"redis://:{password}@{','.join(map(str, self.addresses))}"


def main() -> int:
    given = parse_words()
    try:
        return run(given.demo, given.first_port, given.workers)
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return 2
    except (CannotRunHere, ClusterNotFormed) as error:
        print(error, file=sys.stderr)
        return 1


def parse_words(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        get_typed_name("scripts/start-cluster.sh"), description="Start six nodes as one cluster, workers and the API."
    )
    parser.add_argument("--demo", action="store_true", help=f"a simulated market in {DEMO}: no network, no keys")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="how many workers share the work (1)")
    parser.add_argument("--first-port", type=int, default=FIRST_PORT, metavar="N", help=f"({FIRST_PORT})")
    given = parser.parse_args(words)
    if not 1 <= given.workers <= MOST_WORKERS:
        parser.error(f"--workers: {given.workers} is not a number from 1 to {MOST_WORKERS}")
    highest = HIGHEST_PORT - NODES + 1
    if not 1 <= given.first_port <= highest:
        parser.error(f"--first-port: {given.first_port} is not a number from 1 to {highest}")
    return given


def run(demo: bool, first_port: int, workers: int) -> int:
    """Run the cluster until it is told to stop; return the exit code. Raises `CannotRunHere` and `InvalidSettings`."""
    if not demo:
        refuse_other_redis()
    data_dir = DEMO if demo else WorkerSettings.load().data_dir
    lock_data_dir(data_dir)
    cluster = LocalCluster(data_dir.absolute() / FOLDER, first_port)
    check_node_ports(cluster)
    password = prepare_secrets(cluster)
    says = {URL: cluster.make_url(password)} | ({SHARE: "true"} if workers > 1 else {})
    settings = read_cluster_settings(says, demo)
    check_port(settings.bind)

    async def start_store(start: PartStarter) -> None:
        await start_nodes(cluster, password, start, choose_node_timeout(settings.interval))

    names = ["worker"] if workers == 1 else [f"worker-{number}" for number in range(1, workers + 1)]
    return asyncio.run(run_until_stopped(settings, start_store, names, describe(cluster, data_dir)))


def refuse_other_redis() -> None:
    """Raise `CannotRunHere` where the settings name a Redis: it would not be used."""
    for _, written in list_written(WorkerSettings):
        for name in ("redis_url", name_file_setting("redis_url")):
            if written.get(name):
                raise CannotRunHere(
                    f"{PREFIX}{name.upper()} is set, and this script starts a cluster of its own: "
                    "remove the setting, or use what it names with scripts/start.sh"
                )


def read_cluster_settings(ours: Mapping[str, str], demo: bool) -> WorkerSettings:
    """
    Return the settings of all parts, which they inherit, with what a cluster of several workers needs.

    Raises `InvalidSettings`.
    """
    os.environ |= ours
    if not demo:
        return read_settings(demo=False)
    says = DEMO_SAYS | {f"{PREFIX}DATA_DIR": str(DEMO), **ours}
    if ignored := list_ignored_settings(says):
        print_line(f"the demo does not use {', '.join(ignored)}: it has its own market and rules, and sends nothing")
    return read_settings(demo=True, demo_says=says)


def check_node_ports(cluster: LocalCluster) -> None:
    """Raise `CannotRunHere` where a node cannot listen."""
    for address in cluster.addresses:
        for port in (address.port, address.bus_port):
            if reason := find_obstacle(f"{HOST}:{port}"):
                raise CannotRunHere(
                    f"a node of the cluster cannot listen on {HOST}:{port}: {reason}; choose other ports, for a new "
                    f"cluster without data: {get_typed_name('scripts/start-cluster.sh')} --first-port 7201"
                )


def prepare_secrets(cluster: LocalCluster) -> str:
    """
    Return the password of all nodes; make one where there is none yet.

    A node listens on a port of this machine, which every user and program of it can reach.
    """
    path = cluster.folder / SECRETS
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            password = secrets.token_urlsafe(24)
            write_secret(path, f"requirepass {password}\nmasterauth {password}\n")
        password = path.read_text().split()[1]
        write_secret(cluster.folder / URL_FILE, f"{cluster.make_url(password)}\n")
    except (OSError, IndexError) as error:
        raise CannotRunHere(f"{path} cannot be used: {error}; remove it, and another password is made") from error
    return password


def write_secret(path: Path, text: str) -> None:
    """Write a file as a whole that only we can read."""
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    beside.replace(path)


def choose_node_timeout(interval: int) -> int:
    """Return after how many ms without an answer a node counts as lost: so soon, if it can be, that no tick is late."""
    return min(NODE_TIMEOUT_MS, find_longest_node_timeout(interval) or NODE_TIMEOUT_MS)


async def start_nodes(
    cluster: LocalCluster, password: str, start: PartStarter, node_timeout_ms: int = NODE_TIMEOUT_MS
) -> None:
    """Start the nodes, and make them one cluster. Raises `PartEnded` and `ClusterNotFormed`."""
    began = time.monotonic()
    for number, address in enumerate(cluster.addresses, 1):
        timeout = ("--node-timeout-ms", str(node_timeout_ms))
        await start(f"node-{number}", "worker.embedded.cluster.node", str(address.port), *timeout)
    print_line("making the nodes one cluster")
    try:
        await form_cluster(cluster.addresses, PRIMARIES, password)
    except ClusterNotFormed as error:
        raise PartEnded(str(error)) from error
    print_line(f"the cluster is up ({time.monotonic() - began:.1f} s)")


def describe(cluster: LocalCluster, data_dir: Path) -> str:
    """Return where the cluster is, and what can be tried with it."""
    first, *_, last = cluster.addresses
    return f"""
  nodes   {first} to {last.port}, with their data in {data_dir}/{FOLDER}/
  try it  kill -9 $(cat {data_dir}/run/node-1.pid)
  others  {URL}_FILE={data_dir}/{FOLDER}/{URL_FILE} scripts/start-worker.sh doctor"""


if __name__ == "__main__":
    sys.exit(main())
