"""
What a provider of the top list is, what it may raise beyond what sources do, and when a list is good. No provider here.

    Refused
    └── Limited   too often, or too much: the plan's limits
    Nonsense
    ├── TooFew       an answer with so few usable rows that the list before it is better
    └── Implausible  a list that cannot be true: of another day, or of other coins
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from aiohttp import (
    ClientHandlerType,
    ClientMiddlewareType,
    ClientOSError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ServerDisconnectedError,
)

from worker.latest.toplist import PricedCoin, RankedCoin
from worker.sources.base import read_error_json, read_exact_json
from worker.sources.errors import InvalidResponse, SourceRefused, SourceUnreachable

ENOUGH = (9, 10)
"""The part of the rows that must be there, and be usable, for a list to be taken."""
KEY_SECONDS = 3600
"""How long nobody is asked whose answer was that the key is not good: that does not mend itself by asking."""
KEY_STATUSES = (HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN)
LONGEST_WORDS = 200
"""Characters of a provider's own words that are passed on."""
LONGEST_NAME = 80
"""Characters of a symbol or a name that are kept."""

Coin = TypeVar("Coin", PricedCoin, RankedCoin)
Coin_co = TypeVar("Coin_co", PricedCoin, RankedCoin, covariant=True)


class ListLimited(SourceRefused):
    """The answer is that it was too often, or too much."""


class TooFewRows(InvalidResponse):
    """An answer with too few rows that can be used."""


class Implausible(InvalidResponse):
    """A list that can be read and cannot be true."""


@dataclass
class CallMeter:
    """What asking takes, filled in while it goes on, so that it is known also where it fails."""

    calls: int = 0
    charged: int | None = None
    """Units that the provider says it charged."""
    remaining: int | None = None
    """Units that the provider says are left this month."""


class HttpReply(NamedTuple):
    """What came over HTTP."""

    body: Any
    """JSON with every number as its text; `None` where an error is none."""
    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = {}


@dataclass(frozen=True)
class ProviderEndpoint:
    """Where a provider is asked. `headers` hold the key: an address would get into logs."""

    name: str
    session: ClientSession
    url: str
    headers: Mapping[str, str]

    async def get(self, query: Mapping[str, str], meter: CallMeter) -> HttpReply:
        """Ask, and read the answer, or what an error says of itself; raises what `translate_errors` knows."""
        options: Any = {
            "headers": self.headers,
            "allow_redirects": False,
            "middlewares": [count_calls(self.name, meter)],
        }
        async with self.session.get(self.url, params=query, **options) as response:
            is_error = response.status >= HTTPStatus.BAD_REQUEST
            body = await (read_error_json if is_error else read_exact_json)(response)
            return HttpReply(body, response.status, response.headers)


def count_calls(name: str, meter: CallMeter) -> ClientMiddlewareType:
    """
    Count every call that is made.

    Where a connection breaks, aiohttp asks a second time without a word. The plan would pay for both, so
    here that is the end of it.
    """

    async def count_call(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        meter.calls += 1
        try:
            return await handler(request)
        except (ClientOSError, ServerDisconnectedError) as error:
            raise SourceUnreachable(f"{name} did not answer: {error}") from error

    return count_call


class ListAnswer(NamedTuple, Generic[Coin_co]):
    """A list that was given, good enough to be taken."""

    coins: Sequence[Coin_co]
    provider_time: int | None
    """When the provider says that it was made, unix seconds."""
    left_out: Mapping[str, int]
    """How many rows are not in it, by reason."""


class ListProvider(Protocol[Coin_co]):
    """
    A provider that gives one of the two lists, over a session that it is handed and does not own.

    It never retries or logs: its caller knows what a failure costs.
    """

    @property
    def name(self) -> str: ...

    @property
    def history_seconds(self) -> int:
        """How many seconds back it can be asked; 0 where only for now."""
        ...

    async def fetch_list(self, at: int, meter: CallMeter) -> ListAnswer[Coin_co]:
        """Ask once, for the list of minute `at`. Raises `SourceError`."""
        ...


def check_enough(
    name: str, coins: Sequence[Coin], received: int, expected: int, left_out: Mapping[str, int]
) -> Sequence[Coin]:
    """Return the coins where they are enough of a list; raises `TooFew`."""
    part, of = ENOUGH
    if received == 0 or received * of < expected * part:
        raise TooFewRows(f"{name} sent {received} rows of {expected}")
    if len(coins) * of < expected * part:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
        raise TooFewRows(f"{name} sent {received} rows, of which {len(coins)} can be used: {reasons}")
    return coins


def parse_name(value: object) -> str | None:
    """Return a symbol or a name; `None` of what is none."""
    text = value.strip()[:LONGEST_NAME] if isinstance(value, str) else ""
    return text if text and text.isprintable() else None
