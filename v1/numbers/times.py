"""Times as text: ISO 8601 to unix seconds and back. What names no zone is UTC."""

from datetime import UTC, datetime


def parse_iso(text: str) -> int:
    """Return the unix seconds of an ISO 8601 text, without fractions. Raises `ValueError`."""
    try:
        at = datetime.fromisoformat(text)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
    except OverflowError as error:
        raise ValueError(f"{text!r} is out of range") from error


def format_iso(at: int) -> str:
    """Return unix seconds as ISO 8601 in UTC: `2021-05-18T00:00:00Z`."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
