"""One answer: its bodies in every coding that was asked for, and its headers as of the second in which it is sent."""

import asyncio
import re
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

from ...routes.negotiation import GZIP, IDENTITY
from .encodings import COMPRESSED_FROM

RawHeaders = tuple[tuple[bytes, bytes], ...]
OVERHEAD = 4096
"""Bytes that an answer takes beside its bodies: its headers, and the place that it has."""

_MOST_VARYING = 64
"""Values of `Vary` that are remembered; the routes have few."""
_MAX_AGE = re.compile(rb"max-age=([0-9]{1,9})")
_STATED = frozenset({b"etag", b"cache-control", b"vary", b"content-length", b"accept-ranges"})
_OF_THE_WHOLE = frozenset({b"content-type", b"content-length", b"content-encoding", b"accept-ranges"})
_OF_THE_ANSWER = frozenset({b"content-type", b"link"})


class CollectedAnswer(NamedTuple):
    """What the routes answered."""

    status: int
    headers: RawHeaders
    body: bytes
    is_brief: bool
    """Whether it is good for its second alone, whatever it says of others that keep it."""
    gzip: bytes | None = None
    """The body in gzip, where that was made with it."""


class PreparedAnswer:
    """
    An answer, made in the second `made`, and good until `lasts` seconds later.

    An answer that must be asked for again each time (`no-cache`), one that says how old something is, and one that
    follows from what tells nobody of its changes, is good within its second alone. One without a word of how long it
    is good is not kept.
    """

    def __init__(self, answer: CollectedAnswer, made: int) -> None:
        headers = dict(answer.headers)
        cache_control = headers.get(b"cache-control", b"")
        max_age = _MAX_AGE.search(cache_control)
        self.status = answer.status
        self.made = made
        self.tag = headers.get(b"etag", b"")
        self.bodies = {IDENTITY: answer.body} | ({GZIP: answer.gzip} if answer.gzip else {})
        self.tasks: dict[str, asyncio.Task[None]] = {}
        """Those that make further bodies, by their coding."""
        self._max_age = int(max_age[1]) if max_age else 0
        is_kept = answer.status == HTTPStatus.OK and self.tag and b"no-store" not in cache_control
        lasts = 1 if b"no-cache" in cache_control or (answer.is_brief and self._max_age) else self._max_age
        self.lasts = lasts if is_kept else 0
        self._cache_control = cache_control
        self._vary = _add_coding_to_vary(tuple([value for name, value in answer.headers if name == b"vary"]))
        self._others = tuple(header for header in answer.headers if header[0] not in _STATED)
        self._second = made
        self._ready: dict[tuple[str, ...], tuple[RawHeaders, bytes]] = {}
        """Headers as of the second, and body, by the codings that a client accepts."""

    @property
    def size(self) -> int:
        """Bytes of memory that it takes, about."""
        return OVERHEAD + sum(map(len, self.bodies.values()))

    def is_fresh(self, second: int) -> bool:
        return 0 <= second - self.made < self.lasts

    def find_ready(self, codings: tuple[str, ...], second: int) -> tuple[RawHeaders, bytes] | None:
        """Return headers and body for who accepts these codings, where somebody has had the same in this second."""
        if second != self._second:
            self._second = second
            self._ready.clear()
        return self._ready.get(codings)

    def make_ready(self, codings: tuple[str, ...], coding: str, second: int) -> tuple[RawHeaders, bytes]:
        """Return headers and body in one of the codings, and have them sent to all who accept the same."""
        body = self.bodies[coding]
        ready = self._make_headers(coding, len(body), second), body
        if second == self._second:
            self._ready[codings] = ready
        return ready

    def add_body(self, coding: str, body: bytes) -> None:
        """Add the body in another coding, which may be a better one for who got another so far."""
        self.bodies[coding] = body
        self._ready.clear()

    def list_sensible(self, codings: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of the codings that are worth while: of a small body no compression that is not asked for."""
        is_small = len(self.bodies[IDENTITY]) < COMPRESSED_FROM
        return (IDENTITY,) if is_small and IDENTITY in codings else codings

    def list_unchanged_headers(self, headers: RawHeaders) -> RawHeaders:
        """Return the headers for who has the answer already (304), of those that the whole has."""
        return tuple(header for header in headers if header[0] not in _OF_THE_WHOLE)

    def list_refusal_headers(self) -> RawHeaders:
        """Return the headers of the refusal of a part of the answer, beside those that say why."""
        others = [header for header in self._others if header[0] not in _OF_THE_ANSWER]
        return (*others, (b"content-range", b"bytes */%d" % len(self.bodies[IDENTITY])), (b"vary", self._vary))

    def list_part_headers(self, part: range, second: int) -> RawHeaders:
        """Return the headers of a part of the body, which is not compressed."""
        content_range = b"bytes %d-%d/%d" % (part.start, part.stop - 1, len(self.bodies[IDENTITY]))
        return (*self._make_headers(IDENTITY, len(part), second), (b"content-range", content_range))

    def has_tag(self, if_none_match: bytes) -> bool:
        """Return whether a client has this answer already, in whatever coding (RFC 9110, 13.1.2)."""
        tags = [each.strip().removeprefix(b"W/") for each in if_none_match.split(b",")]
        return bool(self.tag) and (self.tag.removeprefix(b"W/") in tags or b"*" in tags)

    def _make_headers(self, coding: str, size: int, second: int) -> RawHeaders:
        made = list(self._others)
        if self._cache_control:
            left = max(0, self._max_age - max(0, second - self.made))
            made.append((b"cache-control", _MAX_AGE.sub(b"max-age=%d" % left, self._cache_control)))
        if self.tag:
            # A strong tag stands for exact bytes, and those are others in each coding.
            is_weak = coding != IDENTITY and not self.tag.startswith(b"W/")
            made.append((b"etag", b"W/" + self.tag if is_weak else self.tag))
        made += [(b"vary", self._vary), (b"content-length", b"%d" % size)]
        if coding != IDENTITY:
            made.append((b"content-encoding", coding.encode()))
        elif self.tag:
            made.append((b"accept-ranges", b"bytes"))
        return tuple(made)


@lru_cache(_MOST_VARYING)
def _add_coding_to_vary(values: tuple[bytes, ...]) -> bytes:
    named = [each.strip() for value in values for each in value.split(b",")]
    return b", ".join(dict.fromkeys([*named, b"Accept-Encoding"]))
