"""
Checks the configuration of a Redis that somebody else runs, and says what each difference costs. Changes nothing.

`python -m v1.store.config_check` checks the Redis in the settings.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from ..settings import InvalidSettings, Settings
from .connection import StoreError, connect, translate_errors
from .pool import read_error_code

OLDEST = (7, 0)
"""The oldest Redis that is tested."""

NOT_FOR_US = frozenset({"NOPERM", "ERR"})
"""Codes of the answer to a command that the user may not use, or that a provider has disabled."""


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


async def check_config(address: str) -> list[str]:
    """Return what is wrong with the server at `address`, a sentence each. Raises `StoreAway`."""
    async with connect(address, "config-check") as redis:
        with translate_errors():
            return await list_lacks(redis)


async def list_lacks(redis: Redis) -> list[str]:
    """Return what is wrong with the server of a client, a sentence each. Raises what redis-py does."""
    await redis.ping()
    return [*await _check_version(redis), *await _check_directives(redis)]


async def _check_version(redis: Redis) -> list[str]:
    oldest = ".".join(map(str, OLDEST))
    try:
        return _check_age(await redis.info("server"))
    except ResponseError as error:
        if read_error_code(error) not in NOT_FOR_US:
            raise
        return [f"its version cannot be read ({error}); {oldest} is the oldest that works"]


async def _check_directives(redis: Redis) -> list[str]:
    try:
        return _list_unmet(cast("dict[str, str]", await redis.config_get(*[each.directive for each in REQUIREMENTS])))
    except ResponseError as error:
        if read_error_code(error) not in NOT_FOR_US:
            raise
        return [f"its configuration cannot be read ({error}); it should say {_name_requirements()}"]


def _check_age(about: Mapping[str, object]) -> list[str]:
    version = str(about.get("redis_version", "unknown"))
    if version.partition(".")[0].isdecimal() and tuple(map(int, version.split(".")[:2])) >= OLDEST:
        return []
    return [f"its version is {version}, but {'.'.join(map(str, OLDEST))} is the oldest that works"]


def _list_unmet(values: Mapping[str, str]) -> list[str]:
    return [
        f"{each.directive} is {values[each.directive]}, and should be {each.wanted}: {each.cost}"
        for each in REQUIREMENTS
        if each.directive in values and not each.is_met(values[each.directive])
    ]


def _name_requirements() -> str:
    return ", ".join(f"{each.directive} {each.wanted}" for each in REQUIREMENTS)


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
