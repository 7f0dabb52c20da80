"""What a check found, and how all of it is printed: a line each, for people, or one JSON document for programs."""

import json
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from worker.latest.settings import redact

START, START_API = "scripts/start.sh", "scripts/start-api.sh"
WORKER, KEYS = "scripts/start-worker.sh", "scripts/keys.sh"
AGAIN = f"{WORKER} doctor"
"""What to type to look again."""


class FindingLevel(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """It works, and something will be in the way, or is missing."""
    PROBLEM = "problem"
    """It does not work."""


class Finding(NamedTuple):
    """What was found of one thing."""

    name: str
    level: FindingLevel
    text: str
    advice: str = ""
    """What to do about it."""
    next_command: str = ""
    """What to type, where a command mends it."""


def make_ok(name: str, text: str) -> Finding:
    return Finding(name, FindingLevel.OK, text)


def make_warning(name: str, text: str, advice: str, next_command: str = "") -> Finding:
    return Finding(name, FindingLevel.WARNING, text, advice, next_command)


def make_problem(name: str, text: str, advice: str, next_command: str = "") -> Finding:
    return Finding(name, FindingLevel.PROBLEM, text, advice, next_command)


def find_worst(findings: Iterable[Finding]) -> FindingLevel:
    """Return the worst level there is."""
    order = [*FindingLevel]
    return max((finding.level for finding in findings), key=order.index, default=FindingLevel.OK)


def format_findings(findings: Sequence[Finding]) -> list[str]:
    """Return a line for each, without secrets: level, name, what was found, what to do."""
    width = max((len(finding.name) for finding in findings), default=0)
    lines = []
    for each in findings:
        advice = f"; {each.advice}" if each.advice else ""
        lines.append(f"{each.level:<8} {each.name:<{width}}  {_make_line(each.text + advice)}")
    return lines


def format_document(findings: Sequence[Finding], next_command: str) -> str:
    """Return everything as JSON, without secrets."""
    checks = [
        {
            "name": each.name,
            "level": each.level,
            "text": _make_line(each.text),
            "advice": _make_line(each.advice) or None,
        }
        for each in findings
    ]
    document = {"level": find_worst(findings), "checks": checks, "next": next_command}
    return json.dumps(document, ensure_ascii=False, indent=1)


def _make_line(text: str) -> str:
    """Return a text on one line, with secrets hidden: it may quote a provider, or a driver."""
    return " ".join(redact(text).split())
