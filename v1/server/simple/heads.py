"""
Writes the heads of answers as h11 does: which headers the framing needs, where the date stands, what closes.

What is sent again and again is written once; only the date is new each second.
"""

import re
from collections.abc import Iterable
from http import HTTPStatus
from time import time
from typing import Any, NamedTuple, cast

import h11
from hypercorn.config import Config
from hypercorn.utils import build_and_validate_headers, suppress_body

from .requests import RawHeaders, SimpleRequest

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


_HeadKey = tuple[int, RawHeaders, str, str, bool]


class AnswerHeads:
    """The heads of all answers of a server."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._known: dict[_HeadKey, AnswerHead] = {}
        self._second = 0
        self._own = b""
        """The headers of the server itself, as of the second."""

    def find(
        self, request: SimpleRequest, status: int, headers: Iterable[tuple[bytes, bytes]], *, closes: bool
    ) -> AnswerHead:
        """
        Return the head of an answer; `closes`: the server wants no other request.

        Raises `h11.LocalProtocolError` where a header may not be sent so, as h11 does.
        """
        key = status, tuple(headers), request.method, request.version, closes or not request.keeps_alive
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            known = self._known[key] = _make_head(*key)
        return known

    def write(self, head: AnswerHead) -> bytes:
        """Return the bytes of a head, with the date of now."""
        second = int(time())
        if second != self._second:
            lines = [b"%s: %s\r\n" % header for header in self._config.response_headers("h11")]
            self._second, self._own = second, b"".join(lines)
        return head.before + self._own + head.after


def _make_head(status: int, headers: RawHeaders, method: str, version: str, closes: bool) -> AnswerHead:
    valid = build_and_validate_headers(headers)
    framing = [(name.lower(), value) for name, value in valid if name.lower() in _FRAMING]
    lines = b"".join([b"%s: %s\r\n" % header for header in valid])
    length = None
    if len(framing) == 1 and framing[0][0] == b"content-length" and _LENGTH.fullmatch(framing[0][1]):
        length = int(framing[0][1])
    elif framing:
        return _make_unusual_head(status, valid, method, version, closes=closes)
    if status not in _PHRASES or not _LINES.fullmatch(lines):
        return _make_unusual_head(status, valid, method, version, closes=closes)
    has_body = not suppress_body(method, status)
    # HEAD is framed as GET is; what never has a body needs no words about its length.
    is_framed = length is not None or (not has_body and method != "HEAD") or status in (204, 304)
    is_chunked = not is_framed and version == "1.1"
    before = b"HTTP/1.1 %d %s\r\n%s" % (status, _PHRASES[status], lines)
    after = (_CHUNKED if is_chunked else b"") + (_CLOSE if closes else b"") + b"\r\n"
    return AnswerHead(before, after, length if has_body else 0, is_chunked and has_body, has_body, closes)


def _make_unusual_head(
    status: int, headers: list[tuple[bytes, bytes]], method: str, version: str, *, closes: bool
) -> AnswerHead:
    """Return a head as h11 writes it. The date stands where a header of its own marks the place."""
    reason = _PHRASES.get(status, b"")
    response = h11.Response(status_code=status, headers=cast("Any", [*headers, (_HERE, b"")]), reason=reason)
    parser = h11.Connection(h11.SERVER)
    close = b"Connection: close\r\n" if closes else b""
    parser.receive_data(b"%s / HTTP/%s\r\nHost: x\r\n%s\r\n" % (method.encode(), version.encode(), close))
    parser.next_event()
    parser.next_event()
    before, _, after = (parser.send(response) or b"").rpartition(_HERE + b": \r\n")
    named = dict(response.headers)
    is_counted = b"content-length" in named and b"transfer-encoding" not in named
    has_body = not suppress_body(method, status)
    length = int(named[b"content-length"]) if is_counted else None
    is_chunked = has_body and not is_counted and version == "1.1"
    connection = b",".join([value for name, value in response.headers if name == b"connection"])
    closes = closes or b"close" in [each.strip() for each in connection.lower().split(b",")]
    return AnswerHead(before, after, length if has_body else 0, is_chunked, has_body, closes)
