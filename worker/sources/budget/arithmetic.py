"""
How requests are counted. Pure: a usage and the time in, a usage out.

A request is claimed before it is sent and settled when it is answered. The provider counts it somewhere in between, so it
counts here from its claim until a window after its answer: however the provider cuts its windows, it sees no more in any
of them than is counted here. A request of which nobody says how it ended counts as answered `FLIGHT_SECONDS` after its claim.

        claim            answer                        free again
    ──────┼─────────────────┼──────────── window ──────────┼──▶
           the provider counts
"""

from collections.abc import Mapping
from enum import StrEnum
from math import ceil, floor
from typing import NamedTuple

from worker.latest import DAY, HOUR
from worker.latest.store import ProviderUsage
from worker.sources.budget.terms import WHOLE, BudgetTerms

FLIGHT_SECONDS = 30
"""A request is answered by then, or given up (`LONGEST_TIMEOUT` of `worker.cli.wiring`)."""
AHEAD_SECONDS = 600
"""The clocks of two processes differ by less; what was noted later than that was noted by a clock that was wrong."""
RENEWED_SECONDS = HOUR
"""When an allowance that is used up is tried again. Cryptowatch said both "24 hours after your first request" and "the top
of the hour"; asking once an hour is right by either."""


class Purpose(StrEnum):
    """What a request is for. Only `FILL` leaves alone what is kept for ticks."""

    TICK = "tick"
    MARKETS = "markets"
    FILL = "fill"


class Claim(NamedTuple):
    """A request that may be sent; where `wait` is not 0 it may not be, and is claimed again after so many seconds."""

    cost: int
    slot: int = 0
    """The second under which it is counted until it is settled."""
    wait: float = 0.0
    is_long: bool = False
    """Whether it is known that nobody can ask before: a ban, or an allowance that is used up."""
    reason: str = ""


class CallResult(NamedTuple):
    """What an answer said of the limits."""

    used: int | None = None
    """Units that the provider counted in its running window, of everybody at our address."""
    left: int | None = None
    """Units that are left of an allowance."""
    wait: float | None = None
    """Seconds that it wants not to be asked."""
    reason: str = ""


def advance(terms: BudgetTerms, usage: ProviderUsage, now: float) -> ProviderUsage:
    """Forget what does not count any more, and take back to now what a clock noted that was ahead."""
    latest, oldest = ceil(now) + FLIGHT_SECONDS, floor(now) - terms.seconds
    slots: dict[int, int] = {}
    for second, units in usage.slots.items():
        if second >= oldest and units > 0:
            slots[min(second, latest)] = slots.get(min(second, latest), 0) + units
    usage = usage._replace(slots=slots, next_at=min(usage.next_at, now + terms.seconds))
    if usage.banned_at > now + AHEAD_SECONDS:
        lasts = usage.banned_until - usage.banned_at
        usage = usage._replace(banned_at=now, banned_until=now + lasts)
    if usage.left is not None and not now - RENEWED_SECONDS < usage.left_at <= now + AHEAD_SECONDS:
        usage = usage._replace(left=None)
    if not now - DAY < usage.most_at <= now + AHEAD_SECONDS:
        usage = usage._replace(most=0, most_at=0.0)
    return usage


def count_spent(usage: ProviderUsage) -> int:
    """Return the units that count now; of a usage that `advance` returned."""
    return sum(usage.slots.values())


def claim_request(
    terms: BudgetTerms, usage: ProviderUsage, now: float, cost: int, purpose: Purpose
) -> tuple[ProviderUsage, Claim]:
    """Count a request that is about to be sent; where it may not be sent yet, say how long not, and count nothing."""
    usage = advance(terms, usage, now)
    refused = (
        _refuse_banned(usage, now)
        or _refuse_over_cap(terms, usage, now, cost, purpose)
        or _refuse_too_close(usage, now, purpose)
        or _refuse_over_allowance(terms, usage, now, cost, purpose)
    )
    if refused is not None:
        return usage, refused._replace(cost=cost)
    claim = Claim(cost, ceil(now) + FLIGHT_SECONDS)
    left = None if usage.left is None else usage.left - cost
    return add_claim(terms, usage, now, claim)._replace(left=left), claim


