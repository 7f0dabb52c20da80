"""
CoinMarketCap's Pro API: the coins with the largest 24 h volume and their prices in USD, one call for up to 5000.

Every 200 rows cost a credit, which each answer says. It dates every price. What it says beside HTTP's
status counts more than the status: an error may come with 200.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus

from aiohttp import ClientSession

from worker.latest import DAY, MINUTE, parse_iso
from worker.latest.settings import PREFIX
from worker.latest.toplist import PricedCoin, find_month_end
from worker.sources.base import AccessReport
from worker.sources.errors import SourceRefused, read_answer_time, read_retry_after, translate_errors
from worker.sources.list_provider import (
    KEY_SECONDS,
    KEY_STATUSES,
    LONGEST_WORDS,
    CallMeter,
    HttpReply,
    ListAnswer,
    ListLimited,
    ProviderEndpoint,
    check_enough,
)
from worker.sources.row_fields import parse_price, parse_rows, parse_whole, pick_value

NAME = "coinmarketcap"
PATH = "/v1/cryptocurrency/listings/latest"
KEY_PATH = "/v1/key/info"
"""What a key may, and what of that is used; it costs no credit."""
FEW_CREDITS = (1, 20)
"""The part of a month's credits below which there is a warning."""
CREDIT_ROWS = 200
"""Rows that one credit pays for."""
LARGEST_ID = 10**9

PER_MINUTE, PER_DAY, PER_MONTH, PER_ADDRESS = "1008", "1009", "1010", "1011"
KEY_CODES = ("1001", "1002", "1003", "1004", "1005", "1006", "1007")
"""The key is wrong, missing, unpaid, expired, not allowed this, or disabled."""


class CoinMarketCap:
    """Prices in USD, by CoinMarketCap's own ids."""

    name = NAME
    history_seconds = 0

    def __init__(self, session: ClientSession, base: str, api_key: str, size: int) -> None:
        headers = {"X-CMC_PRO_API_KEY": api_key, "Accept": "application/json"}
        self._endpoint = ProviderEndpoint(NAME, session, base.rstrip("/") + PATH, headers)
        self._key_endpoint = replace(self._endpoint, url=base.rstrip("/") + KEY_PATH)
        self._size = size

    async def fetch_list(self, at: int, meter: CallMeter) -> ListAnswer[PricedCoin]:
        # `aux` keeps the tags out, which are nine tenths of the answer.
        query = {"start": "1", "limit": f"{self._size}", "convert": "USD", "sort": "volume_24h", "aux": "cmc_rank"}
        with translate_errors(NAME):
            return parse_listings(await self._endpoint.get(query, meter), at, meter, self._size)

    async def read_access(self, session: ClientSession) -> AccessReport:  # noqa: ARG002  # it was made with its own
        with translate_errors(NAME):
            heard = await self._key_endpoint.get({}, CallMeter())
            if heard.status >= HTTPStatus.BAD_REQUEST or pick_value(heard.body, "status", "error_code") not in (
                "0",
                None,
            ):
                raise make_refusal(heard, int(read_answer_time(heard.headers)))
            return parse_key_report(heard.body["data"])


def parse_key_report(data: object) -> AccessReport:
    """Read what the provider says of a key: how many credits of this month are left, and of how many."""
    of = parse_whole(pick_value(data, "plan", "credit_limit_monthly"))
    left = parse_whole(pick_value(data, "usage", "current_month", "credits_left"))
    if of is None or left is None:
        return AccessReport("the key is accepted; the plan has no number of credits")
    said = f"the key is accepted; {left:,} of {of:,} credits of this month are left"
    part, whole = FEW_CREDITS
    if left * whole > of * part:
        return AccessReport(said)
    return AccessReport(said, said, f"set {PREFIX}COINMARKETCAP_CREDITS to what the plan allows, or take a larger plan")


def parse_listings(heard: HttpReply, at: int, meter: CallMeter, size: int) -> ListAnswer[PricedCoin]:
    """Read an answer to a question for so many rows; raises `SourceError`, and what `translate_errors` knows."""
    body = heard.body
    meter.charged = parse_whole(pick_value(body, "status", "credit_count"))
    if heard.status >= HTTPStatus.BAD_REQUEST or pick_value(body, "status", "error_code") not in ("0", None):
        raise make_refusal(heard, at)
    listed = parse_rows(body["data"])
    left_out: Counter[str] = Counter()
    coins = _parse_coins(listed, left_out)
    total = parse_whole(pick_value(body, "status", "total_count"))
    expected = size if total is None else min(size, total)
    made = parse_time(pick_value(body, "status", "timestamp"))
    return ListAnswer(check_enough(NAME, coins, len(listed), expected, left_out), made, left_out)


def make_refusal(heard: HttpReply, at: int) -> SourceRefused:
    """Put an error into words, with how long to stay away."""
    said, code = pick_value(heard.body, "status", "error_message"), pick_value(heard.body, "status", "error_code")
    after = read_retry_after(heard.headers)
    words = " ".join(str(word) for word in (NAME, "answered", heard.status, code) if word is not None)
    what = f"{words}: {str(said)[:LONGEST_WORDS]}" if said else words
    if code == PER_MONTH:
        return ListLimited(what, find_month_end(at) - at)
    if code == PER_DAY:
        return ListLimited(what, DAY - at % DAY)
    if code in (PER_MINUTE, PER_ADDRESS) or heard.status == HTTPStatus.TOO_MANY_REQUESTS:
        return ListLimited(what, max(MINUTE, after or 0))
    if code in KEY_CODES or heard.status in KEY_STATUSES:
        return SourceRefused(f"{what}; see {PREFIX}COINMARKETCAP_API_KEY", KEY_SECONDS)
    return SourceRefused(what, after)


def _parse_coins(listed: Sequence[object], left_out: Counter[str]) -> list[PricedCoin]:
    coins = []
    for row in listed:
        coin_id = parse_whole(pick_value(row, "id"))
        usd = pick_value(row, "quote", "USD")
        number = parse_price(pick_value(usd, "price"), left_out)
        if coin_id is None or not 0 < coin_id < LARGEST_ID:
            left_out["unreadable id"] += 1
        elif number is not None:
            coins.append(PricedCoin(coin_id, number, parse_time(pick_value(usd, "last_updated"))))
    return coins


def parse_time(written: object) -> int | None:
    """Return the unix seconds of `2021-04-20T23:29:02.000Z`; `None` of what is no time."""
    if not isinstance(written, str):
        return None
    try:
        return parse_iso(written)
    except ValueError:
        return None
