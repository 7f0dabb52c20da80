"""
Replaces this process by one node of the cluster on loopback, with its data in `cluster/PORT` in the data directory.

    python -m worker.embedded.cluster.node PORT [--node-timeout-ms 2000]
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from worker.embedded.cluster.addresses import BUS_DISTANCE, NodeAddress
from worker.embedded.pidlock import AlreadyRunning
from worker.embedded.server import UnusableFolder, become_the_server, claim_folder, say
from worker.latest.settings import InvalidSettings, Settings

HOST = "127.0.0.1"
FOLDER = "cluster"
NODES = "nodes.conf"
"""Where a node writes what it knows of the cluster, in its folder."""
NODE_TIMEOUT_MS = 2000
"""After how long without an answer a node counts as lost. Its replica serves after 1.3 to 1.8 times as long."""
SECRETS = "secrets.conf"
"""Where the password of all nodes stands, beside their folders: on a command line everybody could read it."""
HIGHEST_PORT = 65_535 - BUS_DISTANCE


def main(words: Sequence[str] | None = None) -> int:
    """Become the node. Return the exit code where it runs already."""
    parser = argparse.ArgumentParser("python -m worker.embedded.cluster.node", description="Run one node of a cluster.")
    parser.add_argument("port", type=int, help=f"its port; to the other nodes it listens {BUS_DISTANCE} above it")
    parser.add_argument("--node-timeout-ms", type=int, default=NODE_TIMEOUT_MS, help=f"({NODE_TIMEOUT_MS})")
    given = parser.parse_args(words)
    address = NodeAddress(HOST, given.port, given.port + BUS_DISTANCE)
    base = Settings.load().data_dir.absolute() / FOLDER
    folder = make_node_folder(base, address)
    try:
        descriptor = claim_folder(folder)
    except AlreadyRunning as claimed:
        say(f"node {address} is already running (process {claimed.process}); nothing to start")
    else:
        options = make_node_options(address, given.node_timeout_ms, base / SECRETS)
        become_the_server(folder, descriptor, *options)
    return 0


def make_node_folder(base: Path, address: NodeAddress) -> Path:
    """Return the folder of a node's data."""
    return base / str(address.port)


def make_node_options(address: NodeAddress, node_timeout_ms: int, secrets: Path | None = None) -> list[str]:
    """Return what makes the configured server a node, as words of its command line."""
    options = {
        "port": address.port,
        "cluster-port": address.bus_port,
        "bind": address.host,
        "unixsocket": "",
        "cluster-enabled": "yes",
        "cluster-config-file": NODES,
        "cluster-node-timeout": node_timeout_ms,
        # What is left serves while a shard is away: everybody else's metrics go on.
        "cluster-require-full-coverage": "no",
        # A replica that starts need not wait 5 s for others that might, too.
        "repl-diskless-sync-delay": 0,
        # What a replica missed while it was restarted is then still at hand: it need not copy everything.
        "repl-backlog-size": "16mb",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [*words, "--include", str(secrets)] if secrets and secrets.exists() else words


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (InvalidSettings, UnusableFolder) as error:
        say(str(error))
        sys.exit(2)
