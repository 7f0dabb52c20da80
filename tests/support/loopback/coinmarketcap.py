"""Answers as CoinMarketCap does: rows of a recorded answer, credits counted, and its own words for what it refuses."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tests.support.loopback.toplists import MINUTE, Coins
from v1.numbers import exact_json

PATH = "/v1/cryptocurrency/listings/latest"
KEY_PATH = "/v1/key/info"
CREDIT_ROWS = 200
TOO_OFTEN = "You've exceeded your API Key's HTTP request rate limit. Rate limits reset every minute."
TOO_MUCH = "You've exceeded your API Key's monthly rate limit."


class CoinMarketCap:
    def __init__(self, coins: Coins, now: Callable[[], float], credits_a_month: int, calls_a_minute: int) -> None:
        self._coins = coins
        self._now = now
        self._credits = credits_a_month
        self._calls = calls_a_minute
        self.spent: Counter[str] = Counter()
        """Credits, by month."""
        self.made: Counter[int] = Counter()
        """Calls, by minute."""

    def routes(self) -> list[web.RouteDef]:
        return [web.get(PATH, self.listings), web.get(KEY_PATH, self.key_info)]

    async def key_info(self, request: web.Request) -> web.Response:
        """Say what the key may, which costs no credit."""
        if "X-CMC_PRO_API_KEY" not in request.headers:
            return self._refused(401, 1002, "API key missing.")
        if request.headers["X-CMC_PRO_API_KEY"] == "wrong":
            return self._refused(401, 1001, "This API Key is invalid.")
        used = self.spent[datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m")]
        plan = {"credit_limit_monthly": self._credits, "rate_limit_minute": self._calls}
        month = {"credits_used": used, "credits_left": self._credits - used}
        return _json({"status": self._status(0), "data": {"plan": plan, "usage": {"current_month": month}}})

    async def listings(self, request: web.Request) -> web.Response:
        at = self._now()
        self.made[int(at) // MINUTE] += 1
        month = datetime.fromtimestamp(at, UTC).strftime("%Y-%m")
        limit = int(request.query.get("limit", "100"))
        cost = -(-limit // CREDIT_ROWS)
        if "X-CMC_PRO_API_KEY" not in request.headers:
            return self._refused(401, 1002, "API key missing.")
        if request.headers["X-CMC_PRO_API_KEY"] == "wrong":
            return self._refused(401, 1001, "This API Key is invalid.")
        if not 1 <= limit <= 5000:
            return self._refused(400, 400, '"limit" must be between 1 and 5000')
        if self.made[int(at) // MINUTE] > self._calls:
            return self._refused(429, 1008, TOO_OFTEN)
        if self.spent[month] + cost > self._credits:
            return self._refused(429, 1010, TOO_MUCH)
        self.spent[month] += cost
        listed = self._coins.by_volume(at) if request.query.get("sort") == "volume_24h" else self._coins.all
        rows = [self._row(coin.row, self._coins.price(coin, at)) for coin in listed[:limit]]
        return _json({"status": self._status(cost) | {"total_count": len(listed)}, "data": rows})

    def _row(self, row: dict[str, Any], price: str) -> dict[str, Any]:
        return row | {"quote": {"USD": row["quote"]["USD"] | {"price": exact_json.Digits(price)}}}

    def _status(self, cost: int, code: int = 0, said: str | None = None) -> dict[str, Any]:
        when = datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.268Z")
        return {
            "timestamp": when, "error_code": code, "error_message": said, "elapsed": 25, "credit_count": cost, "notice": None
        }  # fmt: skip

    def _refused(self, status: int, code: int, said: str) -> web.Response:
        return _json({"status": self._status(0, code, said)}, status)


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(text=exact_json.dumps(body), status=status, content_type="application/json")
