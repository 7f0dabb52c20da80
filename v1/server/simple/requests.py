"""
Reads requests that are simple: GET or HEAD of a path, HTTP/1.0 or 1.1, no body, no upgrade, and nothing after it.

A client sends the same headers again and again. What h11 made of them is kept, by their bytes, so that nothing can be
read here in another way than there; only the request line, whose pattern is a part of h11's, is read each time.
"""

import re
from typing import NamedTuple

import h11

MOST_KNOWN = 512
"""Blocks of headers that are remembered. Beyond it all are forgotten, and learnt again."""
MOST_BYTES = 2048
"""Of a block that is remembered."""

_LINE = re.compile(rb"(GET|HEAD) (/[\x21-\x7e]*) HTTP/(1\.[01])")
_END = b"\r\n\r\n"
_NOT_SIMPLE = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade"})

RawHeaders = tuple[tuple[bytes, bytes], ...]


class SimpleRequest(NamedTuple):
    """A request, as h11 would have read it."""

    method: str
    version: str
    target: bytes
    headers: RawHeaders
    keeps_alive: bool
    """Whether the connection may stay open after the answer."""


class _KnownBlock(NamedTuple):
    headers: RawHeaders
    keeps_alive: bool


class RequestReader:
    """Reads simple requests of all connections of a server."""

    def __init__(self, most_bytes: int) -> None:
        """`most_bytes` has a head at most; a longer one is not simple."""
        self._most_bytes = most_bytes
        self._known: dict[tuple[bytes, bytes], _KnownBlock | None] = {}
        """By version and bytes; `None`: there is something in it that is not simple."""

    def read(self, data: bytes) -> SimpleRequest | None:
        """Return the request that `data` is; `None` where it is none, more than one, a part of one, or not simple."""
        end = data.find(b"\r\n")
        line = _LINE.fullmatch(data, 0, max(0, end))
        if line is None or len(data) > self._most_bytes:
            return None
        method, target, version = line.groups()
        key = version, data[end:]
        known = self._known[key] if key in self._known else self._learn(key)
        if known is None:
            return None
        return SimpleRequest(method.decode(), version.decode(), target, known.headers, known.keeps_alive)

    def _learn(self, key: tuple[bytes, bytes]) -> _KnownBlock | None:
        version, block = key
        if block.find(_END) != len(block) - len(_END):
            # Not the end yet, or not the end of this request alone.
            return None
        known = _parse(version, block)
        if len(block) <= MOST_BYTES:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[key] = known
        return known


def _parse(version: bytes, block: bytes) -> _KnownBlock | None:
    """Return what h11 makes of the rest of a head after its request line; `None` where that is no simple request."""
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=len(block) + MOST_BYTES)
    parser.receive_data(b"GET / HTTP/" + version + block)
    try:
        request, end = parser.next_event(), parser.next_event()
    except h11.RemoteProtocolError:
        return None
    if not isinstance(request, h11.Request) or not isinstance(end, h11.EndOfMessage) or parser.trailing_data[0]:
        return None
    headers = tuple(request.headers)
    if not _NOT_SIMPLE.isdisjoint([name for name, _ in headers]):
        return None
    parser.send(h11.Response(status_code=204, headers=[]))
    parser.send(h11.EndOfMessage())
    return _KnownBlock(headers, parser.our_state is h11.DONE)
