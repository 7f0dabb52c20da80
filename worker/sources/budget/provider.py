"""
The budget of one provider and one address of ours: every request is claimed here before it is sent.

All processes count in one place, in Redis. While that is away a process goes by what it last saw there, and uses a quarter
of the budget for all but ticks; what it asked meanwhile is put into Redis when that is back.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import structlog

from worker.latest import format_iso
from worker.latest.store import BudgetStore, ProviderUsage, StoreError
from worker.sources.budget import arithmetic
from worker.sources.budget.arithmetic import CallResult, Claim, Purpose
from worker.sources.budget.terms import WHOLE, BudgetTerms
from worker.sources.errors import SourceRefused

ALONE_PERCENT = {Purpose.TICK: 100, Purpose.MARKETS: 25, Purpose.FILL: 25}
"""
How much of the budget a process uses that cannot reach Redis. One worker samples a Redis, so its ticks are the only ones;
of processes that fill or record there may be several, and four of them use no more than all of it.
"""
AWAY_SECONDS = 5.0
"""How long Redis is not asked again after it did not answer."""
LOOK_SECONDS = 2.0
"""How long a request waits until it is claimed again, at most: others may be answered sooner than they could be."""
TURN_SECONDS = {Purpose.TICK: 3.0, Purpose.MARKETS: 20.0, Purpose.FILL: 120.0}
"""Seconds that a request waits for its turn before it is given up."""
PLENTY = 10**9

Sleep = Callable[[float], Awaitable[None]]
_T = TypeVar("_T")

log = structlog.get_logger()


class BudgetSpent(SourceRefused):
    """Nothing was asked: the provider would limit or ban us."""

    kind: ClassVar[str] = "budget spent"


@dataclass
class MeteredCall:
    """What is noted of a request while its answer is read."""

    used: int | None = None
    """Units that the provider says were used in its running window."""
    left: int | None = None
    """Units that it says are left of an allowance."""


class RequestBudget(Protocol):
    """Where requests to a provider are claimed."""

    def request(self, cost: int, purpose: Purpose) -> AbstractAsyncContextManager[MeteredCall]:
        """
        Wait until a request of so many units may be sent, and count it until it is answered, inside.

        Raises `BudgetSpent` where it may not be sent soon. A `SourceRefused` with a wait, raised inside, keeps every
        process from asking for that long.
        """
        ...

    def set_amount(self, amount: int) -> None:
        """Take in how many units the provider allows in a window."""
        ...

    def count_room(self) -> int:
        """Return the units that a tick can still use, as far as is known here."""
        ...

    def count_tick_requests(self) -> int:
        """Return how many requests were sent for ticks since the start."""
        ...

    def describe(self) -> dict[str, Any] | None:
        """Say how the budget does, for whoever asks the API; `None` where there is none."""
        ...


class NoBudget:
    """Counts nothing: for whoever asks a server of its own."""

    @asynccontextmanager
    async def request(self, cost: int, purpose: Purpose) -> AsyncIterator[MeteredCall]:  # noqa: ARG002  # see `RequestBudget`
        yield MeteredCall()

    def set_amount(self, amount: int) -> None:
        """Take nothing in."""

    def count_room(self) -> int:
        """Return more than anybody uses."""
        return PLENTY

    def count_tick_requests(self) -> int:
        """Return 0: nobody counts."""
        return 0

    def describe(self) -> dict[str, Any] | None:
        """Return `None`: there is none."""
        return None


class _Sent(NamedTuple):
    """A request that was claimed, or is to be claimed again."""

    claim: Claim
    alone_since: int | None = None
    """Where Redis was away: how often it had been told by then of what it missed."""


class ProviderBudget:
    """
    Claims requests to one provider.

    Of two waits for a turn none is fair to the other; a tick waits for less than what fills the past leaves free.
    """

    def __init__(  # noqa: PLR0913  # all but two by name
        self,
        name: str,
        terms: BudgetTerms,
        *,
        store: BudgetStore | None = None,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`name` says whose budget it is: provider, host, and the address of ours. Without a `store` it is all ours."""
        self._name = name
        self._terms = terms
        self._store = store
        self._clock = clock
        self._steady = steady
        self._sleep = sleep
        self._away_until: float | None = None
        self._seen, self._own, self._unshared = ProviderUsage(), ProviderUsage(), ProviderUsage()
        """The usage of all processes as last seen; of this one; and of this one, of which Redis does not know yet."""
        self._told = 0
        """How often Redis was told of that."""
        self._exchange = asyncio.Lock()
        self._unsettled: list[Callable[[ProviderUsage], ProviderUsage]] = []
        """What became of requests that Redis knows of, and does not know yet how they ended."""
        self.requests: Counter[Purpose] = Counter()
        """Requests that were sent since the start."""
        self.units: Counter[Purpose] = Counter()
        """Units that they took."""

    @asynccontextmanager
    async def request(self, cost: int, purpose: Purpose) -> AsyncIterator[MeteredCall]:
        sent = await self._wait_for_turn(cost, purpose)
        self.requests[purpose] += 1
        self.units[purpose] += cost
        call, wait, reason, is_cut = MeteredCall(), None, "", False
        try:
            yield call
        except SourceRefused as error:
            wait, reason = error.wait, str(error)
            if wait is not None:
                error.until = self._clock() + wait
            raise
        except asyncio.CancelledError:
            is_cut = True
            self._note_settled(sent, CallResult())
            raise
        finally:
            if not is_cut:
                await self._settle(sent, CallResult(call.used, call.left, wait, reason))

    def set_amount(self, amount: int) -> None:
        self._terms = self._terms._replace(amount=amount)

    def count_room(self) -> int:
        if not self._terms.amount:
            return PLENTY
        return self._terms.cap - arithmetic.count_spent(self._advance(self._seen))

    def count_tick_requests(self) -> int:
        return self.requests[Purpose.TICK]

    async def is_closed(self) -> bool:
        """Return whether the provider asked any of us to stay away."""
        known, is_fresh = await self._change_shared(lambda usage: (usage, True))
        if is_fresh:
            self._seen = known
        return self._is_closed

    @property
    def _is_closed(self) -> bool:
        return self._clock() < max(self._seen.banned_until, self._own.banned_until)

    def describe(self) -> dict[str, Any]:
        usage, terms = self._advance(self._seen), self._terms
        limit, spent = terms.amount, arithmetic.count_spent(usage)
        if not terms.amount:
            limit, spent = usage.most, usage.most - (usage.most if usage.left is None else usage.left)
        return {
            "unit": terms.unit,
            "seconds": terms.seconds if terms.amount else None,
            "limit": limit / terms.scale,
            "spent": spent / terms.scale,
            "margin": (WHOLE - terms.percent) / WHOLE,
            "banned_until": usage.banned_until if self._is_closed else None,
            "is_shared": self._store is not None and self._away_until is None,
            "requests": {f"{purpose}": self.requests[purpose] for purpose in Purpose},
            "units": {f"{purpose}": self.units[purpose] / terms.scale for purpose in Purpose},
        }

    async def _wait_for_turn(self, cost: int, purpose: Purpose) -> _Sent:
        waited = 0.0
        while True:
            sent = await self._claim(cost, purpose)
            claim = sent.claim
            if claim.wait <= 0:
                return sent
            pause = min(claim.wait, LOOK_SECONDS)
            if claim.is_long or waited + pause > TURN_SECONDS[purpose]:
                raise self._make_refusal(claim)
            await self._sleep(pause)
            waited += pause

    async def _claim(self, cost: int, purpose: Purpose) -> _Sent:
        terms, now = self._terms, self._clock()
        known, claim = await self._change_shared(
            lambda usage: arithmetic.claim_request(terms, usage, now, cost, purpose)
        )
        if claim is not None:
            self._seen = known
            if claim.wait <= 0:
                self._own = arithmetic.add_claim(terms, self._own, now, claim)
            return _Sent(claim)
        return self._claim_alone(cost, purpose, now)

    def _claim_alone(self, cost: int, purpose: Purpose, now: float) -> _Sent:
        """Claim by what was last seen of all processes, and by this one's part."""
        terms = self._terms
        percent = terms.percent if self._store is None else max(1, terms.percent * ALONE_PERCENT[purpose] // WHOLE)
        part = terms._replace(percent=percent)
        seen, claim = arithmetic.claim_request(terms, self._seen, now, cost, purpose)
        _, own_claim = arithmetic.claim_request(part, self._own, now, cost, purpose)
        refused = max(claim, own_claim, key=lambda each: each.wait)
        if refused.wait > 0:
            return _Sent(refused)
        self._seen = seen
        self._own = arithmetic.add_claim(part, self._own, now, claim)
        self._unshared = arithmetic.add_claim(terms, self._unshared, now, claim)
        return _Sent(claim, self._told)

    async def _settle(self, sent: _Sent, result: CallResult) -> None:
        self._note_settled(sent, result)
        if self._is_known_to_redis(sent) or result.wait is not None:
            known, done = await self._change_shared(lambda usage: (usage, True))
            if done:
                self._seen = known

    def _note_settled(self, sent: _Sent, result: CallResult) -> None:
        """Take in what became of a request here; Redis is told with the next exchange."""
        terms, now, claim = self._terms, self._clock(), sent.claim

        def settle(usage: ProviderUsage) -> ProviderUsage:
            return arithmetic.settle_request(terms, usage, now, claim, result)

        self._seen = settle(self._seen)
        mine = CallResult(wait=result.wait, reason=result.reason)
        self._own = arithmetic.settle_request(terms, self._own, now, claim, mine)
        if self._is_known_to_redis(sent):
            self._unsettled.append(settle)
        else:
            self._unshared = arithmetic.settle_request(terms, self._unshared, now, claim, mine)

    async def _change_shared(
        self, change: Callable[[ProviderUsage], tuple[ProviderUsage, _T]]
    ) -> tuple[ProviderUsage, _T | None]:
        """Change the usage in Redis, and tell it what it does not know yet; `None` where it cannot be reached."""
        async with self._exchange:
            is_away = self._away_until is not None and self._steady() < self._away_until
            if self._store is None or is_away:
                return self._seen, None
            settled, unshared, own = tuple(self._unsettled), self._unshared, self._own

            def apply(usage: ProviderUsage) -> tuple[ProviderUsage, _T]:
                for settle in settled:
                    usage = settle(usage)
                parts = (self._advance(each) for each in (usage, unshared, own))
                return change(arithmetic.merge_usages(*parts))

            try:
                known, answer = await self._store.update(self._name, apply)
            except StoreError as error:
                self._note_away(str(error))
                return self._seen, None
            del self._unsettled[: len(settled)]
            self._note_told()
            return known, answer

    def _note_away(self, reason: str) -> None:
        if self._away_until is None:
            log.warning("the budget of a provider is counted by this process alone", budget=self._name, reason=reason)
        self._away_until = self._steady() + AWAY_SECONDS

    def _note_told(self) -> None:
        if self._unshared.slots:
            self._told += 1
            self._unshared = ProviderUsage()
        if self._away_until is not None:
            self._away_until = None
            log.info("the budget of a provider is counted in Redis again", budget=self._name)

    def _is_known_to_redis(self, sent: _Sent) -> bool:
        return sent.alone_since is None or sent.alone_since != self._told

    def _advance(self, usage: ProviderUsage) -> ProviderUsage:
        return arithmetic.advance(self._terms, usage, self._clock())

    def _make_refusal(self, claim: Claim) -> BudgetSpent:
        provider = self._name.partition(":")[0]
        if not claim.is_long:
            # Asked again at the next tick: a claim that is refused asks nobody.
            return BudgetSpent(f"{provider} is not asked now: {claim.reason}")
        until = self._clock() + claim.wait
        error = BudgetSpent(f"{provider} is not asked before {format_iso(round(until))}: {claim.reason}", claim.wait)
        error.until = until
        return error
