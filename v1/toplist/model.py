"""
The top list: what two providers say, and how it becomes one list. Values and rules: no clock, no network, no Redis.

CoinMarketCap says prices, CryptoCompare says the order by 24 h volume. Coins are the same where
CryptoCompare names the CoinMarketCap id, never where symbols are: those are not unique. The rules:

1. The rank of a coin is its place in CryptoCompare's list, from 1, without holes.
2. Of two coins with one id the better placed one stays, and the other is left out and counted.
3. Of two prices for one id the newer one counts; of two equally old ones the first.
4. A coin without a price, or without an id, stays where it is, with `null`, and is counted.
"""

from collections.abc import Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar


class PricedCoin(NamedTuple):
    """What CoinMarketCap says of one coin."""

    id: int
    price: str
    """In USD."""
    time: int | None
    """When the price is from, unix seconds; `None` where it does not say."""


class RankedCoin(NamedTuple):
    """What CryptoCompare says of one coin; its place is its place in the list."""

    id: int | None
    """CoinMarketCap's; `None` where CryptoCompare does not know it."""
    symbol: str
    name: str
    volume: str
    """Traded in the last 24 hours, in USD."""


class ListOrigin(NamedTuple):
    """Where a list is from."""

    source: str
    """Who gave it: `coinmarketcap`."""
    at: int
    """The minute it was asked for, unix seconds."""
    provider_time: int | None
    """When the provider says that it was made, unix seconds."""
    interval: int
    """Seconds until the next one is asked for."""
    left_out: Mapping[str, int]
    """How many rows of the answer are not in the list, by reason."""


_Coin = TypeVar("_Coin", PricedCoin, RankedCoin)


class ProviderList(NamedTuple, Generic[_Coin]):
    """One list of one provider."""

    about: ListOrigin
    coins: Sequence[_Coin]


class TopCoin(NamedTuple):
    """One row of the top list."""

    rank: int
    id: int | None
    symbol: str
    name: str
    price_usd: str | None
    volume_24h_usd: str
    price_time: int | None
    """When the price is from; the provider's word, and where it gives none the minute it was asked for."""
    volume_time: int
    """When the volume is from: CryptoCompare dates no volumes, so the minute it was asked for."""


class TopList(NamedTuple):
    """The top list of one minute."""

    at: int
    coins: Sequence[TopCoin]
    prices: ListOrigin
    ranks: ListOrigin
    margin: int
    """How late a list may come, in seconds; see `is_late`."""

    @property
    def count_unpriced(self) -> int:
        """How many coins have no price."""
        return sum(coin.price_usd is None for coin in self.coins)


def merge_lists(at: int, prices: ProviderList[PricedCoin], ranks: ProviderList[RankedCoin], margin: int) -> TopList:
    """Make the top list of minute `at` of the newest prices and the newest ranks."""
    priced = _by_id(prices.coins)
    rows: list[TopCoin] = []
    seen: set[int] = set()
    for coin in ranks.coins:
        if coin.id is not None:
            if coin.id in seen:
                continue
            seen.add(coin.id)
        known = None if coin.id is None else priced.get(coin.id)
        rows.append(
            TopCoin(
                len(rows) + 1,
                coin.id,
                coin.symbol,
                coin.name,
                known and known.price,
                coin.volume,
                known and (known.time if known.time is not None else prices.about.at),
                ranks.about.at,
            )
        )
    return TopList(
        at,
        rows,
        _with_doubles_counted(prices.about, len(prices.coins) - len(priced)),
        _with_doubles_counted(ranks.about, len(ranks.coins) - len(rows)),
        margin,
    )


def _by_id(coins: Sequence[PricedCoin]) -> dict[int, PricedCoin]:
    found: dict[int, PricedCoin] = {}
    for coin in coins:
        held = found.get(coin.id)
        if held is None or (coin.time or 0) > (held.time or 0):
            found[coin.id] = coin
    return found


def _with_doubles_counted(about: ListOrigin, doubles: int) -> ListOrigin:
    return about._replace(left_out={**about.left_out, "id twice": doubles}) if doubles else about


def is_late_list(about: ListOrigin, at: int, margin: int) -> bool:
    """Return whether at `at` a newer list should be there: its interval is over, and the margin too."""
    return at - about.at > about.interval + margin


def is_list_due(about: ListOrigin | None, at: int) -> bool:
    """Return whether minute `at` should have a newer list than this one."""
    return about is None or about.at + about.interval <= at


def find_reach(snapshot: TopList) -> int:
    """
    Return for how many seconds after its minute a snapshot may stand for a minute that has none.

    As long as the slower of its two lists is good for: over a gap of one interval nobody is sent away.
    """
    return max(snapshot.prices.interval, snapshot.ranks.interval) + snapshot.margin
