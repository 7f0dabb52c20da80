"""How long alerts are kept, and who is told of them."""

from typing import NamedTuple

from ..model import DAY


class AlertLimits(NamedTuple):
    """How long alerts are kept, and who is told of them."""

    keep: int = 30 * DAY
    """Seconds that alerts and their deliveries are kept."""
    send: bool = True
    """Whether messages are put into the outbox; a replay keeps its alerts and sends none."""
    push: bool = True
    """Whether they are pushed to clients that listen; those of a replay that is not watched are not."""
