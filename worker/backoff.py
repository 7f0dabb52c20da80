"""How long a channel, and a message, is left alone after a failure. Pure: the time and the dice are arguments."""

import json
from typing import NamedTuple

from worker.latest import DAY
from worker.notify.base import Quota

LOW = 10
"""Per cent of the quota below which only what is urgent is sent."""


class Pace(NamedTuple):
    """Seconds."""

    pause: float = 5.0
    """The least that a channel is left alone after a failure."""
    rest: float = 60.0
    """The most that it is, after many in a row: when it is back, messages wait no longer than that."""
    longest: float = 300.0
    """The most between two tries of a message that fails where others do not."""
    limited: float = 60.0
    """After an answer that it is too much for now and does not say for how long."""
    refused: float = 3600.0
    """The most that a channel is left alone that refuses whatever is sent: each try may cost a message."""
    give_up: float = DAY
    """After its tick, a message is not sent any more."""


PACE = Pace()


class Standing(NamedTuple):
    """How a channel stands; kept, so that a restart is no way around a quota."""

    failures: int = 0
    """In a row."""
    until: float = 0.0
    """Nothing is sent before; unix seconds."""
    quota: Quota | None = None
    """What the provider said last."""
    told: float = 0.0
    """The reset of the quota of which people were told that it is low."""

    def is_low(self, now: float) -> bool:
        """Tell whether little of the quota is left."""
        quota = self.quota
        return quota is not None and now < quota.reset and quota.remaining * 100 < quota.limit * LOW

    def answered(self, quota: Quota | None) -> "Standing":
        return self._replace(failures=0, until=0.0, quota=quota or self.quota)

    def failed(self, now: float, pace: Pace, dice: float, quota: Quota | None = None) -> "Standing":
        return self._replace(
            failures=self.failures + 1,
            until=now + delay(self.failures, pace.pause, pace.rest, dice),
            quota=quota or self.quota,
        )

    def limited(self, until: float, quota: Quota | None) -> "Standing":
        return self._replace(until=until, quota=quota or self.quota)

    def written(self) -> str:
        return json.dumps([self.failures, self.until, self.quota, self.told])


def standing(written: str | None) -> Standing:
    """Read what `Standing.written` wrote; of nothing, or something else, a channel that never failed."""
    try:
        failures, until, quota, told = json.loads(written or "null")
        return Standing(failures, until, Quota(*quota) if quota else None, told)
    except (TypeError, ValueError):
        return Standing()


def delay(failures: int, least: float, most: float, dice: float) -> float:
    """
    Give the seconds to wait after one more failure than `failures`; `dice` is from [0, 1).

    With full jitter beyond the least, so that what failed together is not tried together.
    """
    return min(least + dice * least * 2.0 ** min(failures, 32), most)
