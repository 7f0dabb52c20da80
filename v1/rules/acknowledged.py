"""What somebody has acknowledged until it is over: no message about it is sent until then. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from .phases import Phase, RuleState


class AcknowledgedAlert(NamedTuple):
    """An alert that was acknowledged until what it tells of is over."""

    at: int
    """Its tick."""
    by: str
    """Who acknowledged it."""


Acknowledged = Mapping[tuple[str, str], AcknowledgedAlert]
"""By the id of the rule and the subject, a metric or a source."""
NOTHING_ACKNOWLEDGED: Acknowledged = {}


def is_still_about(found: AcknowledgedAlert, state: RuleState) -> bool:
    """Return whether a rule that is in a state holds without a break since before an alert was acknowledged."""
    return state.phase is Phase.FIRING and state.since <= found.at


def explain_acknowledged(found: AcknowledgedAlert) -> str:
    """Return why no message is sent."""
    return f"acknowledged by {found.by} until it is over"
