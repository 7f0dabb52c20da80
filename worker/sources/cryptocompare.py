"""
CryptoCompare's data API, now CoinDesk Data: assets in the order of their 24 h volume in USD, 100 on a page.

The CoinMarketCap id of an asset is one of its alternative ids; there may be none of them, and empty places
among them. The older API (`min-api.cryptocompare.com`, `/data/top/totalvolfull`) cannot take its place: its
`CoinInfo.Id` is CryptoCompare's own, and the id that prices are known by is nowhere in it.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from aiohttp import ClientSession

from worker.latest import DAY, HOUR, MINUTE
from worker.latest.settings import PREFIX
from worker.latest.toplist import RankedCoin, find_month_end
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
    parse_name,
)
from worker.sources.row_fields import parse_amount, parse_rows, parse_whole, pick_value

NAME = "cryptocompare"
PATH = "/asset/v1/top/list"
LIMIT_PATH = "/admin/v2/rate/limit"
"""What a key may, and what of that is used."""
PAGE_ROWS, FEWEST_ROWS = 100, 10
"""How many assets a page can have."""
SORT = "SPOT_MOVING_24_HOUR_QUOTE_VOLUME_USD"
LARGEST_ID = 10**9
NOT_COINS = ("FIAT", "STOCK", "INDEX", "COMMODITY", "ETF")
"""Types of assets that are no cryptocurrencies, and are in the list, too."""
OVER_LIMIT = "99"
"""The type of the error that says so."""
PAUSE = 0.06
"""Seconds between two pages: the free plan allows 20 calls a second."""
MONTH = 28 * DAY
"""A window of so many seconds, or more, is the month's."""


class CryptoCompare:
    """Coins by 24 h volume, with CoinMarketCap's ids."""

    name = NAME
    history_seconds = 0

    def __init__(self, session: ClientSession, base: str, api_key: str, size: int, pause: float = PAUSE) -> None:
        headers = {"Authorization": f"Apikey {api_key}", "Accept": "application/json"}
        self._endpoint = ProviderEndpoint(NAME, session, base.rstrip("/") + PATH, headers)
        self._limit_endpoint = replace(self._endpoint, url=base.rstrip("/") + LIMIT_PATH)
        self._size = size
        self._pause = pause

    async def fetch_list(self, at: int, meter: CallMeter) -> ListAnswer[RankedCoin]:
        found = RankedPages(self._size)
        for page in range(1, count_pages(self._size) + 1):
            if page > 1:
                await asyncio.sleep(self._pause)
                meter.charged = meter.calls + 1  # also where no answer comes
            if found.add(await self._page(page, at, meter)):
                break
        return found.finish()

    async def read_access(self, session: ClientSession) -> AccessReport:  # noqa: ARG002  # it was made with its own
        meter = CallMeter()
        with translate_errors(NAME):
            heard = await self._limit_endpoint.get({}, meter)
            parse_page(heard, int(read_answer_time(heard.headers)), meter)
        if meter.remaining is None:
            return AccessReport("the key is accepted")
        left = f"the key is accepted; {meter.remaining:,} calls of this month are left"
        return AccessReport(
            left, None if meter.remaining else left, f"set {PREFIX}CRYPTOCOMPARE_CALLS to what the plan allows"
        )

    async def _page(self, page: int, at: int, meter: CallMeter) -> Any:
        query = {
            "page": f"{page}",
            "page_size": f"{max(FEWEST_ROWS, min(PAGE_ROWS, self._size))}",
            "sort_by": SORT,
            "sort_direction": "DESC",
            "groups": "ID,BASIC,PRICE,VOLUME",
            "toplist_quote_asset": "USD",
        }
        with translate_errors(NAME):
            return parse_page(await self._endpoint.get(query, meter), at, meter)


