"""What rules and silences are, where they hold, and files of rules. Errors: `InvalidDocument`, `InvalidFile`."""

from ..rules import (
    DEFAULTS,
    NO_RULES,
    Alert,
    Evaluation,
    InvalidDocument,
    Rule,
    RuleEngine,
    Severity,
    Silence,
    TickContext,
    attach_states,
)
from ..rules.field_types import Seconds
from ..rules.rule_set import RuleSet, read_rule_set
from ..rules.rule_set import StoredRules as WrittenRules
from ..rules.rule_set import write_document as write_rule
from ..rules.rules_file import LARGEST as LARGEST_FILE
from ..rules.rules_file import InvalidFile, read_rules, read_rules_file, read_toml
from ..rules.validation import list_faults

__all__ = [
    "DEFAULTS",
    "LARGEST_FILE",
    "NO_RULES",
    "Alert",
    "Evaluation",
    "InvalidDocument",
    "InvalidFile",
    "Rule",
    "RuleEngine",
    "RuleSet",
    "Seconds",
    "Severity",
    "Silence",
    "TickContext",
    "WrittenRules",
    "attach_states",
    "list_faults",
    "read_rule_set",
    "read_rules",
    "read_rules_file",
    "read_toml",
    "write_rule",
]
