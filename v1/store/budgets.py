"""
What was asked of a provider from one address, in Redis, where all processes draw on one budget. Errors: `StoreError`.

The worker decides what may be asked (`worker.sources.budget`); here is what is kept between its requests.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar, cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from . import keys
from .connection import translate_errors
from .transactions import change_watched

ANSWER_SECONDS = 0.3
"""How long Redis is waited for: at a tick a second the rest of it must be enough for the provider."""

T = TypeVar("T")


class ProviderUsage(NamedTuple):
    """What was asked of a provider lately, and what it said of its limits. Times are unix seconds, 0 for never."""

    slots: Mapping[int, int] = {}
    """By second of the answer, the units that its requests took; of a request that is on its way, the latest second."""
    next_at: float = 0.0
    """What fills the past sends nothing before, where requests need a distance."""
    left: int | None = None
    """Units that the provider said are left of an allowance; `None` while it says nothing."""
    left_at: float = 0.0
    """When it said so."""
    most: int = 0
    """The largest `left` of the past day."""
    most_at: float = 0.0
    banned_at: float = 0.0
    """When it last refused us for asking too much."""
    banned_until: float = 0.0
    """Nothing is asked before."""
    reason: str = ""
    """Its words then."""


def write_provider_usage(usage: ProviderUsage) -> str:
    return json.dumps(usage._asdict(), separators=(",", ":"))


def read_provider_usage(written: str | None) -> ProviderUsage:
    """Read what `write_provider_usage` wrote; of nothing, or something else, the usage of a provider that nobody asked."""
    try:
        given = {} if written is None else json.loads(written)
        usage = ProviderUsage(**given)
        return usage._replace(slots={int(second): int(units) for second, units in usage.slots.items()})
    except (TypeError, ValueError, AttributeError):
        return ProviderUsage()


class BudgetStore:
    """The usage of every provider, by the address from which it was asked."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def update(
        self, name: str, change: Callable[[ProviderUsage], tuple[ProviderUsage, T]]
    ) -> tuple[ProviderUsage, T]:
        """
        Change a usage, all or nothing, and return it and what else `change` returned.

        Where another process changes it at the same moment, `change` is called again with what there is then. Raises
        `StoreAway` also where Redis takes longer than `ANSWER_SECONDS`.
        """
        key = keys.budget(name)

        async def decide(pipe: Pipeline) -> tuple[ProviderUsage, T]:
            held = read_provider_usage(cast("str | None", await pipe.get(key)))
            changed, answer = change(held)
            if changed != held:
                pipe.multi()  # type: ignore[no-untyped-call]  # redis-py's
                pipe.set(key, write_provider_usage(changed), ex=keys.KEEP_BUDGET)
            return changed, answer

        with translate_errors():
            async with asyncio.timeout(ANSWER_SECONDS):
                return await change_watched(self._redis, key, decide)
