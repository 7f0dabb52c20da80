"""
Checks the configuration of a Redis that somebody else runs, and says what each difference costs. Changes nothing.

`python -m v1.store.config_check` checks the Redis in the settings.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from ..settings import InvalidSettings, Settings
from .cluster.client import ClusterRedis
from .cluster_check import join_findings, list_cluster_lacks, list_refusals
from .cluster_fitness import UnfitCluster, find_nodes, read_shards_of
from .connection import StoreAway, StoreError, connect, translate_errors
from .pool import NOT_FOR_US, read_error_code

OLDEST = (7, 0)
"""The oldest Redis that is tested."""

LONGEST_NODE_TIMEOUT_MS = 15_000
"""The default of Redis."""


class Requirement(NamedTuple):
    """What one directive of a server's configuration should be, and what it costs where it is not."""

    directive: str
    is_met: Callable[[str], bool]
    wanted: str
    cost: str


def make_minimum_check(least: int) -> Callable[[str], bool]:
    return lambda value: int(value) >= least


REQUIREMENTS = (
    Requirement(
        "maxmemory-policy",
        lambda value: value == "noeviction",
        "noeviction",
        "when its memory is full it drops metrics and their history without a word; "
        "with noeviction writes fail, and the worker keeps its ticks and writes them later",
    ),
    Requirement(
        "zset-max-listpack-value",
        make_minimum_check(256),
        "256",
        "samples are longer than that, so all of them take 1.6 to 1.8 times the memory",
    ),
    Requirement(
        "zset-max-listpack-entries",
        make_minimum_check(2000),
        "2000",
        "an hour of samples with more members than that takes 1.6 to 1.8 times the memory",
    ),
    Requirement(
        "appendonly",
        lambda value: value == "yes",
        "yes",
        "when it stops, every sample since its last snapshot is lost; "
        "the worker fills the gap with what the providers still know",
    ),
)


CLUSTER_REQUIREMENTS = (
    *REQUIREMENTS,
    Requirement(
        "cluster-require-full-coverage",
        lambda value: value == "no",
        "no",
        "while the slots of one primary are served by nobody, all the others refuse every command, too: "
        "all metrics stop with those of one part",
    ),
    Requirement(
        "cluster-node-timeout",
        lambda value: int(value) <= LONGEST_NODE_TIMEOUT_MS,
        f"{LONGEST_NODE_TIMEOUT_MS} (ms) at most",
        "a primary that is lost is replaced after 1.3 to 1.8 times as long, and its metrics wait meanwhile",
    ),
)
"""What each node of a cluster should be set to."""


async def check_config(address: str) -> list[str]:
    """Return what is wrong with the server at `address`, a sentence each. Raises `StoreAway`."""
    async with connect(address, "config-check") as redis:
        with translate_errors():
            return await list_lacks(redis)


async def list_lacks(redis: Redis) -> list[str]:
    """
    Return what is wrong with the server or the cluster of a client, a sentence each.

    Raises what redis-py does, and of a cluster `UnfitCluster`.
    """
    if isinstance(redis, ClusterRedis):
        return await list_lacks_of_nodes(await find_nodes(redis), [str(seed) for seed in redis.table.seeds])
    return await list_lacks_of_server(redis, REQUIREMENTS)


async def list_lacks_of_server(redis: Redis, requirements: Sequence[Requirement]) -> list[str]:
    """Return what is wrong with one server, a sentence each. Raises what redis-py does."""
    await redis.ping()
    return [*await _check_version(redis), *await _check_directives(redis, requirements)]


async def list_lacks_of_nodes(nodes: Mapping[str, Redis], seeds: Sequence[str]) -> list[str]:
    """
    Return what is wrong with a cluster, a sentence each.

    `nodes` are clients of each node by its `host:port`, `seeds` the nodes that the address of the cluster names. Raises
    `StoreAway` where no node answers, `UnfitCluster` where nothing can be kept in it.
    """
    shards = await read_shards_of(nodes)
    if refusals := list_refusals(shards):
        raise UnfitCluster(" ".join(refusals))
    checked = await asyncio.gather(*map(_check_node, nodes.values()))
    return [*list_cluster_lacks(shards, seeds), *join_findings(dict(zip(nodes, checked, strict=True)))]


async def _check_node(node: Redis) -> list[str]:
    """Return what is wrong with one node; that it does not answer is one such thing."""
    try:
        with translate_errors():
            return await list_lacks_of_server(node, CLUSTER_REQUIREMENTS)
    except StoreAway as error:
        return [f"it does not answer ({error})"]


async def _check_version(redis: Redis) -> list[str]:
    oldest = ".".join(map(str, OLDEST))
    try:
        return _check_age(await redis.info("server"))
    except ResponseError as error:
        if read_error_code(error) not in NOT_FOR_US:
            raise
        return [f"its version cannot be read ({error}); {oldest} is the oldest that works"]


async def _check_directives(redis: Redis, requirements: Sequence[Requirement]) -> list[str]:
    try:
        values = await redis.config_get(*[each.directive for each in requirements])
    except ResponseError as error:
        if read_error_code(error) not in NOT_FOR_US:
            raise
        return [f"its configuration cannot be read ({error}); it should say {_name_requirements(requirements)}"]
    return _list_unmet(cast("dict[str, str]", values), requirements)


def _check_age(about: Mapping[str, object]) -> list[str]:
    version = str(about.get("redis_version", "unknown"))
    if version.partition(".")[0].isdecimal() and tuple(map(int, version.split(".")[:2])) >= OLDEST:
        return []
    return [f"its version is {version}, but {'.'.join(map(str, OLDEST))} is the oldest that works"]


def _list_unmet(values: Mapping[str, str], requirements: Sequence[Requirement]) -> list[str]:
    return [
        f"{each.directive} is {values[each.directive]}, and should be {each.wanted}: {each.cost}"
        for each in requirements
        if each.directive in values and not each.is_met(values[each.directive])
    ]


def _name_requirements(requirements: Sequence[Requirement]) -> str:
    return ", ".join(f"{each.directive} {each.wanted}" for each in requirements)


def _main() -> int:
    try:
        settings = Settings.load()
        lacks = asyncio.run(check_config(settings.redis_address))
    except (InvalidSettings, StoreError) as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, InvalidSettings) else 1
    for lack in lacks:
        sys.stderr.write(f"warning: {lack}\n")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
