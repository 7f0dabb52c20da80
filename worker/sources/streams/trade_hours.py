"""The exchange's own candle of each hour, out of the trades of one symbol as they are counted. Pure."""

from decimal import Decimal
from typing import NamedTuple

from worker.latest import HOUR, Candle, decimals

from .events import StreamTrade

KEPT_HOURS = 3
"""Those of the newest trades: the one that runs, the one that is over, and one that late trades may still belong to."""


class _HourBar(NamedTuple):
    """An hour so far. The numbers of prices are beside their digits, so that each is read once."""

    open: str
    high: tuple[Decimal, str]
    low: tuple[Decimal, str]
    close: str
    volume: decimals.Number


class TradeHours:
    """What the trades of each of the newest hours come to. They come in the order of their numbers, each once."""

    def __init__(self) -> None:
        self._bars: dict[int, _HourBar] = {}

    def add(self, trade: StreamTrade) -> None:
        """Take in a trade: it belongs to the hour [H, H + 3600) of the provider's time of it."""
        hour = trade.time // 1000 // HOUR * HOUR
        price, amount = (Decimal(trade.price), trade.price), decimals.parse_decimal(trade.amount)
        bar = self._bars.get(hour)
        if bar is None:
            self._bars[hour] = _HourBar(trade.price, price, price, trade.price, amount)
            for old in sorted(self._bars)[:-KEPT_HOURS]:
                del self._bars[old]
            return
        high = price if price[0] > bar.high[0] else bar.high
        low = price if price[0] < bar.low[0] else bar.low
        self._bars[hour] = _HourBar(bar.open, high, low, trade.price, decimals.add(bar.volume, amount))

    def find(self, hour: int) -> Candle | None:
        """Return the candle of an hour; `None` where no trade of it came."""
        bar = self._bars.get(hour)
        if bar is None:
            return None
        volume = decimals.format_decimal(bar.volume)
        return Candle(hour, bar.open, bar.high[1], bar.low[1], bar.close, volume)
