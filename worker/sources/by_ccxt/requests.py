"""
Sends ccxt's requests: through the session of whoever asks, claimed in our budget, every number of an answer as its text.

ccxt makes the address and reads the answer; its own session, throttle, retries and clock are not used.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from http import HTTPStatus
from math import ceil
from typing import Any

from aiohttp import ClientSession
from yarl import URL

from worker.sources.base import check_encoding, read_body
from worker.sources.budget import Purpose, RequestBudget
from worker.sources.by_ccxt.library import COST_SCALE, choose_spot, load_class, move_addresses
from worker.sources.by_ccxt.refusals import LimitWaits, translate_refusal
from worker.sources.errors import InvalidResponse, SourceError, read_retry_after, translate_errors

MS = 1000
USUAL_AGENT = "python-requests"
"""Who ccxt says that we are, where it does not choose a browser for an exchange. The session says it better."""
WRONG_ANSWER = (KeyError, IndexError, TypeError, ValueError, AttributeError)
"""What ccxt raises where an answer is not as it expects."""


@dataclass
class CcxtCall:
    """Who asks, what for, and what is noted meanwhile."""

    session: ClientSession
    purpose: Purpose
    cost: float = 1.0
    """Of the next request, by ccxt."""
    date: str = ""
    """When the newest answer was made, as an HTTP date."""
    answer: Any = None
    """What the newest one holds."""


CALL: ContextVar[CcxtCall] = ContextVar("ccxt_call")
"""Of the running task, and of those that it has made."""


@contextmanager
def note_call(session: ClientSession, purpose: Purpose) -> Iterator[CcxtCall]:
    """Have what ccxt sends inside be sent over a session, for a purpose."""
    call = CcxtCall(session, purpose)
    token = CALL.set(call)
    try:
        yield call
    finally:
        CALL.reset(token)


def read_exact(text: str) -> Any:
    """
    Read JSON as ccxt does, but for numbers with a point: those stay the text that they are.

    Whole numbers are exact as numbers, and some of ccxt's code compares them.
    """
    return json.loads(text, parse_float=str, parse_constant=str)


def make_exchange(
    name: str, exchange_id: str, server: str | None, budget: RequestBudget, clock: Callable[[], float]
) -> Any:
    """
    Return ccxt's exchange with its requests sent by us, in messages called `name`; asked at `server`, or where it is.

    Raises `CcxtMissing`.
    """
    theirs = load_class(exchange_id)
    waits = LimitWaits()

    class SentByUs(theirs):  # type: ignore[misc,valid-type]  # ccxt's classes are not looked into: there are a hundred
        """What is ours of it."""

        number = str

        async def throttle(self, cost: float | None = None) -> None:  # as ccxt calls it
            CALL.get().cost = 1.0 if cost is None else cost

        def milliseconds(self) -> int:  # as ccxt calls it
            return int(clock() * MS)

        def parse_json(self, http_response: str) -> Any:  # as ccxt calls it
            return read_exact(http_response)

        async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
            call = CALL.get()
            async with budget.request(ceil(call.cost * COST_SCALE), call.purpose):
                with translate_errors(name):
                    return await send_request(self, name, call, waits, (url, method, headers, body))

    options = choose_spot(theirs().options)
    made = SentByUs({"enableRateLimit": True, "options": options})
    if str(made.userAgent).startswith(USUAL_AGENT):
        made.userAgent = None
    if server is not None:
        made.urls = {**made.urls, "api": move_addresses(made.urls["api"], server)}
    return made


async def send_request(
    exchange: Any, name: str, call: CcxtCall, waits: LimitWaits, request: tuple[str, str, Any, Any]
) -> Any:
    """Return the decoded answer to a request of ccxt's. Raises `SourceError`, and what `translate_errors` translates."""
    url, method, headers, body = request
    sent = exchange.prepare_request_headers(headers)
    data = body.encode() if isinstance(body, str) else body
    async with call.session.request(method, URL(url, encoded=True), headers=sent, data=data) as response:
        check_encoding(response)
        text = (await read_body(response)).decode(errors="replace")
        answered = dict(response.headers)
        # A cache keeps an answer, and says now in its `Date`.
        call.date = answered.get("Last-Modified") or answered.get("Date", "")
        status, reason = response.status, response.reason or ""
    call.answer = read_answer(text)
    after = read_retry_after(answered)
    try:
        exchange.handle_errors(status, reason, url, method, answered, text, call.answer, sent, body)
        exchange.handle_http_status_code(status, reason, url, method, text)
    except Exception as error:  # handed on, whatever ccxt raises
        if isinstance(error, WRONG_ANSWER) and status < HTTPStatus.BAD_REQUEST:
            raise
        raise translate_refusal(name, error, status, after, waits) from error
    if status >= HTTPStatus.BAD_REQUEST:
        raise translate_refusal(name, None, status, after, waits)
    if call.answer is None:
        raise InvalidResponse(f"{name} sent what is not JSON")
    waits.reset()
    return call.answer


def read_answer(text: str) -> Any:
    """Return what an answer holds; `None` where it is no JSON, as a gateway's page."""
    try:
        return read_exact(text)
    except ValueError:
        return None


@contextmanager
def translate_ccxt(name: str) -> Iterator[None]:
    """Raise a `SourceError` instead of what ccxt raises where it makes a request, or reads an answer."""
    try:
        with translate_errors(name):
            yield
    except SourceError:
        raise
    except Exception as error:
        raise translate_refusal(name, error, HTTPStatus.OK, None, LimitWaits()) from error