def count_pages(size: int) -> int:
    """Return how many pages, each of them a call, a list of so many coins has."""
    return -(-size // PAGE_ROWS)


def parse_page(heard: HttpReply, at: int, meter: CallMeter) -> Any:
    """Return the data of an answer; raises `SourceError`, and what `translate_errors` knows."""
    meter.charged = meter.calls
    left = dict(parse_windows(heard.headers.get("X-RateLimit-Remaining-All", "")))
    meter.remaining = next((calls for window, calls in left.items() if window >= MONTH), meter.remaining)
    # The older API's errors are of another shape, and come with 200; behind one name both may answer.
    error = pick_value(heard.body, "Err") or (heard.body if pick_value(heard.body, "Response") == "Error" else None)
    if heard.status >= HTTPStatus.BAD_REQUEST or error:
        raise make_refusal(heard, error, at)
    return heard.body["Data"]


def make_refusal(heard: HttpReply, error: object, at: int) -> SourceRefused:
    """Put an error into words, with how long to stay away."""
    kind = pick_value(error, "type") or pick_value(error, "Type")
    said = str(pick_value(error, "message") or pick_value(error, "Message") or "")[:LONGEST_WORDS]
    what = f"{NAME} answered {heard.status}{f': {said}' if said else ''}"
    seconds = compute_wait(heard.headers, error, at)
    if heard.status == HTTPStatus.TOO_MANY_REQUESTS or kind == OVER_LIMIT:
        return ListLimited(what, max(MINUTE, seconds or 0))
    if heard.status in KEY_STATUSES or "api key" in said.lower():
        return SourceRefused(f"{what}; see {PREFIX}CRYPTOCOMPARE_API_KEY", KEY_SECONDS)
    return SourceRefused(what, seconds)


class RankedPages:
    """What the pages say, put together."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._coins: list[RankedCoin] = []
        self._seen: set[str] = set()
        self._left_out: Counter[str] = Counter()
        self._received = self._others = self._newest = 0
        self._total: int | None = None

    def add(self, data: Any) -> bool:
        """Take in a page, and return whether it was the last one."""
        with translate_errors(NAME):
            listed = parse_rows(data["LIST"])
            self._total = parse_whole(pick_value(data, "STATS", "TOTAL_ASSETS"))
            for row in listed:
                self._add_row(row)
        self._received += len(listed)
        return not listed or self._received >= self._count_expected

    def finish(self) -> ListAnswer[RankedCoin]:
        expected = self._count_expected
        coins = check_enough(NAME, self._coins, self._received, max(0, expected - self._others), self._left_out)
        return ListAnswer(coins[: self._size], self._newest or None, self._left_out)

    @property
    def _count_expected(self) -> int:
        return self._size if self._total is None else min(self._size, self._total)

    def _add_row(self, row: object) -> None:
        asset, symbol = pick_value(row, "ID"), parse_name(pick_value(row, "SYMBOL"))
        if pick_value(row, "ASSET_TYPE") in NOT_COINS:
            self._others += 1
            self._left_out["not a cryptocurrency"] += 1
        elif symbol is None:
            self._left_out["missing symbol"] += 1
        elif isinstance(asset, str) and asset in self._seen:
            # Between two calls an asset may slide onto the next page.
            self._left_out["twice in the list"] += 1
        else:
            volume = parse_amount(pick_value(row, SORT), "volume", self._left_out)
            if volume is not None:
                self._seen.add(str(asset))
                self._newest = max(self._newest, parse_whole(pick_value(row, "PRICE_USD_LAST_UPDATE_TS")) or 0)
                name = parse_name(pick_value(row, "NAME")) or symbol
                self._coins.append(RankedCoin(parse_cmc_id(row), symbol, name, volume))


def parse_cmc_id(row: object) -> int | None:
    """Return the CoinMarketCap id of an asset, which may be a text or a number, and may not be there."""
    others = pick_value(row, "ASSET_ALTERNATIVE_IDS")
    for other in others if isinstance(others, list) else ():
        if pick_value(other, "NAME") == "CMC":
            found = parse_whole(pick_value(other, "ID"))
            if found is not None and 0 < found < LARGEST_ID:
                return found
    return None


def parse_windows(header: str) -> Iterator[tuple[int, int]]:
    """Return each window of a header, in seconds, with its number: `7, 1;window=1, 7;window=2592000`."""
    for each in header.split(","):
        number, _, window = each.partition(";window=")
        seconds, count = parse_whole(window.strip()), parse_whole(number.strip())
        if seconds is not None and count is not None:
            yield seconds, count


def compute_wait(headers: Mapping[str, str], error: object, at: int) -> int | None:
    """Return how many seconds it takes until every limit that was reached begins anew; `None` where none was."""
    resets = dict(parse_windows(headers.get("X-RateLimit-Reset-All", "")))
    left = parse_windows(headers.get("X-RateLimit-Remaining-All", ""))
    waits = [resets.get(window) or _count_seconds_left(window, at) for window, calls in left if calls == 0]
    made, most = pick_value(error, "RateLimit", "calls_made"), pick_value(error, "RateLimit", "max_calls")
    for name, window in {"minute": MINUTE, "hour": HOUR, "day": DAY, "month": MONTH}.items():
        used, allowed = parse_whole(pick_value(made, name)), parse_whole(pick_value(most, name))
        if used is not None and allowed is not None and used >= allowed:
            waits.append(_count_seconds_left(window, at))
    after = read_retry_after(headers)
    return max([*waits, *([] if after is None else [after])], default=None)


def _count_seconds_left(window: int, at: int) -> int:
    return find_month_end(at) - at if window >= MONTH else max(1, window) - at % max(1, window)
