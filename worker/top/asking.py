"""
A role that asks a provider for its list, as often as the plan allows, and puts what comes into a stream.

On a minute it charges the plan for an asking, asks, adds the list, and puts down what became of it, in that
order. Killed anywhere it has paid at most for a list that never came: the next one comes an interval later,
or earlier where what is left over pays for it. Of two processes with the same role one asks.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import structlog

from worker.latest import About, Listing, Plans, StoreError, TopWriter, Use, month_end
from worker.patience import trouble
from worker.sources.base import Nonsense, Refused, SourceError, Unreachable
from worker.sources.toplists import Answer, Coin, Implausible, Limited, Lister, Meter, TooFew
from worker.top import plausible
from worker.top.budget import Outcome, Plan, claimed, cost, interval, renewed, settled, turned

log = structlog.get_logger()

PATIENCE = 50.0
"""Seconds that a whole list may take: the next minute must find its role free."""
TRIES = 30
"""How often a list is offered to a Redis that is away, before it is given up."""
RETRY_SECONDS = 1.0
FAULTS = {
    Limited: "rate limited",
    TooFew: "too few rows",
    Implausible: "implausible",
    Refused: "refused",
    Nonsense: "unreadable",
    Unreachable: "no answer",
}
"""What failures are counted as: the first kind that fits."""

Sleep = Callable[[float], Awaitable[None]]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Role(Generic[Coin]):
    """Who is asked, how often, and where the lists go."""

    name: str
    lister: Lister[Coin]
    plan: Plan
    put: Callable[[Listing[Coin]], Awaitable[bool]]
    newest: Callable[[int], Awaitable[Listing[Coin] | None]]
    """Gives the newest list up to a minute."""
    other: Callable[[int], Awaitable[Listing[Any] | None]]
    """Gives the newest list of the other provider up to a minute."""
    is_dated: bool
    """Whether the provider says when its lists were made."""


class Asker(Generic[Coin]):
    """Runs a role. What goes wrong with Redis or the provider costs a list at most, and is told once."""

    def __init__(self, role: Role[Coin], plans: Plans, top: TopWriter, sleep: Sleep = asyncio.sleep) -> None:
        self._role: Role[Coin] = role
        self._plans = plans
        self._top = top
        self._sleep = sleep
        self._is_open = False
        self._trouble = ""
        self._told = _told(role.plan.interval, "ok", None)

    async def open(self, now: int) -> None:
        """Learn what is there already, and ask for the past where the provider knows it; stays closed without Redis."""
        try:
            newest = await self._role.newest(now)
            if self._role.lister.keeps:
                await self._fill(max(now - self._role.lister.keeps, newest.about.at if newest else 0), now)
            if newest is not None:
                # Who was killed between adding a list and putting it down finds it here.
                await self._plans.amend(self._role.plan.provider, partial(_given, newest.about.at))
        except StoreError as error:
            self._away(error)
        else:
            self._is_open = True

    async def run(self, now: int, beats: AsyncIterator[int]) -> None:
        """Do the work of minute `now`, and of every one that comes, for ever."""
        await self.step(now)
        async for at in beats:
            await self.step(at)

    async def step(self, at: int) -> None:
        """Ask for the list of minute `at`, where it is time to."""
        try:
            if not self._is_open:
                await self.open(at)
            use, is_to_ask = await self._claim(at)
            if is_to_ask:
                use = await self._ask(use, at)
            await self._note(use, at)
        except StoreError as error:
            self._away(error)
        else:
            if self._trouble:
                log.info("Redis is back", role=self._role.name)
            self._trouble = ""

    async def _claim(self, at: int) -> tuple[Use, bool]:
        """Give what of the plan is used, and whether that is for an asking of ours at this minute."""
        claim: Use | None = None

        def change(use: Use) -> Use:
            nonlocal claim
            use = renewed(self._role.plan, use)
            claim = claimed(self._role.plan, use, at)
            return claim or turned(use, at)

        use = await self._plans.amend(self._role.plan.provider, change)
        return use or Use(), claim is not None

    async def _ask(self, use: Use, at: int) -> Use:
        plan, reserved, meter = self._role.plan, cost(self._role.plan, use), Meter()
        every = interval(plan, use, at) or plan.interval or 0
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await self._role.lister.ask(at, meter)
            listing = _listing(self._role.lister.name, at, every, answer)
            await self._see_that_it_can_be_true(listing)
        except (SourceError, TimeoutError) as error:
            outcome = _failed(meter, error, self._role.lister.name)
            log.warning("no list", role=self._role.name, at=at, reason=outcome.reason)
        else:
            if not await self._patiently(lambda: self._role.put(listing)):
                log.warning("a later list is there already: was a clock wrong?", role=self._role.name, at=at)
            outcome = Outcome(meter.charged, meter.remaining)
            log.debug("list", role=self._role.name, at=at, coins=len(answer.coins), left_out=answer.left_out)
        settle = partial(settled, plan, at=at, outcome=outcome, reserved=reserved)
        return await self._patiently(lambda: self._plans.amend(plan.provider, settle)) or use

    async def _see_that_it_can_be_true(self, listing: Listing[Coin]) -> None:
        """Raise `Implausible` where the list that is kept is better than this one."""
        at = listing.about.at
        kept, other = await self._patiently(lambda: asyncio.gather(self._role.newest(at), self._role.other(at)))
        fault = plausible.fault(listing, kept, other, is_dated=self._role.is_dated)
        if fault is not None:
            raise Implausible(f"{listing.about.source}: {fault}")

    async def _patiently(self, write: Callable[[], Awaitable[_T]]) -> _T:
        """Write what was paid for already: it is worth some tries."""
        for _ in range(TRIES - 1):
            try:
                return await write()
            except StoreError as error:
                self._away(error)
                await self._sleep(RETRY_SECONDS)
        return await write()

    async def _fill(self, since: int, now: int) -> None:
        """Ask for the lists that are missing. What is simulated costs nothing."""
        every = self._role.plan.interval or self._role.lister.keeps
        for at in range(since // every * every + every, now, every):
            answer = await self._role.lister.ask(at, Meter())
            await self._role.put(_listing(self._role.lister.name, at, every, answer))

    async def _note(self, use: Use, at: int) -> None:
        state = state_of(self._role.plan, use, at)
        await self._top.note(self._role.name, {**state, "at": at, "source": self._role.lister.name})
        told = _told(state["interval"], state["state"], state["reason"])
        if told != self._told:
            log.info("asking", role=self._role.name, **{name: state[name] for name in ("state", "interval", "reason")})
        self._told = told

    def _away(self, error: StoreError) -> None:
        if self._trouble != (told := f"{trouble(error)}, nobody is asked"):
            log.warning(told, role=self._role.name, reason=str(error))
        self._trouble = told


def state_of(plan: Plan, use: Use, at: int) -> Mapping[str, Any]:
    """Say how a role does, for whoever asks the API."""
    every = interval(plan, use, at)
    waits = use.until > at
    if every is None:
        state, reason = "stopped", f"{use.spent} of {plan.monthly} {plan.unit} are used; see {plan.setting}"
    elif use.failures:
        state, reason = "failing", use.reason
    elif plan.interval is not None and every > plan.interval:
        state, reason = (
            "slowed",
            f"{use.spent} of {plan.monthly} {plan.unit} are used, and must last to the month's end",
        )
    else:
        state, reason = "ok", None
    return {
        "state": state,
        "reason": reason,
        "interval": every,
        "planned": plan.interval,
        "unit": plan.unit,
        "month": use.month,
        "used": use.spent,
        "limit": plan.monthly,
        "resets": month_end(at),
        "until": use.until if waits else None,
        "list_at": use.good or None,
        "faults": use.faults,
    }


def _told(every: int | None, state: str, reason: str | None) -> str:
    return f"{state}: {reason}, every {every} s"


def _given(at: int, use: Use) -> Use | None:
    return use._replace(good=at) if at > use.good else None


def _listing(name: str, at: int, every: int, answer: Answer[Coin]) -> Listing[Coin]:
    return Listing(About(name, at, answer.provider_time, every, dict(answer.left_out)), answer.coins)


def _failed(meter: Meter, error: Exception, name: str) -> Outcome:
    fault = next((words for kind, words in FAULTS.items() if isinstance(error, kind)), FAULTS[Unreachable])
    reason = str(error) or f"{name} took longer than {PATIENCE:g} s"
    return Outcome(meter.charged, meter.remaining, fault, reason, getattr(error, "wait", None) or 0)
