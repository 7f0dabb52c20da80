"""What a rule says, as a value: everything that a message, a log or a table of alerts needs."""

from enum import StrEnum
from typing import NamedTuple


class ReferenceKind(StrEnum):
    """What one number that a value was compared with is."""

    ABOVE = "above"
    """A bound that the value is above."""
    BELOW = "below"
    """A bound that the value is below."""
    LOWEST = "lowest"
    """The lowest value of the window; `since` says when it was reached last."""
    HIGHEST = "highest"
    """The highest value of the window; `since` says when it was reached last."""
    FIRST = "first"
    """The first value of the window; `since` says when that was."""


TEST = "test"
"""The event of an alert that somebody asked for, to see where messages arrive: nothing has happened."""


class Alert(NamedTuple):
    """What a rule says at one tick."""

    id: str
    """`<rule>.<metric>.<tick>`: the same alert has the same id however often it is computed or sent."""
    rule: str
    name: str
    kind: str
    severity: str
    event: str
    """`firing`; `resolved` where a rule tells that too; of a rank rule `enters` or `leaves`; or `test`."""
    metric: str
    """The metric; of a source that went silent as a whole, `<source>:*`."""
    measure: str | None
    at: int
    value: str | None
    """What was judged; of a rank rule the rank."""
    mean: float | None
    """Of the numbers it was compared with, rounded once."""
    ratio: float | None
    """By how much it exceeds: times the mean, percent (of a threshold: of its bound), or deviations, as the kind has it."""
    samples: int | None
    """How many numbers are behind the mean; of a silent source, how many metrics it has."""
    since: int | None
    """The tick from which on they were counted, or since when there is silence."""
    rank: int | None
    """Place of the metric by deviation of the measure; of a rank rule, in its own rank."""
    of: int | None
    suppressed_by: str | None
    """Why no message is sent; `None` where one is."""
    group_size: int
    """How many messages the rule has at this tick; more than a few are sent as one."""
    channels: tuple[str, ...]
    """Where it goes; empty: everywhere."""
    reference: str | None = None
    """The one number that the value was compared with: the bound that it is beyond, or what it moved from."""
    reference_kind: str | None = None
    """What that number is, see `ReferenceKind`."""


def make_alert_id(rule: str, subject: str, at: int) -> str:
    return f"{rule}.{subject}.{at}"
