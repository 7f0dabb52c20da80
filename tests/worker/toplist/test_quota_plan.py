"""Budgets: the interval lasts the month, whatever happens nothing is asked beyond it, and what is left is used."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from pydantic import SecretStr

from tests.support.top_hours import NOON, prices_plan, ranks_plan
from worker.latest import DAY, HOUR, MINUTE
from worker.latest.toplist import QuotaUsage, find_month_end
from worker.toplist.quota_plan import (
    GRID,
    LONGEST_MONTH,
    CallOutcome,
    QuotaPlan,
    claim_call,
    compute_interval,
    make_fingerprint,
    renew_usage,
    settle_call,
    start_month,
)

MIDNIGHT = 1_622_505_600
"""2021-06-01T00:00:00Z."""

plans = some.builds(prices_plan, some.integers(1, 200_000), some.integers(1, 25), some.integers(1, 30))
FINE, BAD = CallOutcome(), CallOutcome(fault="no answer", reason="it did not answer")


@pytest.mark.parametrize(
    "plan, minutes",
    [
        pytest.param(prices_plan(), 5, id="200 prices on the free plan"),
        pytest.param(ranks_plan(), 9, id="200 ranks on the free plan"),
        pytest.param(prices_plan(cost=25), 120, id="5000 prices on the free plan"),
        pytest.param(ranks_plan(cost=50), 240, id="5000 ranks on the free plan"),
        pytest.param(prices_plan(47_000), 1, id="a plan for every minute"),
        pytest.param(prices_plan(33), 1440, id="one a day"),
        pytest.param(prices_plan(30), None, id="not even one a day"),
    ],
)
def test_the_interval_is_the_shortest_that_lasts_the_longest_month(plan: QuotaPlan, minutes: int | None):
    assert plan.plan_interval == (None if minutes is None else minutes * MINUTE)


@given(plans)
def test_a_whole_month_on_schedule_leaves_some_over(plan: QuotaPlan):
    if plan.plan_interval is not None:
        assert LONGEST_MONTH // plan.plan_interval * plan.cost <= plan.monthly * 0.95
        assert DAY % plan.plan_interval == 0
        assert plan.plan_interval == GRID[0] or (
            LONGEST_MONTH / GRID[GRID.index(plan.plan_interval) - 1] * plan.cost > plan.monthly * 0.95 - plan.cost
        )


def test_it_asks_on_its_grid_and_between_only_where_a_list_is_overdue():
    plan, use = prices_plan(), QuotaUsage(month="2021-05", asked=NOON - 600, good=NOON - 600)

    assert claim_call(plan, use, NOON)
    assert claim_call(plan, use, NOON + MINUTE)  # whoever was away did not ask at noon
    on_time = use._replace(asked=NOON, good=NOON)
    assert [at - NOON for at in range(NOON, NOON + 901, MINUTE) if claim_call(plan, on_time, at)] == [
        300,
        360,
        420,
        *range(480, 901, 60),
    ]
    assert claim_call(plan, on_time, NOON + 300)._replace(faults={}) == on_time._replace(
        spent=1, minute=NOON + 300, calls=1, asked=NOON + 300
    )


def test_a_minute_is_asked_for_once_whoever_asks():
    first = claim_call(prices_plan(), QuotaUsage(), NOON)

    assert first
    assert claim_call(prices_plan(), first, NOON) is None
    assert claim_call(prices_plan(), first, NOON - 300) is None


def test_nobody_is_asked_before_the_provider_allows_it():
    use = settle_call(prices_plan(), claim_call(prices_plan(), QuotaUsage(), NOON), NOON, BAD._replace(wait=3600), 1)

    assert [at - NOON for at in range(NOON, NOON + 4000, MINUTE) if claim_call(prices_plan(), use, at)] == [
        3600,
        3660,
        3720,
        3780,
        3840,
        3900,
        3960,
    ]
    assert use.faults == {"no answer": 1}


def test_another_key_or_plan_is_tried_at_once_and_only_another_key_begins_with_nothing_spent():
    typo = prices_plan()._replace(key="1f2e")
    refused = renew_usage(typo, QuotaUsage(month="2021-05", spent=9000))
    refused = settle_call(typo, refused, NOON, BAD._replace(wait=3600, charged=25), 1)

    again, mended, larger = (
        renew_usage(plan, refused) for plan in (typo, typo._replace(key="9a8b"), typo._replace(monthly=300_000))
    )

    assert again == refused
    assert (mended.until, mended.failures, mended.reason, mended.spent) == (0, 0, "", 0)
    assert (larger.until, larger.failures, larger.reason, larger.spent) == (0, 0, "", refused.spent)
    assert claim_call(typo, mended, NOON + 300)


def test_a_key_is_told_from_others_and_not_given_away():
    assert make_fingerprint(None) == ""
    assert (
        make_fingerprint(SecretStr("one")) == make_fingerprint(SecretStr("one")) != make_fingerprint(SecretStr("two"))
    )
    assert "one" not in make_fingerprint(SecretStr("one"))


def test_after_failures_it_asks_again_less_and_less_often_up_to_its_interval():
    plan, use, asked = ranks_plan(), QuotaUsage(month="2021-05"), []
    for at in range(NOON + MINUTE, NOON + 2 * HOUR, MINUTE):
        come = claim_call(plan, use, at)
        if come:
            asked.append((at - NOON) // MINUTE)
            use = settle_call(plan, come, at, BAD, 2)

    assert asked[:6] == [1, 2, 4, 8, 9, 18]
    assert use.failures == len(asked)


def test_calls_a_minute_are_bounded_too():
    plan = prices_plan()._replace(calls=20)
    used = QuotaUsage(month="2021-05", minute=NOON, calls=11)

    assert claim_call(plan, used, NOON) is None
    assert claim_call(plan, used._replace(calls=10), NOON)
    assert claim_call(plan, used, NOON + 300)


def test_where_more_was_used_than_planned_the_interval_grows_until_the_rest_lasts():
    plan = prices_plan()
    days_left = (MIDNIGHT - NOON) / DAY

    assert compute_interval(plan, QuotaUsage(month="2021-05", spent=5000), NOON) == 300
    slower = compute_interval(plan, QuotaUsage(month="2021-05", spent=9000), NOON)
    assert slower is not None
    assert slower > 300
    assert days_left * DAY / slower <= 1000
    assert compute_interval(plan, QuotaUsage(month="2021-05", spent=9999), NOON) == DAY
    assert compute_interval(plan, QuotaUsage(month="2021-05", spent=10_000), NOON) is None
    assert compute_interval(plan, QuotaUsage(month="2021-05", spent=10_000), MIDNIGHT) == 300


def test_what_the_provider_says_counts_more_than_what_was_planned():
    plan, use = prices_plan(), claim_call(prices_plan(), QuotaUsage(), NOON)

    dearer = settle_call(plan, use, NOON, CallOutcome(charged=3), 1)
    assert (dearer.spent, compute_interval(plan, dearer, NOON)) == (3, 900)
    free = settle_call(plan, use, NOON, CallOutcome(charged=0, fault="rate limited"), 1)
    assert (free.spent, free.charged) == (0, 0)
    shared = settle_call(plan, use, NOON, CallOutcome(remaining=2000), 1)
    assert shared.spent == 8000
    silent = settle_call(plan, use, NOON, BAD, 1)
    assert silent.spent == 1


def test_a_new_month_begins_with_nothing_spent_and_nothing_is_charged_to_the_wrong_one():
    plan = prices_plan()
    use = claim_call(plan, QuotaUsage(month="2021-05", spent=9000, faults={"no answer": 3}), MIDNIGHT)

    assert use
    assert (use.month, use.spent, use.faults) == ("2021-06", 1, {})
    late = settle_call(plan, use, MIDNIGHT - MINUTE, CallOutcome(charged=9), 1)
    assert late.spent == 1
    assert start_month(use, MIDNIGHT + DAY) == use


@settings(max_examples=15)
@given(plans, some.integers(NOON - 20 * DAY, NOON), some.randoms(use_true_random=False))
def test_never_is_more_used_than_the_plan_has_whatever_fails(plan: QuotaPlan, start: int, dice):
    use = QuotaUsage()
    spent: dict[int, int] = {}
    minutes: dict[int, int] = {}
    start = start // MINUTE * MINUTE
    for at in range(start, start + 2 * DAY, dice.choice((1, 1, 7)) * MINUTE):
        come = claim_call(plan, use, at)
        if come is None:
            continue
        month = find_month_end(at)
        reserved = max(plan.cost, use.charged)
        spent[month] = spent.get(month, 0) + reserved
        minutes[at] = minutes.get(at, 0) + plan.calls
        killed, outcome = dice.random() < 0.1, dice.choice((FINE, FINE, BAD, BAD._replace(wait=600)))
        use = come if killed else settle_call(plan, come, at, outcome, reserved)

    assert all(used <= plan.monthly for used in spent.values())
    assert all(plan.per_minute is None or calls <= plan.per_minute for calls in minutes.values())


@pytest.mark.parametrize("plan", [prices_plan(), ranks_plan()], ids=["prices", "ranks"])
@pytest.mark.parametrize("spent", [0, 5000, 9900, 9999], ids="{} used".format)
def test_a_whole_month_is_used_to_the_end_and_not_beyond(plan: QuotaPlan, spent: int):
    use, asked = QuotaUsage(month="2021-05", spent=spent, asked=NOON, good=NOON), []
    for at in range(NOON, MIDNIGHT, MINUTE):
        come = claim_call(plan, use, at)
        if come:
            asked.append(at)
            use = settle_call(plan, come, at, FINE, plan.cost)

    assert plan.monthly >= use.spent == spent + len(asked) * plan.cost
    every = compute_interval(plan, QuotaUsage(month="2021-05", spent=spent), NOON)
    assert every is not None
    assert max([later - earlier for earlier, later in pairwise(asked)], default=0) <= every
    if spent >= 9900:
        assert use.spent > plan.monthly - 0.1 * (plan.monthly - spent) - plan.cost


def test_what_a_clock_that_was_ahead_noted_does_not_keep_anybody_from_asking_now():
    ahead = NOON + 60 * DAY
    use = claim_call(prices_plan(), QuotaUsage(), ahead)
    assert use
    use = settle_call(prices_plan(), use, ahead, BAD._replace(wait=3600), 1)

    again = claim_call(prices_plan(), use, NOON)

    assert again
    assert again.asked == NOON
    assert again.spent == use.spent + 1, "what was used then is not given back"
