"""What requests take of a limit: no window of the provider's ever sees more than is ours, whatever answers do."""

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from worker.latest import DAY, HOUR
from worker.latest.store import ProviderUsage
from worker.sources.budget import BINANCE, CRYPTOWATCH, KRAKEN, BudgetTerms, Purpose
from worker.sources.budget.arithmetic import (
    FLIGHT_SECONDS,
    CallResult,
    Claim,
    advance,
    claim_request,
    count_spent,
    merge_usages,
    settle_request,
)

NOW = 1_795_812_000.0
SMALL = BudgetTerms("weight", amount=100, tick_percent=40)
"""Of which 95 are ours, and 57 for what fills the past."""
ANSWERED = CallResult()


def claim(
    usage: ProviderUsage, cost: int, at: float = NOW, purpose: Purpose = Purpose.TICK, terms: BudgetTerms = SMALL
):
    return claim_request(terms, usage, at, cost, purpose)


def spend(cost: int, at: float = NOW, terms: BudgetTerms = SMALL) -> ProviderUsage:
    """Return the usage after one request, answered at once."""
    usage, claimed = claim(ProviderUsage(), cost, at, terms=terms)
    return settle_request(terms, usage, at, claimed, ANSWERED)


def test_five_percent_of_a_limit_are_never_used():
    usage = spend(90)

    assert claim(usage, 5)[1].wait == 0
    assert claim(usage, 6)[1].wait > 0


def test_what_was_used_is_free_a_window_after_its_answer():
    usage = spend(95)

    _, refused = claim(usage, 1)

    assert refused.wait == 61, "the second of the answer counts to its end"
    assert claim(usage, 1, NOW + 60.9)[1].wait > 0
    assert claim(usage, 1, NOW + 61)[1].wait == 0


def test_a_request_on_its_way_counts_until_it_can_only_have_been_answered():
    usage, _ = claim(ProviderUsage(), 95)

    assert claim(usage, 1, NOW + FLIGHT_SECONDS + 60)[1].wait > 0
    assert claim(usage, 1, NOW + FLIGHT_SECONDS + 61)[1].wait == 0


def test_what_fills_the_past_leaves_a_part_to_ticks():
    usage = spend(57)

    assert claim(usage, 1, purpose=Purpose.FILL)[1].wait > 0
    assert claim(usage, 38, purpose=Purpose.TICK)[1].wait == 0
    assert claim(usage, 38, purpose=Purpose.MARKETS)[1].wait == 0


def test_a_tick_of_a_thousand_symbols_finds_its_weight_whatever_the_fill_takes():
    """Two ticks lie within one window and its second of care."""
    usage, tick = ProviderUsage(), [80, *[200] * 10]
    for at in (NOW, NOW + 60, NOW + 120):
        for cost in tick:
            usage, claimed = claim(usage, cost, at, terms=BINANCE)
            assert claimed.wait == 0
            usage = settle_request(BINANCE, usage, at + 1, claimed, ANSWERED)
        for second in range(2, 60):
            usage, claimed = claim(usage, 2 * 50, at + second, Purpose.FILL, BINANCE)
            if claimed.wait == 0:
                usage = settle_request(BINANCE, usage, at + second, claimed, ANSWERED)


def test_the_weight_of_others_at_our_address_counts_too():
    usage, claimed = claim(ProviderUsage(), 2)
    usage = settle_request(SMALL, usage, NOW, claimed, CallResult(used=90))

    assert count_spent(usage) == 90
    assert claim(usage, 6)[1].wait > 0


def test_a_provider_that_counts_less_than_we_do_changes_nothing():
    usage = spend(50)
    usage, claimed = claim(usage, 2)
    usage = settle_request(SMALL, usage, NOW, claimed, CallResult(used=2))

    assert count_spent(usage) == 52


