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

from worker.latest.store import StoreError
from worker.latest.toplist import ListOrigin, ProviderList, QuotaStore, QuotaUsage, TopWriter, find_month_end
from worker.reporting.outage_log import OutageLog
from worker.reporting.redis_retry import describe_trouble
from worker.sources.errors import InvalidResponse, SourceError, SourceRefused, SourceUnreachable
from worker.sources.list_provider import CallMeter, Coin, Implausible, ListAnswer, ListLimited, ListProvider, TooFewRows
from worker.toplist import plausible
from worker.toplist.quota_plan import (
    SHARE,
    CallOutcome,
    QuotaPlan,
    claim_call,
    compute_cost,
    compute_interval,
    renew_usage,
    settle_call,
    start_month,
)

log = structlog.get_logger()

LIST_SECONDS = 50.0
"""Seconds that a whole list may take: the next minute must find its role free."""
TRIES = 30
"""How often a list is offered to a Redis that is away, before it is given up."""
RETRY_SECONDS = 1.0
FAULTS = {
    ListLimited: "rate limited",
    TooFewRows: "too few rows",
    Implausible: "implausible",
    SourceRefused: "refused",
    InvalidResponse: "unreadable",
    SourceUnreachable: "no answer",
}
"""What failures are counted as: the first kind that fits."""

