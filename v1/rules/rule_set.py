"""Which rules and silences there are, out of what is written in different places. Pure."""

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple, TypeVar

from .defaults import DEFAULTS
from .rule import Rule, explain_never_fires, parse_rule
from .silence import Silence, parse_silence
from .validation import InvalidDocument


class Origin(StrEnum):
    """Where a rule is written. Who is further down comes before who is further up."""

    DEFAULT = "default"
    """In `defaults`, and nobody has written another one."""
    API = "api"
    FILE = "file"


class StoredRules(NamedTuple):
    """Everything as it is written, by id: JSON."""

    api: Mapping[str, str]
    file: Mapping[str, str]
    silences: Mapping[str, str]


class RuleEntry(NamedTuple):
    """A rule, and where it comes from."""

    rule: Rule
    origin: Origin


class RuleSet(NamedTuple):
    """Everything that is in force."""

    entries: Mapping[str, RuleEntry]
    """By the rule's id, in that order."""
    silences: Mapping[str, Silence]
    wrong: tuple[str, ...]
    """What could not be read, or cannot be meant, a line each."""

    @property
    def rules(self) -> list[Rule]:
        return [entry.rule for entry in self.entries.values()]


_DEFAULTS = {rule.id: rule for rule in DEFAULTS}
T = TypeVar("T", Rule, Silence)


def write_document(value: Rule | Silence) -> str:
    """Return a rule or a silence as it is kept."""
    document = value.write_fields() if isinstance(value, Rule) else value.model_dump(by_alias=True)
    return json.dumps(document, separators=(",", ":"))


def find_default(rule: str) -> Rule | None:
    return _DEFAULTS.get(rule)


def disable_default(rule: Rule) -> Rule:
    """Return what is written in place of a default rule that somebody does not want."""
    return rule.model_copy(update={"enabled": False})


def read_rule_set(written: StoredRules, interval: int) -> RuleSet:
    """
    Read everything. What cannot be read is left out and told; a default in its place holds.

    A rule that can never fire at one sample every `interval` seconds is told, too, and kept.
    """
    wrong: list[str] = []
    api = _read(written.api, "rule", parse_rule, wrong)
    file = _read(written.file, "rule of the file", parse_rule, wrong)
    entries = {name: RuleEntry(rule, Origin.DEFAULT) for name, rule in _DEFAULTS.items()}
    entries |= {name: RuleEntry(rule, _origin(rule)) for name, rule in api.items()}
    entries |= {name: RuleEntry(rule, Origin.FILE) for name, rule in file.items()}
    for entry in entries.values():
        fault = explain_never_fires(entry.rule, interval)
        if fault and entry.rule.enabled:
            wrong.append(f"rule {entry.rule.id} can never fire: {InvalidDocument([fault])}")
    silences = _read(written.silences, "silence", parse_silence, wrong)
    return RuleSet(dict(sorted(entries.items())), dict(sorted(silences.items())), tuple(wrong))


def _origin(rule: Rule) -> Origin:
    known = _DEFAULTS.get(rule.id)
    return Origin.DEFAULT if known and rule == disable_default(known) else Origin.API


def _read(written: Mapping[str, str], what: str, parse: Callable[[object], T], wrong: list[str]) -> dict[str, T]:
    found = {}
    for name, text in written.items():
        try:
            value = parse(json.loads(text))
        except (ValueError, RecursionError, InvalidDocument) as error:
            wrong.append(f"{what} {name} cannot be read and is left out: {error}")
            continue
        if value.id == name:
            found[name] = value
        else:
            wrong.append(f"{what} {name} is left out: it calls itself {value.id}")
    return found
