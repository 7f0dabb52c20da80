"""
Candles that are shorter than an hour, made of the samples of the kept day. Pure.

The candle [S, S + length) is made of the samples with a tick in (S, S + length], as an hour is (see `candles`).
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from types import MappingProxyType

from ..model import DAY, Measure, Metric, Sample
from .candles import CandleLength, CandleRow, HourSlot, make_hour_from_samples, make_row, start_sums
from .price_ranges import PriceRange, add_ranges

NO_RANGES: Mapping[int, PriceRange] = MappingProxyType({})


def find_first_start(newest: int, length: CandleLength) -> int:
    """Return the start of the oldest candle that lies wholly in the kept day, (newest - 24 h, newest]."""
    return length.find_start(newest - DAY - 1) + length.seconds


def make_short_candles(
    metric: Metric,
    length: CandleLength,
    samples: Sequence[Sample],
    interval: int,
    ranges: Mapping[int, PriceRange] = NO_RANGES,
) -> list[CandleRow]:
    """
    Return a candle for each stretch of `length` that has a price. `samples` come oldest first, every `interval` seconds.

    `ranges` are, by tick, those of samples that were filled in. A candle is the exchange's where they speak of all of it.
    """
    rows = []
    for start, group in groupby(samples, key=lambda sample: length.find_start(sample.tick - 1)):
        some = [*group]
        made = make_hour_from_samples(HourSlot(metric, start, 0), some, interval)
        if made:
            ticks = list_priced_ticks(some)
            whole = add_ranges(made._replace(revision=0), length.seconds, ticks, ranges, interval)
            rows.append(make_row(start_sums(whole, length.seconds)))
    return rows


def list_priced_ticks(samples: Sequence[Sample]) -> list[int]:
    """Return the ticks of those samples that have a price."""
    return [sample.tick for sample in samples if sample.value(Measure.PRICE) is not None]
