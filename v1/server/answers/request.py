"""The headers of a request that matter to an answer that is kept."""

from collections.abc import Mapping
from typing import NamedTuple

from starlette.types import Scope

READING = ("GET", "HEAD")
"""Methods that are answered from memory."""
FORM_HEADERS = frozenset({b"accept", b"accept-encoding"})
"""Headers on which it depends what is answered."""
CONDITIONAL_HEADERS = frozenset({b"if-none-match", b"range", b"if-range"})
"""Headers on which it depends how much of that is sent."""
_LEFT_OUT = CONDITIONAL_HEADERS | {b"accept-encoding"}

RequestForm = tuple[str, bytes, tuple[tuple[bytes, bytes], ...]]
"""How something is asked for: path, query, and the headers on which the answer depends, as they came."""


class Conditions(NamedTuple):
    """What a request says of how much of an answer is to be sent."""

    if_none_match: bytes | None
    range_: bytes | None
    if_range: bytes | None


def join_headers(headers: "tuple[tuple[bytes, bytes], ...] | list[tuple[bytes, bytes]]") -> Mapping[bytes, bytes]:
    """Return headers by name; what came in several of one name is one list (RFC 9110, 5.3)."""
    joined: dict[bytes, bytes] = {}
    for name, value in headers:
        joined[name] = joined[name] + b", " + value if name in joined else value
    return joined


def read_conditions(scope: Scope) -> Conditions:
    headers = join_headers([header for header in scope["headers"] if header[0] in CONDITIONAL_HEADERS])
    return Conditions(headers.get(b"if-none-match"), headers.get(b"range"), headers.get(b"if-range"))


def strip_request(scope: Scope) -> Scope:
    """Return the scope in which the routes make an answer that everybody gets: whole, unconditional, not compressed."""
    headers = [header for header in scope["headers"] if header[0] not in _LEFT_OUT]
    return {**scope, "method": "GET", "headers": headers}
