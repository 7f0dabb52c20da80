"""
Which errors a source raises, and what a provider says in an error: how long to wait, and until when.

    SourceError
    ├── SourceUnreachable   no answer: connection refused or reset, timeout
    ├── SourceRefused       an error answer: 4xx, 5xx, an error inside a 200, a rate limit
    │   └── RequestRefused  this request is refused; another one may be answered
    └── InvalidResponse     an answer that cannot be read

What of them is of one provider alone (its own words and codes) is in that provider's module; what follows from a
failure (waiting, the state that health shows) is in `supervised`.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from math import ceil
from typing import ClassVar

from aiohttp import (
    ClientError,
    ClientHttpProxyError,
    ClientPayloadError,
    ClientResponseError,
    ContentTypeError,
    TooManyRedirects,
)

from worker.latest import DAY
from worker.latest.settings import redact

LONGEST_WAIT = 3 * DAY
"""Seconds: the longest ban that a provider speaks of (Binance: "from 2 minutes to 3 days"). What is longer is a mistake."""
LONGEST_SECONDS = 10
LONGEST_WORDS = 200
"""Characters of what somebody else wrote that are passed on."""
OF_THE_REQUEST = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.REQUEST_URI_TOO_LONG,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
"""Answers that say something of what was asked for."""
_NOT_ASKED_FOR = re.compile(r"content-encoding: .*\((\w+)\)")
_BROKEN = re.compile(r"Can not decode content-encoding: (\w+)")


class SourceError(Exception):
    """A source failed. The message says why, in words for the log, and holds no secret."""

    kind: ClassVar[str] = "failed"
    """The kind of failure in a word or two, for a count by reason."""

    def __init__(self, message: str = "") -> None:
        # A provider may echo the request, and so a key.
        super().__init__(redact(message))


class SourceUnreachable(SourceError):
    """No answer: connection refused or reset, timeout."""

    kind = "no answer"


class SourceRefused(SourceError):
    """An error answer. `wait` is how many seconds the provider asks us to wait, `None` where it does not say."""

    kind = "refused"

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait
        self.until: float | None = None
        """When that wait is over, unix seconds, where the time of the answer is known."""


class RequestRefused(SourceRefused):
    """This request is refused, as one wrong name of many can cause; another request may be answered."""


class InvalidResponse(SourceError):
    """An answer that cannot be read."""

    kind = "invalid response"


@contextmanager
def translate_errors(name: str) -> Iterator[None]:
    """Raise one of the three kinds of `SourceError` instead of what aiohttp or a parser raises."""
    try:
        yield
    except (ContentTypeError, KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        # aiohttp files an HTML page with a 200 under ClientResponseError, so this comes first.
        raise InvalidResponse(f"{name} sent an unexpected answer: {_describe(error)}") from error
    except ClientHttpProxyError as error:
        raise SourceUnreachable(f"{name} was not reached: the proxy answered {error.status}") from error
    except ClientResponseError as error:
        raise _translate_response(name, error) from error
    except ClientPayloadError as error:
        if broken := _BROKEN.search(str(error)):
            raise InvalidResponse(
                f"{name} sent an answer that is not {broken[1]}, although its header says so"
            ) from error
        raise SourceUnreachable(f"{name} did not answer: {_describe(error)}") from error
    except (ClientError, TimeoutError, OSError) as error:
        raise SourceUnreachable(f"{name} did not answer: {_describe(error)}") from error


def _translate_response(name: str, error: ClientResponseError) -> SourceError:
    """Return what is raised for an answer that aiohttp does not hand over."""
    if isinstance(error, TooManyRedirects):
        return SourceRefused(f"{name} answered with redirects only, {len(error.history)} times")
    if error.headers is None:
        # Nobody said the status that aiohttp gives to what it cannot read.
        return InvalidResponse(_describe_unreadable(name, error.message))
    return classify_refusal(error.status, f"{name} answered {error.status}", read_retry_after(error.headers))


def _describe(error: Exception) -> str:
    # Not `repr`: aiohttp's names every header of the request, and so a key.
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _describe_unreadable(name: str, message: str) -> str:
    packed = _NOT_ASKED_FOR.search(message)
    if packed:
        return f"{name} answered in encoding {packed[1]}, which was not asked for"
    return f"{name} sent what is not HTTP: {' '.join(message.split())[:LONGEST_WORDS]}"


def classify_refusal(status: int, message: str, wait: float | None = None) -> SourceRefused:
    """Return `RequestRefused` where the status is about this request, else `SourceRefused`."""
    return RequestRefused(message) if wait is None and status in OF_THE_REQUEST else SourceRefused(message, wait)


def read_retry_after(headers: Mapping[str, str]) -> int | None:
    """Return the seconds of `Retry-After`, which may be a number or a date; at least 1, at most `LONGEST_WAIT`."""
    after = headers.get("Retry-After", "").strip()
    if after.isascii() and after.isdecimal():
        return clamp_wait(int(after[:LONGEST_SECONDS]))
    until = parse_date(after)
    return None if until is None else clamp_wait(until - read_answer_time(headers))


def clamp_wait(seconds: float) -> int:
    """Return a wait of whole seconds, never too short, at least 1 and at most `LONGEST_WAIT`."""
    return ceil(min(max(seconds, 1), LONGEST_WAIT))


def read_answer_time(headers: Mapping[str, str]) -> float:
    """Return when an answer was made by its `Date`, or by the own clock where it has none; unix seconds."""
    said = parse_date(headers.get("Date", ""))
    return time.time() if said is None else said


def parse_date(written: str) -> float | None:
    """Return the unix time of an HTTP date; `None` of what is none."""
    try:
        return parsedate_to_datetime(written).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
