"""A small top list with a coin without a price and names that a spreadsheet would take for formulas."""

from tests.support.serving import NOON
from v1.toplist.model import ListOrigin, PricedCoin, ProviderList, RankedCoin, TopList, merge_lists

PRICES = [PricedCoin(1, "56507.38254720854", NOON - 58), PricedCoin(5994, "1.1e-05", NOON - 60)]
RANKS = [
    RankedCoin(1, "BTC", "Bitcoin", "68130148004.21379"),
    RankedCoin(5994, "SHIB", "SHIBA INU", "1.5E+9"),
    RankedCoin(None, "=2+5", "@evil, Inc.", "7"),
]


def made(at: int, prices_at: int | None = None, ranks_at: int | None = None) -> TopList:
    prices = ProviderList(ListOrigin("coinmarketcap", prices_at or at, at - 3, 300, {"dead market": 2}), PRICES)
    ranks = ProviderList(ListOrigin("cryptocompare", ranks_at or at, None, 540, {}), RANKS)
    return merge_lists(at, prices, ranks, 60)
