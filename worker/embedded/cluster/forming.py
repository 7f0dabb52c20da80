"""
Makes one cluster of nodes that run: slots, epochs, acquaintance, replicas, in this order.

What is done follows from what the nodes say, so it can be stopped anywhere and done again, and does nothing to a
cluster that is whole. A node that has lost its data is taken in again as a replica. The first nodes become primaries.

    scripts/form-cluster.sh HOST:PORT... [--replicas 1]
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import chain
from socket import AF_INET, SOCK_STREAM

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from worker.embedded.cluster.addresses import NodeAddress
from worker.embedded.cluster.node_state import (
    NodeState,
    choose_primaries,
    describe_lack,
    find_free_slots,
    list_ranges,
    list_unknown,
    list_unreached,
    read_states,
    send,
    split_slots,
)
from worker.reporting.steps import MISUSED, CommandRefused, run_command
from worker.reporting.terminal import get_typed_name, print_line

PASSWORD = "DATA_TRACKER_CLUSTER_PASSWORD"  # noqa: S105  # the name of a variable
FORM_SECONDS = 120.0
"""How long the nodes may take: those that start again read their logs, and replicas copy all of their primary."""
LOOK_SECONDS = 0.05
RECONNECT_SECONDS = 15.0
"""Nodes that know each other connect by themselves, where they have the addresses that they had."""
ANSWER_SECONDS = 30.0
FEWEST_PRIMARIES = 3
"""A majority of the primaries must agree that one is lost: two cannot."""


class ClusterNotFormed(CommandRefused):
    """The nodes did not become one cluster; the message says what was missing at last."""


async def form_cluster(
    addresses: Sequence[NodeAddress], primaries: int, password: str | None = None, seconds: float = FORM_SECONDS
) -> None:
    """Make the nodes one cluster, and wait until it serves and every replica has its data. Raises `ClusterNotFormed`."""
    async with open_clients(addresses, password) as clients:
        await Forming(addresses, clients, primaries).run(seconds)


@asynccontextmanager
async def open_clients(addresses: Sequence[NodeAddress], password: str | None = None) -> AsyncIterator[list[Redis]]:
    """Return a client of each node, to ask it alone."""
    async with AsyncExitStack() as opened:
        yield [
            await opened.enter_async_context(
                Redis(
                    host=address.host,
                    port=address.port,
                    password=password,
                    decode_responses=True,
                    socket_timeout=ANSWER_SECONDS,
                    socket_connect_timeout=ANSWER_SECONDS,
                    # Whoever asks looks again by itself.
                    retry=Retry(NoBackoff(), 0),
                )
            )
            for address in addresses
        ]


class Forming:
    """Takes one step after the other towards one cluster."""

    def __init__(self, addresses: Sequence[NodeAddress], clients: Sequence[Redis], primaries: int) -> None:
        self._addresses = addresses
        self._clients = clients
        self._primaries = primaries
        self._next_introduction = time.monotonic() + RECONNECT_SECONDS

    async def run(self, seconds: float) -> None:
        last, lack = time.monotonic() + seconds, ""
        while time.monotonic() < last:
            try:
                states = await read_states(self._clients)
                lack = describe_lack(self._addresses, states)
                if not lack:
                    return
                await self._take_step(states)
            except RedisError as error:
                # Not up yet, or its log is being read, or a node has changed its mind since it was asked.
                lack = str(error)
            await asyncio.sleep(LOOK_SECONDS)
        raise ClusterNotFormed(f"the nodes are not one cluster after {seconds:.0f} s: {lack}")

    async def _take_step(self, states: Sequence[NodeState]) -> None:
        """Do what is missing first."""
        if free := find_free_slots(states):
            await self._share_out(free, states)
        elif unknown := list_unknown(states):
            await self._introduce(unknown)
        elif unreached := list_unreached(states):
            await self._introduce_again(unreached)
        else:
            for position, primary in choose_primaries(states).items():
                await send(self._clients[position], "CLUSTER REPLICATE", primary)

    async def _share_out(self, free: frozenset[int], states: Sequence[NodeState]) -> None:
        for position, wanted in enumerate(split_slots(self._primaries)):
            if not states[position].own.is_primary:
                raise ClusterNotFormed(
                    f"nobody has some of the slots {wanted[0]}-{wanted[-1]}, and {self._addresses[position]}, which "
                    "should have them, is a replica: give them to a primary with CLUSTER ADDSLOTSRANGE"
                )
            if ranges := list_ranges(free.intersection(wanted)):
                client = self._clients[position]
                await send(client, "CLUSTER ADDSLOTSRANGE", *chain.from_iterable(ranges))
                await set_epoch(client, position + 1)

    async def _introduce_again(self, unreached: Sequence[int]) -> None:
        """Tell the first node where the others are now, if they do not find each other at their old addresses."""
        if time.monotonic() >= self._next_introduction:
            self._next_introduction = time.monotonic() + RECONNECT_SECONDS
            await self._introduce(unreached)

    async def _introduce(self, positions: Sequence[int]) -> None:
        """Have the first node meet others; they hear of each other from it."""
        for position in positions:
            if position:
                address = self._addresses[position]
                host = await find_ip(address)
                await send(self._clients[0], "CLUSTER MEET", host, address.port, address.bus_port)


async def set_epoch(client: Redis, epoch: int) -> None:
    """Set for a new primary a number of its own, so that primaries need not sort out first whose word counts."""
    try:
        await send(client, "CLUSTER SET-CONFIG-EPOCH", epoch)
    except ResponseError as error:
        # A node that has one already, or knows others, keeps what it has.
        if "config epoch" not in str(error):
            raise


async def find_ip(address: NodeAddress) -> str:
    """Return the IP address of a node: `CLUSTER MEET` takes no names. Raises `ClusterNotFormed`."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            address.host, address.port, family=AF_INET, type=SOCK_STREAM
        )
    except OSError as error:
        raise ClusterNotFormed(f"{address.host} cannot be looked up: {error.strerror}") from error
    return str(found[0][4][0])


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        get_typed_name("python -m worker.embedded.cluster.forming"),
        description="Make nodes that run one cluster, once or again.",
    )
    parser.add_argument("nodes", nargs="+", metavar="HOST:PORT", help="a node; the first ones become primaries")
    parser.add_argument("--replicas", type=int, default=1, help="replicas of each primary (1)")
    given = parser.parse_args(words)
    return run_command(lambda: form_named(given.nodes, given.replicas))


async def form_named(nodes: Sequence[str], replicas: int) -> None:
    """Make one cluster of the nodes that a command names."""
    try:
        addresses = [NodeAddress.parse(node) for node in nodes]
    except ValueError as error:
        raise CommandRefused(str(error), MISUSED) from error
    primaries, rest = divmod(len(addresses), replicas + 1)
    if replicas < 0 or rest or primaries < FEWEST_PRIMARIES:
        raise CommandRefused(
            f"{len(addresses)} nodes with --replicas {replicas} are no cluster: it takes {FEWEST_PRIMARIES} primaries or "
            f"more, each with as many replicas: {FEWEST_PRIMARIES * (max(0, replicas) + 1)} nodes at the fewest",
            MISUSED,
        )
    await form_cluster(addresses, primaries, os.environ.get(PASSWORD))
    print_line(f"{len(addresses)} nodes are one cluster: {primaries} primaries, each with {replicas} replicas")


if __name__ == "__main__":
    sys.exit(main())
