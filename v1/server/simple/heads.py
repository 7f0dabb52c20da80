"""
Writes the heads of answers as h11 does: which headers the framing needs, where the date stands, what closes.

What is sent again and again is written once; only the date is new each second.
"""

import re
from http import HTTPStatus
from time import time
from typing import Any, NamedTuple, cast

import h11
from hypercorn.config import Config
from hypercorn.utils import build_and_validate_headers, suppress_body

from .requests import RawHeaders, SimpleRequest

ADD_LINES = "data_tracker.add_lines"
"""
The extension of a scope that takes header lines, each with its line end, for the answer's head as they stand. It is for
what is another in each answer: the rest of the head is remembered without it.
"""
MOST_KNOWN = 512
"""Heads that are remembered. Beyond it all are forgotten, and written again."""

# As in h11: a token, and a value without blanks around it.
_LINES = re.compile(rb"(?:[-!#$%&'*+.^_`|~0-9a-zA-Z]+: (?:[^\x00\s]+(?:[ \t]+[^\x00\s]+)*)?\r\n)*")
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection", b"host"})
"""Headers that h11 does something with."""
_LENGTH = re.compile(rb"[0-9]{1,20}")
_PHRASES = {int(status): status.phrase.encode() for status in HTTPStatus if status >= HTTPStatus.OK}
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_CLOSE = b"Connection: close\r\n"
_HERE = b"x-place-of-the-date"


class AnswerHead(NamedTuple):
    """The head of an answer, but for its date, and what follows from it."""

    before: bytes
    """What stands before the date."""
    after: bytes
    """What stands after it."""
    length: int | None
    """Bytes that the body must have; `None`: as many as come."""
    is_chunked: bool
    has_body: bool
    """Whether what the application sends as a body is sent."""
    closes: bool
    """Whether the connection ends with the answer."""


class HeadKey(NamedTuple):
    """All that a head follows from, but for the date."""

    status: int
    headers: RawHeaders
    method: str
    version: str
    keeps_alive: bool
    """Whether the client may ask again over the same connection."""
    is_last: bool
    """Whether the server wants no other request over it."""


class AnswerHeads:
    """The heads of all answers of a server."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._known: dict[HeadKey, AnswerHead] = {}
        self._second = 0
        self._own = b""
        """The headers of the server itself, as of the second."""

    def find(self, request: SimpleRequest, status: int, headers: RawHeaders, *, is_last: bool) -> AnswerHead:
        """
        Return the head of an answer.

        Raises `h11.LocalProtocolError` where a header may not be sent so, as h11 does, and `ValueError` as Hypercorn.
        """
        key = HeadKey(status, headers, request.method, request.version, request.keeps_alive, is_last)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            known = self._known[key] = _make_head(key)
        return known

    def write(self, head: AnswerHead, lines: bytes = b"") -> bytes:
        """Return the bytes of a head, with further header lines, and the date of now."""
        second = int(time())
        if second != self._second:
            own = [b"%s: %s\r\n" % header for header in self._config.response_headers("h11")]
            self._second, self._own = second, b"".join(own)
        return head.before + lines + self._own + head.after


def _make_head(key: HeadKey) -> AnswerHead:
    valid = build_and_validate_headers(key.headers)
    named = [(name.lower(), value) for name, value in valid]
    framing = [header for header in named if header[0] in _FRAMING]
    lengths = [value for name, value in framing if name == b"content-length" and _LENGTH.fullmatch(value)]
    lines = b"".join([b"%s: %s\r\n" % header for header in valid])
    # A value with a line end in it would be taken for two headers.
    is_usual = len(framing) == len(lengths) < 2 and lines.count(b"\n") == len(valid) and _LINES.fullmatch(lines)  # noqa: PLR2004
    if not is_usual or key.status not in _PHRASES:
        return _make_unusual_head(key, valid)
    has_body = not suppress_body(key.method, key.status)
    # HEAD is framed as GET is; what never has a body needs no words about its length.
    is_framed = bool(lengths) or suppress_body("GET", key.status)
    chunked = _CHUNKED if not is_framed and key.version == "1.1" else b""
    # In h11's own order: what it adds for the client's sake comes last, what the server says is in its place before.
    after = chunked + _CLOSE if not key.keeps_alive else (_CLOSE.lower() if key.is_last else b"") + chunked
    before = b"HTTP/1.1 %d %s\r\n%s" % (key.status, _PHRASES[key.status], lines)
    length = int(lengths[0]) if lengths else None
    return AnswerHead(
        before,
        after + b"\r\n",
        length if has_body else 0,
        has_body and bool(chunked),
        has_body,
        key.is_last or not key.keeps_alive,
    )


def _make_unusual_head(key: HeadKey, headers: list[tuple[bytes, bytes]]) -> AnswerHead:
    """Return a head as h11 writes it. The date stands where a header of its own marks the place."""
    own = [(b"connection", b"close")] if key.is_last else []
    reason = _PHRASES.get(key.status, b"")
    response = h11.Response(status_code=key.status, headers=cast("Any", [*headers, (_HERE, b""), *own]), reason=reason)
    parser = h11.Connection(h11.SERVER)
    close = b"" if key.keeps_alive else _CLOSE
    parser.receive_data(b"%s / HTTP/%s\r\nHost: x\r\n%s\r\n" % (key.method.encode(), key.version.encode(), close))
    parser.next_event()
    parser.next_event()
    before, _, after = (parser.send(response) or b"").rpartition(_HERE + b": \r\n")
    named = dict(response.headers)
    is_counted = b"content-length" in named and b"transfer-encoding" not in named
    has_body = not suppress_body(key.method, key.status)
    length = int(named[b"content-length"]) if is_counted else None
    is_chunked = has_body and not is_counted and key.version == "1.1"
    connection = b",".join([value for name, value in response.headers if name == b"connection"])
    closes = not key.keeps_alive or b"close" in [each.strip() for each in connection.lower().split(b",")]
    return AnswerHead(before, after, length if has_body else 0, is_chunked, has_body, closes)
