"""
What a source is, what it raises, and how it reads JSON without losing a digit. No provider here.

    SourceError
    ├── Unreachable   no answer: refused, reset, timed out
    ├── Refused       an answer that says no: 4xx, 5xx, an error inside a 200, a rate limit
    └── Nonsense      an answer that cannot be read
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from aiohttp import ClientError, ClientResponse, ClientResponseError, ClientSession, ContentTypeError

from worker.latest import Candle, Metric, Reading, decimals, redact


class SourceError(Exception):
    """A source did not give its numbers; the message says why, in words for the log, and shows no secret of ours."""

    def __init__(self, message: str = "") -> None:
        # A provider may echo the request, and so a key.
        super().__init__(redact(message))


class Unreachable(SourceError):
    """No answer: refused, reset, timed out."""


class Refused(SourceError):
    """An answer that says no. `wait` is how long the provider asks us to stay away, in seconds."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class Nonsense(SourceError):
    """An answer that cannot be read."""


class Source(Protocol):
    """
    A place that can be asked for its numbers.

    It asks over a session that it is handed and does not own. It never retries, sleeps or logs:
    its caller knows what a failure costs.
    """

    name: str
    """As in `TRACKER_SOURCES`: `kraken`."""
    pace: float
    """Seconds to leave between two calls of `candles`, so that we stay welcome."""

    lead: int
    """Seconds of candles to ask for before the first that is missing, so that 24 h volume and change can
    be derived; 0 where that would cost calls."""

    async def open(self, session: ClientSession) -> Mapping[Metric, str]:
        """
        Learn what the provider has, and settle which of the wished metrics this source will give.

        Called once before anything else, and again after it raised `SourceError`. Gives the wished
        metrics that the provider does not have, each with the reason.
        """
        ...

    @property
    def metrics(self) -> Sequence[Metric]:
        """The metrics that this source gives; empty before `open`."""
        ...

    async def fetch(self, session: ClientSession, at: int) -> Mapping[Metric, Reading]:
        """
        Ask once for the numbers of tick `at` and give every reading that is one.

        A metric whose market is dead or whose numbers cannot be read is left out and counted in
        `rejects`; the others are given. Raises `SourceError` when nothing could be learnt.
        """
        ...

    async def candles(self, session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        """
        Give the finished one-minute candles with start <= candle.start < end, oldest first.

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

    async def hours(self, session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        """Give the finished one-hour candles with start <= candle.start < end, as `candles` gives those of a minute."""
        ...


@runtime_checkable
class NamesDead(Protocol):
    """A source that knows which of its markets are dead: the provider lists them, and gives no price."""

    @property
    def dead(self) -> Collection[Metric]:
        """Those of the newest answer."""
        ...


@contextmanager
def told_apart(name: str) -> Iterator[None]:
    """Translate what aiohttp and a parser raise into our three kinds, once, here."""
    try:
        yield
    except (ContentTypeError, KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        # aiohttp files an HTML page with a 200 under ClientResponseError, so this comes first.
        raise Nonsense(f"{name} sent something else: {_words(error)}") from error
    except ClientResponseError as error:
        raise Refused(f"{name} said {error.status}", _retry_after(error)) from error
    except (ClientError, TimeoutError, OSError) as error:
        raise Unreachable(f"{name} did not answer: {_words(error)}") from error


def _words(error: Exception) -> str:
    # Not `repr`: aiohttp's names every header of the request, and so a key.
    return f"{type(error).__name__}: {error}".removesuffix(": ")


LONGEST_WAIT = 10.0**9
"""Seconds. Of four hundred digits a float makes infinity, and that no instant can be."""


def _retry_after(error: ClientResponseError) -> float | None:
    after = error.headers.get("Retry-After", "") if error.headers else ""
    return min(float(after), LONGEST_WAIT) if after.isdecimal() else None


def exact(body: str | bytes) -> Any:
    """Read JSON with every number as its text, digit for digit."""
    return json.loads(body, parse_float=str, parse_int=str)


async def exact_json(response: ClientResponse) -> Any:
    """Read the body of an answer with `exact`; raises what `told_apart` knows."""
    response.raise_for_status()
    if "json" not in response.content_type:
        raise ContentTypeError(
            response.request_info, response.history, status=response.status, message=response.content_type
        )
    return exact(await response.read())


async def error_json(response: ClientResponse) -> Any:
    """Read what an error says of itself; `None` where it is a gateway's page."""
    try:
        return exact(await response.read())
    except ValueError:
        return None


def number(value: object) -> str | None:
    """Give a decimal text that we keep, or `None` for anything else (missing, NaN, too long, no number)."""
    return value if decimals.is_number(value) else None  # type: ignore[return-value]  # is_number says it is a str


def wanted(wishes: Sequence[str], exchange: str) -> Callable[[str], bool]:
    """
    Give the test whether a pair of `exchange` is wished for.

    A wish is a metric (`KRAKEN:BTCUSD`), all of an exchange (`KRAKEN:*`), or everything (`*`).
    """
    pairs = {pair for wish in wishes for place, _, pair in (wish.partition(":"),) if place == exchange}
    everything = "*" in wishes or "*" in pairs
    return lambda pair: everything or pair in pairs
