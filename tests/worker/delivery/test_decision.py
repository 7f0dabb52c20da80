"""What a provider's answer means: as a table, and what holds for every answer, state and time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.alerts import TICK, alert
from worker.delivery.backoff import DEFAULT_BACKOFF
from worker.delivery.channel_state import ChannelState
from worker.delivery.decision import AttemptContext, decide, decide_without_sending
from worker.delivery.messages import MessageOptions, is_quota_notice, make_message, make_quota_notice
from worker.delivery.notify.base import (
    MessageQuota,
    NotifyAnswer,
    NotifyLimited,
    NotifyRefused,
    NotifyUnavailable,
    NotSent,
)
from worker.latest import DAY, HOUR
from worker.latest.delivery import DeliveryStatus, OutboxEntry, QueuedMessage, Receipt, RetryState

NOW = TICK + 1.0
OPTIONS = MessageOptions("http://127.0.0.1:8000", 60)
CONTEXT = AttemptContext(NOW, DEFAULT_BACKOFF, 0.5)
FULL = MessageQuota(10_000, 9_000, NOW + 5 * DAY)
LOW = MessageQuota(10_000, 950, NOW + 5 * HOUR)
FAILING = ChannelState(3, NOW - 1, FULL, 0.0, "one", NOW - 9, "500", NOW - 1, 2)
"""A channel after three failures and two refusals of all, when its pause is over."""


def queued(failed: int = 0, **fields) -> QueuedMessage:
    about = alert(**fields)
    made = make_message(OutboxEntry("1-0", about, "{}"), about, OPTIONS)
    made.retry = RetryState(failed, NOW if failed else 0.0)
    return made


@pytest.mark.parametrize(
    "outcome, status, retry, state",
    [
        pytest.param(
            NotifyAnswer("200", LOW),
            "sent",
            None,
            FAILING._replace(failures=0, paused_until=0.0, quota=LOW, reason="", refused_until=0.0, refusals=0),
            id="a yes clears the channel",
        ),
        pytest.param(
            NotifyRefused("400", LOW),
            "refused",
            None,
            FAILING._replace(failures=0, paused_until=0.0, quota=LOW, reason="", refused_until=0.0),
            id="a refusal of the message is an answer, so the channel works",
        ),
        pytest.param(
            NotifyRefused("401", for_all=True),
            "refused",
            None,
            FAILING._replace(
                failures=0, paused_until=0.0, reason="401", answered_at=NOW, refused_until=NOW + 180, refusals=3
            ),
            id="a refusal of all pauses the channel, longer each time",
        ),
        pytest.param(
            NotifyLimited("429", LOW, 900.0),
            "waiting",
            RetryState(1, NOW + 900),
            FAILING._replace(paused_until=NOW + 900, quota=LOW, answered_at=NOW, reason="429"),
            id="a rate limit is no failure of the message",
        ),
        pytest.param(
            NotifyLimited("429"),
            "waiting",
            RetryState(1, NOW + 60),
            FAILING._replace(paused_until=NOW + 60, answered_at=NOW, reason="429"),
            id="a rate limit without an end",
        ),
        pytest.param(
            NotifyLimited("429", wait=20.0 * DAY),
            "waiting",
            RetryState(1, TICK + DAY),
            FAILING._replace(paused_until=NOW + DAY, answered_at=NOW, reason="429"),
            id="a rate limit for weeks holds the message until it is too old",
        ),
        pytest.param(
            NotifyUnavailable("502"),
            "failed",
            RetryState(2, NOW + 10),
            FAILING._replace(failures=4, paused_until=NOW + 25, answered_at=NOW, reason="502"),
            id="a failure pauses the channel by its failures and the message by its own",
        ),
    ],
)
def test_each_answer_means_this(
    outcome: NotifyAnswer | NotSent, status: str, retry: RetryState | None, state: ChannelState
):
    decision = decide(FAILING, queued(failed=1), outcome, CONTEXT)

    text = outcome.text if isinstance(outcome, NotifyAnswer) else str(outcome)
    assert decision.disposition == (status, text, retry, None)
    assert decision.state == state


def test_a_message_whose_next_attempt_would_be_too_late_is_given_up_and_says_why():
    context = CONTEXT._replace(now=TICK + DAY - 3.0)

    decision = decide(ChannelState(), queued(failed=7), NotifyUnavailable("500"), context)

    assert decision.disposition == ("given up", "500; given up 24.0 h after its tick, after 7 failures", None, None)
    assert decision.state.failures == 1


def test_a_receipt_goes_with_what_is_sent():
    decision = decide(ChannelState(), queued(), NotifyAnswer("200", None, "r1", NOW + HOUR), CONTEXT)

    assert decision.disposition.receipt == Receipt("r1", [alert().id], NOW + HOUR)


@pytest.mark.parametrize(
    "quota, message, status",
    [
        pytest.param(None, queued(), None, id="no quota: it is sent"),
        pytest.param(FULL, queued(), None, id="enough is left: it is sent"),
        pytest.param(LOW, queued(severity="critical"), None, id="low: what is urgent is sent"),
        pytest.param(LOW, queued(), "waiting", id="low: what is not urgent waits"),
        pytest.param(LOW._replace(reset=NOW + 2 * DAY), queued(), "given up", id="low for more than a day"),
        pytest.param(LOW._replace(reset=NOW), queued(), None, id="reset: it is sent"),
        pytest.param(LOW, make_quota_notice("phone", LOW, TICK, OPTIONS), None, id="low: the notice is sent"),
        pytest.param(FULL, make_quota_notice("phone", LOW, TICK, OPTIONS), "dropped", id="a notice that is untrue"),
        pytest.param(None, queued(at=TICK - DAY), "given up", id="older than a day"),
    ],
)
def test_what_is_due_is_sent_unless(quota: MessageQuota | None, message: QueuedMessage, status: str | None):
    decision = decide_without_sending(ChannelState(quota=quota), message, CONTEXT)

    assert (decision.disposition.status if decision else None) == status


@pytest.mark.parametrize(
    "outcome, is_notified",
    [(NotifyAnswer("200"), True), (NotifyRefused("400"), True), (NotifyUnavailable("500"), False)],
)
def test_users_are_notified_of_a_low_quota_once(outcome: NotifyAnswer | NotSent, is_notified: bool):
    notice = make_quota_notice("phone", LOW, TICK, OPTIONS)

    state, _ = decide(ChannelState(quota=LOW), notice, outcome, CONTEXT)

    assert (state.notified_reset == LOW.reset) is is_notified


def test_a_notice_that_an_alert_of_the_same_tick_resembles_is_told_from_it_by_its_alerts():
    notice = make_quota_notice("phone", LOW, TICK, OPTIONS).message

    assert is_quota_notice(notice, LOW)
    assert not is_quota_notice(notice, FULL)
    assert not is_quota_notice(notice._replace(alerts=(alert(),)), LOW)


times = st.floats(TICK, TICK + DAY)
quotas = st.none() | st.builds(
    MessageQuota, st.just(10_000), st.integers(0, 10_000), st.floats(TICK - DAY, TICK + 31 * DAY)
)
states = st.builds(
    ChannelState,
    failures=st.integers(0, 5000),
    paused_until=times,
    quota=quotas,
    refused_until=times,
    refusals=st.integers(0, 5000),
)
outcomes = st.one_of(
    st.builds(NotifyAnswer, st.just("200"), quotas),
    st.builds(NotifyUnavailable, st.just("500"), quotas),
    st.builds(NotifyLimited, st.just("429"), quotas, st.none() | st.floats(0, 31 * DAY)),
    st.builds(NotifyRefused, st.just("400"), quotas, for_all=st.booleans()),
)


@given(states, outcomes, times, st.floats(0, 1, exclude_max=True), st.integers(0, 5000))
def test_whatever_is_answered_a_message_ends_within_its_day_and_no_pause_is_shorter_or_longer_than_is_polite(
    state: ChannelState, outcome: NotifyAnswer | NotSent, now: float, jitter: float, failed: int
):
    message = queued(failed)

    after, disposition = decide(state, message, outcome, AttemptContext(now, DEFAULT_BACKOFF, jitter))

    is_settled = disposition.status in (DeliveryStatus.SENT, DeliveryStatus.REFUSED, DeliveryStatus.GIVEN_UP)
    assert (disposition.retry is None) is is_settled
    assert disposition.status.is_dead is (is_settled and disposition.status != DeliveryStatus.SENT)
    if disposition.retry:
        assert now < disposition.retry.next <= TICK + DAY or disposition.retry.next == TICK + DAY
        assert disposition.retry.failed == failed + (disposition.status == DeliveryStatus.FAILED)
    if isinstance(outcome, NotifyUnavailable):
        assert now + 5 <= after.next_send or after.refused_until > now
        assert after.paused_until <= now + DAY + 1e-3
    else:
        assert after.failures == 0
        assert after.next_send <= now + HOUR + 1e-3
    assert after.quota == (outcome.quota or state.quota)


@given(states, times, st.booleans())
def test_what_is_not_sent_now_leaves_the_channel_as_it_is(state: ChannelState, now: float, is_urgent: bool):
    message = queued(severity="critical" if is_urgent else "warning")

    decision = decide_without_sending(state, message, AttemptContext(now, DEFAULT_BACKOFF))

    if decision:
        assert decision.state == state
        assert not is_urgent
        assert state.is_low(now)
