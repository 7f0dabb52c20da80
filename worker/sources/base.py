"""What a source is, and how it reads JSON without losing a digit. The errors that it raises are in `errors`."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from aiohttp import (
    ClientResponse,
    ClientSession,
    ContentTypeError,
)

from worker.latest import Candle, Measure, Metric, Reading, decimals

from .budget import RequestBudget
from .errors import LONGEST_WORDS

MOST_BYTES = 64 * 1024 * 1024
"""Of an answer, unpacked. The largest that is known, all that Binance says of its markets, has 15 MB."""
KNOWN_ENCODINGS = ("identity", "", "gzip", "deflate", "br", "zstd")
"""Those that aiohttp reads or refuses by itself; of any other it hands over the bytes."""


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
class KeepsLately(Protocol):
    """A source that has candles of the latest past alone. One that is none has them from the market's first day on."""

    kept: Mapping[int, int]
    """By the length of its candles, for how long it has them; both in seconds."""


@runtime_checkable
class Metered(Protocol):
    """A source whose provider limits what may be asked."""

    budget: RequestBudget
    """Where its requests are claimed."""


@runtime_checkable
class Streamable(Protocol):
    """A source whose provider also has streams."""

    @property
    def stream_symbols(self) -> Mapping[Metric, str]:
        """What its streams call each of `metrics`."""
        ...


@runtime_checkable
class NamesDead(Protocol):
    """A source that knows which of its markets are dead: the provider lists them, and gives no price."""

    @property
    def dead(self) -> Collection[Metric]:
        """Those of the newest answer."""
        ...


class SourceProfile(NamedTuple):
    """What a provider can give, for whoever chooses among them."""

    exchange: str
    """Whose markets it has, as metrics name it; `*` where it has those of many."""
    measures: Sequence[Measure]
    """What it says itself at a tick; the others are derived from our samples where that is possible."""
    minutes: int | None
    """For how many seconds it keeps candles of a minute; `None`: from a market's first day on."""
    hours: int | None
    """The same of candles of an hour; 0 where it has none."""
    requests: str
    """What a tick costs, in words."""
    limits: str
    """What it allows, in words."""
    stream: str = "none is used"
    """What it pushes, in words."""
    history: str | None = None
    """What candles it has, in words, where nobody says for how long it keeps them."""


@runtime_checkable
class DescribesItself(Protocol):
    """A source that says what it can give, without asking its provider."""

    profile: SourceProfile


@runtime_checkable
class WaitsForProvider(Protocol):
    """A source that sends its requests at the pace of its provider, or waits for some answers no longer than a while."""

    def skip_waits(self) -> None:
        """Neither wait nor give up any more: every answer is there already, as in a replay."""
        ...


class AccessReport(NamedTuple):
    """What a provider says of our access to it, asked for as little as it has."""

    text: str
    """In words: its state, and what is left of what it allows."""
    warning: str | None = None
    """What will soon be in the way; `None` where nothing is."""
    advice: str | None = None
    """What to do about the warning."""


@runtime_checkable
class ReportsAccess(Protocol):
    """A provider that can be asked, for next to nothing, whether it answers us and what is left of what it allows."""

    async def read_access(self, session: ClientSession) -> AccessReport:
        """Ask once. Raises `SourceError`."""
        ...


@runtime_checkable
class NamesUnasked(Protocol):
    """A source that cannot ask for every market that is wished for."""

    @property
    def unasked(self) -> Collection[Metric]:
        """Those that its provider lists and that are not asked for."""
        ...


@runtime_checkable
class NamesClosed(Protocol):
    """A source whose provider says which of its markets do not trade."""

    @property
    def closed(self) -> Mapping[Metric, str]:
        """Those that are wished for, each with the provider's own word: `BREAK`."""
        ...


def parse_exact_json(body: str | bytes) -> Any:
    """Read JSON with every number as its text, digit for digit."""
    return json.loads(body, parse_float=str, parse_int=str)


async def read_exact_json(response: ClientResponse) -> Any:
    """Read the body of an answer with `parse_exact_json`; raises what `translate_errors` translates."""
    response.raise_for_status()
    check_encoding(response)
    if "json" not in response.content_type:
        raise ContentTypeError(
            response.request_info, response.history, status=response.status, message=response.content_type
        )
    return parse_exact_json(await read_body(response))


def check_encoding(response: ClientResponse) -> None:
    """Raise `ValueError` of an answer that is packed in a way that nobody asked for."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in KNOWN_ENCODINGS:
        raise ValueError(f"it answered in encoding {encoding[:LONGEST_WORDS]}, which was not asked for")


async def read_body(response: ClientResponse) -> bytes:
    """
    Return the body of an answer, unpacked.

    Raises `ValueError` as soon as it has more than `MOST_BYTES`, however many are still to come.
    """
    if response.content.at_eof():
        return await response.read()  # by whoever keeps answers, before
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MOST_BYTES:
            response.close()
            raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
    return bytes(body)


async def read_error_json(response: ClientResponse) -> Any:
    """Read the body of an error; `None` where it is no JSON, as a gateway's page."""
    try:
        return parse_exact_json(await read_body(response))
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
