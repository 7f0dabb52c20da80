"""What of the providers' plans is used, in Redis, where a restart does not forget it."""

from collections.abc import Callable
from contextlib import suppress
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import WatchError

from .. import budgets, keys
from ..budgets import Use
from .connection import translated


class Plans:
    """The use of every provider's plan."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def amend(self, provider: str, change: Callable[[Use], Use | None]) -> Use | None:
        """
        Change what of a plan is used, all or nothing, and give it as it is then; `None` where `change` gives that.

        Whoever else changes it at the same moment is noticed, and `change` is asked again.
        """
        key = keys.budget(provider)
        while True:
            async with self._redis.pipeline(transaction=True) as pipe:
                with translated():
                    await pipe.watch(key)
                    held = budgets.read(cast("str | None", await pipe.get(key)))
                    changed = change(held)
                    if changed is None or changed == held:
                        return changed
                    pipe.multi()  # type: ignore[no-untyped-call]  # redis-py's
                    pipe.set(key, budgets.write(changed), ex=keys.KEEP_BUDGET)
                    with suppress(WatchError):
                        await pipe.execute()
                        return changed
