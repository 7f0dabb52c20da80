"""
Both providers of the top list, simulated: they answer in bytes as the real ones do, and are read as those are.

The coins are the assets of the simulated market, and many small ones that are traded nowhere else. Prices,
volumes and their order are functions of (seed, name, time), so a restart says the same, and the past can be
asked for. As in the world, one provider does not know every id, and the other does not price every coin.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache, lru_cache
from math import exp, floor, log10
from typing import NamedTuple

from worker.latest import DAY, HOUR, MINUTE
from worker.latest.toplist import PricedCoin, RankedCoin
from worker.sources import coinmarketcap, cryptocompare
from worker.sources.base import parse_exact_json
from worker.sources.list_provider import CallMeter, HttpReply, ListAnswer
from worker.sources.simulated.assets import BELL, SimulatedAssets
from worker.sources.simulated.catalogue import ASSETS
from worker.sources.simulated.source import NAME

SMALL = 260
"""How many coins there are beside the assets of the market."""
LARGEST_VOLUME = 3e10
"""In USD a day; that of the n-th coin is n ** 1.3 times less."""
NOT_COINS = ("USD", "EUR")
_SWING = 0.03
"""How far the logarithm of a small coin's price usually goes in an hour."""

# Odds, in 256.
_NAMELESS = 6
"""Of a coin of which the ranks do not know the id."""
_PRICELESS = 8
"""Of a coin that has no price."""
_SYLLABLES = ("lu", "mo", "xa", "ter", "vi", "qo", "ne", "bra", "zu", "fi", "ka", "dro", "sol", "pi", "gen", "ro")


class SimulatedCoin(NamedTuple):
    """One coin, and what does not change about it."""

    id: int
    symbol: str
    name: str
    level: float
    """The price it stays near, in USD."""
    places: int
    """Of its price."""
    volume: float
    """In USD a day."""
    is_of_market: bool
    """Whether it is an asset of the simulated market, too."""
    is_nameless: bool
    """Whether the ranks do not know its id."""
    is_priced: bool


