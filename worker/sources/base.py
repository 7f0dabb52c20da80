"""
What a source is, which errors it raises, and how it reads JSON without losing a digit.

    SourceError
    ├── SourceUnreachable   no answer: connection refused or reset, timeout
    ├── SourceRefused       an error answer: 4xx, 5xx, an error inside a 200, a rate limit
    │   └── RequestRefused  this request is refused; another one may be answered
    └── InvalidResponse     an answer that cannot be read
"""

import json
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, ClassVar, Protocol, runtime_checkable

from aiohttp import (
    ClientError,
    ClientHttpProxyError,
    ClientPayloadError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ContentTypeError,
)

from worker.latest import DAY, Candle, Metric, Reading, decimals
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
KNOWN_ENCODINGS = ("identity", "", "gzip", "deflate", "br", "zstd")
"""Those that aiohttp reads or refuses by itself; of any other it hands over the bytes."""
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


class RequestRefused(SourceRefused):
    """This request is refused, as one wrong name of many can cause; another request may be answered."""


class InvalidResponse(SourceError):
    """An answer that cannot be read."""

    kind = "invalid response"


class Source(Protocol):
    """
    A provider of market data.

    It sends requests over a session that its caller owns. It never retries, sleeps or logs: its caller decides what a
    failure costs.
    """

    name: str
    """As in `TRACKER_SOURCES`: `kraken`."""
    pace: float
    """Seconds between two calls of `fetch_candles`, so that the provider does not limit them."""

    lead: int
    """Seconds of candles to ask for before the first that is missing, so that 24 h volume and change can
    be derived; 0 where that would cost calls."""

    async def open(self, session: ClientSession) -> Mapping[Metric, str]:
        """
        Fetch which markets the provider has, and choose those of the configured metrics.

        Called before anything else, and again after it raised `SourceError`. Returns the configured metrics that
        the provider does not have, each with the reason.
        """
        ...

    @property
    def metrics(self) -> Sequence[Metric]:
        """The metrics that this source gives; empty before `open`."""
        ...

    async def fetch(self, session: ClientSession, at: int) -> Mapping[Metric, Reading]:
        """
        Ask once for the numbers of tick `at`, and return every valid reading.

        A metric whose market is dead or whose numbers cannot be read is left out and counted in
        `rejects`; the others are returned. Raises `SourceError` where there is no usable answer.
        """
        ...

    async def fetch_candles(self, session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        """
        Return the finished one-minute candles with start <= candle.start < end, oldest first.

        Fewer where the provider keeps fewer or a minute had no trade. Raises `SourceError`.
        """
        ...

    @property
    def rejects(self) -> Mapping[str, int]:
        """How many readings were left out since the start, by reason (`dead market`, `unreadable price`)."""
        ...


@runtime_checkable
class Hourly(Protocol):
    """A source that also has candles of an hour, which reach back further than its minutes, or cost less."""

    async def fetch_hours(self, session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        """Return the finished one-hour candles with start <= candle.start < end, as `fetch_candles` gives those of a minute."""
        ...


@runtime_checkable
class NamesDead(Protocol):
    """A source that knows which of its markets are dead: the provider lists them, and gives no price."""

    @property
    def dead(self) -> Collection[Metric]:
        """Those of the newest answer."""
        ...


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
        if error.headers is None:
            # Nobody said the status that aiohttp gives to what it cannot read.
            raise InvalidResponse(_describe_unreadable(name, error.message)) from error
        raise classify_refusal(
            error.status, f"{name} answered {error.status}", read_retry_after(error.headers)
        ) from error
    except ClientPayloadError as error:
        if broken := _BROKEN.search(str(error)):
            raise InvalidResponse(
                f"{name} sent an answer that is not {broken[1]}, although its header says so"
            ) from error
        raise SourceUnreachable(f"{name} did not answer: {_describe(error)}") from error
    except (ClientError, TimeoutError, OSError) as error:
        raise SourceUnreachable(f"{name} did not answer: {_describe(error)}") from error


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
    """Return a wait of whole seconds, at least 1 and at most `LONGEST_WAIT`."""
    return int(min(max(seconds, 1), LONGEST_WAIT))


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


def parse_exact_json(body: str | bytes) -> Any:
    """Read JSON with every number as its text, digit for digit."""
    return json.loads(body, parse_float=str, parse_int=str)


async def read_exact_json(response: ClientResponse) -> Any:
    """Read the body of an answer with `parse_exact_json`; raises what `translate_errors` translates."""
    response.raise_for_status()
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in KNOWN_ENCODINGS:
        raise ValueError(f"it answered in encoding {encoding[:LONGEST_WORDS]}, which was not asked for")
    if "json" not in response.content_type:
        raise ContentTypeError(
            response.request_info, response.history, status=response.status, message=response.content_type
        )
    return parse_exact_json(await response.read())


async def read_error_json(response: ClientResponse) -> Any:
    """Read the body of an error; `None` where it is no JSON, as a gateway's page."""
    try:
        return parse_exact_json(await response.read())
    except ValueError:
        return None


def parse_number(value: object) -> str | None:
    """Return a decimal text that we keep, or `None` for anything else (missing, NaN, too long, no number)."""
    return value if decimals.is_number(value) else None  # type: ignore[return-value]  # is_number says it is a str


def make_wish_filter(wishes: Sequence[str], exchange: str) -> Callable[[str], bool]:
    """
    Return the test whether a pair of `exchange` is wished for.

    A wish is a metric (`KRAKEN:BTCUSD`), all of an exchange (`KRAKEN:*`), or everything (`*`).
    """
    pairs = {pair for wish in wishes for place, _, pair in (wish.partition(":"),) if place == exchange}
    everything = "*" in wishes or "*" in pairs
    return lambda pair: everything or pair in pairs
