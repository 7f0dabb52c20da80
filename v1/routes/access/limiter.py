"""
What clients have left of their limits, without a question to Redis for every request.

A process takes an amount from a client's window in Redis in blocks of a fiftieth of the limit, and spends them alone.
So all processes share one limit, and what is unspent in each of them is the error: a client may be refused when a
fiftieth for each further process is left, and may use as much more where a block of one window is spent in the next.
A limit of fewer than 50 is counted one by one.
"""

import asyncio
import math
import re
import time
from collections.abc import Callable
from math import ceil
from typing import NamedTuple

from ...store import RateLimitStore, UsageLimit

REQUESTS = "requests"
POINTS = "points"
BLOCKS = 50
"""Into how many blocks a limit is divided."""
REFUSED_SECONDS = 1.0
"""How long a client that was refused is refused again without a look at its window, at most."""
ENDLESS = 1 << 62
MOST_CLIENTS = 10_000
"""Clients whose blocks are kept; the one that was seen first is forgotten for the next."""

_LIMIT = re.compile(r"([1-9][0-9]{0,11})/(second|minute|hour|day)")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


def parse_usage_limit(name: str, text: str) -> UsageLimit:
    """Return the limit that a setting names: `600/minute`. Raises `ValueError`."""
    found = _LIMIT.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no limit; accepted: a number and second, minute, hour or day, as 600/minute")
    return UsageLimit(name, int(found[1]), _SECONDS[found[2]])


class _Budget:
    """What this process may spend of one limit of one client."""

    __slots__ = ("ends_at", "free_at", "lapses_at", "left", "limit", "refused_until", "remaining")

    def __init__(self, limit: UsageLimit | None) -> None:
        """Begin with nothing; without a limit, with more than anybody spends."""
        self.limit = limit
        self.left = 0 if limit else ENDLESS
        """Taken from the window, and not yet spent."""
        self.lapses_at = 0.0 if limit else math.inf
        """When that ends. Later it would be of a window that is over."""
        self.remaining = limit.amount if limit else 0
        """What the window had left, at the last look."""
        self.ends_at = 0.0
        """When the window ends."""
        self.free_at = 0.0
        """When enough is free again for what was refused last."""
        self.refused_until = 0.0


class _Account:
    """The budgets of a client, and the header lines that tell of them, written anew when a second less is left."""

    __slots__ = ("budgets", "good_until", "lines", "lock", "points", "requests")

    def __init__(self, requests: UsageLimit | None, points: UsageLimit | None) -> None:
        self.requests = _Budget(requests)
        self.points = _Budget(points)
        self.budgets = tuple(each for each in (self.requests, self.points) if each.limit)
        self.lock = asyncio.Lock()
        self.lines = b""
        """The lines, with a place for what is left of each limit."""
        self.good_until = -math.inf
        """When a budget lapses, or another number of seconds is left."""


class Spending(NamedTuple):
    """What came of a request's wish to use a part of its client's limits."""

    lines: bytes
    """The header lines that tell the client what is left (draft-ietf-httpapi-ratelimit-headers-11)."""
    violated: tuple[str, ...] = ()
    """The names of the limits that did not allow it."""
    wait: float = 0.0
    """Seconds until it may be tried again."""


