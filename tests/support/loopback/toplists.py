"""
The coins that CoinMarketCap and CryptoCompare are made to speak of: two recorded lists, as they were or moving
from minute to minute. What a provider makes of them is not known here.

    april   the 100 largest of 20 April 2021 as CoinMarketCap sent them, prices with up to 15 decimals
    page    the 200 largest of 1 April 2023 as its page showed them, with exponents; the ids that the page
            does not show are those of `april` where symbol and name agree, and invented elsewhere
"""

import csv
import gzip
import io
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from v1.numbers import exact_json

INVENTED_ID = 30_000
MINUTE = 60


class Coin(NamedTuple):
    id: int
    symbol: str
    name: str
    price: str
    volume: str
    row: dict[str, Any]
    """As CoinMarketCap sent it, or as it would have."""


class Coins:
    """One of the two lists at any time."""

    def __init__(self, coins: list[Coin], *, are_moving: bool) -> None:
        self.all = coins
        self._are_moving = are_moving

    def price(self, coin: Coin, at: float) -> str:
        """Return a price in the minute of `at`: the recorded digits, or some of them counted up."""
        if not self._are_moving:
            return coin.price
        price = Decimal(coin.price)
        return str(price + Decimal(int(at) // MINUTE % 1000).scaleb(int(price.as_tuple().exponent)))

    def volume(self, coin: Coin, at: float) -> str:
        if not self._are_moving:
            return coin.volume
        return str(Decimal(coin.volume) * (100 + (crc32(coin.symbol.encode()) + int(at) // MINUTE) % 7) / 100)

    def by_volume(self, at: float) -> list[Coin]:
        """Return all coins, the largest volume first; of equal ones the one that was first in the recording."""
        return sorted(self.all, key=lambda coin: -Decimal(self.volume(coin, at)))


@cache
def april(folder: Path) -> list[Coin]:
    body: Any = exact_json.loads(gzip.decompress((folder / "cmc_listings_20210420.json.gz").read_bytes()))
    return [
        Coin(int(row["id"]), row["symbol"], row["name"], str(usd["price"]), str(usd["volume_24h"]), row)
        for row in body["data"]
        for usd in [row["quote"]["USD"]]
    ]


@cache
def page(folder: Path) -> list[Coin]:
    return list(_page(folder))


def _page(folder: Path) -> Iterator[Coin]:
    known = {(coin.symbol, coin.name): coin.id for coin in april(folder)}
    shape = april(folder)[0].row
    text = gzip.decompress((folder / "cmc_top200_20230401.csv.gz").read_bytes()).decode()
    for row in csv.DictReader(io.StringIO(text)):
        symbol, name, price, volume = row["Symbol"], row["Name"], row["Price"], row["Volume (24h)"]
        coin_id = known.get((symbol, name), INVENTED_ID + int(row["Rank"]))
        usd = shape["quote"]["USD"] | {"price": exact_json.Digits(price), "volume_24h": exact_json.Digits(volume)}
        usd["last_updated"] = "2023-04-01T23:59:00.000Z"
        sent = shape | {
            "id": coin_id,
            "name": name,
            "symbol": symbol,
            "cmc_rank": int(row["Rank"]),
            "quote": {"USD": usd},
        }
        yield Coin(coin_id, symbol, name, price, volume, sent)


def coins_of(folder: Path, name: str, *, are_moving: bool) -> Coins:
    """Return `april` or `page`."""
    return Coins({"april": april, "page": page}[name](folder), are_moving=are_moving)
