"""A part of a body: `Range: bytes=0-99`, and `If-Range` (RFC 9110, 14)."""

import re

_SINGLE = re.compile(rb"bytes=[ \t]*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))[ \t]*", re.IGNORECASE)


class RangeNotSatisfiable(Exception):
    """The range holds no byte of the body."""


def find_range(header: bytes, size: int) -> range | None:
    """
    Return the bytes of a body of `size` that are asked for; `None` where the header is to be ignored.

    Ignored is what is no range of bytes, and more ranges than one: then the whole body is the answer, as the standard
    allows. Raises `RangeNotSatisfiable` where the body ends before the range begins.
    """
    found = _SINGLE.fullmatch(header)
    if not found:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= end:
        raise RangeNotSatisfiable(f"a range of bytes is not accepted: {header.decode('latin-1')[:100]!r}")
    return range(start, end)


def is_unchanged(if_range: bytes | None, tag: bytes) -> bool:
    """Return whether a part still belongs to what a client has: no `If-Range`, or one with the same strong tag."""
    return if_range is None or (if_range.strip() == tag and not tag.startswith(b"W/"))