class RateLimiter:
    """The limits of all clients. `try_spend` costs no question to Redis; where it cannot say, `spend` does."""

    def __init__(
        self, requests: UsageLimit | None, points: UsageLimit | None, steady: Callable[[], float] = time.monotonic
    ) -> None:
        """Know the limits; at least one of them. `steady` says seconds that only go forward."""
        self.limits = tuple(limit for limit in (requests, points) if limit)
        self.most_points = points.amount if points else 0
        """What asks for more than a limit allows at all uses up all of it; without a limit nothing is counted."""
        self._policy = ", ".join(_describe_policy(limit) for limit in self.limits)
        self._has_both = requests is not None and points is not None
        self._given = requests, points
        self._steady = steady
        self._accounts: dict[str, _Account] = {}
        self._store: RateLimitStore | None = None

    def use_store(self, store: RateLimitStore) -> None:
        """Take from the windows in a store from now on."""
        self._store = store

    def try_spend(self, client: str, amount: int) -> bytes | None:
        """
        Use one request and `amount` points of what is at hand; `None` where there is not enough.

        Return the header lines that tell the client what is left.
        """
        account = self._accounts.get(client)
        if account is None:
            return None
        now = self._steady()
        if now >= account.good_until:
            self._renew_lines(account, now)
        requests, points = account.requests, account.points
        if requests.left < 1 or points.left < amount or now >= account.good_until:
            return None
        requests.left -= 1
        points.left -= amount
        # Written out here and in `_describe`: every request passes here.
        if self._has_both:
            return account.lines % (requests.remaining + requests.left, points.remaining + points.left)
        return self._describe(account)

    async def spend(self, client: str, points: int) -> Spending:
        """Use one request and some points, or nothing where a limit does not allow it."""
        points, account = min(points, self.most_points), self._find_account(client)
        async with account.lock:
            # Who waited for the lock may find what another has taken meanwhile.
            if (lines := self.try_spend(client, points)) is not None:
                return Spending(lines)
            refused = [
                limit.name
                for budget, amount in ((account.requests, 1), (account.points, points))
                if (limit := budget.limit) and not await self._refill(budget, limit, client, amount)
            ]
            now = self._steady()
            self._renew_lines(account, now)
            if refused:
                ready = max(each.free_at for each in account.budgets if each.limit and each.limit.name in refused)
                return Spending(self._describe(account), tuple(refused), ready - now)
            return Spending(self.try_spend(client, points) or self._describe(account))

    def _renew_lines(self, account: _Account, now: float) -> None:
        """Write how many seconds are left of each window, rounded up, at least 1, and until when that is true."""
        told, good_until = [], min(account.requests.lapses_at, account.points.lapses_at)
        for limit, budget in zip(self.limits, account.budgets, strict=True):
            left = budget.ends_at - now
            told.append(f'"{limit.name}";r=%d;t={max(1, ceil(left))}')
            if left > 1:
                good_until = min(good_until, now + (left % 1 or 1))
        account.lines = f"ratelimit-policy: {self._policy}\r\nratelimit: {', '.join(told)}\r\n".encode()
        account.good_until = good_until

    @staticmethod
    def _describe(account: _Account) -> bytes:
        return account.lines % tuple([each.remaining + each.left for each in account.budgets])

    def _find_account(self, client: str) -> _Account:
        account = self._accounts.get(client)
        if account is None:
            if len(self._accounts) >= MOST_CLIENTS:
                del self._accounts[next(iter(self._accounts))]
            account = self._accounts[client] = _Account(*self._given)
        return account

    async def _refill(self, budget: _Budget, limit: UsageLimit, client: str, amount: int) -> bool:
        """Take a block where less than `amount` is at hand; return whether there is as much now."""
        now = self._steady()
        if now >= budget.lapses_at:
            budget.left = 0
        if budget.left >= amount and now < budget.lapses_at:
            return True
        if now < budget.refused_until or self._store is None:
            return False
        needed = amount - budget.left
        for block in dict.fromkeys((max(needed, limit.amount // BLOCKS), needed)):
            if await self._store.take(limit, client, block):
                budget.left += block
                budget.lapses_at = now + limit.seconds
                break
        usage = await self._store.read_usage(limit, client, max(0, amount - budget.left))
        now = self._steady()
        budget.remaining, budget.ends_at = usage.remaining, now + usage.ends_in
        if budget.left < amount:
            budget.free_at = now + usage.wait
            budget.refused_until = min(budget.free_at, now + REFUSED_SECONDS)
            return False
        return True


def _describe_policy(limit: UsageLimit) -> str:
    unit = "" if limit.name == REQUESTS else f';qu="{limit.name}"'
    return f'"{limit.name}";q={limit.amount};w={limit.seconds}{unit}'