@pytest.mark.parametrize("wait", [1, 7, 120, 3 * DAY])
def test_a_ban_is_kept_to_the_second(wait: int):
    usage, claimed = claim(ProviderUsage(), 2)
    usage = settle_request(SMALL, usage, NOW + 0.25, claimed, CallResult(wait=wait, reason="binance answered 418"))

    before, after = NOW + 0.25 + wait - 0.001, NOW + 0.25 + wait
    refused = claim(usage, 2, before)[1]

    assert (refused.is_long, refused.reason) == (True, "binance answered 418")
    assert refused.wait == pytest.approx(0.001, abs=1e-3)
    assert claim(usage, 2, after)[1].wait == 0


def test_a_shorter_ban_does_not_end_a_longer_one():
    usage, claimed = claim(ProviderUsage(), 2)
    usage = settle_request(SMALL, usage, NOW, claimed, CallResult(wait=300, reason="first"))
    usage = settle_request(SMALL, usage, NOW + 1, claimed, CallResult(wait=2, reason="second"))

    assert (usage.banned_until, usage.reason) == (NOW + 300, "first")


def test_a_ban_that_a_wrong_clock_noted_lasts_no_longer_than_it_was_said():
    ahead = NOW + 365 * DAY
    usage, claimed = claim(ProviderUsage(), 2, ahead)
    usage = settle_request(SMALL, usage, ahead, claimed, CallResult(wait=120))

    usage, refused = claim(usage, 2)

    assert refused.wait == 120
    assert claim(usage, 2, NOW + 120)[1].wait == 0


def test_weight_that_a_wrong_clock_noted_counts_from_now_on():
    usage = advance(SMALL, spend(95, NOW + 365 * DAY), NOW)

    assert count_spent(usage) == 95
    assert claim(usage, 1, NOW + FLIGHT_SECONDS + 61)[1].wait == 0


def test_what_fills_the_past_asks_kraken_once_a_second_and_a_tick_waits_for_nothing():
    usage, first = claim(ProviderUsage(), 1, purpose=Purpose.FILL, terms=KRAKEN)
    _, second = claim(usage, 1, purpose=Purpose.FILL, terms=KRAKEN)
    _, tick = claim(usage, 1, terms=KRAKEN)

    assert (first.wait, tick.wait) == (0, 0)
    assert second.wait == pytest.approx(1 / 0.95)


def test_a_tick_every_second_finds_its_place_at_kraken():
    usage = ProviderUsage()
    for second in range(300):
        usage, claimed = claim(usage, 1, NOW + second, terms=KRAKEN)
        assert claimed.wait == 0
        usage = settle_request(KRAKEN, usage, NOW + second + 0.9, claimed, ANSWERED)
        _, filling = claim(usage, 1, NOW + second + 0.95, Purpose.FILL, KRAKEN)
        assert filling.wait > 0


def test_an_allowance_is_used_up_to_its_margin_and_looked_at_again_after_an_hour():
    usage, claimed = claim(ProviderUsage(), 0, terms=CRYPTOWATCH)
    usage = settle_request(CRYPTOWATCH, usage, NOW, claimed, CallResult(left=10_000_000))
    usage = settle_request(CRYPTOWATCH, usage, NOW + 10, claimed, CallResult(left=505_000))

    usage, last = claim(usage, 5_000, NOW + 10, terms=CRYPTOWATCH)
    _, refused = claim(usage, 5_000, NOW + 10, terms=CRYPTOWATCH)

    assert last.wait == 0
    assert (refused.wait, refused.is_long) == (HOUR, True)
    assert refused.reason == "0.5 of 10 credits are left, of which 0.5 are kept"
    assert claim(usage, 5_000, NOW + 10 + HOUR, terms=CRYPTOWATCH)[1].wait == 0


def test_what_fills_the_past_leaves_a_part_of_an_allowance_to_ticks():
    usage, claimed = claim(ProviderUsage(), 0, terms=CRYPTOWATCH)
    usage = settle_request(CRYPTOWATCH, usage, NOW, claimed, CallResult(left=10_000_000))
    usage = settle_request(CRYPTOWATCH, usage, NOW, claimed, CallResult(left=2_000_000))

    assert claim(usage, 15_000, purpose=Purpose.FILL, terms=CRYPTOWATCH)[1].wait > 0
    assert claim(usage, 15_000, terms=CRYPTOWATCH)[1].wait == 0


