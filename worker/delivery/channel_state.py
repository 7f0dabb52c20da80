"""The state of one channel: failures in a row, pauses and the provider's quota, as it is kept over restarts. Pure."""

import json
from typing import NamedTuple

from worker.delivery.backoff import BackoffPolicy
from worker.delivery.notify.base import MessageQuota

LOW_PERCENT = 10
"""Below this share of the quota only urgent messages are sent."""


class ChannelState(NamedTuple):
    """What is known of a channel after its newest answer. It holds for one sender, see `resume`."""

    failures: int = 0
    """In a row."""
    paused_until: float = 0.0
    """Nothing is sent before, after a failure or a rate limit; unix seconds."""
    quota: MessageQuota | None = None
    """As the provider reported it last."""
    notified_reset: float = 0.0
    """The reset of the quota of which users were notified that it is low."""
    sender: str = ""
    """Whose state it is, see `Notifier.fingerprint`."""
    answered_at: float = 0.0
    """When the answer came that the pause is about; unix seconds."""
    reason: str = ""
    """That answer."""
    refused_until: float = 0.0
    """Nothing is sent before, for every message is refused; unix seconds. Not read back: people restart to repair that."""
    refusals: int = 0
    """Refusals in a row that are about the channel; not kept."""

    @property
    def next_send(self) -> float:
        """Nothing is sent before; unix seconds."""
        return max(self.paused_until, self.refused_until)

    def resume(self, sender: str, now: float, policy: BackoffPolicy) -> "ChannelState":
        """
        Return the state to start with.

        Another sender starts with a new one. For the same one, a quota that is used up for long is tried once more:
        it may be a larger one by now.
        """
        if self.sender != sender:
            return ChannelState(sender=sender)
        until, quota = self.paused_until, self.quota
        if until > now + policy.max_kept_delay:
            until = self.answered_at + policy.limited_delay
        if quota and quota.remaining <= 0 and quota.reset > now + policy.max_kept_delay:
            quota = None
        return self._replace(paused_until=until, quota=quota)

    def is_low(self, now: float) -> bool:
        """Return whether little of the quota is left."""
        quota = self.quota
        return quota is not None and now < quota.reset and quota.remaining * 100 < quota.limit * LOW_PERCENT

    def write(self) -> str:
        """Return the state as JSON; others read its first two values, failures in a row and the next time to send."""
        first = self.failures, self.next_send, self.quota, self.notified_reset
        return json.dumps((*first, self.sender, self.answered_at, self.reason, self.paused_until))


def read_channel_state(written: str | None) -> ChannelState:
    """Return what `ChannelState.write` wrote; of `None`, or anything else, the state of a channel that never failed."""
    try:
        failures, until, quota, notified_reset, *rest = json.loads(written or "null")
        sender, answered_at, reason, until = rest or ("", 0.0, "", until)
        quota = MessageQuota(*quota) if quota else None
        return ChannelState(failures, until, quota, notified_reset, sender, answered_at, reason)
    except (TypeError, ValueError):
        return ChannelState()
