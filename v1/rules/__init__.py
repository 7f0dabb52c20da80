"""Alert rules: what they are, when they hold, and when they speak. Pure: no clock, no network, no Redis."""

from .acknowledged import Acknowledged, AcknowledgedAlert
from .alert import Alert
from .defaults import DEFAULTS
from .engine import (
    NO_EVALUATION,
    NO_RULES,
    NO_SOURCE_OUTAGES,
    NOTHING_SAID,
    Evaluation,
    RuleEngine,
    SourceOutages,
    TickContext,
    attach_states,
)
from .invented_alert import invent_metric, make_test_alert
from .phases import RuleStates, read_states, write_states
from .rule import InvalidRule, Kind, Rule, Severity, parse_rule
from .silence import InvalidSilence, Silence, parse_silence
from .subject import SubjectResult
from .validation import Fault, InvalidDocument

__all__ = [
    "DEFAULTS",
    "NOTHING_SAID",
    "NO_EVALUATION",
    "NO_RULES",
    "NO_SOURCE_OUTAGES",
    "Acknowledged",
    "AcknowledgedAlert",
    "Alert",
    "Evaluation",
    "Fault",
    "InvalidDocument",
    "InvalidRule",
    "InvalidSilence",
    "Kind",
    "Rule",
    "RuleEngine",
    "RuleStates",
    "Severity",
    "Silence",
    "SourceOutages",
    "SubjectResult",
    "TickContext",
    "attach_states",
    "invent_metric",
    "make_test_alert",
    "parse_rule",
    "parse_silence",
    "read_states",
    "write_states",
]