def test_a_request_that_is_heavier_than_the_limit_says_so():
    refused = claim(ProviderUsage(), 96)[1]

    assert (refused.wait, refused.reason) == (60, "0 of 95 weight are used in 60 s, and the request takes 96")


seconds = some.dictionaries(some.integers(0, 5), some.integers(0, 50))


@given(seconds, seconds, seconds)
def test_merging_loses_nothing_that_a_process_used(
    shared: dict[int, int], unshared: dict[int, int], own: dict[int, int]
):
    merged = merge_usages(ProviderUsage(shared), ProviderUsage(unshared), ProviderUsage(own))

    for second in range(6):
        assert merged.slots.get(second, 0) >= own.get(second, 0)
        assert merged.slots.get(second, 0) >= shared.get(second, 0) + unshared.get(second, 0)


class Sent(NamedTuple):
    """A request, as the processes and the provider know it."""

    claim: Claim
    latest: float


class Requests(RuleBasedStateMachine):
    """Processes that claim, send, are answered or killed, and a provider that counts what arrives, in windows that slide."""

    waiting = Bundle("waiting")
    sent = Bundle("sent")

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.usage = ProviderUsage()
        self.arrived: list[tuple[float, int]] = []
        self.banned_until = 0.0

    @rule(passed=some.sampled_from([0.001, 0.5, 1, 29, 30, 57, 58, 59, 59.9, 60, 60.5, 61]) | some.floats(0, 40))
    def wait(self, passed: float) -> None:
        self.now += passed

    @rule(cost=some.integers(30, 95))
    def ask_and_be_answered(self, cost: int) -> None:
        self.usage, claimed = claim(self.usage, cost, self.now)
        if claimed.wait == 0:
            self.arrived.append((self.now, cost))
            self.usage = settle_request(SMALL, self.usage, self.now, claimed, ANSWERED)

    @rule(target=waiting, cost=some.integers(1, 60), purpose=some.sampled_from(Purpose))
    def claim(self, cost: int, purpose: Purpose) -> Sent | None:
        self.usage, claimed = claim(self.usage, cost, self.now, purpose)
        if claimed.wait > 0:
            return None
        assert self.now >= self.banned_until, "asked during a ban"
        return Sent(claimed, self.now + FLIGHT_SECONDS)

    @rule(target=sent, request=consumes(waiting))
    def arrive(self, request: Sent | None) -> Sent | None:
        if request is not None and self.now <= request.latest:
            self.arrived.append((self.now, request.claim.cost))
            return request
        return None

    @rule(request=consumes(sent))
    def answer(self, request: Sent | None) -> None:
        if request is not None:
            self.usage = settle_request(SMALL, self.usage, min(self.now, request.latest), request.claim, ANSWERED)

    @rule(request=consumes(sent), wait=some.integers(1, 200))
    def ban(self, request: Sent | None, wait: int) -> None:
        if request is not None and self.now <= request.latest:
            self.usage = settle_request(SMALL, self.usage, self.now, request.claim, CallResult(wait=wait))
            self.banned_until = max(self.banned_until, self.now + wait)

    @precondition(lambda self: self.arrived)
    @invariant()
    def no_window_has_more_than_is_ours(self) -> None:
        for end, _ in self.arrived:
            assert sum(cost for at, cost in self.arrived if end - 60 < at <= end) <= SMALL.cap

    @invariant()
    def the_usage_stays_small(self) -> None:
        assert len(advance(SMALL, self.usage, self.now).slots) <= FLIGHT_SECONDS + 60 + 2


TestRequests = Requests.TestCase
TestRequests.settings = settings(max_examples=60, stateful_step_count=40)
