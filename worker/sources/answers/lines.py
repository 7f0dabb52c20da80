"""
How answers are kept: files of lines, each a JSON object, packed by gzip (`zcat answers-*.jsonl.gz`).

    {"format":1,"version":"0.1.0","interval":60,"sources":["kraken"],"metrics":["KRAKEN:*"],"jump_limit":3}
    {"tick":1621209600}
    {"at":1621209600,"source":"kraken","for":"tick","url":"/0/public/Ticker?pair=XXBTZUSD","status":200,
     "headers":{"Content-Type":"application/json"},"text":"{\\"error\\":[],..."}
    {"at":1621209660,"source":"kraken","for":"tick","url":"/0/public/Ticker?pair=XXBTZUSD","failure":"TimeoutError"}

A line with `tick` stands before the answers of that tick. What is no text has `base64` in place of `text`. Secrets
are not in it: of a request the path and the query are kept, without parameters that are called a key, and of an
answer those headers that a source reads.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from worker.sources.asking import AskedFor

FORMAT = 1
HIDDEN = "***"
KEPT_HEADERS = ("Content-Type", "Date", "Age", "Last-Modified", "Retry-After", "X-MBX-USED-WEIGHT-1M")
_SECRET_WORDS = ("key", "secret", "token", "sign", "pass")


class InvalidAnswers(Exception):
    """A file of answers that cannot be played. The message, one line, says where and what is accepted."""


class AnswersHeader(NamedTuple):
    """What was sampled when answers were kept: the first line of each file."""

    version: str
    interval: int
    sources: tuple[str, ...]
    metrics: tuple[str, ...]
    jump_limit: int


class KeptAnswer(NamedTuple):
    """One answer of a provider, or that there was none."""

    at: int
    """The tick that it was asked for, or when the markets were asked for; unix seconds."""
    source: str
    asked_for: AskedFor
    url: str
    """The path and the query, beyond the address that the settings name."""
    status: int = 0
    headers: Mapping[str, str] = {}
    body: bytes = b""
    """As it was unpacked."""
    failure: str = ""
    """The name of the error, where there was no whole answer."""


class KeptTick(NamedTuple):
    """The sources were asked for a tick: its answers follow."""

    at: int


def write_header(header: AnswersHeader) -> str:
    return _write_line({"format": FORMAT} | header._asdict())


def write_tick(tick: KeptTick) -> str:
    return _write_line({"tick": tick.at})


def write_answer(answer: KeptAnswer) -> str:
    known: dict[str, Any] = {"at": answer.at, "source": answer.source, "for": answer.asked_for, "url": answer.url}
    if answer.failure:
        return _write_line(known | {"failure": answer.failure})
    known |= {"status": answer.status, "headers": dict(answer.headers)}
    try:
        return _write_line(known | {"text": answer.body.decode()})
    except UnicodeDecodeError:
        return _write_line(known | {"base64": b64encode(answer.body).decode()})


def _write_line(document: Mapping[str, Any]) -> str:
    return f"{json.dumps(document, ensure_ascii=False, separators=(',', ':'))}\n"


def parse_header(line: str) -> AnswersHeader:
    """Read the first line of a file. Raises `InvalidAnswers`."""
    match _parse_object(line):
        case {
            "format": int(number),
            "version": str(version),
            "interval": int(interval),
            "sources": list(sources),
            "metrics": list(metrics),
            "jump_limit": int(jump_limit),
        } if number == FORMAT and interval > 0:
            return AnswersHeader(version, interval, tuple(map(str, sources)), tuple(map(str, metrics)), jump_limit)
        case {"format": int(number)}:
            raise InvalidAnswers(f"is of format {number}; accepted: {FORMAT}")
    raise InvalidAnswers("does not begin with what was sampled; accepted: files that TRACKER_KEEP_ANSWERS has made")


def parse_line(line: str) -> KeptAnswer | KeptTick:
    """Read any other line. Raises `InvalidAnswers`."""
    found = _parse_object(line)
    match found:
        case {"tick": int(at)}:
            return KeptTick(at)
        case {"at": int(at), "source": str(source), "for": str(asked_for), "url": str(url), "failure": str(failure)}:
            return KeptAnswer(at, source, _parse_purpose(asked_for), url, failure=failure)
        case {
            "at": int(at),
            "source": str(source),
            "for": str(asked_for),
            "url": str(url),
            "status": int(status),
            "headers": dict(headers),
        }:
            named = {str(name): str(value) for name, value in headers.items()}
            return KeptAnswer(at, source, _parse_purpose(asked_for), url, status, named, _parse_body(found))
    raise InvalidAnswers("is neither a tick nor an answer")


def _parse_object(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidAnswers(f"is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidAnswers("is not a JSON object")
    return found


def _parse_purpose(written: str) -> AskedFor:
    try:
        return AskedFor(written)
    except ValueError as error:
        raise InvalidAnswers(f"is asked for {written!r}; accepted: {', '.join(AskedFor)}") from error


def _parse_body(found: Mapping[str, Any]) -> bytes:
    match found:
        case {"text": str(text)}:
            return text.encode()
        case {"base64": str(written)}:
            try:
                return b64decode(written, validate=True)
            except ValueError as error:
                raise InvalidAnswers(f"has a body that is not base64: {error}") from error
    raise InvalidAnswers("has neither text nor base64")


def hide_secrets(path_and_query: str) -> str:
    """Return a path with its query, in which the value of every parameter that is called a key or the like is hidden."""
    parts = urlsplit(path_and_query)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    if not any(_is_secret(name) for name, _ in pairs):
        return path_and_query
    return f"{parts.path}?{urlencode([(name, HIDDEN if _is_secret(name) else value) for name, value in pairs])}"


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_WORDS)
