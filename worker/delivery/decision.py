"""
What a provider's answer means for the channel and for the message. Pure.

    answer          channel                                    message
    taken           no failures, no pause                      sent
    refused         the same, for it did answer                refused
      for all       paused, longer each time                   refused
    rate limited    paused as long as the provider asks        waiting
    anything else   paused, longer each time                   failed: retried later

A message that would be retried later than `give_up_after` its tick is given up instead.
"""

from typing import NamedTuple

from worker.delivery.backoff import BackoffPolicy, compute_delay
from worker.delivery.channel_state import ChannelState
from worker.delivery.messages import is_quota_notice
from worker.delivery.notify.base import MessageQuota, NotifyAnswer, NotifyLimited, NotifyRefused, NotSent
from worker.latest.delivery import DeliveryStatus, Disposition, QueuedMessage, Receipt, RetryState


class AttemptContext(NamedTuple):
    """When an attempt is decided, and by what rules."""

    now: float
    """Unix seconds."""
    policy: BackoffPolicy
    jitter: float = 0.0
    """A random number from [0, 1)."""

    def is_too_late(self, queued: QueuedMessage, when: float) -> bool:
        """Return whether a message is not to be sent any more at a time."""
        return when > queued.message.at + self.policy.give_up_after


class Decision(NamedTuple):
    """The channel's new state, and what becomes of the message."""

    state: ChannelState
    disposition: Disposition


def decide_without_sending(state: ChannelState, queued: QueuedMessage, context: AttemptContext) -> Decision | None:
    """Return what becomes of a message that is not to be sent now; `None` where it is to be sent."""
    quota, is_low = state.quota, state.is_low(context.now)
    if context.is_too_late(queued, context.now):
        disposition = _give_up(queued, state.reason or "too old", context)
    elif not queued.message.alerts and not is_low:
        disposition = Disposition(DeliveryStatus.DROPPED, "the quota is not low any more")
    elif quota and is_low and queued.message.alerts and not queued.message.is_urgent:
        answer = f"quota low: {quota.remaining} of {quota.limit} messages left, only critical alerts are sent"
        disposition = Disposition(DeliveryStatus.WAITING, answer, queued.retry._replace(next=quota.reset))
    else:
        return None
    return _complete(state, queued, disposition, context)


def decide(
    state: ChannelState, queued: QueuedMessage, outcome: NotifyAnswer | NotSent, context: AttemptContext
) -> Decision:
    """Return what a provider's answer to a message means."""
    if isinstance(outcome, NotifyAnswer):
        state, disposition = _decide_sent(state, queued, outcome)
    elif isinstance(outcome, NotifyRefused):
        state, disposition = _decide_refused(state, outcome, context)
    elif isinstance(outcome, NotifyLimited):
        state, disposition = _decide_limited(state, queued, outcome, context)
    else:
        state, disposition = _decide_failed(state, queued, outcome, context)
    return _complete(state, queued, disposition, context)


def _decide_sent(state: ChannelState, queued: QueuedMessage, answer: NotifyAnswer) -> Decision:
    receipt = Receipt(answer.receipt, queued.alerts, answer.until) if answer.receipt else None
    state = _clear(state, answer.quota)._replace(refusals=0)
    return Decision(state, Disposition(DeliveryStatus.SENT, answer.text, receipt=receipt))


def _decide_refused(state: ChannelState, error: NotifyRefused, context: AttemptContext) -> Decision:
    state, policy = _clear(state, error.quota), context.policy
    if error.for_all:
        delay = compute_delay(state.refusals, policy.max_channel_delay, policy.max_refused_delay, context.jitter)
        state = state._replace(
            refusals=state.refusals + 1,
            refused_until=context.now + delay,
            answered_at=context.now,
            reason=str(error),
        )
    return Decision(state, Disposition(DeliveryStatus.REFUSED, str(error)))


def _decide_limited(
    state: ChannelState, queued: QueuedMessage, error: NotifyLimited, context: AttemptContext
) -> Decision:
    policy = context.policy
    delay = policy.limited_delay if error.wait is None else error.wait
    until = context.now + min(max(delay, policy.min_delay), policy.give_up_after)
    state = _pause(state, until, error, context)
    # Not given up at once: there may be a new quota, or another sender, before the message is too old.
    retry = queued.retry._replace(next=min(until, queued.message.at + policy.give_up_after))
    return Decision(state, Disposition(DeliveryStatus.WAITING, str(error), retry))


def _decide_failed(state: ChannelState, queued: QueuedMessage, error: NotSent, context: AttemptContext) -> Decision:
    now, policy, jitter = context
    failed = queued.retry.failed
    channel_delay = compute_delay(state.failures, policy.min_delay, policy.max_channel_delay, jitter)
    message_delay = compute_delay(failed, policy.min_delay, policy.max_message_delay, jitter)
    state = _pause(state, now + channel_delay, error, context)._replace(failures=state.failures + 1)
    return Decision(state, Disposition(DeliveryStatus.FAILED, str(error), RetryState(failed + 1, now + message_delay)))


def _clear(state: ChannelState, quota: MessageQuota | None) -> ChannelState:
    """Return the state of a channel that did answer."""
    return state._replace(failures=0, paused_until=0.0, quota=quota or state.quota, reason="", refused_until=0.0)


def _pause(state: ChannelState, until: float, error: NotSent, context: AttemptContext) -> ChannelState:
    return state._replace(
        paused_until=until, quota=error.quota or state.quota, answered_at=context.now, reason=str(error)
    )


def _complete(
    state: ChannelState, queued: QueuedMessage, disposition: Disposition, context: AttemptContext
) -> Decision:
    """Drop a message whose next attempt would be too late; note where users are notified that the quota is low."""
    if disposition.retry and context.is_too_late(queued, disposition.retry.next):
        disposition = _give_up(queued, disposition.answer, context)
    if not disposition.retry and state.quota and is_quota_notice(queued.message, state.quota):
        state = state._replace(notified_reset=state.quota.reset)
    return Decision(state, disposition)


def _give_up(queued: QueuedMessage, answer: str, context: AttemptContext) -> Disposition:
    hours = (context.now - queued.message.at) / 3600
    tries = f"given up {hours:.1f} h after its tick, after {queued.retry.failed} failures"
    return Disposition(DeliveryStatus.GIVEN_UP, f"{answer}; {tries}")