class SimulatedCoins:
    """All coins of one seed, at any time."""

    def __init__(self, seed: int = 1) -> None:
        self._assets = SimulatedAssets(seed)
        self.coins = list(self._coins())
        # The rank of a coin and its volume follow from the same number, and both providers are asked at once.
        self.by_volume = lru_cache(maxsize=4)(self._by_volume)
        self._nodes = lru_cache(maxsize=8 * len(self.coins))(self._make_nodes)

    def format_price(self, coin: SimulatedCoin, at: int) -> str:
        """Return a price at `at`, with five digits that count or more."""
        return f"{self._price(coin, at):.{coin.places}f}"

    def _by_volume(self, at: int) -> list[tuple[SimulatedCoin, float]]:
        """Return every coin with its volume in USD, the largest first."""
        traded = [(coin, coin.volume * exp(0.6 * self._wave("volume", coin, at, HOUR))) for coin in self.coins]
        return sorted(traded, key=lambda each: -each[1])

    def _price(self, coin: SimulatedCoin, at: int) -> float:
        if not coin.is_of_market:
            waves = self._wave("price", coin, at, HOUR) + 0.2 * self._wave("step", coin, at, MINUTE)
            return coin.level * exp(_SWING * waves)
        day, second = divmod(at, DAY)
        usd, own = self._assets.walk("USD", day), self._assets.walk(coin.symbol, day)
        return coin.level * exp(own.logs[second // MINUTE] - usd.logs[second // MINUTE])

    def _wave(self, what: str, coin: SimulatedCoin, at: int, length: int) -> float:
        """Return a number of the normal distribution that moves on a straight line from one to the next."""
        day, second = divmod(at, DAY)
        node, past = divmod(second, length)
        nodes = self._nodes(what, coin.symbol, day, length)
        left, right = nodes[node : node + 2]
        return left + (right - left) * past / length

    def _make_nodes(self, what: str, symbol: str, day: int, length: int) -> list[float]:
        """Return a day's numbers, and the first one of the next day."""
        noise = self._assets.draw_bytes(what, symbol, day, DAY // length) + self._assets.draw_bytes(
            what, symbol, day + 1, 1
        )
        return [BELL[byte] for byte in noise]

    def _coins(self) -> Iterator[SimulatedCoin]:
        known = [name for name in ASSETS if name not in NOT_COINS]
        for place, symbol in enumerate([*known, *_invent_symbols()], 1):
            is_known = symbol in ASSETS
            level = ASSETS[symbol] if is_known else exp(3 * BELL[self._assets.draw_bytes("level", symbol, 0, 1)[0]] - 2)
            volume = LARGEST_VOLUME / place**1.3
            name = symbol if is_known else symbol.capitalize()
            is_nameless = not is_known and self._assets.draw_bytes("id", symbol, 0, 1)[0] < _NAMELESS
            is_priced = is_known or self._assets.draw_bytes("priced", symbol, 0, 1)[0] >= _PRICELESS
            places = max(2, 6 - floor(log10(level)))
            yield SimulatedCoin(place, symbol, name, level, places, volume, is_known, is_nameless, is_priced)


def _invent_symbols() -> Iterator[str]:
    for number in range(SMALL):
        high, low = divmod(number, len(_SYLLABLES))
        yield (_SYLLABLES[low] + _SYLLABLES[high % len(_SYLLABLES)] + ("x" if high >= len(_SYLLABLES) else "")).upper()


@cache
def get_simulated_coins() -> SimulatedCoins:
    """Return the world that both providers of a process speak of."""
    return SimulatedCoins()


class SimulatedPrices:
    """Answers as CoinMarketCap does."""

    name = NAME
    history_seconds = DAY

    def __init__(self, size: int) -> None:
        self._size = size

    async def fetch_list(self, at: int, meter: CallMeter) -> ListAnswer[PricedCoin]:
        meter.calls += 1
        body = parse_exact_json(write_listings(at, self._size))
        return coinmarketcap.parse_listings(HttpReply(body), at, meter, self._size)


class SimulatedRanks:
    """Answers as CryptoCompare does, page after page."""

    name = NAME
    history_seconds = DAY

    def __init__(self, size: int) -> None:
        self._size = size

    async def fetch_list(self, at: int, meter: CallMeter) -> ListAnswer[RankedCoin]:
        found = cryptocompare.RankedPages(self._size)
        for page in range(1, cryptocompare.count_pages(self._size) + 1):
            meter.calls += 1
            body = parse_exact_json(write_top_list(at, page))
            if found.add(cryptocompare.parse_page(HttpReply(body), at, meter)):
                break
        return found.finish()


def write_listings(at: int, size: int) -> bytes:
    """Write an answer of CoinMarketCap's, the largest volume first."""
    known, when = get_simulated_coins(), datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    priced = [(coin, volume) for coin, volume in known.by_volume(at) if coin.is_priced]
    data = [
        f'{{"id":{coin.id},"name":"{coin.name}","symbol":"{coin.symbol}","last_updated":"{when}","quote":{{"USD":'
        f'{{"price":{known.format_price(coin, at)},"volume_24h":{volume:.2f},"last_updated":"{when}"}}}}}}'
        for coin, volume in priced[:size]
    ]
    status = {
        "timestamp": when,
        "error_code": 0,
        "error_message": None,
        "credit_count": -(-size // coinmarketcap.CREDIT_ROWS),
        "total_count": len(priced),
    }
    return f'{{"status":{json.dumps(status)},"data":[{",".join(data)}]}}'.encode()


def write_top_list(at: int, page: int) -> bytes:
    """Write an answer of CryptoCompare's."""
    ranked, rows = get_simulated_coins().by_volume(at), cryptocompare.PAGE_ROWS
    listed = [
        {
            "ID": coin.id + 1000,
            "SYMBOL": coin.symbol,
            "ASSET_TYPE": "BLOCKCHAIN" if coin.is_of_market else "TOKEN",
            "NAME": coin.name,
            "ASSET_ALTERNATIVE_IDS": None if coin.is_nameless else [{"NAME": "CMC", "ID": str(coin.id)}, None],
            "PRICE_USD_LAST_UPDATE_TS": at,
            cryptocompare.SORT: round(volume, 4),
        }
        for coin, volume in ranked[(page - 1) * rows : page * rows]
    ]
    stats = {"PAGE": page, "PAGE_SIZE": rows, "TOTAL_ASSETS": len(ranked)}
    return json.dumps({"Data": {"STATS": stats, "LIST": listed}, "Err": {}}).encode()
