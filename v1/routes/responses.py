"""Responses: the choice of a format, ETags, and how long an answer may be cached; most change once a tick."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256
from http import HTTPStatus
from math import ceil
from typing import NamedTuple

from fastapi import Request, Response
from pydantic import BaseModel

from .context import RouteState
from .negotiation import parse_weights
from .params import Format
from .problems import refuse_fields

MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.CSV: "text/csv; charset=utf-8; header=present",
    Format.NDJSON: "application/x-ndjson",
    Format.ARROW: "application/vnd.apache.arrow.stream",
}


TERMS = "answer_terms"
"""Where in the scope of a request whoever keeps answers puts `AnswerTerms`."""


class AnswerTerms:
    """What a route and whoever keeps its answer say to each other, and to nobody else."""

    def __init__(self, *, is_gzip_wanted: bool = False) -> None:
        self.is_gzip_wanted = is_gzip_wanted
        """Whether the answer is sent in gzip."""
        self.gzip: bytes | None = None
        """The body in gzip, where that is wanted and the route can make it quicker than by compressing all of it."""
        self.is_brief = False
        """Whether the answer is to be kept for its second alone: it says how old something is, or nobody tells its end."""


_TAG_DIGITS = 24
_MOST_HEADERS = 256
"""Values of `Accept` that are remembered."""


class CsvResponse(Response):
    """What the description of the API says of CSV."""

    media_type = "text/csv"


class NdjsonResponse(Response):
    """What the description of the API says of JSON by the line."""

    media_type = "application/x-ndjson"


class ArrowResponse(Response):
    """What the description of the API says of a stream of Arrow's."""

    media_type = "application/vnd.apache.arrow.stream"


_FORMATS = {media_type.partition(";")[0]: format_ for format_, media_type in MEDIA_TYPES.items()}


def choose_format(request: Request, format_: Format | None, offered: Sequence[Format]) -> Format:
    """Return the format that the query names; else the first that `Accept` does and that is offered; else JSON."""
    return format_ or choose_accepted(request.headers.get("accept", ""), offered)


def choose_accepted(accept: str, offered: Sequence[Format]) -> Format:
    """Return the first format that an `Accept` header names and that is offered; else JSON."""
    return _choose_accepted(accept, tuple(offered))


@lru_cache(_MOST_HEADERS)
def _choose_accepted(accept: str, offered: Sequence[Format]) -> Format:
    weighed = parse_weights(accept)
    for media_type, weight in sorted(weighed.items(), key=lambda pair: -pair[1]):
        if weight and media_type in _FORMATS and _FORMATS[media_type] in offered:
            return _FORMATS[media_type]
    return Format.JSON


class AnswerBody(NamedTuple):
    """What is answered, and what it follows from."""

    body: str | bytes
    tick: int | None
    """The newest one."""
    format_: Format = Format.JSON
    identity: str | None = None
    """Stands for a body that holds an age, which is another each second and means the same."""
    lasts: int | None = None
    """Seconds from its tick until there is a newer one, where that is not the interval of the samples."""
    is_brief: bool = False
    """Whether it follows from something that tells nobody when it changes, as the archive does."""
    fingerprint: bytes | None = None
    """What is another one for another body, where that is shorter."""
    compress: Callable[[], bytes | None] | None = None
    """Returns the body in gzip, where that is quicker than by compressing all of it."""


def respond_until_next_tick(request: Request, context: RouteState, answer: AnswerBody) -> Response:
    """
    Send an answer that is good until the tick after its own; 304 to who has it already.

    The tag is made of the body, not of the tick, because late samples change answers between ticks.
    """
    # A tick of the future must not be kept until then; nothing is good for longer than its time.
    # An overdue tick may come any moment; a second's rest keeps those who wait for it from storming us.
    tick = answer.tick
    lasts = context["interval"] if answer.lasts is None else answer.lasts
    seconds = 1 if tick is None else min(max(1, ceil(_count_seconds_until(tick + lasts, answer, context))), lasts)
    return _respond_with_tag(request, answer, f"{'public' if context['is_shared'] else 'private'}, max-age={seconds}")


def _count_seconds_until(end: int, answer: AnswerBody, context: RouteState) -> float:
    """Return how many seconds are left: of the market's ticks by its clock, of everything else by the machine's."""
    market = context["market"]
    return market.count_seconds_until(end) if answer.lasts is None else end - market.read_wall()


def respond_until_changed(request: Request, body: str, *, is_brief: bool = False) -> Response:
    """
    Send an answer that people may change at any moment: whoever keeps it asks again each time; 304 if it is the same.

    `is_brief`: it follows from something that tells nobody when it changes.
    """
    return _respond_with_tag(request, AnswerBody(body, None, is_brief=is_brief), "private, no-cache")


def _respond_with_tag(request: Request, answer: AnswerBody, cache_control: str) -> Response:
    body, format_, identity = answer.body, answer.format_, answer.identity
    meant = identity or answer.fingerprint or body
    # Processors have instructions for SHA-256: it takes a third of the time of what is quicker without.
    digest = sha256(meant.encode() if isinstance(meant, str) else meant).hexdigest()[:_TAG_DIGITS]
    # The tag of a body with an age stands for other bodies, too, so it is a weak one.
    tag = f'{"W/" if identity else ""}"{digest}"'
    terms: AnswerTerms | None = request.scope.get(TERMS)
    if terms is not None:
        terms.is_brief = answer.is_brief or identity is not None
        terms.gzip = answer.compress() if answer.compress and terms.is_gzip_wanted else None
    headers = {
        "ETag": tag,
        "Cache-Control": cache_control,
        "Vary": "Accept",
        "X-Content-Type-Options": "nosniff",
    }
    if _matches_tag(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, headers=headers, media_type=MEDIA_TYPES[format_])


def respond_changed(body: str, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> Response:
    """Send what a change came to."""
    return Response(body, status, {"Cache-Control": "no-store"} | headers, media_type=MEDIA_TYPES[Format.JSON])


def _matches_tag(if_none_match: str, tag: str) -> bool:
    if not if_none_match:
        return False
    tags = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return "*" in tags or tag.removeprefix("W/") in tags


def refuse_unless_csv(format_: Format, params: BaseModel, *names: str) -> None:
    """Refuse fields of a question that say how CSV is written, where something else is. Raises `HttpRefusal`."""
    if format_ is not Format.CSV:
        given = [
            (name, getattr(params, name), "only with format=csv") for name in names if name in params.model_fields_set
        ]
        if given:
            raise refuse_fields(*given)
