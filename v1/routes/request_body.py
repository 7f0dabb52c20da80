"""Request bodies: JSON read once, within limits, and how the OpenAPI document describes it."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request

from ..numbers import decimals
from ..rules import Fault, InvalidDocument
from ..rules.validation import shorten
from .problems import HttpRefusal, Problem, refuse_fields
from .response_docs import Responses

LARGEST = 64 * 1024
"""Bytes of a document."""
LARGEST_SET = 1024 * 1024
"""Bytes of all rules and silences in one document."""
LARGER = (("/rule-set", LARGEST_SET),)
"""Where larger documents are taken, by the end of the path: the server asks before it reads one."""
WHOLE = "body"
"""What a fault of the whole document is called."""


def describe_unread(largest: int) -> Responses:
    """Return the answers to a document of which no more is read, of a route that takes so many bytes."""
    return {
        413: {"model": Problem, "description": f"The document has more than {largest} bytes."},
        415: {"model": Problem, "description": "The document is not sent as `application/json`."},
    }


NOT_READ = describe_unread(LARGEST)


async def read_document(request: Request, largest: int = LARGEST) -> Any:
    """
    Read the document that was sent, of `largest` bytes at most, with every digit of its numbers.

    Only as `application/json`: a foreign page cannot have its visitor's browser send that without asking us first.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HttpRefusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"{shorten(kind)!r} is not accepted here; accepted: application/json"
        )
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > largest:
            raise HttpRefusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a document has {largest} bytes at most")
    try:
        return json.loads(body.decode(), parse_float=decimals.parse_exact, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise refuse_fields((WHOLE, body[:50].decode(errors="replace"), f"JSON: {error}")) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def make_refusal(error: InvalidDocument, where: str = "") -> HttpRefusal:
    """Say what of a document is not accepted; `where` is the field that it stands in."""
    return refuse_fields(*[_place_fault(fault, where) for fault in error.errors])


def _place_fault(fault: Fault, where: str) -> Fault:
    field, value, accepted = fault
    return ".".join(name for name in (where, field) if name) or WHOLE, value, accepted


def describe_body(schema: Mapping[str, Any], example: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a route says of the document that it takes; the example is accepted as it is."""
    content = {"schema": schema, "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}
