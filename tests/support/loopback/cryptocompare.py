"""
Answers as CryptoCompare's data API does: the documentation's example made into as many assets as are recorded,
calls counted and told in headers. Some assets have no CoinMarketCap id, or one that is a number, as is said of it.
"""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.loopback.toplists import MINUTE, Coin, Coins
from v1.numbers import exact_json

PATH = "/asset/v1/top/list"
LIMIT_PATH = "/admin/v2/rate/limit"
EXAMPLE = "asset_v1_top_list.doc-example.2025-06-06.json"
SORTS = ("CIRCULATING_MKT_CAP_USD", "SPOT_MOVING_24_HOUR_QUOTE_VOLUME_USD")
MONTH = 2_592_000
ONE_WITHOUT = 37
"""One of so many assets has no alternative ids."""


def cmc_id_of(coin: Coin, place: int) -> object:
    """Return the id as the asset at a place of the recording has it: a text, a number, or none."""
    if place % ONE_WITHOUT == ONE_WITHOUT - 1:
        return None
    return coin.id if place % 5 == 0 else str(coin.id)


class CryptoCompare:
    def __init__(self, recorded: Path, coins: Coins, now: Callable[[], float], calls_a_month: int) -> None:
        self._asset: dict[str, Any] = json.loads((recorded / "cryptocompare" / EXAMPLE).read_bytes())["Data"]["LIST"][0]
        self._coins = coins
        self._places = {coin.id: place for place, coin in enumerate(coins.all)}
        self._now = now
        self._calls = calls_a_month
        self.made: Counter[str] = Counter()
        """Calls, by month."""

    def routes(self) -> list[web.RouteDef]:
        return [web.get(PATH, self.top_list), web.get(LIMIT_PATH, self.rate_limit)]

    async def rate_limit(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization", "").removeprefix("Apikey ") in ("", "wrong"):
            return self._refused(401, 1, "You need a valid auth key or api key to access this endpoint")
        return self._json({"Data": {}, "Err": {}})

    async def top_list(self, request: web.Request) -> web.Response:
        at = self._now()
        month = datetime.fromtimestamp(at, UTC).strftime("%Y-%m")
        key = request.headers.get("Authorization", "").removeprefix("Apikey ") or request.query.get("api_key", "")
        if key in ("", "wrong"):
            return self._refused(401, 1, "You need a valid auth key or api key to access this endpoint")
        if self.made[month] >= self._calls:
            return self._refused(429, 99, "You are over your rate limit please upgrade your account!")
        self.made[month] += 1
        page, size = int(request.query.get("page", "1")), int(request.query.get("page_size", "100"))
        sort = request.query.get("sort_by", SORTS[0])
        if not (1 <= page <= 1000 and 10 <= size <= 100 and sort in SORTS):
            return self._refused(400, 2, "Invalid: page, page_size or sort_by parameter.")
        listed = self._coins.by_volume(at) if sort == SORTS[1] else self._coins.all
        assets = [self._made(coin, at) for coin in listed[(page - 1) * size : page * size]]
        stats = {"PAGE": page, "PAGE_SIZE": size, "TOTAL_ASSETS": len(listed)}
        return self._json({"Data": {"STATS": stats, "LIST": assets}, "Err": {}})

    def _made(self, coin: Coin, at: float) -> dict[str, Any]:
        place = self._places[coin.id]
        cmc = cmc_id_of(coin, place)
        others = [None, {"NAME": "CMC", "ID": cmc}, {"NAME": "CG", "ID": coin.name.lower()}]
        return self._asset | {
            "ID": place + 1,
            "ID_LEGACY": place + 1182,
            "SYMBOL": coin.symbol,
            "NAME": coin.name,
            "ASSET_TYPE": "BLOCKCHAIN" if place % 3 == 0 else "TOKEN",
            "ASSET_ALTERNATIVE_IDS": None if cmc is None else others[place % 2 :],
            "PRICE_USD": exact_json.Digits(self._coins.price(coin, at)),
            "PRICE_USD_LAST_UPDATE_TS": int(at) // MINUTE * MINUTE - 7,
            SORTS[1]: exact_json.Digits(self._coins.volume(coin, at)),
        }

    def _refused(self, status: int, kind: int, said: str) -> web.Response:
        return self._json({"Data": [], "Err": {"type": kind, "message": said, "other_info": {}}}, status)

    def _json(self, body: object, status: int = 200) -> web.Response:
        at = self._now()
        left = self._calls - self.made[datetime.fromtimestamp(at, UTC).strftime("%Y-%m")]
        headers = {
            "X-RateLimit-Remaining-All": f"{left}, 19;window=1, 299;window=60, 2995;window=3600, 7495;window=86400, {left};window={MONTH}",
            "X-RateLimit-Reset-All": f"1, 1;window=1, {60 - int(at) % 60};window=60, {self._reset(at)};window={MONTH}",
        }
        return web.Response(
            text=exact_json.dumps(body), status=status, headers=headers, content_type="application/json"
        )

    @staticmethod
    def _reset(at: float) -> int:
        day = datetime.fromtimestamp(at, UTC)
        return int(datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=UTC).timestamp() - at)
