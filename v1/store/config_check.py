"""
Looks at a Redis that somebody else configured, and says what its configuration will cost. Changes nothing.

`python -m v1.store.doctor` says it of the Redis in the settings.
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
"""The oldest Redis that our commands and our configuration are tested on."""

NOT_FOR_US = frozenset({"NOPERM", "ERR"})
"""Codes of the answer to a command that our user may not use, or that a provider has taken away."""


class Requirement(NamedTuple):
    """What one directive of a server's configuration should be, and what it costs where it is not."""

    directive: str
    is_met: Callable[[str], bool]
    wanted: str
    cost: str


def is_at_least(least: int) -> Callable[[str], bool]:
    return lambda said: int(said) >= least


WISHES = (
    Requirement(
        "maxmemory-policy",
        lambda said: said == "noeviction",
        "noeviction",
        "when its memory is full it drops metrics and their history without a word; "
        "with noeviction the worker is told, keeps its ticks and writes them later",
    ),
    Requirement(
        "zset-max-listpack-value",
        is_at_least(256),
        "256",
        "samples are longer than that, so all of them take 1.6 to 1.8 times the memory",
    ),
    Requirement(
        "zset-max-listpack-entries",
        is_at_least(2000),
        "2000",
        "an hour of samples with more members than that takes 1.6 to 1.8 times the memory",
    ),
    Requirement(
        "appendonly",
        lambda said: said == "yes",
        "yes",
        "when it stops, every sample since its last snapshot is lost; "
        "the worker fills the gap with what the providers still know",
    ),
)


async def check_config(address: str) -> list[str]:
    """Say what is wrong with the server at `address`, a sentence each; nothing where nothing is. Raises `StoreAway`."""
    async with connect(address, "doctor") as redis:
        with translate_errors():
            await redis.ping()
            return [*await _age(redis), *await _configuration(redis)]


async def _age(redis: Redis) -> list[str]:
    oldest = ".".join(map(str, OLDEST))
    try:
        return _too_old(await redis.info("server"))
    except ResponseError as error:
        if read_error_code(error) not in NOT_FOR_US:
            raise
        return [f"its version cannot be read ({error}); {oldest} is the oldest that works"]


async def _configuration(redis: Redis) -> list[str]:
    try:
        return _lacks(cast("dict[str, str]", await redis.config_get(*[wish.directive for wish in WISHES])))
    except ResponseError as error:
        if read_error_code(error) not in NOT_FOR_US:
            raise
        return [f"its configuration cannot be read ({error}); it should say {_all_wishes()}"]


def _too_old(about: Mapping[str, object]) -> list[str]:
    version = str(about.get("redis_version", "unknown"))
    if version.partition(".")[0].isdecimal() and tuple(map(int, version.split(".")[:2])) >= OLDEST:
        return []
    return [f"its version is {version}, but {'.'.join(map(str, OLDEST))} is the oldest that works"]


def _lacks(said: Mapping[str, str]) -> list[str]:
    return [
        f"{wish.directive} is {said[wish.directive]}, and should be {wish.wanted}: {wish.cost}"
        for wish in WISHES
        if wish.directive in said and not wish.is_met(said[wish.directive])
    ]


def _all_wishes() -> str:
    return ", ".join(f"{wish.directive} {wish.wanted}" for wish in WISHES)


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
