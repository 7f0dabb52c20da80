"""
Checks how a Redis Cluster is set up, and says what each difference costs and what to do. Changes nothing.

Judged is what its nodes answer to `CLUSTER SHARDS` and `CONFIG GET`; `config_check` checks each node as it checks a
server alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

SLOTS = 16_384
"""How many slots a cluster has (Redis Cluster specification, "Key distribution model")."""
FEWEST_PRIMARIES = 3
LOOPBACK = ("127.", "::1", "localhost")

LOST = ("fail", "failed")
"""What the health of a node is called that does not answer. A replica to which nothing was written yet is "loading"."""

SlotRange = tuple[int, int]
"""The first and the last slot."""


class CheckedNode(NamedTuple):
    """One node of a shard."""

    host: str
    port: int
    machine: str
    """The IP address, which several nodes may share."""
    is_primary: bool
    is_online: bool

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class CheckedShard(NamedTuple):
    """Some slots, and the nodes that have them."""

    slots: list[SlotRange]
    nodes: Sequence[CheckedNode]

    @property
    def primary(self) -> CheckedNode | None:
        """The primary that serves; `None` where none does."""
        return next((node for node in self.nodes if node.is_primary and node.is_online), None)

    @property
    def replicas(self) -> list[CheckedNode]:
        """Those that could take its place."""
        return [node for node in self.nodes if not node.is_primary and node.is_online]


def read_shards(answer: Sequence[Mapping[str, Any]], asked: str = "") -> list[CheckedShard]:
    """
    Return the shards that have slots, of the answer to `CLUSTER SHARDS` as RESP3 spells it.

    A node that does not know its own address is the one that was asked, at the host `asked`.
    """
    shards = []
    for each in answer:
        bounds = list(map(int, each["slots"]))
        nodes = [_make_node(node, asked) for node in each["nodes"]]
        if bounds:
            shards.append(CheckedShard(list(zip(bounds[::2], bounds[1::2], strict=True)), nodes))
    return sorted(shards, key=lambda shard: shard.slots)


def _make_node(answer: Mapping[str, Any], asked: str) -> CheckedNode:
    port = int(answer.get("port") or answer.get("tls-port") or 0)
    machine = str(answer.get("ip") or asked)
    host = str(answer.get("endpoint") or machine).replace("?", machine)
    return CheckedNode(host, port, machine, str(answer["role"]) == "master", str(answer["health"]) not in LOST)


def list_refusals(shards: Sequence[CheckedShard]) -> list[str]:
    """Return why nothing can be kept in a cluster as it is, a sentence each."""
    if not shards:
        return ["no node of the cluster has slots: make the nodes one cluster first, as docs/how-to/cluster.md shows"]
    missing = find_missing_slots(shards)
    if not missing:
        return []
    return [
        (
            f"no node of the cluster has the slots {describe_ranges(missing)}: the metrics that belong there could not be "
            "kept; give them to a primary (CLUSTER ADDSLOTSRANGE), or type redis-cli --cluster fix HOST:PORT"
        )
    ]


def list_cluster_lacks(shards: Sequence[CheckedShard], seeds: Sequence[str]) -> list[str]:
    """Return what is wrong with the nodes of a cluster, a sentence each. `seeds` are the nodes that its address names."""
    return [
        *_list_lost(shards),
        *_list_without_replica(shards),
        *_check_majority(shards),
        *_check_hosts(shards),
        *_check_seeds(shards, seeds),
    ]


def find_missing_slots(shards: Iterable[CheckedShard]) -> list[SlotRange]:
    """Return the slots that no shard has."""
    owned = sorted(chain.from_iterable(shard.slots for shard in shards))
    bounds = [(-1, -1), *owned, (SLOTS, SLOTS)]
    return [(before[1] + 1, after[0] - 1) for before, after in pairwise(bounds) if after[0] - before[1] > 1]


def describe_ranges(ranges: Iterable[SlotRange]) -> str:
    """Return slots as the engine's own tools write them."""
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def _list_lost(shards: Iterable[CheckedShard]) -> list[str]:
    return [
        f"the slots {describe_ranges(shard.slots)} are served by nobody: their primary "
        f"{', '.join(str(node) for node in shard.nodes if node.is_primary)} is lost, and no replica has taken its place; "
        "start it again: its part of the metrics waits for it, and the others go on"
        for shard in shards
        if shard.primary is None
    ]


