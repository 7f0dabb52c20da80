"""What ccxt's errors are here. ccxt sorts the words and codes of each exchange into classes; their names are read."""

from collections.abc import Set as AbstractSet
from http import HTTPStatus

from worker.sources.errors import (
    LONGEST_WORDS,
    InvalidResponse,
    RequestRefused,
    SourceError,
    SourceRefused,
    SourceUnreachable,
    classify_refusal,
)
from worker.sources.pair_names import UnknownPair

FIRST_WAIT, LONGEST_WAIT = 15.0, 60.0
"""Seconds to stay away when told that it was too often; doubled each time until an answer comes."""
LIMITED = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.IM_A_TEAPOT)
TOO_OFTEN = frozenset({"RateLimitExceeded", "DDoSProtection"})
OF_THE_REQUEST, OF_THE_ACCOUNT = "ExchangeError", "AuthenticationError"
"""What ccxt has no class of its own for, as Kraken's unknown pair, is an `ExchangeError`; what else can pass is none."""
UNREADABLE = frozenset({"BadResponse", "NullResponse"})


class LimitWaits:
    """How long an exchange is not asked that says it was too often, and not for how long."""

    def __init__(self) -> None:
        self._next = FIRST_WAIT

    def reset(self) -> None:
        self._next = FIRST_WAIT

    def take(self) -> float:
        wait, self._next = self._next, min(2 * self._next, LONGEST_WAIT)
        return wait


def translate_refusal(
    name: str, error: Exception | None, status: int, after: float | None, waits: LimitWaits
) -> SourceError:
    """Return the error that is raised for one of ccxt's, or for a status that ccxt has none for."""
    kinds = {each.__name__ for each in type(error).__mro__}
    said = f": {' '.join(str(error).split())[:LONGEST_WORDS]}" if error is not None else ""
    is_error = status >= HTTPStatus.BAD_REQUEST
    message = f"{name} answered {status}{said}" if is_error else f"{name} refused{said}"
    if "BadSymbol" in kinds:
        return UnknownPair(message)
    # ccxt calls the answer of a wall before an exchange, as 403, a protection too: nobody knows for how long that is.
    if status in LIMITED or (kinds & TOO_OFTEN and not is_error):
        return SourceRefused(message, waits.take() if after is None else after)
    return classify_refusal(status, message, after) if is_error else _classify_by_kind(kinds, message)


def _classify_by_kind(kinds: AbstractSet[str], message: str) -> SourceError:
    """Return the error for one that came with a status that is none."""
    if kinds & UNREADABLE:
        return InvalidResponse(message)
    if "RequestTimeout" in kinds:
        return SourceUnreachable(message)
    is_of_request = OF_THE_REQUEST in kinds and OF_THE_ACCOUNT not in kinds
    return RequestRefused(message) if is_of_request else SourceRefused(message)
