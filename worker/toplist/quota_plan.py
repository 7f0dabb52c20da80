"""
How often a provider that meters by the month can be asked, so that the month's allowance lasts. Pure: the
time is an argument, and what was used is one too (`Use`, which Redis keeps).

The interval is the shortest one of whole minutes that divides a day and takes at most nineteen twentieths
of the allowance in the longest month. What is left over pays for asking again after a failure. Where more
is used than was planned the interval grows until what is left lasts to the end of the month; where nothing
is left nobody is asked until then. Months are calendar months, UTC.

An asking is charged before it is made: who is killed in between has paid for nothing, and none is ever free.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

from pydantic import SecretStr

from worker.latest import DAY, MINUTE
from worker.latest.toplist import QuotaUsage, find_month_end, name_month

GRID = tuple(minutes * MINUTE for minutes in range(1, DAY // MINUTE + 1) if DAY // MINUTE % minutes == 0)
"""The intervals that there are to choose from, in seconds."""
LONGEST_MONTH = 31 * DAY
AHEAD = 10 * MINUTE
"""Clocks of two processes differ by less; a plan that was used later than that was used by a clock that was wrong."""
SHARE = (19, 20)
"""How much of the allowance is planned with."""


class QuotaPlan(NamedTuple):
    """What a provider allows, and what one asking takes of it."""

    provider: str
    unit: str
    """What is counted: `credits` or `calls`."""
    monthly: int
    cost: int
    """Units that one asking takes."""
    calls: int
    """Calls that one asking takes."""
    per_minute: int | None
    """Calls a minute; `None` where the plan's limit is far away."""
    setting: str
    """What says how much `monthly` is."""
    key: str = ""
    """What tells its key from others without being one, see `fingerprint`."""

    @property
    def describe_terms(self) -> str:
        return f"{self.key}/{self.monthly}/{self.cost}"

    @property
    def plan_interval(self) -> int | None:
        """Seconds between two askings; `None` where the allowance is too small for one a day."""
        planned, of = SHARE
        return _find_shortest(self.monthly * planned // of, self.cost, 0, LONGEST_MONTH)


class CallOutcome(NamedTuple):
    """What became of an asking."""

    charged: int | None = None
    """Units that the provider says it charged."""
    remaining: int | None = None
    """Units that the provider says are left this month."""
    fault: str = ""
    """The kind of failure; nothing where a list came."""
    reason: str = ""
    wait: float = 0
    """Seconds that the provider wants to be left alone."""


def make_fingerprint(key: SecretStr | None) -> str:
    """Return what tells a key from others, and gives nothing of it away."""
    return sha256(key.get_secret_value().encode()).hexdigest()[:8] if key else ""


def renew_usage(plan: QuotaPlan, use: QuotaUsage) -> QuotaUsage:
    """
    Forget what a provider said under other terms: who mends a key or buys a larger plan need not wait for what the
    one before was told. Of another key nothing is used yet, as far as we know.
    """
    if use.terms == plan.describe_terms:
        return use
    is_another_key = use.terms != "" and use.terms.partition("/")[0] != plan.key
    spent = 0 if is_another_key else use.spent
    return use._replace(terms=plan.describe_terms, spent=spent, charged=0, failures=0, until=0, reason="")


def start_month(use: QuotaUsage, at: int) -> QuotaUsage:
    """
    Begin to count anew where the month is another one.

    What was noted by a clock that was ahead is taken back to now, or nobody would be asked until then. Its month's use
    is counted as this one's: to ask too seldom costs less than to ask beyond the plan.
    """
    month = name_month(at)
    if use.asked > at + AHEAD:
        return use._replace(month=month, minute=0, asked=0, good=min(use.good, at), until=0)
    return use if use.month == month else use._replace(month=month, spent=0, faults={})


def compute_cost(plan: QuotaPlan, use: QuotaUsage) -> int:
    """Return what an asking takes: as planned, or as the provider charges where that is more."""
    return max(plan.cost, use.charged)


def compute_interval(plan: QuotaPlan, use: QuotaUsage, at: int) -> int | None:
    """Return the seconds between two askings from `at` on; `None` where nothing is left of the month."""
    use = start_month(use, at)
    left, each = plan.monthly - use.spent, compute_cost(plan, use)
    planned = _find_shortest(plan.monthly * SHARE[0] // SHARE[1], each, 0, LONGEST_MONTH)
    lasting = _find_shortest(left, each, at, find_month_end(at))
    if planned is None or left < each:
        return None
    # A day before the month ends, once a day may still be too often: then it is asked until nothing is left.
    return max(planned, lasting or GRID[-1])


def claim_call(plan: QuotaPlan, use: QuotaUsage, at: int) -> QuotaUsage | None:
    """Charge for an asking at minute `at`; `None` where it is not to be made."""
    use = start_month(use, at)
    if at <= use.asked or at < use.until:
        return None
    every = compute_interval(plan, use, at)
    if every is None or not (_is_time(plan, use, at, every) or _is_made_up_for(plan, use, at, every)):
        return None
    calls = use.calls if use.minute == at else 0
    if plan.per_minute is not None and calls + plan.calls > plan.per_minute:
        return None
    return use._replace(spent=use.spent + compute_cost(plan, use), minute=at, calls=calls + plan.calls, asked=at)


def settle_call(plan: QuotaPlan, use: QuotaUsage, at: int, outcome: CallOutcome, reserved: int) -> QuotaUsage:
    """Put down what became of the asking at `at`, for which `reserved` was charged."""
    spent, charged = use.spent, use.charged
    if outcome.charged is not None and use.month == name_month(at):
        spent += outcome.charged - reserved
    if outcome.charged is not None and not outcome.fault:
        charged = outcome.charged
    if outcome.remaining is not None:
        # Somebody else may use the same key.
        spent = max(spent, plan.monthly - outcome.remaining)
    use = use._replace(spent=max(0, spent), charged=charged)
    if not outcome.fault:
        return use._replace(good=at, failures=0, until=0, reason="")
    return use._replace(
        failures=use.failures + 1,
        until=at + int(outcome.wait),
        reason=outcome.reason,
        faults=_count_fault(use.faults, outcome.fault),
    )


def _is_time(plan: QuotaPlan, use: QuotaUsage, at: int, every: int) -> bool:
    # A grid that changes as it slows down would leave out twice as long a time where one ends and the next begins.
    return at % every == 0 if every == plan.plan_interval else at - use.asked >= every


def _is_made_up_for(plan: QuotaPlan, use: QuotaUsage, at: int, every: int) -> bool:
    """Return whether a list is overdue and what is left over pays for asking out of turn."""
    if at - use.good < every:
        return False
    if at - use.asked < min(every, MINUTE << min(max(0, use.failures - 1), 10)):
        return False
    needed = -(-(find_month_end(at) - at) // every) * compute_cost(plan, use)
    return plan.monthly - use.spent >= needed + compute_cost(plan, use)


def _find_shortest(units: int, each: int, start: int, end: int) -> int | None:
    """Return the shortest interval whose askings in [start, end) take at most so many units."""
    return next((every for every in GRID if (-(-end // every) - -(-start // every)) * each <= units), None)


def _count_fault(faults: Mapping[str, int], fault: str) -> Mapping[str, int]:
    return {**faults, fault: faults.get(fault, 0) + 1}