def settle_request(
    terms: BudgetTerms, usage: ProviderUsage, now: float, claim: Claim, result: CallResult
) -> ProviderUsage:
    """Count a claimed request as answered now, and take in what its answer said of the limits."""
    slots = _add(usage.slots, claim.slot, -claim.cost)
    usage = advance(terms, usage._replace(slots=_add(slots, floor(now), claim.cost)), now)
    if result.used is not None:
        # More than was counted here: somebody else asks from the same address.
        others = result.used - count_spent(usage)
        usage = usage._replace(slots=_add(usage.slots, floor(now), max(0, others)))
    if result.left is not None:
        is_most = result.left >= usage.most
        usage = usage._replace(
            left=result.left,
            left_at=now,
            most=max(result.left, usage.most),
            most_at=now if is_most else usage.most_at,
        )
    if result.wait is not None and now + result.wait > usage.banned_until:
        usage = usage._replace(banned_at=now, banned_until=now + result.wait, reason=result.reason)
    return usage


def add_claim(terms: BudgetTerms, usage: ProviderUsage, now: float, claim: Claim) -> ProviderUsage:
    """Count a request that was claimed elsewhere."""
    usage = advance(terms, usage, now)
    next_at = now + terms.distance if terms.spacing else 0.0
    return usage._replace(slots=_add(usage.slots, claim.slot, claim.cost), next_at=next_at)


def merge_usages(shared: ProviderUsage, unshared: ProviderUsage, own: ProviderUsage) -> ProviderUsage:
    """
    Return what all processes used, where one of them was without Redis, or Redis has lost something.

    `unshared` is what it used meanwhile, and `own` all that it used.
    """
    seconds = {*shared.slots, *unshared.slots, *own.slots}
    slots = {
        second: max(shared.slots.get(second, 0) + unshared.slots.get(second, 0), own.slots.get(second, 0))
        for second in seconds
    }
    banned = own if own.banned_until > shared.banned_until else shared
    return shared._replace(
        slots=slots,
        next_at=max(shared.next_at, own.next_at),
        banned_at=banned.banned_at,
        banned_until=banned.banned_until,
        reason=banned.reason,
    )


def _refuse_banned(usage: ProviderUsage, now: float) -> Claim | None:
    if now >= usage.banned_until:
        return None
    return Claim(0, wait=usage.banned_until - now, is_long=True, reason=usage.reason)


def _refuse_too_close(usage: ProviderUsage, now: float, purpose: Purpose) -> Claim | None:
    if purpose is not Purpose.FILL or now >= usage.next_at:
        return None
    return Claim(0, wait=usage.next_at - now, reason="another request was just sent")


def _refuse_over_cap(terms: BudgetTerms, usage: ProviderUsage, now: float, cost: int, purpose: Purpose) -> Claim | None:
    cap = terms.fill_cap if purpose is Purpose.FILL else terms.cap
    spent = count_spent(usage)
    if not terms.amount or spent + cost <= cap:
        return None
    reason = f"{spent} of {cap} {terms.unit} are used in {terms.seconds} s, and the request takes {cost}"
    for second in sorted(usage.slots):
        spent -= usage.slots[second]
        if spent + cost <= cap:
            return Claim(0, wait=second + terms.seconds + 1 - now, reason=reason)
    return Claim(0, wait=float(terms.seconds), reason=reason)


def _refuse_over_allowance(
    terms: BudgetTerms, usage: ProviderUsage, now: float, cost: int, purpose: Purpose
) -> Claim | None:
    if usage.left is None:
        return None
    used = terms.percent * (WHOLE - terms.tick_percent if purpose is Purpose.FILL else WHOLE)
    kept = usage.most - usage.most * used // WHOLE**2
    if usage.left - cost >= kept:
        return None
    left, most = usage.left / terms.scale, usage.most / terms.scale
    reason = f"{left:g} of {most:g} {terms.unit} are left, of which {kept / terms.scale:g} are kept"
    return Claim(0, wait=usage.left_at + RENEWED_SECONDS - now, is_long=True, reason=reason)


def _add(slots: Mapping[int, int], second: int, units: int) -> dict[int, int]:
    """Return the slots with so many units more in one second; none falls below 0."""
    return {**slots, second: max(0, slots.get(second, 0) + units)} if units else dict(slots)
