"""Alert rules: what they are, when they hold, and when they speak. Pure: no clock, no network, no Redis."""

from .alert import Alert
from .defaults import DEFAULTS
from .engine import NO_OUTAGES, NO_RULES, NOTHING_SAID, SILENT, Engine, Judged, Market, Outages, with_states
from .faults import Fault, NotAccepted
from .phases import States, read_states, write_states
from .rule import Kind, Rule, Severity, WrongRule, parse_rule
from .saying import Said
from .silence import Silence, WrongSilence, parse_silence

__all__ = [
    "DEFAULTS",
    "NOTHING_SAID",
    "NO_OUTAGES",
    "NO_RULES",
    "SILENT",
    "Alert",
    "Engine",
    "Fault",
    "Judged",
    "Kind",
    "Market",
    "NotAccepted",
    "Outages",
    "Rule",
    "Said",
    "Severity",
    "Silence",
    "States",
    "WrongRule",
    "WrongSilence",
    "parse_rule",
    "parse_silence",
    "read_states",
    "with_states",
    "write_states",
]