def _list_without_replica(shards: Iterable[CheckedShard]) -> list[str]:
    alone = [str(shard.primary) for shard in shards if shard.primary and not shard.replicas]
    if not alone:
        return []
    return [
        (
            f"{', '.join(alone)} {'has' if len(alone) == 1 else 'have'} no replica: when such a primary is lost, its part of "
            "the metrics is away until it is back, and what it had not written to its disk is gone; add a node with "
            "CLUSTER REPLICATE"
        )
    ]


def _check_majority(shards: Sequence[CheckedShard]) -> list[str]:
    if len(shards) >= FEWEST_PRIMARIES:
        return []
    return [
        (
            f"{len(shards)} primaries are too few: a majority of them must agree that one is lost before its replica serves, "
            f"so it takes at least {FEWEST_PRIMARIES}"
        )
    ]


def _check_hosts(shards: Sequence[CheckedShard]) -> list[str]:
    """Say of machines whose loss the cluster does not survive. On loopback there is one machine, and it is known."""
    primaries = defaultdict(list)
    for shard in shards:
        if shard.primary and not shard.primary.machine.startswith(LOOPBACK):
            primaries[shard.primary.machine].append(shard)
    lacks = []
    for machine, owned in primaries.items():
        if 2 * len(owned) >= len(shards) >= FEWEST_PRIMARIES:
            lacks.append(
                f"{len(owned)} of {len(shards)} primaries are on {machine}: without that machine the others are no majority, "
                "and no replica takes the place of a primary; spread them with CLUSTER FAILOVER"
            )
        lacks += [
            f"{shard.primary} and all its replicas are on one machine: without it the slots "
            f"{describe_ranges(shard.slots)} are gone; have a node of another machine follow it"
            for shard in owned
            if shard.replicas and all(node.machine == machine for node in shard.replicas)
        ]
    return lacks


def _check_seeds(shards: Iterable[CheckedShard], seeds: Sequence[str]) -> list[str]:
    if len(seeds) != 1:
        return []
    nodes = [node for shard in shards for node in shard.nodes]
    known = next((node for node in nodes if str(node) == seeds[0]), None)
    kind = ", a replica" if known and not known.is_primary else ""
    others = [str(node) for node in nodes if node is not known][: FEWEST_PRIMARIES - 1]
    return [
        (
            f"the address names one node alone, {seeds[0]}{kind}: while that one is away nothing that starts finds the "
            f"others; name several, with commas between: {','.join([seeds[0], *others])}"
        )
    ]


def find_database(address: str) -> int:
    """Return the number of the database that an address names; 0 where it names none."""
    parts = urlsplit(address)
    number = parse_qs(parts.query).get("db", [parts.path.strip("/")])[-1]
    return int(number) if number.isdecimal() else 0


def describe_database(number: int) -> str:
    """Return why a cluster is refused of which an address names such a database; empty where it is not."""
    if not number:
        return ""
    return f"the address names database {number}, and a cluster has database 0 alone: leave the number out"


def join_findings(by_node: Mapping[str, Sequence[str]]) -> list[str]:
    """Return each sentence once, after the nodes that it is true of."""
    nodes: dict[str, list[str]] = {}
    for node, sentences in by_node.items():
        for sentence in sentences:
            nodes.setdefault(sentence, []).append(node)
    return [
        f"on {'every node' if len(found) == len(by_node) > 1 else ', '.join(found)}: {sentence}"
        for sentence, found in nodes.items()
    ]
