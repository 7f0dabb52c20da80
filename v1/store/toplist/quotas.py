"""What of the providers' plans is used, in Redis, where a restart does not forget it."""

from collections.abc import Callable
from typing import cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from ...toplist import quota
from ...toplist.quota import QuotaUsage
from .. import keys
from ..transactions import change_watched


class QuotaStore:
    """The use of every provider's plan."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def update_usage(self, provider: str, change: Callable[[QuotaUsage], QuotaUsage | None]) -> QuotaUsage | None:
        """
        Change what of a plan is used, all or nothing, and return it as it is then; `None` where `change` gives that.

        Whoever else changes it at the same moment is noticed, and `change` is asked again.
        """
        key = keys.budget(provider)

        async def decide(pipe: Pipeline) -> QuotaUsage | None:
            held = quota.read_usage(cast("str | None", await pipe.get(key)))
            changed = change(held)
            if changed is not None and changed != held:
                pipe.multi()  # type: ignore[no-untyped-call]  # redis-py's
                pipe.set(key, quota.write_usage(changed), ex=keys.KEEP_BUDGET)
            return changed

        return await change_watched(self._redis, key, decide)
