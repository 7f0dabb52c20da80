"""How an answer is written: its format, and how long it can be kept, since most change once a tick."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from http import HTTPStatus
from math import ceil
from typing import NamedTuple

from fastapi import Request, Response

from .asked import Format
from .context import State

MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.CSV: "text/csv; charset=utf-8; header=present",
    Format.NDJSON: "application/x-ndjson",
}
_FORMATS = {"application/json": Format.JSON, "text/csv": Format.CSV, "application/x-ndjson": Format.NDJSON}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def wanted(request: Request, format_: Format | None, offered: Sequence[Format]) -> Format:
    """Give the format that the query names; else the first that `Accept` does and that is offered; else JSON."""
    if format_ is not None:
        return format_
    for media_type in _by_weight(request.headers.get("accept", "")):
        if media_type in _FORMATS and _FORMATS[media_type] in offered:
            return _FORMATS[media_type]
    return Format.JSON


def _by_weight(accept: str) -> list[str]:
    weighed = []
    for each in accept.lower().split(","):
        media_type, *parameters = [part.strip() for part in each.split(";")]
        weight = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        if re.fullmatch(r"[01](\.[0-9]{1,3})?", weight) and float(weight):
            weighed.append((-float(weight), media_type))
    return [media_type for _, media_type in sorted(weighed, key=lambda pair: pair[0])]


class Answer(NamedTuple):
    """What is answered, and what it follows from."""

    body: str
    tick: int | None
    """The newest one."""
    format_: Format = Format.JSON
    identity: str | None = None
    """Stands for a body that holds an age, which is another each second and means the same."""
    lasts: int | None = None
    """Seconds from its tick until there is a newer one, where that is not the interval of the samples."""


def until_next_tick(request: Request, context: State, answer: Answer) -> Response:
    """
    Send an answer that is good until the tick after its own; 304 to who has it already.

    The tag is made of the body, not of the tick, because late samples change answers between ticks.
    """
    # A tick of the future must not be kept until then; nothing is good for longer than its time.
    # An overdue tick may come any moment; a second's rest keeps those who wait for it from storming us.
    tick = answer.tick
    lasts = context["interval"] if answer.lasts is None else answer.lasts
    seconds = 1 if tick is None else min(max(1, ceil(tick + lasts - context["clock"]())), lasts)
    return _tagged(request, answer, f"{'public' if context['is_shared'] else 'private'}, max-age={seconds}")


def until_changed(request: Request, body: str) -> Response:
    """Send an answer that people may change at any moment: whoever keeps it asks again each time; 304 if it is the same."""
    return _tagged(request, Answer(body, None), "private, no-cache")


def _tagged(request: Request, answer: Answer, cache_control: str) -> Response:
    body, _, format_, identity, _ = answer
    tag = f'W/"{blake2b((identity or body).encode(), digest_size=12).hexdigest()}"'
    headers = {
        "ETag": tag,
        "Cache-Control": cache_control,
        "Vary": "Accept",
        "X-Content-Type-Options": "nosniff",
    }
    if _has(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, headers=headers, media_type=MEDIA_TYPES[format_])


def changed(body: str, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> Response:
    """Send what a change came to."""
    return Response(body, status, {"Cache-Control": "no-store"} | headers, media_type=MEDIA_TYPES[Format.JSON])


def _has(if_none_match: str, tag: str) -> bool:
    tags = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return "*" in tags or tag.removeprefix("W/") in tags


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write CSV. A text that a spreadsheet would take for a formula gets a quotation mark before it."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return written.getvalue()


def harmless(text: str) -> str:
    """Give a text that no spreadsheet takes for a formula. Not for numbers: those may be negative."""
    return f"'{text}" if text.startswith(_FORMULA) else text
