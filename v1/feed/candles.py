"""Hours and longer candles: how they are made of samples, prices and shorter candles."""

from ..market.candles import (
    HourSlot,
    find_fault,
    make_hour_from_candles,
    make_hour_from_prices,
    sum_exactly,
)
from ..market.exchange_hours import is_whole_hour, make_exchange_hour

__all__ = [
    "HourSlot",
    "find_fault",
    "is_whole_hour",
    "make_exchange_hour",
    "make_hour_from_candles",
    "make_hour_from_prices",
    "sum_exactly",
]
