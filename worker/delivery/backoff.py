"""How long to wait after failures, in seconds. Pure: the random number is an argument."""

from typing import NamedTuple

from worker.latest import DAY


class BackoffPolicy(NamedTuple):
    """Delays in seconds."""

    min_delay: float = 5.0
    """The shortest pause of a channel, or a message, after a failure."""
    max_channel_delay: float = 60.0
    """The longest pause of a channel that fails: once it is up again, messages wait no longer than that."""
    max_message_delay: float = 300.0
    """The longest delay between two attempts to send a message that fails where others do not."""
    limited_delay: float = 60.0
    """The pause after an answer that the channel is rate limited and that does not say for how long."""
    max_kept_delay: float = 3600.0
    """The longest such pause that outlives a restart: whoever restarts may have bought a larger quota."""
    max_refused_delay: float = 3600.0
    """The longest pause of a channel that refuses every message: each attempt may cost one."""
    give_up_after: float = DAY
    """A message is not sent any more that long after its tick."""


DEFAULT_BACKOFF = BackoffPolicy()


def compute_delay(failures: int, least: float, most: float, jitter: float) -> float:
    """
    Return the seconds to wait after one more failure than `failures`; `jitter` is from [0, 1).

    Exponential, with full jitter beyond the least, so that what failed together is not retried together.
    """
    return min(least + jitter * least * 2.0 ** min(failures, 32), most)
