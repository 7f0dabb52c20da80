"""Alert rules: what they are, when they hold, and when they speak. Pure: no clock, no network, no Redis."""

from .alert import Alert
from .defaults import DEFAULTS
from .engine import (
    NO_RULES,
    NOTHING_SAID,
    SILENT,
    Engine,
    Judged,
    Market,
    Said,
    States,
    read_states,
    with_states,
    write_states,
)
from .rule import Kind, Rule, Severity, WrongRule, parse_rule
from .silence import Silence

__all__ = [
    "DEFAULTS",
    "NOTHING_SAID",
    "NO_RULES",
    "SILENT",
    "Alert",
    "Engine",
    "Judged",
    "Kind",
    "Market",
    "Rule",
    "Said",
    "Severity",
    "Silence",
    "States",
    "WrongRule",
    "parse_rule",
    "read_states",
    "with_states",
    "write_states",
]
