"""How long a channel, and a message, is left alone after a failure. Pure: the time and the dice are arguments."""

import json
from typing import NamedTuple

from worker.delivery.notify.base import MessageQuota, NotSent
from worker.latest import DAY

LOW = 10
"""Per cent of the quota below which only what is urgent is sent."""


class BackoffPolicy(NamedTuple):
    """Seconds."""

    pause: float = 5.0
    """The least that a channel is left alone after a failure."""
    rest: float = 60.0
    """The most that it is, after many in a row: when it is back, messages wait no longer than that."""
    longest: float = 300.0
    """The most between two tries of a message that fails where others do not."""
    limited: float = 60.0
    """After an answer that it is too much for now and does not say for how long."""
    kept: float = 3600.0
    """The most of such a wait that a restart is no way around: who restarts may have bought a larger quota."""
    refused: float = 3600.0
    """The most that a channel is left alone that refuses whatever is sent: each try may cost a message."""
    give_up: float = DAY
    """After its tick, a message is not sent any more."""


DEFAULT_BACKOFF = BackoffPolicy()


class ChannelState(NamedTuple):
    """How a channel stands; kept, so that a restart is no way around a quota. It holds for one sender, see `resumed`."""

    failures: int = 0
    """In a row."""
    until: float = 0.0
    """Nothing is sent before; unix seconds."""
    quota: MessageQuota | None = None
    """What the provider said last."""
    told: float = 0.0
    """The reset of the quota of which people were told that it is low."""
    sender: str = ""
    """Fingerprint of whose standing it is, see `Notifier.fingerprint`."""
    heard: float = 0.0
    """When the answer came after which it rests; unix seconds."""
    reason: str = ""
    """That answer."""
    refused_until: float = 0.0
    """Nothing is sent before, for the channel refuses whatever it is. Not read back: a restart is when people mend that."""

    @property
    def rests_until(self) -> float:
        return max(self.until, self.refused_until)

    def resumed(self, sender: str, now: float, pace: BackoffPolicy) -> "ChannelState":
        """
        Return how the channel stands at a start.

        What was learnt of another sender does not hold. Of the same one, a quota that is used up for long is tried
        once more: it may be a larger one by now.
        """
        if self.sender != sender:
            return ChannelState(sender=sender)
        until, quota = self.until, self.quota
        if until > now + pace.kept:
            until = self.heard + pace.limited
        if quota and quota.remaining <= 0 and quota.reset > now + pace.kept:
            quota = None
        return self._replace(until=until, quota=quota)

    def is_low(self, now: float) -> bool:
        """Return whether little of the quota is left."""
        quota = self.quota
        return quota is not None and now < quota.reset and quota.remaining * 100 < quota.limit * LOW

    def with_answer(self, quota: MessageQuota | None) -> "ChannelState":
        return self._replace(failures=0, until=0.0, quota=quota or self.quota, reason="", refused_until=0.0)

    def with_failure(self, now: float, pace: BackoffPolicy, dice: float, error: NotSent) -> "ChannelState":
        return self._replace(
            failures=self.failures + 1,
            until=now + compute_delay(self.failures, pace.pause, pace.rest, dice),
            quota=error.quota or self.quota,
            heard=now,
            reason=str(error),
        )

    def with_limit(self, now: float, until: float, error: NotSent) -> "ChannelState":
        return self._replace(until=until, quota=error.quota or self.quota, heard=now, reason=str(error))

    def refused(self, now: float, until: float, error: NotSent) -> "ChannelState":
        return self._replace(refused_until=until, heard=now, reason=str(error))

    def write(self) -> str:
        """Return it as it is kept: first what others read of it, failures in a row and until when nothing is sent."""
        kept = self.failures, self.rests_until, self.quota, self.told, self.sender, self.heard, self.reason, self.until
        return json.dumps(kept)


def read_channel_state(written: str | None) -> ChannelState:
    """Read what `Standing.written` wrote; of nothing, or something else, a channel that never failed."""
    try:
        failures, until, quota, told, *rest = json.loads(written or "null")
        sender, heard, reason, until = rest or ("", 0.0, "", until)
        return ChannelState(failures, until, MessageQuota(*quota) if quota else None, told, sender, heard, reason)
    except (TypeError, ValueError):
        return ChannelState()


def compute_delay(failures: int, least: float, most: float, dice: float) -> float:
    """
    Return the seconds to wait after one more failure than `failures`; `dice` is from [0, 1).

    With full jitter beyond the least, so that what failed together is not tried together.
    """
    return min(least + dice * least * 2.0 ** min(failures, 32), most)
