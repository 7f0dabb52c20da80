"""What the nodes of a cluster say of themselves and of each other, and what is missing until they are one cluster."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from redis.asyncio import Redis

from worker.embedded.cluster.addresses import NodeAddress

SLOTS = 16_384
"""How many slots a cluster has (Redis Cluster specification, "Key distribution model")."""


class SeenNode(NamedTuple):
    """One node as a node sees it, a line of `CLUSTER NODES`."""

    id: str
    flags: frozenset[str]
    primary: str
    """The id of the node that it is a replica of; empty of a primary."""
    slots: frozenset[int]
    is_connected: bool

    @property
    def is_primary(self) -> bool:
        return "master" in self.flags


class NodeState(NamedTuple):
    """What a node says."""

    own: SeenNode
    seen: Mapping[str, SeenNode]
    """All nodes that it knows and itself, by their ids."""
    is_ok: bool
    """Whether it serves its slots and believes that others serve theirs."""
    is_linked: bool
    """Whether it has what its primary has; so has a primary."""


async def read_states(clients: Iterable[Redis]) -> list[NodeState]:
    """Return what each node says of the cluster. Raises what redis-py does."""
    return await asyncio.gather(*map(read_state, clients))


async def read_state(client: Redis) -> NodeState:
    own_id, text, info, replication = (
        await send(client, "CLUSTER MYID"),
        # In two words redis-py leaves the answer as it is; its own reading of it keeps one node of an address.
        await send(client, "CLUSTER", "NODES"),
        await send(client, "CLUSTER INFO"),
        await client.info("replication"),
    )
    seen = {node.id: node for node in map(parse_node, text.splitlines())}
    is_linked = replication["role"] == "master" or replication.get("master_link_status") == "up"
    return NodeState(seen[own_id], seen, info["cluster_state"] == "ok", is_linked)


def parse_node(line: str) -> SeenNode:
    """Return the node of a line of `CLUSTER NODES`, a format of the Redis documentation of that command."""
    own_id, _, flags, primary, _, _, _, link, *slots = line.split()
    ranges = [each.partition("-") for each in slots if not each.startswith("[")]
    owned = frozenset(slot for begin, _, end in ranges for slot in range(int(begin), int(end or begin) + 1))
    known_primary = primary if primary != "-" else ""
    return SeenNode(own_id, frozenset(flags.split(",")), known_primary, owned, link == "connected")


async def send(client: Redis, *words: str | int) -> Any:
    """Return the answer of a node to a command. Raises what redis-py does."""
    return await client.execute_command(*words)  # type: ignore[no-untyped-call]


def find_free_slots(states: Iterable[NodeState]) -> frozenset[int]:
    """Return the slots that no node knows an owner of."""
    return frozenset(range(SLOTS)).difference(*(node.slots for state in states for node in state.seen.values()))


def split_slots(primaries: int) -> list[range]:
    """Return the slots of each primary of a new cluster."""
    bounds = [SLOTS * number // primaries for number in range(primaries + 1)]
    return [range(begin, end) for begin, end in pairwise(bounds)]


def list_ranges(slots: Iterable[int]) -> list[tuple[int, int]]:
    """Return the first and last slot of each unbroken range."""
    ranges: list[tuple[int, int]] = []
    for slot in sorted(slots):
        if ranges and ranges[-1][1] == slot - 1:
            ranges[-1] = (ranges[-1][0], slot)
        else:
            ranges.append((slot, slot))
    return ranges


def list_unknown(states: Sequence[NodeState]) -> list[int]:
    """Return the positions of the nodes that do not know all the others, or are not known by all of them."""
    return [
        position
        for position, state in enumerate(states)
        if any(other.own.id not in state.seen or state.own.id not in other.seen for other in states)
    ]


def list_unreached(states: Sequence[NodeState]) -> list[int]:
    """Return the positions of the nodes that are known to all, and to which some have no connection."""
    return [
        position
        for position, state in enumerate(states)
        if any(other is not state and not other.seen[state.own.id].is_connected for other in states)
    ]


def list_misjudged(states: Sequence[NodeState]) -> list[int]:
    """Return the positions of the nodes of which another one believes that they have another primary, or none."""
    return [
        position
        for position, state in enumerate(states)
        if any(other.seen[state.own.id].primary != state.own.primary for other in states)
    ]


def choose_primaries(states: Sequence[NodeState]) -> dict[int, str]:
    """Return the id of the primary that each node with nothing to do should follow, by its position."""
    followers = {state.own.id: 0 for state in states if state.own.slots}
    for state in states:
        if state.own.primary in followers:
            followers[state.own.primary] += 1
    chosen = {}
    for position, state in enumerate(states):
        if followers and state.own.is_primary and not state.own.slots:
            chosen[position] = min(followers, key=lambda each: followers[each])
            followers[chosen[position]] += 1
    return chosen


def describe_lack(addresses: Sequence[NodeAddress], states: Sequence[NodeState]) -> str:
    """Return what keeps the nodes from being one cluster; empty where nothing does."""
    if free := find_free_slots(states):
        ranges = ", ".join(f"{first}-{last}" if first < last else f"{first}" for first, last in list_ranges(free))
        return f"nobody has the slots {ranges}"
    if unknown := list_unknown(states):
        return f"{_name_all(addresses, unknown)} and the others do not know each other"
    lacks = (
        (list_unreached(states), "is not reached by the others"),
        (choose_primaries(states), "follows no primary"),
        (list_misjudged(states), "has a part that others have not heard of yet"),
        ([position for position, state in enumerate(states) if not state.is_ok], "does not serve yet"),
        ([position for position, state in enumerate(states) if not state.is_linked], "is still behind its primary"),
    )
    return next((f"{_name_all(addresses, positions)} {lack}" for positions, lack in lacks if positions), "")


def _name_all(addresses: Sequence[NodeAddress], positions: Iterable[int]) -> str:
    return ", ".join(str(addresses[position]) for position in positions)
