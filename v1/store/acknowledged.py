"""
What was acknowledged until it is over, as it is kept: a hash with a field for each rule and subject.

    <rule> <subject>    [tick of the alert, when it was acknowledged, by whom]

The tick at which it is over deletes its field. What nobody sees the end of, for its metric is gone, is deleted when it
is old.
"""

import json
from collections.abc import Iterable, Mapping

from ..model import DAY
from ..rules import Acknowledged, AcknowledgedAlert
from .stored_json import read_list

MOST_ACKNOWLEDGED = 1000
KEPT_SECONDS = 30 * DAY
"""How long what is acknowledged is remembered."""
_KEPT = (int, int, str)
"""What is kept of each, in this order."""


def write_field(rule: str, subject: str) -> str:
    """Return the field of a rule, whose id has no space, and of a subject."""
    return f"{rule} {subject}"


def write_acknowledged(found: AcknowledgedAlert, now: int) -> str:
    return json.dumps([found.at, now, found.by], ensure_ascii=False)


def read_acknowledged(written: Mapping[str, str]) -> Acknowledged:
    """Return what is acknowledged; what cannot be read is left out."""
    found = {}
    for field, value in written.items():
        rule, _, subject = field.partition(" ")
        kept = _read(value)
        if kept:
            found[rule, subject] = AcknowledgedAlert(kept[0], kept[2])
    return found


def list_old_fields(written: Mapping[str, str], now: int) -> Iterable[str]:
    """Return the fields that are too old, or cannot be read."""
    for field, value in written.items():
        kept = _read(value)
        if kept is None or kept[1] < now - KEPT_SECONDS:
            yield field


def _read(value: str) -> tuple[int, int, str] | None:
    kept = read_list(value) or []
    if len(kept) != len(_KEPT) or not all(type(each) is kind for each, kind in zip(kept, _KEPT, strict=True)):
        return None
    return kept[0], kept[1], kept[2]
