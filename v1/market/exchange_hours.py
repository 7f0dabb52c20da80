"""
Hours as an exchange itself tells them: its own hourly candle, or its minutes where they make up the whole hour. Pure.

They stand beside what was sampled. Where both are known, a candle has the exchange's open, high, low, close and volume,
and the mean, the latest price and the number of samples of what was sampled; so `averaged` may be less than `covered`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ..model import HOUR, MINUTE, Candle, Metric
from ..numbers.decimals import remove_exponent
from .candles import CandleKind, CandleSums, HourSlot, find_largest, find_smallest, sum_exactly


class ExchangeHour(NamedTuple):
    """One hour of one metric, as the archive keeps it of the exchange. Digits are as received, without an exponent."""

    metric: Metric
    start: int
    """The first second, a multiple of 3600."""
    open: str
    high: str
    low: str
    close: str
    volume: str | None
    """Traded in the hour, in the base currency."""
    source: str
    """Who told it: a provider, or `replay`."""
    fetched_at: int
    """When it was told, unix seconds."""
    revision: int = 1
    """1 when it was first written, and one more with every change."""


def make_exchange_hour(slot: HourSlot, candles: Sequence[Candle], source: str) -> ExchangeHour:
    """Return the hour that a provider's candles make up, oldest first: one of an hour, or all minutes that it has."""
    return ExchangeHour(
        slot.metric,
        slot.start,
        remove_exponent(candles[0].open),
        remove_exponent(find_largest([candle.high for candle in candles])),
        remove_exponent(find_smallest([candle.low for candle in candles])),
        remove_exponent(candles[-1].close),
        sum_exactly([candle.volume for candle in candles]),
        source,
        slot.at,
    )


def is_whole_hour(start: int, candles: Sequence[Candle], length: int) -> bool:
    """
    Return whether some candles of `length` seconds make up the whole hour: one of an hour, or sixty of a minute.

    Of fewer minutes nobody knows whether in the others nothing was traded, or they were not told.
    """
    inside = [candle for candle in candles if start <= candle.start < start + HOUR]
    return len(inside) == HOUR // length and length in {HOUR, MINUTE}


def merge_exchange_hour(sampled: CandleSums | None, exchange: ExchangeHour) -> CandleSums:
    """Return the candle of an hour of which the exchange's is known, and perhaps what was sampled."""
    start, opened, high, low, close, volume = exchange[1:7]
    if sampled is None:
        return CandleSums(
            start, opened, high, low, close, None, 0, close, volume, 0, HOUR, 0, exchange.revision, CandleKind.EXCHANGE
        )
    return sampled._replace(
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=sampled.volume if volume is None else volume,
        covered=HOUR,
        revision=sampled.revision + exchange.revision,
        kind=CandleKind.EXCHANGE,
    )
