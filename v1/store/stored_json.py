"""Reads values stored as JSON. What cannot be read counts as lost: its writer writes it again."""

import json
from collections.abc import Iterable, Mapping
from typing import Any


def read_dict(written: str | bytes | None) -> dict[str, Any] | None:
    """Return the stored object; `None` where nothing is stored, or no JSON object."""
    read = _read(written)
    return read if isinstance(read, dict) else None


def read_list(written: str | bytes | None) -> list[Any] | None:
    """Return the stored array; `None` where nothing is stored, or no JSON array."""
    read = _read(written)
    return read if isinstance(read, list) else None


def read_dicts(written: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the objects in the fields of a hash; those that cannot be read are left out."""
    return {name: read for name, each in written.items() if (read := read_dict(each)) is not None}


def read_alerts(written: Iterable[str]) -> list[dict[str, Any]]:
    """Return the alerts that can be read, in order."""
    read = map(read_dict, written)
    return [
        each for each in read if each is not None and {"id", "rule", "metric", "at", "suppressed_by"} <= each.keys()
    ]


def read_tick(written: str | bytes | None) -> int | None:
    """Return the stored tick; `None` where nothing is stored, or no number."""
    return int(written) if written is not None and written.isdigit() else None


def _read(written: str | bytes | None) -> Any:
    try:
        return None if written is None else json.loads(written)
    except (ValueError, RecursionError):
        return None