Sleep = Callable[[float], Awaitable[None]]
NoteState = Callable[[str, Mapping[str, Any]], None]
"""Takes a role and its state."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class PollerRole(Generic[Coin]):
    """Who is asked, how often, and where the lists go."""

    name: str
    lister: ListProvider[Coin]
    plan: QuotaPlan
    put: Callable[[ProviderList[Coin]], Awaitable[bool]]
    newest: Callable[[int], Awaitable[ProviderList[Coin] | None]]
    """Returns the newest list up to a minute."""
    other: Callable[[int], Awaitable[ProviderList[Any] | None]]
    """Returns the newest list of the other provider up to a minute."""
    is_dated: bool
    """Whether the provider says when its lists were made."""


class Poller(Generic[Coin]):
    """Runs a role. What goes wrong with Redis or the provider costs a list at most, and is told once."""

    def __init__(
        self,
        role: PollerRole[Coin],
        plans: QuotaStore,
        top: TopWriter,
        sleep: Sleep = asyncio.sleep,
        noted: NoteState = lambda *_: None,
    ) -> None:
        self.list_seconds = LIST_SECONDS
        self._noted = noted
        self._role: PollerRole[Coin] = role
        self._plans = plans
        self._top = top
        self._sleep = sleep
        self._is_open = False
        self._outage = OutageLog(role=role.name)
        self._told = _describe_outcome(role.plan.plan_interval, "ok", None)

    async def open(self, now: int) -> None:
        """Learn what is there already, and ask for the past where the provider knows it; stays closed without Redis."""
        try:
            newest = await self._role.newest(now)
            if self._role.lister.history_seconds:
                await self._fill(max(now - self._role.lister.history_seconds, newest.about.at if newest else 0), now)
            if newest is not None:
                # Who was killed between adding a list and putting it down finds it here.
                await self._plans.update_usage(self._role.plan.provider, partial(_find_claimed, newest.about.at))
        except StoreError as error:
            self._log_away(error)
        else:
            self._is_open = True

    async def run(self, now: int, beats: AsyncIterator[int]) -> None:
        """Do the work of minute `now`, and of every one that comes, for ever."""
        await self.poll(now)
        async for at in beats:
            await self.poll(at)

    async def poll(self, at: int) -> None:
        """Ask for the list of minute `at`, where it is time to."""
        try:
            if not self._is_open:
                await self.open(at)
            use, is_to_ask = await self._claim_call(at)
            if is_to_ask:
                use = await self._ask(use, at)
            await self._note(use, at)
        except StoreError as error:
            self._log_away(error)
        else:
            self._outage.log_recovery("Redis is back")

    async def _claim_call(self, at: int) -> tuple[QuotaUsage, bool]:
        """Return what of the plan is used, and whether that is for an asking of ours at this minute."""
        claim: QuotaUsage | None = None

        def change(use: QuotaUsage) -> QuotaUsage:
            nonlocal claim
            use = renew_usage(self._role.plan, use)
            claim = claim_call(self._role.plan, use, at)
            return claim or start_month(use, at)

        use = await self._plans.update_usage(self._role.plan.provider, change)
        return use or QuotaUsage(), claim is not None

    async def _ask(self, use: QuotaUsage, at: int) -> QuotaUsage:
        plan, reserved, meter = self._role.plan, compute_cost(self._role.plan, use), CallMeter()
        every = compute_interval(plan, use, at) or plan.plan_interval or 0
        try:
            async with asyncio.timeout(self.list_seconds):
                answer = await self._role.lister.fetch_list(at, meter)
            listing = _make_list(self._role.lister.name, at, every, answer)
            await self._see_that_it_can_be_true(listing)
        except (SourceError, TimeoutError) as error:
            outcome = _make_failure(meter, error, f"{self._role.lister.name} took longer than {self.list_seconds:g} s")
            log.warning("no list", role=self._role.name, at=at, reason=outcome.reason)
        else:
            if not await self._retry_write(lambda: self._role.put(listing)):
                log.warning("a later list is there already: was a clock wrong?", role=self._role.name, at=at)
            outcome = CallOutcome(meter.charged, meter.remaining)
            log.debug("list", role=self._role.name, at=at, coins=len(answer.coins), left_out=answer.left_out)
        settle = partial(settle_call, plan, at=at, outcome=outcome, reserved=reserved)
        return await self._retry_write(lambda: self._plans.update_usage(plan.provider, settle)) or use

    async def _see_that_it_can_be_true(self, listing: ProviderList[Coin]) -> None:
        """Raise `Implausible` where the list that is kept is better than this one."""
        at = listing.about.at
        kept, other = await self._retry_write(lambda: asyncio.gather(self._role.newest(at), self._role.other(at)))
        fault = plausible.find_fault(listing, kept, other, is_dated=self._role.is_dated)
        if fault is not None:
            raise Implausible(f"{listing.about.source}: {fault}")

    async def _retry_write(self, write: Callable[[], Awaitable[_T]]) -> _T:
        """Write what was paid for already: it is worth some tries."""
        for _ in range(TRIES - 1):
            try:
                return await write()
            except StoreError as error:
                self._log_away(error)
                await self._sleep(RETRY_SECONDS)
        return await write()

    async def _fill(self, since: int, now: int) -> None:
        """Ask for the lists that are missing. What is simulated costs nothing."""
        every = self._role.plan.plan_interval or self._role.lister.history_seconds
        for at in range(since // every * every + every, now, every):
            answer = await self._role.lister.fetch_list(at, CallMeter())
            await self._role.put(_make_list(self._role.lister.name, at, every, answer))

    async def _note(self, use: QuotaUsage, at: int) -> None:
        state = describe_role(self._role.plan, use, at)
        self._noted(self._role.name, state)
        await self._top.write_role_state(self._role.name, {**state, "at": at, "source": self._role.lister.name})
        told = _describe_outcome(state["interval"], state["state"], state["reason"])
        if told != self._told:
            log.info("asking", role=self._role.name, **{name: state[name] for name in ("state", "interval", "reason")})
        self._told = told

    def _log_away(self, error: StoreError) -> None:
        message = f"{describe_trouble(error)}, nobody is asked"
        self._outage.log_failure(message, str(error), kind=message)


def describe_role(plan: QuotaPlan, use: QuotaUsage, at: int) -> Mapping[str, Any]:
    """Say how a role does, for whoever asks the API."""
    every = compute_interval(plan, use, at)
    waits = use.until > at
    if every is None:
        state, reason = "stopped", f"{use.spent} of {plan.monthly} {plan.unit} are used; see {plan.setting}"
    elif use.failures:
        state, reason = "failing", use.reason
    elif plan.plan_interval is not None and every > plan.plan_interval:
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
        "planned": plan.plan_interval,
        "unit": plan.unit,
        "month": use.month,
        "used": use.spent,
        "limit": plan.monthly,
        "resets": find_month_end(at),
        "until": use.until if waits else None,
        "list_at": use.good or None,
        "faults": use.faults,
        "budget": {
            "unit": plan.unit,
            "seconds": None,
            "limit": plan.monthly,
            "spent": use.spent,
            "margin": (SHARE[1] - SHARE[0]) / SHARE[1],
            "banned_until": use.until if waits else None,
            "is_shared": True,
            "tick_requests": plan.calls,
        },
    }


def _describe_outcome(every: int | None, state: str, reason: str | None) -> str:
    return f"{state}: {reason}, every {every} s"


def _find_claimed(at: int, use: QuotaUsage) -> QuotaUsage | None:
    return use._replace(good=at) if at > use.good else None


def _make_list(name: str, at: int, every: int, answer: ListAnswer[Coin]) -> ProviderList[Coin]:
    return ProviderList(ListOrigin(name, at, answer.provider_time, every, dict(answer.left_out)), answer.coins)


def _make_failure(meter: CallMeter, error: Exception, otherwise: str) -> CallOutcome:
    """Return what a call came to that failed; an error that says nothing is told as `otherwise`."""
    fault = next((words for kind, words in FAULTS.items() if isinstance(error, kind)), FAULTS[SourceUnreachable])
    return CallOutcome(
        meter.charged, meter.remaining, fault, str(error) or otherwise, getattr(error, "wait", None) or 0
    )
